"""Every VAE's objective in the training loop, and FactorVAE's second network."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from axiswise.nets import CodeDiscriminator, ConvVAE
from axiswise.objectives import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    GeneratorPass,
    Term,
    VAEObjective,
    make_term,
)
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import read_settings
from axiswise.training.added import AddedTerms
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.loop import train
from axiswise.training.parts import whole_batch
from axiswise.training.trainer import start
from axiswise.training.vae import VAEStep, VAETrainer

BATCH, LATENT = 8, 4
RIVALS: dict[str, VAEObjective] = {
    "beta": BetaVAE(beta=2.0),
    "annealed": AnnealedVAE(gamma=20.0, capacity=5.0),
    "factor": BetaVAE(beta=1.0),
    "dip-i": DIPVAE(variant="i"),
    "dip-ii": DIPVAE(variant="ii"),
    "tc": BetaTCVAE(),
    "tc stratified": BetaTCVAE(sampling="stratified", dataset_size=16**6),
}
FACTOR = {"factor_vae": FactorVAE(weight=3.0, features=16, learning_rate=1e-2)}
# What each logs beside the likelihood, with its weight at the end of the ramp.
WEIGHTS = {
    "beta": {"kl": 2.0},
    "annealed": {"kl": 0.0, "capacity_gap": 20.0},
    "factor": {"kl": 1.0, "tc": 3.0},
    "dip-i": {"kl": 1.0, "dip_off_diagonal": 5.0, "dip_diagonal": 50.0},
    "dip-ii": {"kl": 1.0, "dip_off_diagonal": 5.0, "dip_diagonal": 5.0},
    "tc": {"kl": 1.0, "tc": 3.0},
    "tc stratified": {"kl": 1.0, "tc": 3.0},
}
PENALTIES: dict[str, dict[str, Term]] = {
    "none": {},
    "jl1": {"jl1": make_term("jl1", columns=1)},
    "jl2": {"jl2": make_term("jl2", columns=2)},
    "orojar": {"orojar": make_term("orojar", probes=2)},
    "ima": {"ima": make_term("ima")},
}
# Each objective with one penalty, each penalty with some objective.
PAIRS = [
    ("beta", "none"),
    ("annealed", "jl1"),
    ("factor", "jl2"),
    ("factor", "none"),
    ("dip-i", "orojar"),
    ("dip-ii", "ima"),
    ("tc", "jl1"),
    ("tc stratified", "orojar"),
]

Tiny = Callable[..., VAETrainer]
NewRun = Callable[[str], RunFolder]


@pytest.fixture
def tiny(tiny_recipe: Path) -> Tiny:
    """The tiny recipe with other settings, and a network of its own each time."""

    def make(**changes: Any) -> VAETrainer:
        words = ["--terms", "null", "--seed", str(changes.get("seed", 0))]
        recipe = read_settings(tiny_recipe, words).build()
        if "rival" in changes:
            rival = changes.pop("rival")
            terms = {**(FACTOR if rival == "factor" else {}), **changes.pop("terms", {})}
            changes |= {"objective": RIVALS[rival], "terms": terms}
        trainer = start(replace(recipe, **changes))
        assert isinstance(trainer, VAETrainer)
        return trainer

    return make


@pytest.fixture
def new_run(tmp_path: Path) -> NewRun:
    return lambda name: RunFolder.create(tmp_path / name, "")


def _metrics(run: RunFolder) -> dict[str, list[float]]:
    columns = run.read_metrics()
    del columns["images_per_second"]
    return columns


def _state(run: RunFolder) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(run.checkpoints)[-1])


def _trained(run: RunFolder) -> dict[str, Any]:
    return _state(run)["trainer"]  # type: ignore[no-any-return]


def _flat(state: Any) -> list[Tensor]:
    """All tensors within dicts and lists, in their order."""
    if isinstance(state, dict):
        return [tensor for part in state.values() for tensor in _flat(part)]
    if isinstance(state, list):
        return [tensor for part in state for tensor in _flat(part)]
    return [state] if isinstance(state, Tensor) else []


@pytest.mark.parametrize(("name", "added"), PAIRS)
def test_every_objective_trains_with_a_penalty_added(
    tiny: Tiny, new_run: NewRun, name: str, added: str
) -> None:
    """All weights move; the loss is the sum of what is logged, by its weights and the ramp."""
    penalty, run = PENALTIES[added], new_run("run")
    config = tiny(rival=name, terms=penalty, steps=4, log_every=1, checkpoint_every=4)
    before = {key: value.clone() for key, value in config.model.state_dict().items()}
    train(config, run)
    after = config.model.state_dict()
    assert all(not torch.equal(after[key], before[key]) for key in before)

    logged, weights = _metrics(run), dict(WEIGHTS[name])
    weights |= dict.fromkeys(penalty, 0.1)
    assert list(logged)[1 : 2 + len(weights)] == ["nll", *weights]
    assert ("discriminator" in logged) == (name == "factor")
    assert logged["ramp"] == [0.0, 0.5, 1.0, 1.0]
    for step, ramp in enumerate(logged["ramp"]):
        loss = logged["nll"][step]
        for term, weight in weights.items():
            loss += (1.0 if term == "capacity_gap" else ramp) * weight * logged[term][step]
        assert logged["loss"][step] == pytest.approx(loss, rel=1e-5)
        if name == "annealed":
            gap = abs(logged["kl"][step] - ramp * 5.0)
            assert logged["capacity_gap"][step] == pytest.approx(gap, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "beta"])
def test_after_a_crash_a_resumed_rival_ends_as_if_nothing_had_been(
    tiny: Tiny, new_run: NewRun, name: str
) -> None:
    """Weights, both networks' optimisers, random states and logs."""

    class CrashError(Exception):
        pass

    def crash(done: int, _: dict[str, float]) -> None:
        if done == 13:
            raise CrashError

    straight, broken = new_run("straight"), new_run("broken")
    train(tiny(rival=name, steps=20), straight)
    with pytest.raises(CrashError):
        train(tiny(rival=name, steps=20), broken, crash)
    torch.manual_seed(5)
    train(tiny(rival=name, steps=20), broken)
    assert _metrics(broken) == _metrics(straight)
    ours, theirs = _flat(_state(broken)), _flat(_state(straight))
    assert len(ours) == len(theirs)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    networks = {"vae", "terms.factor_vae"} if name == "factor" else {"vae"}
    assert (
        _trained(straight)["networks"].keys() == _trained(straight)["optimizers"].keys() == networks
    )


