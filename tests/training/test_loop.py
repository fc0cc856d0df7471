"""The training loop: what it minimises, what it logs, how it stops and goes on."""

import itertools
import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from axiswise.data import ThreeDots
from axiswise.nets import ConvVAE
from axiswise.objectives import BetaVAE, PenaltyTerm, make_term
from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from axiswise.training.loop import check_devices, resolve_precision, train
from axiswise.training.stops import InterruptedRunError, TrainingStoppedError
from axiswise.training.trainer import start
from axiswise.training.vae import VAERecipe

BATCH, LATENT = 8, 4


NETWORK = partial(ConvVAE, hidden=(8, 8), features=16, latent_dim=LATENT)


def tiny(**changes: Any) -> Any:
    """A training of a second; its first weights depend on the seed alone."""
    settings: dict[str, Any] = {
        "data": ThreeDots(size=16, values=16),
        "model": NETWORK,
        "objective": BetaVAE(beta=2.0),
        "terms": {"jl1": make_term("jl1", weight=0.1, columns=1)},
        "steps": 40,
        "batch_size": BATCH,
        "learning_rate": 1e-3,
        "decay_start": 0.5,
        "anneal": 0.5,
        "precision": "32-true",
        "accelerator": "cpu",
        "log_every": 5,
        "checkpoint_every": 10,
    }
    return start(VAERecipe(**{**settings, **changes}))


def weights(run: RunFolder) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


def metrics(run: RunFolder) -> dict[str, list[float]]:
    """All but the one column that says how fast the machine was."""
    columns = run.read_metrics()
    assert all(value > 0 for value in columns.pop("images_per_second"))
    return columns


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[str], RunFolder]:
    return lambda name: RunFolder.create(tmp_path / name, "")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder.create(tmp_path_factory.mktemp("uninterrupted"), "")
    train(tiny(), run)
    return run


def _by_hand(steps: int) -> tuple[list[dict[str, float]], ConvVAE]:
    """The same training with nothing of the library but its network and its images."""
    config = tiny()
    vae = config.model
    assert isinstance(vae, ConvVAE)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, foreach=False)
    rng = torch.Generator().manual_seed(config.recipe.seed)
    logits = vae.decoder[:-1]
    rows = []
    for step in range(steps):
        images = config.recipe.data.render(torch.stack([_uniform(rng) for _ in range(6)], 1))
        noise = torch.randn(BATCH, LATENT, generator=rng)
        column = torch.rand(BATCH, LATENT, generator=rng).argmin(1)
        mean, log_variance = vae.encoder(images)
        z = mean + noise * (0.5 * log_variance).exp()
        pixels = Bernoulli(logits=logits(z), validate_args=False)
        nll = -pixels.log_prob(images).sum() / BATCH
        divergence = kl_divergence(
            Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), 1.0)
        )
        jl1 = _chosen_columns(vae.decoder, z.detach(), column).abs().sum() * LATENT / BATCH
        ramp = min(1.0, step / 20)
        loss = nll + ramp * 2.0 * divergence.sum() / BATCH + ramp * 0.1 * jl1
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 if step <= 20 else 1e-3 * (40 - step) / 20
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        row = {"nll": nll, "kl": divergence.sum() / BATCH, "jl1": jl1, "loss": loss}
        rows.append({name: float(value.detach()) for name, value in row.items()})
    return rows, vae


def _uniform(rng: torch.Generator) -> Tensor:
    return torch.randint(16, (BATCH,), generator=rng)


def _chosen_columns(decoder: Callable[[Tensor], Tensor], z: Tensor, column: Tensor) -> Tensor:
    directions = torch.nn.functional.one_hot(column, LATENT).float()
    _, product = torch.autograd.functional.jvp(decoder, z, directions, create_graph=True)
    return product


def test_log_and_weights_are_those_of_steps_made_by_hand(uninterrupted: RunFolder) -> None:
    rows, vae = _by_hand(steps=40)
    logged = metrics(uninterrupted)
    assert logged["step"] == [5, 10, 15, 20, 25, 30, 35, 40]
    for name in ("nll", "kl", "jl1", "loss"):
        means = [sum(row[name] for row in rows[i : i + 5]) / 5 for i in range(0, 40, 5)]
        assert logged[name] == pytest.approx(means, rel=2e-4), name
    trained = ConvVAE.from_pretrained(uninterrupted.path).state_dict()
    for name, value in vae.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-3, atol=1e-4)


