"""Training a GAN that grows: schedule, reals, steps of both sides, what is skipped, resuming."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from axiswise.data import Sprites
from axiswise.nets import (
    ProgressiveCritic,
    ProgressiveGenerator,
    SimpleCritic,
    SimpleGenerator,
)
from axiswise.objectives import PublishedInfoGAN, make_term
from axiswise.runs.folder import RunFolder
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.loop import train
from axiswise.training.progressive import ProgressiveRecipe, Schedule, faded
from axiswise.training.stops import TrainingStoppedError
from axiswise.training.trainer import start
from doubles import DoubleSprites

REFERENCE = Path(__file__).parents[1] / "reference"
LATENT, SIZE, WIDTH = 3, 16, 1 / 64
LAYERS = ["4x4.Dense", "4x4.Conv", "8x8.Conv0_up", "8x8.Conv1"]
OROJAR = make_term(
    "orojar", weight=0.5, probes=2, correction=0, layers=LAYERS, reduction="max", method="finite"
)
JL1 = make_term("jl1", weight=1e-3, columns=1, layers=["8x8.Conv1_norm", "16x16.Conv0_up"])
ADDED = {
    "orojar": OROJAR,
    "jl1": JL1,
    "hessian": make_term(
        "hessian", weight=1e-3, probes=2, layers=["4x4.Conv_norm", "8x8.Conv1_norm"]
    ),
    "jl2": make_term("jl2", weight=1e-3, columns=2),
    "infogan_published": PublishedInfoGAN(),
}
GUESSED: dict[str, Any] = {
    "terms": {name: ADDED[name] for name in ("orojar", "infogan_published")},
    "critic": partial(ProgressiveCritic, width=WIDTH, codes=2),
}
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


class ByHand:
    """The same training with nothing of the library but its networks and its images."""

    def __init__(self) -> None:
        self.config = tiny(data=DoubleSprites(SIZE))
        self.generator, self.critic = self.config.generator, self.config.critic
        self.rng, self.images, lod = torch.Generator().manual_seed(0), 0, 2.0
        self.average = {k: v.clone() for k, v in self.generator.state_dict().items()}
        self.rows: list[dict[str, float]] = []
        self.resets: list[int] = []
        self._forget()
        while self.images < 250:
            before, lod = lod, 2.0 - self.images // 112
            lod = max(lod - max(self.images % 112 - 48, 0) / 64, 0.0)
            if math.floor(before) != math.floor(lod) or math.ceil(before) != math.ceil(lod):
                self.resets.append(len(self.rows))
                self._forget()
            for _ in range(2):
                self.rows.append(self._step(lod, 8 if lod < 1 else 16))

    def _forget(self) -> None:
        self.optimizers = [
            torch.optim.Adam(part.parameters(), lr=1e-2, betas=(0.0, 0.99), eps=1e-8, foreach=False)
            for part in (self.critic, self.generator)
        ]

    def _step(self, lod: float, batch: int) -> dict[str, float]:
        row = self._critic_step(lod, batch)
        for name, value in self.generator.state_dict().items():
            share = 0.5 ** (batch / 100)
            self.average[name] = share * self.average[name] + (1 - share) * value
        row |= self._generator_step(lod, batch)
        self.images += batch
        return {name: float(value.detach()) for name, value in row.items()}

    def _reals(self, draws: Tensor, lod: float) -> Tensor:
        images = self.config.recipe.data.render(draws) * 2 - 1

        def blocks(side: int) -> Tensor:
            rows = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))
            mean = rows.mean((3, 5), keepdim=True).expand_as(rows)
            return mean.flatten(4, 5).flatten(2, 3)

        fine, coarse = blocks(2 ** math.floor(lod)), blocks(2 ** math.ceil(lod))
        return fine + (coarse - fine) * (lod - math.floor(lod))

    def _critic_step(self, lod: float, batch: int) -> dict[str, Tensor]:
        draws = self.config.recipe.data.draw(batch, self.rng)
        z = torch.randn(batch, LATENT, generator=self.rng)
        mix = torch.rand(batch, generator=self.rng)
        found = []
        for part in (slice(0, batch // 2), slice(batch // 2, batch)):
            real, fake = self._reals(draws[part], lod), self.generator(z[part], lod).detach()
            of_real, of_fake = self.critic(real, lod), self.critic(fake, lod)
            between = torch.stack(
                [m * a + (1 - m) * b for m, a, b in zip(mix[part], real, fake, strict=True)]
            ).requires_grad_()
            (slopes,) = torch.autograd.grad(
                self.critic(between, lod).sum(), between, create_graph=True
            )
            lengths = slopes.pow(2).sum((1, 2, 3)).sqrt()
            found.append(
                {
                    "critic": of_fake.mean() - of_real.mean(),
                    "gradient_penalty": (lengths - 1).pow(2).mean(),
                    "drift": of_real.pow(2).mean(),
                }
            )
        row = {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}
        loss = row["critic"] + 10 * row["gradient_penalty"] + 1e-3 * row["drift"]
        self._take(self.optimizers[0], loss)
        return row

    def _generator_step(self, lod: float, batch: int) -> dict[str, Tensor]:
        z = torch.randn(batch, LATENT, generator=self.rng)
        probes = 2.0 * torch.randint(2, (2, batch, LATENT), generator=self.rng) - 1
        adversarial, orojar = torch.zeros(()), torch.zeros(())
        for part in (slice(0, batch // 2), slice(batch // 2, batch)):
            adversarial = adversarial - self.critic(self.generator(z[part], lod), lod).mean() / 2
            for name, share in self._shares(lod).items():
                here = self._layer(name, z[part], lod)
                moved = [self._layer(name, z[part] + 0.1 * v[part], lod) for v in probes]
                one, two = (((m - here) / 0.1).pow(2).sum((1, 2, 3)) for m in moved)
                orojar = orojar + share * ((one - two) / 2).pow(2).max() / 2
        ramp = min(1.0, self.images / (0.5 * 256))
        self._take(self.optimizers[1], adversarial + 0.5 * ramp * orojar)
        return {
            "adversarial": adversarial,
            "orojar": orojar,
            "loss": adversarial + 0.5 * ramp * orojar,
        }

    @staticmethod
    def _shares(lod: float) -> dict[str, float]:
        """Of the layers at 4 and 8 pixels; what is not there yet has none."""
        of_second = min(max(2 - lod, 0.0), 1.0)
        both = zip(LAYERS, (1.0, 1.0, of_second, of_second), strict=True)
        return {name: share for name, share in both if share}

    def _layer(self, name: str, z: Tensor, lod: float) -> Tensor:
        kept: list[Tensor] = []
        module = self.generator.get_submodule(name)
        handle = module.register_forward_hook(lambda *call: kept.append(call[2]))
        self.generator(z, lod)
        handle.remove()
        return kept[0]

    @staticmethod
    def _take(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.usefixtures("_double")
def test_log_and_weights_are_those_of_steps_made_by_hand(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Through two fades and four resets of Adam, in two parts of a batch, with the penalty."""
    run = new_run("run")
    train(tiny(data=DoubleSprites(SIZE), log_every=1), run)
    expected = ByHand()
    assert expected.resets == [4, 8, 12, 16]
    assert expected.images == 256

    logged = metrics(run)
    assert logged["step"] == list(range(1, 21))
    for name in expected.rows[0]:
        assert logged[name] == pytest.approx([row[name] for row in expected.rows], rel=1e-7), name
    assert logged["kimg"] == pytest.approx(
        [*(i * 0.016 for i in range(1, 13)), *(0.192 + i * 0.008 for i in range(1, 9))]
    )
    looks = [2.0, 2.0, 1.75, 1.25, 1.0, 1.0, 0.5, 0.25, 0.0, 0.0]
    assert logged["lod"] == [lod for lod in looks for _ in range(2)]
    assert logged["side"] == [*[4] * 4, *[8] * 8, *[16] * 8]
    assert logged["skipped"] == [0] * 20

    saved = newest(run)["trainer"]["networks"]
    final = ProgressiveGenerator.from_pretrained(run.path).state_dict()
    for found, wanted in (
        (saved["critic"], expected.critic.state_dict()),
        (saved["generator"], expected.generator.state_dict()),
        (final, expected.average),
    ):
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-7, msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder.create(tmp_path_factory.mktemp("uninterrupted"), "")
    train(tiny(**GUESSED), run)
    return run