def _hand_made_steps(config: VAETrainer) -> tuple[list[dict[str, float]], CodeDiscriminator]:
    """Algorithm 2 of the paper, with nothing of the library but its networks and images."""
    vae, rng = config.model, torch.Generator().manual_seed(0)
    assert isinstance(vae, ConvVAE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        discriminator = CodeDiscriminator(LATENT, 16)
    of_vae = torch.optim.Adam(vae.parameters(), lr=1e-3, foreach=False)
    of_discriminator = torch.optim.Adam(
        discriminator.parameters(), lr=1e-2, betas=(0.5, 0.9), foreach=False
    )
    rows = []
    for step in range(config.recipe.steps):
        images = config.recipe.data.render(config.recipe.data.draw(BATCH, rng))
        noise = torch.randn(BATCH, LATENT, generator=rng)
        mean, log_variance = vae.encoder(images)
        code = Normal(mean, (0.5 * log_variance).exp())
        z = mean + noise * code.stddev
        pixels = Bernoulli(logits=vae.decoder[:-1](z), validate_args=False)
        nll = -pixels.log_prob(images).sum() / BATCH
        kl = kl_divergence(code, Normal(torch.zeros_like(mean), 1.0)).sum() / BATCH
        odds = discriminator(z).log_softmax(1)
        tc = (odds[:, 0] - odds[:, 1]).mean()
        loss = nll + min(1.0, step / 4) * (kl + 3.0 * tc)
        of_vae.param_groups[0]["lr"] = 1e-3 * min(1.0, 2 * (1 - step / config.recipe.steps))
        of_vae.zero_grad()
        loss.backward()
        of_vae.step()

        images = config.recipe.data.render(config.recipe.data.draw(BATCH, rng))
        noise = torch.randn(BATCH, LATENT, generator=rng)
        order = torch.rand(BATCH, LATENT, generator=rng).argsort(0)
        with torch.no_grad():
            mean, log_variance = vae.encoder(images)
            second = mean + noise * (0.5 * log_variance).exp()
        mixed = torch.stack([second[order[:, k], k] for k in range(LATENT)], 1)
        answers = discriminator(torch.cat([z.detach(), mixed]))
        labels = torch.tensor([0] * BATCH + [1] * BATCH)
        told_apart = F.cross_entropy(answers, labels)
        of_discriminator.zero_grad()
        told_apart.backward()
        of_discriminator.step()
        row = {"nll": nll, "kl": kl, "tc": tc, "discriminator": told_apart, "loss": loss}
        rows.append({name: float(value.detach()) for name, value in row.items()})
    return rows, discriminator


def test_factor_vae_s_steps_are_those_of_the_paper_s_algorithm(tiny: Tiny, new_run: NewRun) -> None:
    """The discriminator's rate stays while the VAE's falls."""
    config, twin = (
        tiny(rival="factor", steps=8, log_every=1, checkpoint_every=8) for _ in range(2)
    )
    run = new_run("run")
    train(config, run)
    rows, discriminator = _hand_made_steps(twin)
    logged = _metrics(run)
    for name in rows[0]:
        assert logged[name] == pytest.approx([row[name] for row in rows], rel=5e-4, abs=1e-5), name
    state = _trained(run)
    assert state["optimizers"]["terms.factor_vae"]["param_groups"][0]["lr"] == 1e-2
    expected = {"vae": twin.model, "terms.factor_vae": discriminator}
    for part, network in expected.items():
        for name, value in network.state_dict().items():
            found = state["networks"][part][name]
            torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-4)


