"""The training loop, top to bottom: what all kinds of training have in common."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from axiswise.nets import ACTIVE_NATS
from axiswise.support.files import UnreadableFileError
from axiswise.training.allocator import keep_freed_memory
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from axiswise.training.parts import measured_images
from axiswise.training.stops import InterruptedRunError, TrainingStoppedError
from axiswise.training.trainer import Figures, Place, Recipe, Trainer

# However long steps take, a kill costs so many seconds of them at most.
CHECKPOINT_SECONDS = 600.0
_STRATEGIES = {False: "ddp", True: "ddp_find_unused_parameters_true"}

# Called after each step with the steps done and the last logged row (empty before the first).
OnProgress = Callable[[int, dict[str, float]], None]
# Called after each checkpoint with the steps done and a function from latents to images in [0, 1].
OnCheckpoint = Callable[[int, Callable[[Tensor], Tensor]], None]


class Journal(Protocol):
    """What the loop writes to: a run's folder.

    Attributes:
        path: The folder, for the finished model.
        config: The file of the recipe, for messages.
        checkpoints: Folder of checkpoints.
        tensorboard: Folder of TensorBoard events.
        about: The file of the finished model that is written last.
    """

    path: Path
    config: Path
    checkpoints: Path
    tensorboard: Path
    about: Path

    def recipe_digest(self) -> str:
        """What is the same of all recipes that a checkpoint serves."""

    def append_metrics(self, row: Mapping[str, float], /) -> None:
        """Add a row to the metrics."""

    def save_metrics(self, step: int, /) -> dict[str, Any]:
        """Put the rows so far on the disk for good; what they are known by."""

    def restore_metrics(self, step: int, mark: Mapping[str, Any], /) -> None:
        """Bring the table back to what it was at a step."""

    def truncate_metrics(self, step: int, /) -> None:
        """Drop the rows after a step."""


def train(
    trainer: Trainer,
    run: Journal,
    on_progress: OnProgress | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> None:
    """Train, or go on from the newest checkpoint in the run's folder.

    A run that was stopped at any moment and resumed ends with the same weights, bit for bit on a
    CPU with the same number of threads, as one that never stopped.

    Args:
        trainer: What `start` made of a recipe.
        run: Folder that receives metrics.csv, TensorBoard events, checkpoints and, at the end,
            model.safetensors and config.json.
        on_progress: Called after each step, in the first process.
        on_checkpoint: Called after each checkpoint, in the first process.

    Raises:
        TrainingStoppedError: If a term of the loss, a weight or an optimiser's state is not finite,
            or a GAN has collapsed or diverged; the last good checkpoint stays.
        InterruptedRunError: On Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
        UnreadableFileError: If the checkpoint is damaged or does not belong to this recipe.
        OSError: If a file cannot be written.
    """
    recipe = trainer.recipe
    fabric = Fabric(
        accelerator=recipe.accelerator,
        devices=recipe.devices,
        strategy=_STRATEGIES[trainer.grows] if recipe.devices > 1 else "auto",
        precision=cast(Any, resolve_precision(recipe.precision, recipe.accelerator)),
    )
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)  # for layers that draw by themselves, such as dropout
        _train(fabric, trainer, run, on_progress, on_checkpoint)


def _train(
    fabric: Fabric,
    trainer: Trainer,
    run: Journal,
    on_progress: OnProgress | None,
    on_checkpoint: OnCheckpoint | None,
) -> None:
    recipe = trainer.recipe
    rng = torch.Generator(fabric.device).manual_seed(recipe.seed)
    size = recipe.batch_size // fabric.world_size
    share = slice(fabric.global_rank * size, (fabric.global_rank + 1) * size)
    trainer.setup(Place(fabric, rng, share))
    log, digest = _Log(recipe.batch_size), run.recipe_digest()
    start = _restore(run, trainer, rng, log, digest, fabric.is_global_zero)
    if start and fabric.is_global_zero and on_checkpoint is not None:
        on_checkpoint(start, trainer.generate)  # again: a kill may have come before it
    row: dict[str, float] = {}
    saved_at = time.monotonic()

    with _events(run, start, fabric.is_global_zero) as write_events, _interruptions() as stop:
        for step in range(start, recipe.steps):
            with _saying_what_is_saved(run, "is"):
                log.add(step + 1, trainer.step(step))
            late = time.monotonic() - saved_at > CHECKPOINT_SECONDS
            stopping, late = _in_any_process((stop.requested, late), fabric)

            done = step + 1
            if done % recipe.log_every == 0 or done == recipe.steps:
                with _saying_what_is_saved(run, "is"):
                    row = log.flush(done, fabric)
                with _saying_what_is_saved(run, "may be"):
                    row |= trainer.summary(step)
                if fabric.is_global_zero:
                    run.append_metrics(row)
                    write_events(row)
            due = done % recipe.checkpoint_every == 0 or done == recipe.steps
            if due or late or stopping:
                with _saying_what_is_saved(run, "is"):
                    log.reduce(fabric)
                    log.check()
                    _check_state(trainer, done)
                if fabric.is_global_zero:
                    _save(run, done, trainer, rng, log, digest)
                    if on_checkpoint is not None:
                        on_checkpoint(done, trainer.generate)
                saved_at = time.monotonic()
            if fabric.is_global_zero and on_progress is not None:
                on_progress(done, row)
            if stopping:
                raise InterruptedRunError(
                    f"stopped after step {done} of {recipe.steps}, all of it saved; "
                    f"go on with `axiswise train --resume {run.path}`"
                )

        if fabric.is_global_zero:
            model = trainer.model.eval()
            with fabric.autocast():  # as in training
                model.measure(measured_images(recipe.data, fabric.device))
            # Without its last file, a model that was trained before is not whole, and the run goes
            # on from the checkpoint of the last step.
            run.about.unlink(missing_ok=True)
            model.save_pretrained(run.path, recipe=digest, step=recipe.steps)


def check_devices(recipe: Recipe) -> None:
    """Refuse a recipe that needs more CUDA devices than there are."""
    found = torch.cuda.device_count() if recipe.accelerator != "cpu" else 0
    if recipe.accelerator == "cuda" and found == 0:
        raise ValueError("accelerator must be 'cpu' or 'auto', got 'cuda': there is no CUDA device")
    if 0 < found < recipe.devices:
        raise ValueError(
            f"devices must be at most {found}, the CUDA devices here, got {recipe.devices}"
        )


def resolve_precision(precision: str, accelerator: str) -> str:
    """A precision; for "auto", "bf16-mixed" if the device computes in bfloat16, else "32-true"."""
    if precision != "auto":
        return precision
    if accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native else "32-true"


class _Log:
    """Means over the steps since the last row, on the device until a row is due."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.names: list[str] = []
        # Of each step that was taken: its number, and what it logs.
        self.history: list[tuple[int, Tensor]] = []
        self.clock = time.perf_counter()
        self.images = 0

    def add(self, number: int, figures: Figures) -> None:
        self.names = list(figures.values)
        self.images += self.batch_size if figures.images is None else figures.images
        if not figures.skipped:
            values = torch.stack([value.detach() for value in figures.values.values()])
            self.history.append((number, torch.cat([values, figures.axes.to(values)])))

    def _values(self) -> Tensor:
        return torch.stack([values for _, values in self.history])

    def reduce(self, fabric: Fabric) -> None:
        """Average what is kept over the processes."""
        if self.history:
            history = cast(Tensor, fabric.all_reduce(self._values(), reduce_op="mean"))
            self.history = [
                (number, values) for (number, _), values in zip(self.history, history, strict=True)
            ]

    def check(self) -> None:
        """Raise an error if one of the steps since the last row was not finite."""
        if not self.history:
            return
        history = self._values()[:, : len(self.names)].cpu()
        bad = ~history.isfinite()
        if bad.any():
            row, column = bad.nonzero()[0].tolist()
            raise TrainingStoppedError(
                f"the term {self.names[column]} is {float(history[row, column])} at step "
                f"{self.history[row][0]}"
            )

    def flush(self, done: int, fabric: Fabric) -> dict[str, float]:
        """The row for the steps since the last one; an error if one of them was not finite."""
        self.reduce(fabric)
        self.check()
        # Where no step was taken, there is nothing to have a mean.
        none = torch.full((len(self.names),), math.nan)
        means = self._values().cpu().mean(0) if self.history else none
        seconds = time.perf_counter() - self.clock
        result = {"step": done, **dict(zip(self.names, means.tolist(), strict=False))}
        if axes := means[len(self.names) :].tolist():
            result["active_axes"] = sum(value > ACTIVE_NATS for value in axes)
        result["images_per_second"] = round(self.images / seconds, 1)
        self.history, self.images, self.clock = [], 0, time.perf_counter()
        return result


