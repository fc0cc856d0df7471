"""Training a GAN: what both sides minimise, what is averaged, how it stops and goes on."""

import itertools
import math
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal

from axiswise.data import Sprites
from axiswise.nets import (
    ProgressiveCritic,
    ProgressiveGenerator,
    PublishedSimpleCritic,
    SimpleCritic,
    SimpleGenerator,
)
from axiswise.objectives import (
    WGANGP,
    InfoGAN,
    NonSaturating,
    PublishedInfoGAN,
    VariationPredictability,
    make_term,
)
from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError
from axiswise.training.added import AddedTerms
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from axiswise.training.gan import GANRecipe, GANTrainer, GeneratorStep
from axiswise.training.loop import train
from axiswise.training.stops import InterruptedRunError, TrainingStoppedError
from axiswise.training.trainer import start
from doubles import DoubleSprites

BATCH, LATENT, STEPS, SIZE, WIDTH = 8, 4, 12, 16, 0.1
OROJAR = make_term(
    "orojar",
    weight=1e-3,
    probes=2,
    layers=["0.1", "1.0"],
    reduction="max",
    method="finite",
    epsilon=0.2,
    anneal=0.5,
    delay=0.0,
)
JL1 = make_term("jl1", weight=1e-2, columns=1, delay=0.25, anneal=0.0)
VP = VariationPredictability(weight=0.5, width=WIDTH, delay=0.25, anneal=0.5)
INFOGAN = InfoGAN(weight=0.3, latents=3, width=WIDTH)
ADDED = {"orojar": OROJAR, "jl1": JL1, "vp": VP, "infogan": INFOGAN}
OBJECTIVES = {"wgan-gp": WGANGP(gradient_penalty=7.0), "non-saturating": NonSaturating(r1=3.0)}


def tiny(**changes: Any) -> Any:
    """A training of a second; its first weights depend on the seed alone."""
    settings: dict[str, Any] = {
        "data": Sprites(size=SIZE),
        "generator": partial(SimpleGenerator, latent_dim=LATENT, width=WIDTH),
        "critic": partial(SimpleCritic, width=WIDTH),
        "objective": OBJECTIVES["wgan-gp"],
        "terms": ADDED,
        "steps": STEPS,
        "batch_size": BATCH,
        "learning_rate": 1e-3,
        "decay_start": 0.5,
        "delay": 0.25,  # of InfoGAN, which has none of its own
        "betas": (0.5, 0.9),
        "ema": 0.8,
        "precision": "32-true",
        "accelerator": "cpu",
        "log_every": 3,
        "checkpoint_every": 6,
    }
    return start(GANRecipe(**{**settings, **changes}))


def weights(run: RunFolder) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


def metrics(run: RunFolder) -> dict[str, list[float]]:
    """All but the one column that says how fast the machine was."""
    columns = run.read_metrics()
    assert all(value > 0 for value in columns.pop("images_per_second"))
    return columns


def newest(run: RunFolder) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(run.checkpoints)[-1])


def same(one: Any, other: Any) -> bool:
    """Equality of nested states, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[str], RunFolder]:
    return lambda name: RunFolder.create(tmp_path / name, "")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder.create(tmp_path_factory.mktemp("uninterrupted"), "")
    train(tiny(), run)
    return run


class PlainNorm(nn.Module):
    """Instance norm spelled out: PyTorch's own has wrong third derivatives."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, images: Tensor) -> Tensor:
        centred = images - images.mean((2, 3), keepdim=True)
        variance = centred.pow(2).mean((2, 3), keepdim=True)
        scale, shift = self.weight[:, None, None], self.bias[:, None, None]
        return centred / (variance + self.eps).sqrt() * scale + shift


def with_plain_norms(network: nn.Module) -> nn.Module:
    for name, part in list(network.named_modules()):
        if isinstance(part, nn.InstanceNorm2d):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, PlainNorm(part))
    return network