def test_annealing_multiplies_beta_and_the_penalty_s_weight(
    new_run: Callable[[str], RunFolder],
) -> None:
    run = new_run("run")
    train(tiny(steps=20, log_every=1, anneal=0.5), run)
    logged = metrics(run)
    assert logged["ramp"] == pytest.approx([min(1.0, step / 10) for step in range(20)])
    assert logged["learning_rate"] == pytest.approx(
        [1e-3] * 11 + [1e-4 * k for k in range(9, 0, -1)]
    )
    for ramp, nll, kl, jl1, loss in zip(
        *(logged[name] for name in ("ramp", "nll", "kl", "jl1", "loss")), strict=True
    ):
        assert loss == pytest.approx(nll + ramp * 2.0 * kl + ramp * 0.1 * jl1, rel=1e-6)
    assert logged["loss"][0] == logged["nll"][0]


def test_active_axes_are_counted_at_a_hundredth_of_a_nat(
    new_run: Callable[[str], RunFolder],
) -> None:
    config, run = tiny(steps=5, learning_rate=1e-12, terms={}), new_run("run")
    vae = config.model
    assert isinstance(vae, ConvVAE)
    with torch.no_grad():
        for layer in (vae.encoder.mean, vae.encoder.log_variance):
            layer.weight.zero_()
            layer.bias.zero_()
        # KL divergences of ½·m²: 0.0098, 0.0102, 0 and 2 nats.
        vae.encoder.mean.bias.copy_(torch.tensor([0.14, 0.143, 0.0, 2.0]))
    train(config, run)
    assert metrics(run)["active_axes"] == [2]
    assert metrics(run)["kl"] == pytest.approx([0.0098 + 0.0102245 + 2.0], rel=1e-4)
    assert list(metrics(run)) == [
        "step",
        "nll",
        "kl",
        "loss",
        "active_axes",
        "ramp",
        "learning_rate",
    ]


def test_training_lowers_the_loss(uninterrupted: RunFolder) -> None:
    losses = metrics(uninterrupted)["nll"]
    assert losses[-1] < 0.9 * losses[0]


def test_tensorboard_holds_the_same_numbers(uninterrupted: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    (file,) = uninterrupted.tensorboard.iterdir()
    found: dict[str, list[float]] = {}
    for event in LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(value.simple_value)
    expected = uninterrupted.read_metrics()
    del expected["step"]
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6)


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_does_not(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    torch.manual_seed(99)  # the global state has no say
    again, other = new_run("again"), new_run("other")
    train(tiny(), again)
    train(tiny(seed=1), other)
    assert weights(again) == weights(uninterrupted)
    assert metrics(again) == metrics(uninterrupted)
    assert weights(other) != weights(uninterrupted)


def test_the_seed_rules_the_images_and_not_only_the_first_weights(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    other = new_run("other")
    train(tiny(seed=1, model=lambda **_: tiny().model), other)
    assert weights(other) != weights(uninterrupted)


class _CrashError(Exception):
    """Stands for whatever ends a process."""


def _crash_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def crash(done: int, _: dict[str, float]) -> None:
        if done == step:
            raise _CrashError

    return crash


def _interrupt_after(step: int, number: int) -> Callable[[int, dict[str, float]], None]:
    def interrupt(done: int, _: dict[str, float]) -> None:
        if done == step:
            os.kill(os.getpid(), number)

    return interrupt


@pytest.mark.parametrize(
    "step", [1, 13, *(pytest.param(step, marks=pytest.mark.slow) for step in (9, 10, 39))]
)
def test_after_a_crash_a_resumed_run_ends_as_if_nothing_had_been(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], step: int
) -> None:
    run = new_run("run")
    with pytest.raises(_CrashError):
        train(tiny(), run, _crash_after(step))
    with run.metrics.open("a") as file:
        file.write("99,0.12")  # a row that was cut short
    torch.manual_seed(step)
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)


@pytest.mark.usefixtures("heard_hangups")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_interrupted_again_and_again_a_run_ends_as_if_nothing_had_been(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], number: int
) -> None:
    """At log rows and between them, at checkpoints and between them."""
    run = new_run("run")
    handler = signal.getsignal(number)
    for step in (2, 4, 9, 16, 28):  # the signal is met after the step that follows
        with pytest.raises(
            InterruptedRunError, match=f"step {step + 1} of 40.*--resume {run.path}"
        ):
            train(tiny(), run, _interrupt_after(step, number))
        assert list_checkpoints(run.checkpoints)[-1].name == f"step-{step + 1:08d}.pt"
        assert signal.getsignal(number) is handler
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)