def _check_state(trainer: Trainer, done: int) -> None:
    for part, network in trainer.networks.items():
        for name, value in network.state_dict().items():
            if not value.isfinite().all():
                raise TrainingStoppedError(
                    f"the weights {name} of the {part} are not finite after step {done}"
                )
    for part, optimizer in trainer.optimizers.items():
        for kept in optimizer.state.values():
            for name, value in kept.items():
                # An infinite mean square stops a weight for ever, and stays out of the loss.
                if isinstance(value, Tensor) and not value.isfinite().all():
                    raise TrainingStoppedError(
                        f"{name} in the optimiser {part} is not finite after step {done}: a "
                        "gradient was too large"
                    )


@contextmanager
def _saying_what_is_saved(run: Journal, verb: str) -> Iterator[None]:
    """Within it, an error that stops training says whether there is a checkpoint."""
    try:
        yield
    except TrainingStoppedError as error:
        saved = f"the last checkpoint {verb} good" if list_checkpoints(run.checkpoints) else ""
        raise TrainingStoppedError(f"{error}; {saved or 'there is no checkpoint yet'}") from error


def _save(
    run: Journal, done: int, trainer: Trainer, rng: torch.Generator, log: _Log, digest: str
) -> None:
    state = {
        "step": done,
        "recipe": digest,
        "metrics": run.save_metrics(done),
        "seed": trainer.recipe.seed,
        "model": trainer.model.state_dict(),  # shares its memory with one of the next
        "trainer": trainer.state_dict(),
        "rng": rng.get_state(),
        "global_rng": _global_states(rng.device),
        "log": log.history,
    }
    save_checkpoint(run.checkpoints, done, state)


