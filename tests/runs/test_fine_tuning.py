"""Trainings that start from another run's weights."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from axiswise import nets
from axiswise.cli import main
from axiswise.nets.simple_gan import _published_names
from axiswise.runs.compare import compare_runs
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.fine_tuning import initial_of
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import read_settings
from axiswise.runs.run import load_run
from axiswise.runs.sweeps.plan import plan
from axiswise.runs.train import resume_run, train_recipe
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint

_STILL = ["--steps", "1", "--learning_rate", "1e-30", "--log_every", "1", "--checkpoint_every", "1"]
Snapshot = Callable[[Path], dict[str, str]]


def _networks(run: Path) -> dict[str, dict[str, Tensor]]:
    state = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    return state["trainer"]["networks"]  # type: ignore[no-any-return]


def _same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(value, expected[name]) for name, value in found.items()
    )


def _bytes(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_all_networks_of_a_gan_come_from_its_checkpoint_and_its_optimisers_are_fresh(
    tiny_gan_recipe: Path, trained_gan: Path, tmp_path: Path
) -> None:
    words = [*_STILL, "--init", str(trained_gan), "--seed", "5"]
    run = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "tuned"))
    before, after = _networks(trained_gan), _networks(run.path)
    for name in ("critic", "generator", "terms.vp"):
        assert _same(after[name], before[name]), name
    for name, value in before["generator"].items():
        average = 0.9 * before["average"][f"module.{name}"] + 0.1 * value
        torch.testing.assert_close(after["average"][f"module.{name}"], average)
    state = load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    for rule in state["trainer"]["optimizers"].values():
        assert all(kept["step"] == 1 for kept in rule["state"].values())


def test_added_terms_of_a_vae_rise_from_0_and_its_objective_keeps_its_weights(
    tiny_recipe: Path, trained: Path, tmp_path: Path
) -> None:
    run = train_recipe(str(tiny_recipe), [*_STILL, "--init", str(trained)], str(tmp_path / "tuned"))
    assert _same(_networks(run.path)["vae"], _networks(trained)["vae"])
    row = {name: values[0] for name, values in run.read_metrics().items()}
    assert row["loss"] == pytest.approx(row["nll"] + 2.0 * row["kl"])  # β 2, no JL1 yet
    fresh = train_recipe(str(tiny_recipe), _STILL, str(tmp_path / "fresh"))
    row = {name: values[0] for name, values in fresh.read_metrics().items()}
    assert row["loss"] == pytest.approx(row["nll"])


@pytest.mark.parametrize(
    ("words", "anneal"), [([], 0.1), (["--anneal", "0"], 0.0), (["--anneal=0.3"], 0.3)]
)
def test_the_terms_of_a_gan_rise_over_a_tenth_of_the_steps_unless_said_otherwise(
    tiny_gan_recipe: Path, trained_gan: Path, tmp_path: Path, words: list[str], anneal: float
) -> None:
    words = [*_STILL, "--init", str(trained_gan), *words]
    run = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "tuned"))
    config = yaml.safe_load(run.config.read_text())
    assert config["anneal"] == anneal
    # Its config, as a recipe, trains the same again.
    again = train_recipe(str(run.config), [], str(tmp_path / "again"))
    assert yaml.safe_load(again.config.read_text()) == config


def test_without_init_the_config_does_not_mention_it(trained: Path) -> None:
    assert "init" not in yaml.safe_load((trained / "config.yaml").read_text())


def test_a_tuned_run_resumes_bit_for_bit_without_the_other_run(
    tiny_gan_recipe: Path, trained_gan: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(trained_gan, tmp_path / "other"))
    words = ["--init", str(other), "--steps", "20"]
    whole = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "whole")).path
    cut = Path(shutil.copytree(whole, tmp_path / "cut"))
    shutil.rmtree(other)
    for path in (*cut.glob("model*"), *cut.glob("checkpoints/step-00000020*")):
        path.unlink()
    resume_run(str(cut))
    assert _bytes(cut) == _bytes(whole)
    assert load_run(cut).step == 20


def test_before_its_first_checkpoint_it_needs_the_other_run_as_it_was(
    tiny_gan_recipe: Path, trained_gan: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(trained_gan, tmp_path / "other"))
    words = ["--init", str(other), "--steps", "5", "--log_every", "5", "--checkpoint_every", "5"]
    whole = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "whole")).path
    cut = RunFolder.create(tmp_path / "cut", (whole / "config.yaml").read_text())
    moved = other.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"--init must be a run folder.*none at"):
        resume_run(str(cut.path))
    cut.config.write_text(cut.config.read_text().replace(str(other), str(moved)))
    resume_run(str(cut.path))
    assert _bytes(cut.path) == _bytes(whole)
    assert cut.recipe_digest() == RunFolder(whole).recipe_digest()

    for path in (*cut.path.glob("model*"), *cut.checkpoints.iterdir()):
        path.unlink()
    for path in moved.glob("checkpoints/step-00000040*"):
        path.unlink()
    with pytest.raises(ValueError, match="has other weights than those that the config names"):
        resume_run(str(cut.path))


def test_networks_that_the_other_run_lacks_are_fresh_and_a_line_says_so(
    tiny_gan_recipe: Path, trained_gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infogan = ["--terms.vp", "null", "--terms.infogan", "{latents: 2, width: 0.1}"]
    words = [*_STILL, "--init", str(trained_gan), *infogan]
    run = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "tuned"))
    assert f"{trained_gan} has no terms.infogan: fresh weights" in capsys.readouterr().err
    assert _same(_networks(run.path)["critic"], _networks(trained_gan)["critic"])


GROWING = """
trainer: progressive
data: {class_path: axiswise.data.Sprites, init_args: {size: 16}}
generator: {class_path: axiswise.nets.ProgressiveGenerator, init_args: {latent_dim: 3, width: 0.01}}
critic: {class_path: axiswise.nets.ProgressiveCritic, init_args: {width: 0.01}}
images: 160
stable_images: 32
fading_images: 32
repeats: 2
batch_size: 8
batch_sizes: [16, 8]
parts: 1
half_life: 50
precision: 32-true
accelerator: cpu
log_every: 2
checkpoint_every: 4
"""
PENALTY = ["--terms.orojar.weight", "0.5", "--terms.orojar.layers", "[4x4.Conv, 8x8.Conv1]"]


def test_a_progressive_gan_begins_at_full_size_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    recipe, plain, tuned, cut = (tmp_path / name for name in ("r.yaml", "plain", "tuned", "cut"))
    recipe.write_text(GROWING)
    train_recipe(str(recipe), [], str(plain))
    assert RunFolder(plain).read_metrics()["lod"][0] == 2.0
    train_recipe(str(recipe), ["--init", str(plain), "--images", "80", *PENALTY], str(tuned))
    rows = RunFolder(tuned).read_metrics()
    assert set(rows["lod"]) == {0.0}
    assert set(rows["side"]) == {16.0}
    assert rows["kimg"][-1] == 0.08  # 10 steps of 8
    shutil.copytree(tuned, cut)
    for path in (*cut.glob("model*"), *cut.glob("checkpoints/step-00000010*")):
        path.unlink()
    shutil.rmtree(plain)
    resume_run(str(cut))
    assert _bytes(cut) == _bytes(tuned)


def test_a_progressive_gan_keeps_its_networks_and_its_critic_s_head_is_fresh(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, plain, tuned = (tmp_path / name for name in ("r.yaml", "plain", "tuned"))
    recipe.write_text(GROWING)
    still = ["--learning_rate", "1e-30", "--images", "16"]
    train_recipe(str(recipe), ["--images", "80"], str(plain))
    codes = ["--critic.init_args.codes", "2", "--terms.infogan_published", "{}"]
    train_recipe(str(recipe), ["--init", str(plain), *still, *codes], str(tuned))
    assert "has no such codes of the critic" in capsys.readouterr().err
    before, after = _networks(plain), _networks(tuned)
    for part in ("critic", "generator"):
        for name, value in before[part].items():
            torch.testing.assert_close(after[part][name], value)
    share = 0.5 ** (2 * 8 / 50)  # of the average after two steps of 8, half-life 50
    for name, value in before["generator"].items():
        average = share * before["average"][f"module.{name}"] + (1 - share) * value
        torch.testing.assert_close(after["average"][f"module.{name}"], average)


@pytest.mark.parametrize(("images", "anneal"), [(100e6, 0.1), (50e6, 0.2), (19e6, 0.1)])
def test_the_penalty_of_a_long_progressive_gan_rises_over_10000_kimg(
    tmp_path: Path, images: float, anneal: float
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(GROWING)
    train_recipe(str(recipe), ["--images", "16"], str(tmp_path / "plain"))
    words = ["--init", str(tmp_path / "plain"), "--images", f"{images:.0f}"]
    settings = read_settings(recipe, words)
    assert initial_of(settings, words) is not None
    assert settings.keys.anneal == anneal


@pytest.mark.parametrize("kind", [nets.PublishedSimpleCritic, nets.ProgressiveCritic])
@pytest.mark.parametrize(("there", "here"), [(0, 3), (2, 3), (3, 0), (3, 3)])
def test_a_critic_that_guesses_other_codes_keeps_its_scores(
    kind: type[nets.ProgressiveCritic], there: int, here: int
) -> None:
    source, target = (kind(16, 1, width=0.1, codes=codes) for codes in (there, here))
    target.load_state_dict(target.adapted(source.state_dict()))
    images = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(target(images), source(images))
    if there == here:
        torch.testing.assert_close(target.with_codes(images), source.with_codes(images))


def test_a_critic_s_head_is_fresh_where_the_other_run_guesses_no_codes(
    tiny_gan_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tiny_gan_recipe.read_text().replace("SimpleCritic", "PublishedSimpleCritic")
    tiny_gan_recipe.write_text(text)
    plain = train_recipe(str(tiny_gan_recipe), _STILL, str(tmp_path / "plain")).path
    words = [
        "--init",
        str(plain),
        "--critic.init_args.codes",
        "2",
        "--terms.infogan_published",
        "{}",
    ]
    tuned = train_recipe(str(tiny_gan_recipe), [*_STILL, *words], str(tmp_path / "tuned")).path
    assert "has no such codes of the critic: fresh weights" in capsys.readouterr().err
    before, after = _networks(plain)["critic"], _networks(tuned)["critic"]
    for name, value in before.items():
        torch.testing.assert_close(after[name][: len(value)], value)


@pytest.mark.parametrize("kind", ["run", "network", "file"])
def test_of_a_generator_alone_the_average_starts_too_and_the_critic_is_fresh(
    tiny_gan_recipe: Path,
    trained_gan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    other = tmp_path / "other"
    if kind == "run":
        shutil.copytree(trained_gan, other, ignore=shutil.ignore_patterns("checkpoints"))
    else:
        load_run(trained_gan).model.save_pretrained(other)
    model = nets.load(other).state_dict()
    if kind == "file":
        other = tmp_path / "other.npz"
        names = _published_names(4)
        np.savez(other, **{theirs: model[ours].numpy() for theirs, ours in names.items()})
    words = [*_STILL, "--init", str(other)]
    run = train_recipe(str(tiny_gan_recipe), words, str(tmp_path / "tuned"))
    assert "has no critic and no terms.vp: fresh weights" in capsys.readouterr().err
    after, fresh = _networks(run.path), tmp_path / "fresh"
    assert _same(after["generator"], model)
    for name, value in model.items():
        torch.testing.assert_close(after["average"][f"module.{name}"], value)
    train_recipe(str(tiny_gan_recipe), _STILL, str(fresh))
    torch.testing.assert_close(after["critic"], _networks(fresh)["critic"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer", "vae"], "trainer is gan there and vae in the recipe"),
        (["--generator.init_args.width", "0.2"], "width is 0.1 there and 0.2 in the recipe"),
        (["--generator.init_args.latent_dim", "5"], "latent_dim is 4 there and 5 in the recipe"),
        (["--critic.init_args.width", "0.2"], "critic.init_args.width is 0.1 there and 0.2"),
        (["--data.size", "32"], "of the critic is not there and"),
        (["--terms.vp.width", "0.2"], "of the terms.vp is .* there and .* in the recipe"),
    ],
)
def test_other_networks_are_refused_by_name_before_anything_is_written(
    tiny_gan_recipe: Path,
    tiny_recipe: Path,
    trained_gan: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    recipe = tiny_recipe if "vae" in words else tiny_gan_recipe
    with pytest.raises(ValueError, match=f"--init {trained_gan} does not fit: .*{message}"):
        train_recipe(
            str(recipe), ["--init", str(trained_gan), *words], str(tmp_path / "new" / "run")
        )
    assert not (tmp_path / "new").exists()


def test_a_network_of_another_class_or_arguments_is_refused(
    tiny_gan_recipe: Path, tmp_path: Path
) -> None:
    for network, message in (
        (
            nets.BigGAN(12, [8, 8, 8], classes=2, embedding=2, attention=8),
            "it is a BigGAN, the recipe's is a Simple",
        ),
        (nets.SimpleGenerator(16, 5, width=0.1), "its latent_dim is 5, the recipe's is 4"),
        (nets.SimpleGenerator(16, 4, width=0.2), "0.1.weight of the generator is .* there"),
        (nets.SimpleGenerator(32, 4, width=0.1), "its size is 32, the recipe's is 16"),
    ):
        network.save_pretrained(tmp_path / "other")
        with pytest.raises(ValueError, match=message):
            train_recipe(str(tiny_gan_recipe), ["--init", str(tmp_path / "other")], str(tmp_path))


def _unfinished(run: Path) -> None:
    (run / "config.json").unlink()


def _trained_further(run: Path) -> None:
    newest = list_checkpoints(run / "checkpoints")[-1]
    shutil.copy(newest, newest.with_name("step-00000041.pt"))


def _untrained(run: Path) -> None:
    _unfinished(run)
    shutil.rmtree(run / "checkpoints")


def _damaged(run: Path) -> None:
    newest = list_checkpoints(run / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])


def _infinite(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    network = nets.load(run)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.inf)
    network.save_pretrained(run, step=40)


def _other_settings(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("ema: 0.9", "ema: 0.8"))


def _foreign(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_unfinished, "is not trained to its end: go on with it by"),
        (_trained_further, "is not trained to its end"),
        (_untrained, "has nothing that was trained"),
        (_damaged, "is damaged"),
        (_infinite, "is not finite"),
        (_other_settings, "does not belong to the recipe"),
        (_foreign, "must be a run folder, a folder with a network"),
    ],
)
def test_a_run_that_cannot_be_started_from_is_refused_and_stays_as_it_is(
    tiny_gan_recipe: Path,
    trained_gan: Path,
    tmp_path: Path,
    snapshot: Snapshot,
    change: Callable[[Path], None],
    message: str,
) -> None:
    other = Path(shutil.copytree(trained_gan, tmp_path / "other"))
    change(other)
    before = snapshot(other)
    with pytest.raises((ValueError, OSError), match=message):
        train_recipe(str(tiny_gan_recipe), ["--init", str(other)], str(tmp_path / "run"))
    assert snapshot(other) == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("spec", ["", "3", "nonsense"])
def test_a_run_to_start_from_that_is_none_is_named(
    spec: str, tiny_gan_recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=f"--init must be a run folder.*none at '{spec}'"):
        train_recipe(str(tiny_gan_recipe), ["--init", spec], str(tmp_path / "run"))


def test_init_and_resume_exclude_each_other(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", str(trained), "--init", str(trained)]) == 1
    assert "--resume takes a folder and nothing else" in capsys.readouterr().err


def test_a_recipe_s_own_init_is_a_path_and_null_removes_it(
    tiny_recipe: Path, trained: Path, tmp_path: Path
) -> None:
    tiny_recipe.write_text(tiny_recipe.read_text() + f"init: {trained}\n")
    run = train_recipe(str(tiny_recipe), _STILL, str(tmp_path / "tuned"))
    assert yaml.safe_load(run.config.read_text())["init"]["step"] == 40
    run = train_recipe(str(tiny_recipe), [*_STILL, "--init", "null"], str(tmp_path / "fresh"))
    assert "init" not in yaml.safe_load(run.config.read_text())


def test_a_comparison_names_tuned_runs_by_the_recipe_that_they_start_from(
    tiny_recipe: Path, trained: Path, tmp_path: Path
) -> None:
    folders = []
    for seed in ("0", "1"):
        other = shutil.copytree(trained, tmp_path / f"other{seed}")
        for init in ([], ["--init", str(other)]):
            out = str(tmp_path / f"{'tuned' if init else 'plain'}{seed}")
            words = [*_STILL, *init, "--seed", seed, "--learning_rate", "1e-3"]
            train_recipe(str(tiny_recipe), words, out)
            evaluate_run(load_run(out), ["reconstruction"])
            folders.append(out)
    rows = compare_runs(folders, tmp_path / "compared")
    assert rows[0] == ["score", "tiny", "tiny init.recipe=tiny"]
    assert all(cell.endswith("(2)") for row in rows[1:] for cell in row[1:])


def test_a_sweep_starts_from_a_run_and_refuses_one_that_does_not_fit(
    tiny_recipe: Path, trained: Path, trained_gan: Path, tmp_path: Path
) -> None:
    spec = {"recipe": str(tiny_recipe), "settings": {"init": str(trained)}, "seeds": [0, 1]}
    first, second = plan(spec, tmp_path)
    assert first.settings["init"] == second.settings["init"]
    assert first.settings["init"]["recipe"] == "tiny"
    with pytest.raises(ValueError, match="trainer is gan there and vae"):
        plan({**spec, "settings": {"init": str(trained_gan)}}, tmp_path)