def test_a_second_ctrl_c_interrupts_at_once(new_run: Callable[[str], RunFolder]) -> None:
    def twice(done: int, _: dict[str, float]) -> None:
        if done == 12:
            # Not os.kill: another thread may take that one up later, and two become one.
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    run = new_run("run")
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), run, twice)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["step-00000010.pt"]


def test_a_run_stopped_between_its_last_step_and_its_model_gets_the_model(
    uninterrupted: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    (run.path / "model.safetensors").unlink()
    (run.path / "config.json").unlink()
    before = run.metrics.read_bytes()
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert run.metrics.read_bytes() == before


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_as_good(
    uninterrupted: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    older, newest = list_checkpoints(run.checkpoints)
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.raises(UnreadableFileError, match=f"{newest} is damaged.*delete it"):
        train(tiny(), run)
    newest.unlink()
    assert load_checkpoint(older)["step"] == 30
    train(tiny(), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 20},
        {"seed": 1},
        {"model": partial(NETWORK, features=17)},
    ],
    ids=["steps", "seed", "model"],
)
def test_a_checkpoint_of_another_recipe_is_refused(
    uninterrupted: RunFolder, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    before = run.metrics.read_bytes()
    with pytest.raises(UnreadableFileError, match=r"step-00000040\.pt.*recipe"):
        train(tiny(**changes), run)
    assert run.metrics.read_bytes() == before
    assert weights(run) == weights(uninterrupted)


@pytest.mark.parametrize("change", ["networks", "optimizers", "rng", "step", "log"])
def test_a_checkpoint_that_lacks_a_part_is_refused(
    uninterrupted: RunFolder, tmp_path: Path, change: str
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    state = load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    del (state["trainer"] if change in state["trainer"] else state)[change]
    save_checkpoint(run.checkpoints, 40, state)
    with pytest.raises(UnreadableFileError, match=r"step-00000040\.pt does not belong"):
        train(tiny(), run)


class _PoisonedDots(ThreeDots):
    """From a certain step on, one pixel of one image is no number."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__(size=16, values=16)
        self.left, self.value = step, value

    def render(self, factors: Tensor) -> Tensor:
        images = super().render(factors)
        self.left -= 1
        if self.left <= 0:
            images[3, 0, 7, 7] = self.value
        return images


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_nan_in_the_data_stops_the_run_and_names_term_and_step(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], value: float
) -> None:
    run = new_run("run")
    with pytest.raises(
        TrainingStoppedError, match=r"the term nll is .* at step 13; the last check"
    ):
        train(tiny(data=_PoisonedDots(13, value)), run)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["step-00000010.pt"]
    state = load_checkpoint(list_checkpoints(run.checkpoints)[0])
    assert all(value.isfinite().all() for value in state["trainer"]["networks"]["vae"].values())
    assert run.read_metrics()["step"] == [5, 10]
    assert not (run.path / "model.safetensors").exists()
    train(tiny(), run)  # with the data mended
    assert weights(run) == weights(uninterrupted)


def test_a_nan_in_the_weights_stops_the_run(new_run: Callable[[str], RunFolder]) -> None:
    config, run = tiny(), new_run("run")

    def plant(done: int, _: dict[str, float]) -> None:
        if done == 16:
            with torch.no_grad():
                config.model.encoder.mean.weight[1, 2] = float("nan")

    with pytest.raises(TrainingStoppedError, match="the term nll is nan at step 17"):
        train(config, run, plant)
    assert load_checkpoint(list_checkpoints(run.checkpoints)[-1])["step"] == 10


def test_a_nan_that_only_the_penalty_sees_is_laid_at_its_door(
    new_run: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = PenaltyTerm.__call__

    def bad(*given: Any, **drawn: Tensor) -> Tensor:
        return good(*given, **drawn) * float("inf")

    monkeypatch.setattr(PenaltyTerm, "__call__", bad)
    with pytest.raises(TrainingStoppedError, match="the term jl1 is inf at step 1;"):
        train(tiny(), new_run("run"))


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (float("nan"), r"the weights encoder\.mean\.bias of the vae are not finite after step 20"),
        (1e30, "exp_avg_sq in the optimiser vae is not finite after step 20: a gradient was too"),
    ],
)
def test_what_a_step_broke_is_not_saved(
    factor: float, words: str, new_run: Callable[[str], RunFolder]
) -> None:
    """The loss of step 20 is finite still, its gradient is not, or too large for its square."""
    config, run = tiny(), new_run("run")
    bias = config.model.encoder.mean.bias
    calls = []

    def spoil(gradient: Tensor) -> Tensor:
        calls.append(0)
        return gradient * factor if len(calls) == 20 else gradient

    bias.register_hook(spoil)
    with pytest.raises(TrainingStoppedError, match=words):
        train(config, run)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["step-00000010.pt"]


PENALTIES = {
    "none": None,
    "jl1": make_term("jl1"),
    "jl1 normalized": make_term("jl1", normalize=True),
    "jl2": make_term("jl2", columns=2),
    "orojar": make_term("orojar"),
    "orojar probes": make_term("orojar", probes=2),
    "orojar groups": make_term("orojar", groups=3),
    "hessian": make_term("hessian"),
    "hessian probes": make_term("hessian", probes=2),
    "ima": make_term("ima"),
}


@pytest.mark.parametrize(
    ("name", "likelihood"), list(zip(PENALTIES, itertools.cycle(["bernoulli", "gaussian"])))
)
def test_every_penalty_trains_with_a_likelihood(
    new_run: Callable[[str], RunFolder], name: str, likelihood: str
) -> None:
    """All weights move, and both scales of a penalty that has two are logged."""
    penalty, run, name = PENALTIES[name], new_run("run"), name.split()[0]
    terms = {} if penalty is None else {name: penalty}
    objective = BetaVAE(likelihood=likelihood)  # type: ignore[arg-type]
    config = tiny(terms=terms, objective=objective, steps=4, log_every=1, checkpoint_every=4)
    before = {key: value.clone() for key, value in config.model.state_dict().items()}
    train(config, run)
    after = config.model.state_dict()
    assert all(not torch.equal(after[key], before[key]) for key in before)
    logged = metrics(run)
    wanted = set()
    if penalty is not None:
        wanted = {name, f"{name}_normalized"} if name in ("jl1", "orojar") else {name}
    always = {"step", "nll", "kl", "loss", "active_axes", "ramp", "learning_rate"}
    assert set(logged) == always | wanted
    assert all(0 < value < float("inf") for column in wanted for value in logged[column])
    for step, ramp in enumerate(logged["ramp"]):
        loss = logged["nll"][step] + 4.0 * ramp * logged["kl"][step]
        if penalty is not None:
            loss += 0.1 * ramp * logged[penalty.label(name)][step]
        assert logged["loss"][step] == pytest.approx(loss, rel=1e-6)


def test_two_penalties_each_on_its_layers_and_with_its_warm_up_are_both_paid(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Step by step by hand; the first is on hidden layers, the second on the output."""
    first = make_term("jl2", weight=0.3, layers=["0", "2"], anneal=0.0)
    second = make_term("jl1", weight=0.2, columns=1, delay=0.5, anneal=0.0)
    run, steps = new_run("run"), 8
    config = tiny(terms={"jl2": first, "jl1": second}, steps=steps, log_every=1, anneal=0.25)
    twin = tiny().model
    assert isinstance(twin, ConvVAE)
    train(config, run)
    logged = metrics(run)

    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3, foreach=False)
    rng = torch.Generator().manual_seed(0)
    hidden = [twin.decoder[:1], twin.decoder[:3]]
    for step in range(steps):
        images = config.recipe.data.render(torch.stack([_uniform(rng) for _ in range(6)], 1))
        noise = torch.randn(BATCH, LATENT, generator=rng)
        column = torch.rand(BATCH, LATENT, generator=rng).argmin(1)
        mean, log_variance = twin.encoder(images)
        z = mean + noise * (0.5 * log_variance).exp()
        pixels = Bernoulli(logits=twin.decoder[:-1](z), validate_args=False)
        divergence = kl_divergence(
            Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), 1.0)
        )
        every = torch.eye(LATENT)[:, None].expand(LATENT, BATCH, LATENT)
        moves = [
            torch.autograd.functional.jvp(part, z.detach(), unit, create_graph=True)[1]
            for part in hidden
            for unit in every
        ]
        jl2 = torch.stack([move.pow(2).sum() / BATCH for move in moves]).sum()
        jl1 = _chosen_columns(twin.decoder, z.detach(), column).abs().sum() * LATENT / BATCH
        loss = -pixels.log_prob(images).sum() / BATCH + 0.3 * jl2
        loss = loss + min(1.0, step / 2) * 2.0 * divergence.sum() / BATCH
        loss = loss + (0.2 * jl1 if step >= 4 else 0.0)
        found = {"jl2": jl2, "jl1": jl1, "loss": loss}
        for name, value in found.items():
            assert logged[name][step] == pytest.approx(float(value.detach()), rel=1e-4), name
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, 2 * (1 - step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = config.model.state_dict()
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_heavy_penalty_is_lower_in_the_end_than_none(new_run: Callable[[str], RunFolder]) -> None:
    light, heavy = new_run("light"), new_run("heavy")
    for run, weight in ((light, 0.0), (heavy, 20.0)):
        term = make_term("jl1", weight=weight)
        train(tiny(terms={"jl1": term}, anneal=0.0, learning_rate=3e-3, steps=60), run)
    assert metrics(heavy)["jl1"][-1] < 0.5 * metrics(light)["jl1"][-1]


def test_bfloat16_mixed_precision_trains_on_a_cpu(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    config, run = tiny(precision="bf16-mixed"), new_run("run")
    kinds = []
    config.model.encoder.mean.register_forward_hook(lambda *call: kinds.append(call[2].dtype))
    train(config, run)
    assert set(kinds) == {torch.bfloat16}
    assert {value.dtype for value in config.model.state_dict().values()} == {torch.float32}
    expected = metrics(uninterrupted)
    for name in ("nll", "kl", "loss"):
        assert metrics(run)[name] == pytest.approx(expected[name], rel=0.05)


def test_the_loop_reports_each_step_with_the_last_row(new_run: Callable[[str], RunFolder]) -> None:
    seen: list[tuple[int, float | None]] = []
    train(
        tiny(steps=12, log_every=5, checkpoint_every=10),
        new_run("run"),
        lambda done, row: seen.append((done, row.get("step"))),
    )
    rows = [None] * 4 + [5] * 5 + [10] * 2 + [12]
    assert seen == list(zip(range(1, 13), rows, strict=True))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_precision_that_is_given_is_kept(precision: str) -> None:
    assert resolve_precision(precision, "auto") == precision


@pytest.mark.parametrize(
    ("accelerator", "cuda", "cuda_bf16", "cpu_bf16", "expected"),
    [
        ("auto", True, True, False, "bf16-mixed"),
        ("auto", True, False, True, "32-true"),
        ("cuda", True, True, False, "bf16-mixed"),
        ("cpu", True, True, False, "32-true"),
        ("cpu", True, False, True, "bf16-mixed"),
        ("auto", False, False, True, "bf16-mixed"),
        ("auto", False, False, False, "32-true"),
    ],
)
def test_auto_takes_bfloat16_where_the_device_that_computes_has_it(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    cuda: bool,
    cuda_bf16: bool,
    cpu_bf16: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: cuda_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert resolve_precision("auto", accelerator) == expected


@pytest.mark.parametrize(
    ("found", "accelerator", "devices", "message"),
    [
        (0, "cuda", 1, "accelerator must be 'cpu' or 'auto'"),
        (1, "cuda", 2, "devices must be at most 1, the CUDA devices here, got 2"),
        (1, "auto", 2, "devices must be at most 1, the CUDA devices here, got 2"),
        (0, "auto", 2, None),
        (1, "cpu", 2, None),
        (2, "auto", 2, None),
    ],
)
def test_devices_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    found: int,
    accelerator: str,
    devices: int,
    message: str | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    config = tiny(accelerator=accelerator, devices=devices)
    if message is None:
        check_devices(config.recipe)
    else:
        with pytest.raises(ValueError, match=message):
            check_devices(config.recipe)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_of_another_kind_acts_at_once(
    new_run: Callable[[str], RunFolder], second: signal.Signals
) -> None:
    acted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: acted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    def twice(done: int, _: dict[str, float]) -> None:
        if done == 12:
            signal.raise_signal(signal.SIGHUP)
            assert not acted
            signal.raise_signal(signal.SIGHUP)  # as from a terminal that was closed
            signal.raise_signal(second)

    try:
        with pytest.raises(InterruptedRunError, match="stopped after step 13 of 40"):
            train(tiny(), new_run("run"), twice)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert acted == [second]


def test_a_hang_up_that_is_ignored_stays_ignored(new_run: Callable[[str], RunFolder]) -> None:
    """As under nohup."""
    run, before = new_run("run"), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        train(tiny(steps=20), run, _interrupt_after(5, signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (run.path / "config.json").is_file()


def test_between_checkpoints_by_steps_there_are_some_by_time(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run ends the same, whatever step they fall on."""
    clock = SimpleNamespace(perf_counter=time.perf_counter, monotonic=itertools.count().__next__)
    monkeypatch.setattr("axiswise.training.loop.time", clock)
    monkeypatch.setattr("axiswise.training.loop.CHECKPOINT_SECONDS", 3.5)
    run = new_run("run")
    saved: list[int] = []
    for step in (13, 27):
        with pytest.raises(_CrashError):
            train(
                tiny(checkpoint_every=40),
                run,
                _crash_after(step),
                lambda done, _: saved.append(done),
            )
    assert saved == [4, 8, 12, 12, 16, 20, 24]  # at a resume again
    train(tiny(checkpoint_every=40), run)
    assert weights(run) == weights(uninterrupted)
    assert metrics(run) == metrics(uninterrupted)


def test_rows_that_were_lost_before_a_resume_come_back(
    uninterrupted: RunFolder, new_run: Callable[[str], RunFolder]
) -> None:
    run = new_run("run")
    with pytest.raises(_CrashError):
        train(tiny(), run, _crash_after(23))
    run.metrics.write_text("")
    train(tiny(), run)
    assert metrics(run) == metrics(uninterrupted)
    assert weights(run) == weights(uninterrupted)


def test_where_nothing_was_saved_an_error_does_not_speak_of_a_checkpoint(
    new_run: Callable[[str], RunFolder],
) -> None:
    with pytest.raises(TrainingStoppedError, match=r"at step 3; there is no checkpoint yet$"):
        train(tiny(data=_PoisonedDots(3, math.nan)), new_run("run"))


def test_a_step_that_was_not_finite_is_not_saved_between_two_rows(
    new_run: Callable[[str], RunFolder],
) -> None:
    """Its loss is not logged yet, and its weights may still be finite."""
    run = new_run("run")
    with pytest.raises(TrainingStoppedError, match=r"nan at step 13; the last checkpoint is good$"):
        train(tiny(data=_PoisonedDots(13, math.nan)), run, _interrupt_after(12, signal.SIGTERM))
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["step-00000010.pt"]


def test_a_checkpoint_of_other_settings_is_refused_and_more_steps_are_not(
    uninterrupted: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    state = load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    run.config.write_text("objective: {beta: 2.0}\nsteps: 40\n")
    save_checkpoint(run.checkpoints, 40, {**state, "recipe": run.recipe_digest()})
    before = run.metrics.read_bytes()
    run.config.write_text("objective: {beta: 4.0}\nsteps: 40\n")
    with pytest.raises(UnreadableFileError, match=r"does not belong.*its settings were others"):
        train(tiny(), run)
    assert run.metrics.read_bytes() == before
    run.config.write_text("objective: {beta: 2.0}\nsteps: 50\n")
    train(tiny(steps=50), run)
    assert run.newest() == (run.weights, 50)


def test_a_run_that_goes_on_beyond_its_end_is_what_its_newest_weights_are(
    uninterrupted: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    digest = run.model_digest()
    assert run.newest() == (run.weights, 40)
    with pytest.raises(_CrashError):
        train(tiny(steps=80), run, _crash_after(55))
    assert run.newest() == (run.checkpoints / "step-00000050.pt", 50)
    assert run.model_digest() != digest
    train(tiny(steps=80), run)
    assert run.newest() == (run.weights, 80)


@pytest.mark.parametrize("left", ["both", "weights", "none"])
def test_a_model_is_finished_when_its_last_file_is_there(
    uninterrupted: RunFolder, tmp_path: Path, left: str
) -> None:
    run = RunFolder(shutil.copytree(uninterrupted.path, tmp_path / "copy"))
    if left != "both":
        run.about.unlink()
    if left == "none":
        run.weights.unlink()
    assert run.finished == (left == "both")
    digest = run.model_digest()
    train(tiny(), run)
    assert run.finished
    assert run.model_digest() == digest  # of the checkpoint at the last step, too
    assert weights(run) == weights(uninterrupted)