class _CrashError(Exception):
    """Stands for whatever ends a process."""


class Fragile(Sprites):
    """Data of which so many images can be drawn."""

    left = -1

    def render(self, factors: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise _CrashError
        return super().render(factors)


@pytest.mark.parametrize(
    "passes", [11, 25, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 40))]
)
def test_after_a_crash_a_resumed_run_ends_as_if_nothing_had_been(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], passes: int
) -> None:
    """In a fade, at a reset of Adam, between the parts of a batch; also twice."""
    run = new_run("run")
    for left in (passes, 3):
        data = Fragile(SIZE)
        data.left = left
        with pytest.raises(_CrashError):
            train(tiny(**GUESSED, data=data, checkpoint_every=3), run)
    train(tiny(**GUESSED), run)
    for name in ("trainer", "rng", "log"):
        assert same(newest(run)[name], newest(uninterrupted)[name]), name
    assert metrics(run) == metrics(uninterrupted)
    assert (run.path / "model.safetensors").read_bytes() == (
        uninterrupted.path / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_every_added_term_trains_while_the_generator_grows(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Those of layers that do not run yet are 0; InfoGAN's is of the critic too."""
    run = new_run("run")
    train(tiny(terms=ADDED, critic=GUESSED["critic"], repeats=1, log_every=2), run)
    logged = metrics(run)
    assert {*ADDED, "infogan_published_critic", "orojar_normalized"} <= set(logged)
    for name in ADDED:
        assert all(map(math.isfinite, logged[name])), name
        grown = name == "jl1"  # of the layers at 8 and 16 pixels
        assert (logged[name][0] == 0) == grown, name
        assert logged[name][-1] > 0, name


class Spoilt(nn.Module):
    """A critic whose scores are not finite in some passes."""

    def __init__(self, critic: ProgressiveCritic, passes: set[int]) -> None:
        super().__init__()
        self.critic, self.passes, self.count = critic, passes, 0

    def forward(self, images: Tensor, lod: float = 0.0) -> Tensor:
        self.count += 1
        scores: Tensor = self.critic(images, lod)
        return scores * (math.inf if self.count in self.passes else 1.0)


def _spoilt(passes: set[int], **options: Any) -> Spoilt:
    return Spoilt(ProgressiveCritic(width=WIDTH, **options), passes)


# A step has eight passes of the critic: real, fake and mixed images of two parts, then the fake
# ones of the generator's two parts.
def test_a_step_without_finite_gradients_is_skipped_and_counted(
    new_run: Callable[[str], RunFolder],
) -> None:
    """The critic's third step and the generator's fifth: all else goes on as it would."""
    passes = {8 * 2 + 1, 8 * 4 + 8}
    settings: dict[str, Any] = {"terms": {}, "log_every": 1, "checkpoint_every": 1, "steps": 7}
    run = new_run("run")
    states: list[dict[str, Any]] = []
    config = tiny(critic=partial(_spoilt, passes), **settings)

    def keep(*_: Any) -> None:
        states.append(
            {
                k: v.clone()
                for k, v in nn.ModuleDict({"critic": config.critic, "generator": config.generator})
                .state_dict()
                .items()
            }
        )

    train(config, run, keep)

    def changed(step: int, part: str) -> bool:
        return any(
            not torch.equal(states[step][name], states[step - 1][name])
            for name in states[0]
            if name.startswith(part)
        )

    for step in range(1, 7):
        assert changed(step, "critic") == (step != 2), step
        assert changed(step, "generator") == (step != 4), step
    logged = metrics(run)
    assert logged["skipped"] == [0, 0, 1, 1, 2, 2, 2]
    assert [math.isnan(value) for value in logged["critic"]] == [
        step in (2, 4) for step in range(7)
    ]
    assert newest(run)["trainer"]["skipped"] == [
        {"critic": 1, "generator": 1},
        {"critic": 0, "generator": 0},
    ]


@pytest.mark.parametrize("broken", [range(1, 300), range(17, 300)])
def test_ten_skipped_steps_in_a_row_end_the_run(
    new_run: Callable[[str], RunFolder], broken: range
) -> None:
    run = new_run("run")
    first = (broken[0] - 1) // 8
    with pytest.raises(
        TrainingStoppedError,
        match=r"the critic has diverged: its gradients were not finite in 10 steps in a row; "
        r"the last checkpoint is good",
    ):
        train(tiny(critic=partial(_spoilt, set(broken)), terms={}), run)
    assert newest(run)["step"] == 6
    assert newest(run)["trainer"]["skipped"][1]["critic"] == 6 - first
    assert not (run.path / "model.safetensors").exists()


def test_a_divergence_that_is_saved_goes_on_counting(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Six skipped steps before a checkpoint, and four after it."""
    run = new_run("run")

    def crash(done: int, _: dict[str, float]) -> None:
        if done == 7:
            raise _CrashError

    broken = partial(_spoilt, set(range(1, 1000)))
    with pytest.raises(_CrashError):
        train(tiny(critic=broken, terms={}), run, crash)
    with pytest.raises(TrainingStoppedError, match="not finite in 10 steps"):
        train(tiny(critic=broken, terms={}), run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 7}, "batch_size must give each of the 2 parts .* got 7"),
        ({"batch_size": 2}, "batch_size must give each of the 2 parts .* got 2"),
        ({"batch_size": 12}, "batch_size must give each of the 2 parts .* got 12"),
        ({"parts": 3, "devices": 2}, "parts must be a multiple of devices = 2, got 3"),
        ({"stable_images": 0, "fading_images": 0}, "must not both be 0"),
        ({"batch_sizes": ()}, "batch_sizes must be numbers ≥ 1"),
        ({"half_life": -1.0}, "half_life must be ≥ 0, got -1"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"betas": (0.5, 1.0)}, "betas must be at least 0 and below 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


@pytest.mark.parametrize("name", ["critic", "generator"])
def test_a_network_that_knows_no_lod_is_refused_by_name(name: str) -> None:
    kind = {"critic": SimpleCritic, "generator": SimpleGenerator}[name]
    with pytest.raises(ValueError, match=f"{name} must take the keyword argument lod.*a Simple"):
        tiny(terms={}, **{name: kind})


@pytest.mark.parametrize(
    ("size", "batch_size", "parts", "wanted"),
    [
        (128, 96, 4, [2048, 1024, 512, 256, 128, 96]),
        (128, 48, 4, [1024, 512, 256, 128, 64, 48]),
        (128, 24, 1, [512, 256, 128, 64, 32, 24]),
        (64, 16, 1, [256, 128, 64, 32, 16]),
        (256, 96, 4, [2048, 1024, 512, 256, 128, 96, 96]),
        (16, 8, 4, [32, 16, 8]),
    ],
)
def test_one_number_scales_the_batches_of_all_sides(
    size: int, batch_size: int, parts: int, wanted: list[int]
) -> None:
    defaults = ProgressiveRecipe.__dataclass_fields__
    config = recipe(
        data=Sprites(size=size),
        batch_sizes=defaults["batch_sizes"].default,
        batch_size=batch_size,
        parts=parts,
    )
    assert config.schedule.batches == wanted


def test_steps_given_cut_a_run_short_or_make_it_longer() -> None:
    assert recipe().steps == 20
    assert recipe(steps=5).steps == 5
    assert recipe(steps=5).progress(4) == (64, 80)
    assert replace(recipe(), steps=40).progress(40) == (416, 416)


def test_pictures_are_made_at_the_lod_of_the_moment(new_run: Callable[[str], RunFolder]) -> None:
    z, drawn = torch.randn(2, LATENT), {}

    def draw(done: int, generate: Callable[[Tensor], Tensor]) -> None:
        drawn[done] = generate(z).detach()

    train(tiny(terms={}), new_run("run"), on_checkpoint=draw)
    assert list(drawn) == [6, 12, 18, 20]
    for done, side in ((6, 2), (12, 2), (18, 1)):
        coarse = nn.functional.avg_pool2d(drawn[done], side)
        again = nn.functional.interpolate(coarse, scale_factor=float(side))
        torch.testing.assert_close(drawn[done], again)