class ByHand:
    """The same training with nothing of the library but its networks and its images."""

    def __init__(self, objective: str) -> None:
        self.config, self.objective = tiny(data=DoubleSprites(SIZE)), objective
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            classifier = SimpleCritic(SIZE, 2, WIDTH, outputs=LATENT)
            recogniser = SimpleCritic(SIZE, 1, WIDTH, outputs=6)
        networks = (self.config.generator, self.config.critic, classifier, recogniser)
        self.generator, self.critic, self.classifier, self.recogniser = map(
            with_plain_norms, networks
        )
        own = nn.ModuleList([self.generator, self.classifier, self.recogniser])
        self.optimizers = [
            torch.optim.Adam(part.parameters(), lr=1.0, betas=(0.5, 0.9), foreach=False)
            for part in (self.critic, own)
        ]
        self.rng = torch.Generator().manual_seed(0)
        self.average: dict[str, Tensor] = {}
        self.rows = [self._step(step) for step in range(STEPS)]

    def _step(self, step: int) -> dict[str, float]:
        for optimizer in self.optimizers:
            rate = 1e-3 if step <= STEPS / 2 else 1e-3 * (STEPS - step) / (STEPS / 2)
            optimizer.param_groups[0]["lr"] = rate
        row = self._critic_step() | self._generator_step(step)
        for name, value in self.generator.state_dict().items():
            new = value.clone()
            self.average[name] = 0.8 * self.average[name] + 0.2 * new if step else new
        return {name: float(value.detach()) for name, value in row.items()}

    def _critic_step(self) -> dict[str, Tensor]:
        draws = self.config.recipe.data.draw(BATCH, self.rng)
        z = torch.randn(BATCH, LATENT, generator=self.rng)
        mix = torch.rand(BATCH, generator=self.rng)
        real = self.config.recipe.data.render(draws) * 2 - 1
        fake = self.generator(z).detach()
        if self.objective == "wgan-gp":
            critic = self.critic(fake).mean() - self.critic(real).mean()
            points = [m * a + (1 - m) * b for m, a, b in zip(mix, real, fake, strict=True)]
            added = (self._slopes(torch.stack(points)) - 1).pow(2).mean()
            row, loss = {"critic": critic, "gradient_penalty": added}, critic / 2 + 7 * added
        else:
            chances = Bernoulli(logits=torch.cat([self.critic(real), self.critic(fake)]))
            labels = torch.cat([torch.ones(BATCH, 1), torch.zeros(BATCH, 1)])
            critic = -2 * chances.log_prob(labels).mean()
            added = self._slopes(real).pow(2).mean()
            row, loss = {"critic": critic, "r1": added}, critic + 1.5 * added
        self._take(self.optimizers[0], loss)
        return row

    def _slopes(self, points: Tensor) -> Tensor:
        """Each image by itself."""
        slopes = []
        for point in points:
            at = point[None].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(at), at, create_graph=True)
            slopes.append(gradient.pow(2).sum().sqrt())
        return torch.stack(slopes)

    def _generator_step(self, step: int) -> dict[str, Tensor]:
        z = torch.randn(BATCH, LATENT, generator=self.rng)
        probes = 2.0 * torch.randint(2, (2, BATCH, LATENT), generator=self.rng) - 1
        column = torch.rand(BATCH, LATENT, generator=self.rng).argmin(1)
        index = torch.randint(LATENT, (BATCH,), generator=self.rng)
        value = torch.randn(BATCH, generator=self.rng)

        images = self.generator(z)
        scores = self.critic(images)
        if self.objective == "wgan-gp":
            adversarial = -scores.mean()
        else:
            adversarial = -Bernoulli(logits=scores).log_prob(torch.ones(BATCH, 1)).mean()

        orojar = torch.zeros(())
        first: Callable[[Tensor], Tensor] = self.generator[0]
        second: Callable[[Tensor], Tensor] = lambda z: self.generator[1][0](first(z))  # noqa: E731
        for layer in (first, second):
            moves = [(layer(z + 0.2 * v) - layer(z)) / 0.2 for v in probes]
            one, two = (move.pow(2).flatten(1).sum(1) for move in moves)
            orojar = orojar + ((one - two).pow(2) / 2).max()

        unit = nn.functional.one_hot(column, LATENT).float()
        _, columns = torch.autograd.functional.jvp(self.generator, z, unit, create_graph=True)
        jl1 = columns.abs().sum() * LATENT / BATCH

        others = z.clone()
        others[torch.arange(BATCH), index] = value
        logits = self.classifier(torch.cat([images, self.generator(others)], 1))
        vp = -torch.stack([row.log_softmax(0)[i] for row, i in zip(logits, index, strict=True)])

        mean, raw = self.recogniser(images).split(3, 1)
        spread = ((1 + raw.exp()).log() + 1e-3).sqrt()
        likelihood = Normal(mean, spread).log_prob(z[:, :3]).mean()
        infogan = -likelihood - math.log(2 * math.pi) / 2

        late = float(step >= STEPS / 4)
        loss = (
            adversarial
            + 1e-3 * min(1.0, step / (STEPS / 2)) * orojar
            + 1e-2 * late * jl1
            + 0.5 * min(1.0, max(0.0, (step - STEPS / 4) / (STEPS / 2))) * vp.mean()
            + 0.3 * late * infogan
        )
        self._take(self.optimizers[1], loss)
        return {
            "adversarial": adversarial,
            "orojar": orojar,
            "jl1": jl1,
            "vp": vp.mean(),
            "infogan": infogan,
            "loss": loss,
        }

    @staticmethod
    def _take(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_log_and_weights_are_those_of_steps_made_by_hand(
    new_run: Callable[[str], RunFolder], objective: str
) -> None:
    """All terms at once, each with a warm-up of its own, both networks, and the average."""
    run = new_run("run")
    train(tiny(objective=OBJECTIVES[objective], data=DoubleSprites(SIZE)), run)
    expected = ByHand(objective)

    logged = metrics(run)
    assert logged["step"] == [3, 6, 9, 12]
    for name in expected.rows[0]:
        means = [sum(row[name] for row in expected.rows[i : i + 3]) / 3 for i in range(0, 12, 3)]
        assert logged[name] == pytest.approx(means, rel=1e-9), name
    measures = {"variety", "score_spread", "learning_rate", "orojar_normalized", "jl1_normalized"}
    assert set(logged) == {"step", *expected.rows[0], *measures}
    assert logged["learning_rate"] == pytest.approx([1e-3, 1e-3, 4 / 6 * 1e-3, 1 / 6 * 1e-3])

    saved = newest(run)["trainer"]["networks"]
    by_hand = {
        "critic.": expected.critic,
        "generator.": expected.generator,
        "terms.vp.": expected.classifier,
        "terms.infogan.": expected.recogniser,
    }
    ours = {f"{part}.{name}": value for part in saved for name, value in saved[part].items()}
    theirs = {
        prefix + name: value
        for prefix, network in by_hand.items()
        for name, value in network.state_dict().items()
    }
    final = SimpleGenerator.from_pretrained(run.path).state_dict()
    ours |= {f"final.{name}": value for name, value in final.items()}
    theirs |= {f"final.{name}": value for name, value in expected.average.items()}
    for name, value in theirs.items():
        torch.testing.assert_close(ours.pop(name), value, rtol=1e-9, atol=1e-9, msg=name)
    assert all(name.startswith("average.") for name in ours)


def test_the_average_is_the_generator_s_moving_average_and_is_what_the_run_gives(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Bit for bit where there is none: then the last weights are kept as they are."""
    averaged, last = new_run("averaged"), new_run("last")
    first, second = tiny(ema=0.8), tiny(ema=0.0)
    steps: list[dict[str, Tensor]] = []
    train(
        first,
        averaged,
        lambda *_: steps.append({k: v.clone() for k, v in first.generator.state_dict().items()}),
    )
    train(second, last)
    final = SimpleGenerator.from_pretrained(last.path).state_dict()
    assert same(dict(final), dict(second.generator.state_dict()))
    assert same(dict(final), steps[-1])  # the average has no say in the objective
    assert metrics(averaged) == metrics(last)

    mean = SimpleGenerator.from_pretrained(averaged.path).state_dict()
    shares = [0.8 ** (STEPS - 1), *(0.2 * 0.8**left for left in range(STEPS - 2, -1, -1))]
    assert sum(shares) == pytest.approx(1)
    for name, value in mean.items():
        wanted = sum(share * step[name] for share, step in zip(shares, steps, strict=True))
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-6)
    assert not same(dict(mean), dict(final))


def test_the_same_seed_gives_the_same_run_bit_for_bit_and_another_does_not(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    """The networks of added terms included, which are made in the training."""
    torch.manual_seed(99)  # the global state has no say
    before = torch.get_rng_state()
    again, other, data = new_run("again"), new_run("other"), new_run("data")
    train(tiny(), again)
    assert torch.equal(torch.get_rng_state(), before)
    train(tiny(seed=1), other)
    train(
        tiny(seed=1, generator=lambda **_: tiny().generator, critic=lambda **_: tiny().critic), data
    )
    assert weights(again) == weights(uninterrupted)
    assert metrics(again) == metrics(uninterrupted)
    assert same(newest(again), newest(uninterrupted))
    assert len({weights(run) for run in (again, other, data)}) == 3


class _CrashError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("step", [1, 6, 8, 11])
def test_after_a_crash_a_resumed_run_ends_as_if_nothing_had_been(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], step: int
) -> None:
    """Both networks, the added ones, both optimisers, the average and the randomness."""

    def crash(done: int, _: dict[str, float]) -> None:
        if done == step:
            raise _CrashError

    run = new_run("run")
    with pytest.raises(_CrashError):
        train(tiny(), run, crash)
    torch.manual_seed(step)
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)
    assert same(newest(run), newest(uninterrupted))


def test_interrupted_again_and_again_a_run_ends_as_if_nothing_had_been(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    run = new_run("run")
    for step in (1, 3, 7):  # the signal is met after the step that follows

        def interrupt(done: int, _: dict[str, float], at: int = step) -> None:
            if done == at:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(InterruptedRunError, match=f"step {step + 1} of 12.*--resume"):
            train(tiny(), run, interrupt)
        assert newest(run)["step"] == step + 1
        assert not (run.path / "model.safetensors").exists()
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)
    assert same(newest(run), newest(uninterrupted))


@pytest.mark.parametrize("part", ["critic", "generator", "average"])
def test_a_checkpoint_that_lacks_a_network_is_refused(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], part: str
) -> None:
    run = new_run("run")
    state = newest(uninterrupted)
    del state["trainer"]["networks"][part]
    save_checkpoint(run.checkpoints, STEPS, state)
    with pytest.raises(UnreadableFileError, match=r"step-00000012\.pt does not belong"):
        train(tiny(), run)


@pytest.mark.parametrize("missing", ["vp", "infogan"])
def test_a_checkpoint_of_other_added_terms_is_refused(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], missing: str
) -> None:
    run = new_run("run")
    save_checkpoint(run.checkpoints, STEPS, newest(uninterrupted))
    with pytest.raises(UnreadableFileError, match=r"step-00000012\.pt does not belong"):
        train(tiny(terms={name: term for name, term in ADDED.items() if name != missing}), run)


def _scale(layer: nn.Module, factor: float) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(factor)


LOST: dict[str, tuple[Callable[[GANTrainer], None], str]] = {
    "one image": (
        lambda config: _scale(config.generator.get_submodule("0.1"), 0.0),
        "the generator has collapsed by step 9: its images vary by .* the last checkpoint may be",
    ),
    "a blind critic": (
        lambda config: _scale(config.critic.get_submodule("8"), 0.0),
        "the critic has collapsed by step 9: its scores differ by .*e-3. over",
    ),
    "a wild critic": (
        lambda config: _scale(config.critic.get_submodule("8"), 1e9),
        "the critic has diverged by step 9: its scores differ by .*e",
    ),
    "a critic of no numbers": (
        lambda config: _scale(config.critic.get_submodule("8"), math.nan),
        "the term critic is nan at step 7; the last checkpoint is good",
    ),
    "a generator of no numbers": (
        lambda config: _scale(config.generator.get_submodule("0.1"), math.nan),
        "the term critic is nan at step 7; the last checkpoint is good",
    ),
}


@pytest.mark.parametrize(("case", "objective"), list(zip(LOST, itertools.cycle(OBJECTIVES))))
def test_a_training_that_fails_stops_the_run_and_says_what_failed(
    new_run: Callable[[str], RunFolder], case: str, objective: str
) -> None:
    """After its first checkpoint, with steps too small to mend anything."""
    run = new_run("run")
    config = tiny(objective=OBJECTIVES[objective], learning_rate=1e-30, terms={})
    break_it, message = LOST[case]

    def lose(done: int, _: dict[str, float]) -> None:
        if done == 6:
            break_it(config)

    with pytest.raises(TrainingStoppedError, match=message):
        train(config, run, lose)
    assert newest(run)["step"] == 6
    assert run.read_metrics()["step"] == [3, 6]
    assert not (run.path / "model.safetensors").exists()


def test_variety_and_spread_are_those_of_the_last_batch(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    """With steps of no length, all batches' images are those of the first weights."""
    del uninterrupted
    run = new_run("run")
    train(tiny(learning_rate=1e-30, steps=1, log_every=1, terms={}), run)
    config, rng = tiny(), torch.Generator().manual_seed(0)
    draws = config.recipe.data.draw(BATCH, rng)
    first = torch.randn(BATCH, LATENT, generator=rng)
    torch.rand(BATCH, generator=rng)
    second = torch.randn(BATCH, LATENT, generator=rng)
    real = (2 * config.recipe.data.render(draws) - 1).numpy()
    with torch.no_grad():
        images = config.generator(second).numpy()
        fake = config.generator(first)
        scores = torch.cat([config.critic(torch.from_numpy(real)), config.critic(fake)]).numpy()
    variety = images.std(0, ddof=1).mean() / real.std(0, ddof=1).mean()
    assert metrics(run)["variety"] == pytest.approx([float(variety)], rel=1e-5)
    assert metrics(run)["score_spread"] == pytest.approx([float(scores.std(ddof=1))], rel=1e-4)


TERMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "jl1": {"jl1": make_term("jl1")},
    "jl1 normalized": {"jl1": make_term("jl1", normalize=True)},
    "jl2": {"jl2": make_term("jl2", columns=2)},
    "orojar groups": {"orojar": make_term("orojar", groups=3)},
    "orojar and jl1": {
        "orojar": make_term("orojar", layers=["0.1", "2.0"]),
        "jl1": make_term("jl1"),
    },
    "hessian": {
        "hessian": make_term(
            "hessian", probes=2, reduction="max", method="finite", layers=["0.1", "1.0"]
        )
    },
    "ima": {"ima": make_term("ima")},
    "vp": {"vp": VariationPredictability(width=WIDTH)},
    "infogan": {"infogan": InfoGAN(latents=4, width=WIDTH)},
}


@pytest.mark.parametrize(("name", "objective"), list(zip(TERMS, itertools.cycle(OBJECTIVES))))
def test_every_added_term_trains_with_an_objective(
    new_run: Callable[[str], RunFolder], name: str, objective: str
) -> None:
    """All weights of both networks move, and the loss is the sum of what is logged.

    But for the last bias of WGAN-GP's critic, which does not change a difference of scores.
    """
    terms, run = TERMS[name], new_run("run")
    changes = {"terms": terms, "objective": OBJECTIVES[objective], "delay": 0.0}
    config = tiny(steps=3, log_every=1, checkpoint_every=3, **changes)
    networks = nn.ModuleList([config.generator, config.critic])
    before = {key: value.clone() for key, value in networks.state_dict().items()}
    train(config, run)
    after = networks.state_dict()
    assert {key for key in before if torch.equal(after[key], before[key])} <= {"1.8.bias"}
    logged = metrics(run)
    added = [term.label(key) for key, term in terms.items()]
    for step, loss in enumerate(logged["loss"]):
        wanted = logged["adversarial"][step] + 0.1 * sum(logged[key][step] for key in added)
        assert loss == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_training_brings_the_generator_s_images_nearer_to_the_data(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Their mean and their spread over images, after a few hundred steps."""
    changes = {"steps": 150, "batch_size": 16, "log_every": 50, "checkpoint_every": 150}
    config, run = tiny(learning_rate=5e-3, terms={}, **changes), new_run("run")
    rng = torch.Generator().manual_seed(5)
    real = config.recipe.data.render(config.recipe.data.draw(500, rng))
    z = torch.randn(500, LATENT, generator=rng)

    def distance(generator: SimpleGenerator) -> float:
        with torch.no_grad():
            images = generator.generate(z)
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
        return float((images.mean(0) - real.mean(0)).abs().mean())

    generator = config.generator
    assert isinstance(generator, SimpleGenerator)
    before = distance(generator)
    train(config, run)
    assert distance(SimpleGenerator.from_pretrained(run.path)) < before / 2


def test_bfloat16_mixed_precision_trains_on_a_cpu(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    config, run = tiny(precision="bf16-mixed"), new_run("run")
    kinds = []
    config.critic.get_submodule("2").register_forward_hook(
        lambda *call: kinds.append(call[2].dtype)
    )
    train(config, run)
    assert set(kinds) == {torch.bfloat16}
    networks = newest(run)["trainer"]["networks"]
    found = {value.dtype for part in networks.values() for value in part.values()}
    assert found == {torch.float32, torch.int64}  # the latter counts the average's steps
    expected = metrics(uninterrupted)
    for name in ("critic", "gradient_penalty", "adversarial", "vp", "infogan"):
        assert metrics(run)[name] == pytest.approx(expected[name], rel=0.1, abs=0.02), name


def test_checkpoints_hand_out_images_of_the_average(new_run: Callable[[str], RunFolder]) -> None:
    run, z = new_run("run"), torch.randn(3, LATENT, generator=torch.Generator().manual_seed(1))
    drawn: dict[int, Tensor] = {}

    def draw(done: int, generate: Callable[[Tensor], Tensor]) -> None:
        drawn[done] = generate(z).detach()

    train(tiny(), run, on_checkpoint=draw)
    assert list(drawn) == [6, 12]
    generator = SimpleGenerator.from_pretrained(run.path)
    torch.testing.assert_close(drawn[12], (generator(z) + 1) / 2)
    assert not torch.allclose(drawn[6], drawn[12])


@pytest.mark.usefixtures("_double")
def test_both_optimisers_minimise_the_published_infogan_term(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Two steps with nothing of the library but its networks, images and adversarial losses."""
    settings = {
        "data": DoubleSprites(SIZE),
        "critic": partial(PublishedSimpleCritic, width=WIDTH, codes=3),
        "terms": {"infogan": PublishedInfoGAN(weight=0.7, anneal=0.0, delay=0.0)},
        "steps": 2,
        "log_every": 1,
        "checkpoint_every": 2,
        "decay_start": 1.0,
    }
    given, run = tiny(**settings), new_run("infogan")
    critic, generator = given.critic, given.generator
    optimizers = [
        torch.optim.Adam(part.parameters(), lr=1e-3, betas=(0.5, 0.9))
        for part in (critic, generator)
    ]
    rng, rows = torch.Generator().manual_seed(0), []
    for _ in range(2):
        draws = given.recipe.data.draw(BATCH, rng)
        z = torch.randn(BATCH, LATENT, generator=rng)
        mix = torch.rand(BATCH, generator=rng)
        real, fake = 2 * given.recipe.data.render(draws) - 1, generator(z).detach()
        terms, _ = WGANGP(7.0).critic_terms(critic, real, fake, mix)
        of_critic = (critic.with_codes(fake)[1] - z[:, :3]).pow(2).sum() / (3 * BATCH)
        optimizers[0].zero_grad()
        (sum(weight * value for weight, value in terms.values()) + 0.7 * of_critic).backward()
        optimizers[0].step()
        z = torch.randn(BATCH, LATENT, generator=rng)
        scores, guesses = critic.with_codes(generator(z))
        own = (guesses - z[:, :3]).pow(2).sum() / (3 * BATCH)
        optimizers[1].zero_grad()
        (0.7 * own - scores.mean()).backward()
        optimizers[1].step()
        rows.append((float(of_critic.detach()), float(own.detach())))
    train(tiny(**settings), run)
    found = metrics(run)
    logged = list(zip(found["infogan_critic"], found["infogan"], strict=True))
    assert logged == [pytest.approx(row, rel=1e-6) for row in rows]
    for part, network in (("critic", critic), ("generator", generator)):
        trained = newest(run)["trainer"]["networks"][part]
        for name, value in network.state_dict().items():
            torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-8)


def test_the_published_infogan_term_needs_a_critic_that_guesses() -> None:
    with pytest.raises(ValueError, match=r"terms\.infogan: the critic must guess 1 to 4 latents"):
        tiny(terms={"infogan": PublishedInfoGAN()})


def test_a_bound_on_what_runs_at_once_changes_no_gradient() -> None:
    """Latents times probes of a growing generator's step, within a fade."""
    torch.manual_seed(0)
    generator = ProgressiveGenerator(16, latent_dim=3, width=1 / 64).double()
    critic = ProgressiveCritic(16, width=1 / 64).double()
    names = generator.convolutions[:4]
    term = make_term("orojar", probes=2, correction=0, reduction="max", layers=names)
    z = torch.randn(4, 3, dtype=torch.float64)
    drawn = {"orojar": term.draw(4, 3, torch.Generator().manual_seed(0))}
    gradients = []
    for bound in (None, 3):
        most: list[int] = []
        hook = generator.get_submodule("8x8.Conv1").register_forward_hook(
            lambda _m, _i, output, most=most: most.append(output.shape[0])
        )
        added = AddedTerms({"orojar": term}, generator)
        most.clear()
        step = GeneratorStep(generator, critic, added, WGANGP(), bound)
        terms, _ = step(z, drawn, {"orojar": 1.0}, {"lod": 0.5})
        hook.remove()
        assert max(most) <= (bound or 4)
        total = sum(weight * value for weight, value in terms.values())
        weights = list(generator.parameters())
        gradients.append(torch.autograd.grad(total, weights, materialize_grads=True))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