def _first_discriminator(config: VAETrainer) -> nn.Module:
    return config.added.parts["terms.factor_vae"]


def test_the_discriminator_s_first_weights_follow_from_the_seed_alone(tiny: Tiny) -> None:
    first = _first_discriminator(tiny(rival="factor"))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = _first_discriminator(tiny(rival="factor"))
    assert torch.equal(torch.get_rng_state(), before)
    other = _first_discriminator(tiny(rival="factor", seed=1))
    weights = [next(iter(network.parameters())) for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_the_discriminator_says_moves_codes_and_not_itself(tiny: Tiny) -> None:
    config = tiny(rival="factor")
    added = config.added
    z = torch.randn(5, LATENT, requires_grad=True)
    made = GeneratorPass(config.model, z)
    ((_, value),) = added(
        made, *added.draw(5, LATENT, torch.Generator(), slice(None)), {"factor_vae": 1.0}
    ).values()
    value.backward()
    assert z.grad is not None
    assert z.grad.any()
    assert all(weight.grad is None for weight in added.parts["terms.factor_vae"].parameters())


@pytest.mark.parametrize("name", RIVALS)
def test_bfloat16_mixed_precision_gives_nearly_the_same_terms(
    tiny: Tiny, new_run: NewRun, name: str
) -> None:
    """The terms on codes are computed in float32 still: no rounded sums of squares."""
    logs = []
    for precision in ("32-true", "bf16-mixed"):
        steps = {"steps": 5, "log_every": 5, "checkpoint_every": 5}
        run = new_run(precision)
        train(tiny(rival=name, precision=precision, **steps), run)
        logs.append(_metrics(run))
    for term in {"nll", "kl", "loss"} | WEIGHTS[name].keys():
        assert logs[1][term] == pytest.approx(logs[0][term], rel=0.05, abs=0.03), term


class _OneOf:
    """What a process sees of a Fabric, with the other processes' parts given beforehand."""

    def __init__(self, rank: int, parts: list[Tensor]) -> None:
        self.global_rank, self.world_size, self.parts = rank, len(parts), parts

    def all_reduce(self, own: Tensor, reduce_op: str) -> Tensor:
        assert reduce_op == "sum"
        assert not own.requires_grad
        wanted = [torch.zeros_like(part) for part in self.parts]
        wanted[self.global_rank] = self.parts[self.global_rank]
        torch.testing.assert_close(own, torch.stack(wanted))
        return torch.stack(self.parts)


Gradients = Callable[..., tuple[list[Tensor], dict[str, Tensor]]]


@pytest.fixture
def gradients(tiny: Tiny) -> Gradients:
    """Gradients and terms of one step, of the images of a share, in float64 but for the codes."""
    vae = tiny().model.double()
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(BATCH, 1, 16, 16, generator=rng, dtype=torch.float64)
    noise = torch.randn(BATCH, LATENT, generator=rng, dtype=torch.float64)

    def take(
        objective: VAEObjective, share: slice, gather: Callable[[Tensor], Tensor]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        vae.zero_grad()
        none = AddedTerms({}, vae)
        terms, _, _ = VAEStep(vae, objective, none, gather)(
            images[share], noise[share], {}, 0.7, {}
        )
        torch.stack([weight * value for weight, value in terms.values()]).sum().backward()
        found = [weight.grad.clone() for weight in vae.parameters() if weight.grad is not None]
        return found, {term: value.detach() for term, (_, value) in terms.items()}

    return take


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "factor"])
def test_the_gradients_of_processes_average_to_those_of_one(
    gradients: Gradients, name: str
) -> None:
    """Of objectives that look at a whole batch too: covariances, densities, a capacity."""
    objective, codes = RIVALS[name], list[Tensor]()

    def keep(own: Tensor) -> Tensor:
        codes.append(own.detach())
        return own

    whole, expected = gradients(objective, slice(None), keep)
    if isinstance(objective, AnnealedVAE):  # some images on either side of the capacity
        objective = replace(objective, capacity=float(expected["kl"]) / 0.7 - 1e-5)
        whole, expected = gradients(objective, slice(None), lambda own: own)

    def together(share: slice, rank: int) -> tuple[list[Tensor], dict[str, Tensor]]:
        given = iter(codes)

        def gather(own: Tensor) -> Tensor:
            return whole_batch(own, _OneOf(rank, list(next(given).split(2))))  # type: ignore[arg-type]

        return gradients(objective, share, gather)

    def alone(share: slice, _: int) -> tuple[list[Tensor], dict[str, Tensor]]:
        return gradients(objective, share, lambda own: own)

    def differences(way: Callable[..., tuple[list[Tensor], dict[str, Tensor]]]) -> list[float]:
        parts = [way(slice(2 * rank, 2 * rank + 2), rank) for rank in range(BATCH // 2)]
        means = [sum(each) / len(parts) for each in zip(*(part for part, _ in parts), strict=True)]
        values = {term: sum(terms[term] for _, terms in parts) / len(parts) for term in expected}
        scales = [float(gradient.abs().max()) for gradient in whole]
        found = [
            float((mean - gradient).abs().max()) / scale
            for mean, gradient, scale in zip(means, whole, scales, strict=True)
        ]
        return found + [abs(float(values[term] / value) - 1) for term, value in expected.items()]

    assert max(differences(together)) < 1e-4
    if name != "beta":  # of a batch's parts by themselves: this can fail
        assert max(differences(alone)) > 0.01


def test_one_process_has_the_whole_batch_already() -> None:
    own = torch.randn(3, 2)
    assert whole_batch(own, Fabric(accelerator="cpu", devices=1)) is own


def test_an_objective_of_one_s_own_is_trained_by_its_import_path(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from axiswise.objectives import VAEObjective\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class FreeBits(VAEObjective):\n"
        "    bits: float = 1.0\n"
        "    def code_terms(self, batch, ramp):\n"
        "        return {'kl': (ramp, batch.kl.clamp(min=self.bits))}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--objective", "mine.FreeBits", "--objective.bits", "1000", "--steps", "2"]
    config = read_settings(tiny_recipe, words).build()
    run = RunFolder.create(tmp_path / "run", "")
    train(start(config), run)
    assert _metrics(run)["kl"] == [1000.0]


def test_an_objective_must_say_its_terms() -> None:
    with pytest.raises(TypeError, match="abstract"):
        VAEObjective()  # type: ignore[abstract]


def test_a_checkpoint_of_factor_vae_is_not_one_of_another_objective(
    tiny: Tiny, new_run: NewRun, tmp_path: Path
) -> None:
    from axiswise.support.files import UnreadableFileError

    run = new_run("run")
    train(tiny(steps=20), run)
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    with pytest.raises(UnreadableFileError, match="does not belong to the recipe"):
        train(tiny(rival="factor", steps=20), copy)
