"""`axiswise train`: make or reopen a run folder, and train in it."""

from collections.abc import Sequence
from pathlib import Path

from axiswise.commands.progress import training_bar
from axiswise.recipes import build, dump_recipe, read_recipe, recipe_path
from axiswise.training.run_folder import RunFolder


def train_recipe(recipe: str, overrides: Sequence[str] = (), out: str | None = None) -> RunFolder:
    """Start a run.

    Args:
        recipe: A shipped name, or a path of a YAML file.
        overrides: Command-line words such as `--penalty.weight 0.3`.
        out: Folder of the run; runs/NAME-seedS if None.

    Returns:
        The folder of the finished run.

    Raises:
        FileExistsError: If the folder holds something already.
        FileNotFoundError: If there is no such recipe.
        ValueError: On bad overrides.
        TrainingStoppedError: If training cannot go on.
        OSError: If something cannot be read or written.
    """
    from axiswise.training.loop import resolve_precision, train

    settings = read_recipe(recipe_path(recipe), overrides)
    settings.precision = resolve_precision(settings.precision, settings.accelerator)
    config = build(settings)
    folder = Path(out) if out is not None else Path("runs") / f"{config.name}-seed{config.seed}"
    run = RunFolder.create(folder, dump_recipe(settings))
    with training_bar(config.steps) as on_progress:
        train(config, run, on_progress)
    return run


def resume_run(folder: str) -> RunFolder:
    """Go on with a run from its newest checkpoint, or from the start if it has none yet.

    Args:
        folder: The run's folder.

    Returns:
        The folder of the finished run.

    Raises:
        FileNotFoundError: If it is no run folder.
        UnreadableFileError: If its config or checkpoint is damaged.
        TrainingStoppedError: If training cannot go on.
        OSError: If something cannot be read or written.
    """
    from axiswise.training.loop import train

    run = RunFolder.open(folder)
    config = build(read_recipe(run.config))
    with training_bar(config.steps) as on_progress:
        train(config, run, on_progress)
    return run