def _restore(
    run: Journal,
    trainer: Trainer,
    rng: torch.Generator,
    log: _Log,
    digest: str,
    first_process: bool,
) -> int:
    """Take over the newest checkpoint, if there is one; the steps done so far."""
    checkpoints, recipe = list_checkpoints(run.checkpoints), trainer.recipe
    if not checkpoints:
        if first_process:
            run.truncate_metrics(0)
        return 0
    state = load_checkpoint(checkpoints[-1])
    try:
        trainer.load_state_dict(state["trainer"])
        rng.set_state(state["rng"])
        _set_global_states(state["global_rng"])
        log.history = [(int(number), row.to(rng.device)) for number, row in state["log"]]
        step, metrics = int(state["step"]), dict(state["metrics"])
        if "" not in (digest, state["recipe"]) and digest != state["recipe"]:
            raise ValueError("its settings were others")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UnreadableFileError(
            f"checkpoint {checkpoints[-1]} does not belong to the recipe in {run.config}: "
            + " ".join(str(error).split())
        ) from error
    if not 0 < step <= recipe.steps or state.get("seed") != recipe.seed:
        raise UnreadableFileError(
            f"checkpoint {checkpoints[-1]} is at step {step} with seed {state.get('seed')}, the "
            f"recipe in {run.config} has {recipe.steps} steps and seed {recipe.seed}"
        )
    if first_process:
        run.restore_metrics(step, metrics)
    return step


def _global_states(device: torch.device) -> dict[str, Tensor]:
    """States of the generators that layers draw from by themselves."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_global_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


@contextmanager
def _events(
    run: Journal, start: int, first_process: bool
) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that writes a row of metrics as TensorBoard events."""
    if not first_process:
        yield lambda _: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(run.tensorboard, purge_step=start + 1) as writer:

        def write(row: dict[str, float]) -> None:
            for name, value in row.items():
                if name != "step":
                    writer.add_scalar(name, value, int(row["step"]))

        yield write


def _in_any_process(flags: tuple[bool, bool], fabric: Fabric) -> tuple[bool, bool]:
    """Whether flags are set in any process: all stop and save after the same step."""
    if fabric.world_size == 1:
        return flags
    values = torch.tensor(flags, dtype=torch.float32, device=fabric.device)
    first, second = cast(Tensor, fabric.all_reduce(values, reduce_op="max")).tolist()
    return bool(first), bool(second)


@dataclass
class _Stop:
    requested: bool = False


@contextmanager
def _interruptions() -> Iterator[_Stop]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a request to stop between steps.

    A second Ctrl-C or SIGTERM acts at once. A second SIGHUP does not, because a terminal that is
    closed may send two. Where SIGHUP is ignored, as under nohup, it stays so.
    """
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def request(_number: int, _frame: object) -> None:
        stop.requested = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, before[number])

    numbers = [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        numbers.append(hang_up)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
