"""Training a GAN that grows: schedule, reals, steps of both sides, what is skipped, resuming."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from axiswise.data import Sprites
from axiswise.nets import ProgressiveCritic, ProgressiveGenerator
from axiswise.objectives import make_term
from axiswise.runs.folder import RunFolder
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.progressive import ProgressiveRecipe, Schedule, faded
from axiswise.training.trainer import start

REFERENCE = Path(__file__).parents[1] / "reference"
LATENT, SIZE, WIDTH = 3, 16, 1 / 128
LAYERS = ["4x4.Dense", "4x4.Conv", "8x8.Conv0_up", "8x8.Conv1"]
OROJAR = make_term(
    "orojar", weight=0.5, probes=2, correction=0, layers=LAYERS, reduction="max", method="finite"
)
# Looks at the schedule after 0, 2, 4, … steps of 16, 16 and 8 images; resets after 4, 8, 10, 16.
SETTINGS: dict[str, Any] = {
    "data": Sprites(size=SIZE),
    "generator": partial(ProgressiveGenerator, latent_dim=LATENT, width=WIDTH),
    "critic": partial(ProgressiveCritic, width=WIDTH),
    "terms": {"orojar": OROJAR},
    "images": 250,
    "stable_images": 48,
    "fading_images": 64,
    "repeats": 2,
    "batch_sizes": (16, 16, 8),
    "batch_size": 8,
    "parts": 2,
    "half_life": 100.0,
    "learning_rate": 1e-2,
    "anneal": 0.5,
    "precision": "32-true",
    "accelerator": "cpu",
    "log_every": 3,
    "checkpoint_every": 6,
}


def recipe(**changes: Any) -> ProgressiveRecipe:
    return ProgressiveRecipe(**{**SETTINGS, **changes})


def tiny(**changes: Any) -> Any:
    return start(recipe(**changes))


def test_what_starts_at_full_size_is_there_from_the_first_image() -> None:
    schedule = Schedule(16, 48, 64, [16, 16, 8], 2, first=16)
    for step in (0, 1, 2, 7, 1000):
        moment = schedule.at_step(step)
        assert (moment.lod, moment.side, moment.batch) == (0.0, 16, 8)
        assert schedule.images_at(step) == 8 * step
        assert not schedule.changes_at(step)
    assert schedule.steps_for(80) == 10


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[str], RunFolder]:
    return lambda name: RunFolder.create(tmp_path / name, "")


def newest(run: RunFolder) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(run.checkpoints)[-1])


def metrics(run: RunFolder) -> dict[str, list[float]]:
    columns = run.read_metrics()
    columns.pop("images_per_second")
    return columns


def same(one: Any, other: Any) -> bool:
    """Equality of nested states, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def test_the_schedule_is_the_published_one() -> None:
    """At each kimg that the authors' program was asked about, by the defaults of a recipe."""
    data = Sprites(size=128)
    published = recipe(
        data=data,
        **{
            name: ProgressiveRecipe.__dataclass_fields__[name].default
            for name in ("images", "stable_images", "fading_images", "repeats", "batch_size")
        },
        batch_sizes=ProgressiveRecipe.__dataclass_fields__["batch_sizes"].default,
        parts=4,
        learning_rate=ProgressiveRecipe.__dataclass_fields__["learning_rate"].default,
    )
    rows = json.loads((REFERENCE / "progan_schedule.json").read_text())
    assert len(rows) == 21
    for row in rows:
        now = published.schedule.at_images(round(1000 * row["kimg"]))
        assert now.lod == pytest.approx(row["lod"], abs=1e-12)
        assert (now.side, now.batch) == (row["resolution"], row["minibatch"])
        assert published.learning_rate == row["G_lrate"] == row["D_lrate"]


def _walked(schedule: Schedule, steps: int) -> list[tuple[int, float, int, int]]:
    """As the published loop walks: a look, then its steps, each of which shows its images."""
    found, images = [], 0
    while len(found) < steps:
        now = schedule.at_images(images)
        for _ in range(schedule.repeats):
            found.append((images, now.lod, now.side, now.batch))
            images += now.batch
    return found[:steps]


@pytest.mark.parametrize("stable", [0, 50, 96])
def test_the_place_of_a_step_is_that_of_a_loop_that_counts(stable: int) -> None:
    """While it grows and long after; the number of steps shows all images and no look more."""
    schedule = Schedule(16, stable, 64, [24, 12, 8], 3)
    walked = _walked(schedule, 120)
    assert walked[-1][1:] == (0.0, 16, 8)
    changes = []
    for step, (images, lod, side, batch) in enumerate(walked):
        now = schedule.at_step(step)
        assert (schedule.images_at(step), *now[1:]) == (images, lod, side, batch)
        before = walked[step - 1][1] if step else lod
        changed = math.floor(lod) != math.floor(before) or math.ceil(lod) != math.ceil(before)
        assert schedule.changes_at(step) == changed
        changes.append(changed)
    assert sum(changes) >= 2
    for images in (1, 72, 73, 300, 301, 700):
        steps = schedule.steps_for(images)
        assert steps % 3 == 0
        assert schedule.images_at(steps - 3) < images <= schedule.images_at(steps)


def test_reals_are_faded_as_the_authors_fade_them() -> None:
    with np.load(REFERENCE / "progan_reals.npz") as arrays:
        lods = sorted(name.removeprefix("in_lod") for name in arrays if name.startswith("in_"))
        assert len(lods) >= 3
        for name in lods:
            given, wanted = (torch.from_numpy(arrays[f"{of}_lod{name}"]) for of in ("in", "out"))
            level = math.floor(float(name))
            whole = nn.functional.interpolate(given.float() / 255, scale_factor=2.0**level)
            found = faded(2 * whole - 1, float(name))
            torch.testing.assert_close(found, wanted.to(found), rtol=0, atol=2e-6)
