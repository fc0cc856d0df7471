"""`axiswise compare --udr`: runs of one recipe by each other."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from axiswise import metrics
from axiswise.cli import main
from axiswise.nets import ConvVAE
from axiswise.runs.compare import read_evaluations
from axiswise.runs.run import load_run
from axiswise.runs.udr import IMAGES, add_udr


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> list[str]:
    """Three seeds of a recipe: one as it is, one with its axes in another order, one with noise."""
    folders = [Path(shutil.copytree(trained, tmp_path / str(seed))) for seed in range(3)]
    for seed, folder in enumerate(folders):
        vae = ConvVAE.from_pretrained(folder)
        with torch.no_grad():
            for layer in (vae.encoder.mean, vae.encoder.log_variance):
                if seed == 1:
                    layer.weight.copy_(layer.weight[[2, 0, 3, 1]])
                    layer.bias.copy_(layer.bias[[2, 0, 3, 1]])
                if seed == 2:
                    generator = torch.Generator().manual_seed(0)
                    noise = torch.randn(layer.weight.shape, generator=generator)
                    layer.weight.add_(noise, alpha=0.5)
        vae.save_pretrained(folder)
        evaluation = {"name": "tiny", "seed": seed, "step": 40, "scores": {"mig": 0.1}}
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return [str(folder) for folder in folders]


def _expected(runs: list[str], similarity: Any) -> list[float]:
    codes, divergences = [], []
    for folder in runs:
        run = load_run(folder)
        images = run.data.render(run.data.draw(IMAGES, torch.Generator().manual_seed(0)))
        with torch.no_grad():
            mean, log_variance = run.model.encoder(images)
        codes.append(mean)
        divergences.append((mean**2 + log_variance.exp() - 1 - log_variance).mean(0) / 2)
    return metrics.udr(codes, divergences, similarity).per_model.tolist()


def test_each_run_is_scored_by_the_others_of_its_recipe(runs: list[str]) -> None:
    bars: list[tuple[str, int, int]] = []
    found = add_udr(
        read_evaluations(runs), lambda name: lambda done, total: bars.append((name, done, total))
    )
    for score, similarity in (("udr", "lasso"), ("udr_spearman", "spearman")):
        values = [evaluation["scores"][score] for evaluation in found]
        assert values == pytest.approx(_expected(runs, similarity), rel=1e-3)
    assert {evaluation["scores"]["mig"] for evaluation in found} == {0.1}
    stages = ("codes for UDR, tiny", "udr, tiny", "udr_spearman, tiny")
    assert bars == [(name, done, 3) for name in stages for done in (1, 2, 3)]


def test_the_same_axes_in_another_order_are_the_same(runs: list[str]) -> None:
    """The pair scores what a run does with itself, the one with noise less with either."""
    pair = add_udr(read_evaluations(runs[:2]))
    trio = add_udr(read_evaluations(runs))
    for score, similarity in (("udr", "lasso"), ("udr_spearman", "spearman")):
        itself = _expected([runs[0], runs[0]], similarity)
        assert [one["scores"][score] for one in pair] == pytest.approx(itself, rel=1e-3)
    assert trio[2]["scores"]["udr_spearman"] < pair[0]["scores"]["udr_spearman"]


def test_a_run_that_is_alone_gets_none(runs: list[str]) -> None:
    path = Path(runs[2]) / "evaluation.json"
    path.write_text(path.read_text().replace("tiny", "other"))
    found = {e["seed"]: e["scores"].keys() for e in add_udr(read_evaluations(runs))}
    assert "udr" in found[0]
    assert "udr" not in found[2]


def test_the_command_adds_it_to_the_table(runs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["compare", *runs, "--udr", "--scores", "udr", "mig", "--out", str(out)]) == 0
    header, *rows = (out / "runs.csv").read_text().splitlines()
    assert header == "recipe,seed,step,udr,mig"
    values = [float(row.split(",")[3]) for row in rows]
    assert values == pytest.approx(_expected(runs, "lasso"), rel=1e-3)


def test_a_wrong_score_is_refused_before_anything_is_encoded(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *runs, "--udr", "--scores", "udr", "wrong", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "scores must be out of mig; got wrong" in said
    assert "codes for UDR" not in said


def test_runs_of_another_config_stand_apart(runs: list[str]) -> None:
    """As here other data, whose codes could not be compared image by image."""
    config = Path(runs[1]) / "config.yaml"
    config.write_text(config.read_text().replace("values: 16", "values: 17"))
    found = {e["seed"]: e["scores"] for e in add_udr(read_evaluations(runs))}
    assert "udr" not in found[1]
    pair = [found[seed]["udr"] for seed in (0, 2)]
    assert pair == pytest.approx(_expected([runs[0], runs[2]], "lasso"), rel=1e-3)


def test_too_few_runs_and_files_without_a_folder_are_refused(runs: list[str]) -> None:
    with pytest.raises(ValueError, match="two runs or more of one recipe"):
        add_udr(read_evaluations(runs[:1]))
    files = [f"{folder}/evaluation.json" for folder in runs]
    with pytest.raises(FileNotFoundError, match="--udr needs the run folders of tiny"):
        add_udr(read_evaluations(files))


def test_gans_are_refused(trained_gan: Path, tmp_path: Path) -> None:
    folders = []
    for seed in range(2):
        folder = shutil.copytree(trained_gan, tmp_path / f"gan-{seed}")
        evaluation = {"name": "gan", "seed": seed, "step": 1, "scores": {"vp": 0.1}}
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
        folders.append(str(folder))
    with pytest.raises(ValueError, match=f"--udr is for VAEs, and {folders[0]} is none"):
        add_udr(read_evaluations(folders))
