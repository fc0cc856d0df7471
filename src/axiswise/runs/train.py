"""`axiswise train`: make or reopen a run folder, and train in it."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from axiswise.data.factors import load
from axiswise.runs.fine_tuning import Initial, initial_of, read_initial
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import EvaluationProtocol, read_settings
from axiswise.runs.run import Run, read_config
from axiswise.support.imports import Trust
from axiswise.support.progress import StartBar, late_bar, no_bars
from axiswise.training.checkpoint import list_checkpoints
from axiswise.training.recipe import read_keys, recipe_path
from axiswise.training.trainer import Recipe, Trainer, start

_SAMPLES = 16  # images drawn in the course of a run
_SAMPLINGS = 10  # how often they are


def train_recipe(
    recipe: str,
    overrides: Sequence[str] = (),
    out: str | None = None,
    start_bar: StartBar = no_bars,
    *,
    trust: bool = False,
) -> RunFolder:
    """Start a run.

    Args:
        recipe: A shipped name, or a path of a YAML file.
        overrides: Command-line words such as `--terms.jl1.weight 0.3`.
        out: Folder of the run; runs/NAME-seedS if None.
        start_bar: Starts a progress bar.
        trust: Whether code may be run that the recipe names, and neither we nor the overrides.

    Returns:
        The folder of the finished run.

    Raises:
        UntrustedCodeError: If it names such code, which may not be run.
        FileExistsError: If the folder is not empty.
        BusyError: If another process trains in it.
        FileNotFoundError: If there is no such recipe, or no such run to start from.
        ValueError: On bad overrides, a run to start from that does not fit, or if there are fewer
            devices.
        TrainingStoppedError: If training cannot go on.
        OSError: If something cannot be read or written.
    """
    from axiswise.training.loop import resolve_precision

    settings = read_settings(recipe_path(recipe), overrides, Trust.of(overrides, files=trust))
    keys = settings.keys
    keys.precision = resolve_precision(keys.precision, keys.accelerator)
    initial = initial_of(settings, overrides)
    config = settings.build()
    folder = Path(out) if out is not None else Path("runs") / f"{config.name}-seed{config.seed}"
    # What does not fit or cannot be read is found out before there is a folder.
    trainer = _prepared(config, settings.section("evaluation"), start_bar, initial)
    settings.settle(config)
    run = RunFolder(folder)
    with _alone(run):
        if not is_helper():
            RunFolder.create(folder, settings.dump())
        _train(trainer, run, start_bar)
    return run


def resume_run(folder: str, start_bar: StartBar = no_bars, *, trust: bool = False) -> RunFolder:
    """Go on with a run from its newest checkpoint, or from the start if it has none yet.

    Args:
        folder: The run's folder.
        start_bar: Starts a progress bar.
        trust: Whether code that is not ours may be run, if its config names any.

    Returns:
        The folder of the finished run.

    Raises:
        FileNotFoundError: If it is no run folder.
        BusyError: If another process trains in it.
        UnreadableFileError: If its config or checkpoint is damaged.
        UntrustedCodeError: If its config names code that may not be run.
        ValueError: If there is a finished model and no checkpoint, there are fewer devices, or,
            before the first checkpoint, the run that it starts from has other weights by now.
        TrainingStoppedError: If training cannot go on.
        OSError: If something cannot be read or written.
    """
    run = RunFolder.open(folder)
    with _alone(run):
        if run.weights.is_file() and not list_checkpoints(run.checkpoints):
            raise ValueError(
                f"FOLDER must have a checkpoint to go on from, {folder} has a finished model alone"
            )
        recipe, protocol = read_config(run, trust=trust)
        initial = None
        if recipe.init is not None and not list_checkpoints(run.checkpoints):
            initial = read_initial(recipe.init, read_keys(run.config))
        _train(_prepared(recipe, protocol, start_bar, initial), run, start_bar)
    return run


def _alone(run: RunFolder) -> AbstractContextManager[None]:
    """Be the only one that trains in a folder, together with the processes that help."""
    return nullcontext() if is_helper() else run.alone()


def is_helper() -> bool:
    """Whether this process was started by Fabric, with the same words, to help the first one."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _prepared(
    recipe: Recipe, protocol: EvaluationProtocol, start_bar: StartBar, initial: Initial | None
) -> Trainer:
    """The trainer of a recipe, its data downloaded or decoded under a progress bar."""
    from axiswise.training.loop import check_devices

    check_devices(recipe)
    if not is_helper():
        load(recipe.data, late_bar(start_bar, "data"))
    recipe.data.draw(0)
    trainer = start(recipe)
    protocol.check(trainer.model.latent_dim, recipe.data)
    if initial is not None:
        initial.give(trainer, quiet=is_helper())
    return trainer


def _train(trainer: Trainer, run: RunFolder, start_bar: StartBar) -> None:
    from axiswise.training.loop import train

    if is_helper():
        train(trainer, run)
        return
    steps, progress = trainer.recipe.steps, start_bar("training")
    progress(0, steps)

    def show(done: int, row: dict[str, float]) -> None:
        progress(done, steps, _figures(row))

    train(trainer, run, show, _sampler(trainer, run))


def _figures(row: Mapping[str, float]) -> dict[str, float]:
    """What of a row of metrics the progress bar shows: terms of the loss, active axes, speed."""
    if not row:
        return {}
    # A row begins with the step, then come the terms of the loss, then the loss.
    names = list(row)
    shown = [*names[1 : names.index("loss")], "active_axes", "images_per_second"]
    return {name.replace("_", " "): row[name] for name in shown if name in row}


def _sampler(trainer: Trainer, run: RunFolder) -> Callable[[int, Callable[[Tensor], Tensor]], None]:
    """What draws a picture a few times in the course of a run.

    Of a model that encodes images, the traversals of one, as its codes may be far from the prior;
    of others, images of the same latents.
    """
    from axiswise import plots
    from axiswise.runs.show import picture_of_traversals

    recipe, model = trainer.recipe, trainer.model
    rng = torch.Generator().manual_seed(recipe.seed)
    z = torch.randn(_SAMPLES, model.latent_dim, generator=rng)
    every = max(1, recipe.steps // recipe.checkpoint_every // _SAMPLINGS) * recipe.checkpoint_every

    def draw(done: int, generate: Callable[[Tensor], Tensor]) -> None:
        if (done % every and done != recipe.steps) or recipe.data.shape[0] not in (1, 3):
            return
        device = next(model.parameters()).device
        at = Run(run, recipe, recipe.data, model, done, device, EvaluationProtocol())
        training = model.training
        model.eval()
        if at.code_statistics is not None and at.activity.isfinite().all():
            figure = picture_of_traversals(at, 1)
        else:
            with torch.no_grad():
                images = generate(z.to(device)).float().cpu()
            figure = plots.samples({f"step {done}": images})
        model.train(training)
        run.samples.mkdir(exist_ok=True)
        plots.save(figure, run.samples / f"step-{done:08d}.png")

    return draw
