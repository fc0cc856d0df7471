"""SeFa on a run: a run whose axes are what SeFa finds in the generator of another one."""

from axiswise.directions import first_layer, sefa, with_axes
from axiswise.nets import Generator
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import read_settings
from axiswise.runs.run import load_run
from axiswise.support.imports import Trust


def sefa_run(folder: str, out: str | None = None, *, trust: bool = False) -> RunFolder:
    """Make SeFa's directions the axes of a GAN, and write it as a run of its own, NAME-sefa.

    Args:
        folder: The run's folder.
        out: Folder of the new run; FOLDER-sefa if None.
        trust: Whether code that is not ours may be run, if its config names any.

    Returns:
        The new run's folder: `evaluate`, `show` and `compare` take it like any other.

    Raises:
        ValueError: If the run did not train a GAN, or not to its end.
        FileExistsError: If something is in the new folder already.
        BusyError: If another process writes into it.
        OSError: If something cannot be read or written.
    """
    run = load_run(folder, trust=trust)
    if not isinstance(run.model, Generator):
        raise ValueError(f"FOLDER must be a run that trained a GAN, {folder} trained a VAE")
    if run.step < run.recipe.steps:
        raise ValueError(
            f"FOLDER must be a finished run, {folder} is at step {run.step} of {run.recipe.steps}"
        )
    layer = first_layer(run.model, run.latent_dim)
    directions, _ = sefa(run.model.get_submodule(layer))
    copied = with_axes(run.model, directions, layer)
    settings = read_settings(run.folder.config, trust=Trust(files=trust))
    keys, name = settings.keys, run.recipe.name
    keys.name = f"{name}-sefa"
    keys.description = f"Axes by SeFa (Shen & Zhou 2021) on the generator of {name}"
    path = run.folder.path
    made = RunFolder(out or path.with_name(f"{path.name}-sefa"))
    with made.alone():
        RunFolder.create(made.path, settings.dump())
        copied.save_pretrained(made.path, recipe=made.recipe_digest(), step=run.step)
    return made
