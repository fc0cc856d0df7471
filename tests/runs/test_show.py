"""`axiswise show`: the pictures, and one page that holds them all."""

import base64
import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from axiswise.nets import ConvVAE
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.evaluation import read_evaluation_file
from axiswise.runs.folder import alone_showing
from axiswise.runs.run import Run, load_run
from axiswise.runs.show import (
    local_curves,
    pictures_of_axes,
    score_rows,
    show_run,
    traversals_of,
)
from axiswise.support.files import UnreadableFileError
from axiswise.support.locks import owning

STILLS = {
    "columns.png",
    "traversals.png",
    "cosines.png",
    "reconstructions.png",
    "losses.png",
    "local_scores.png",
}
FILMS = {"traversals.gif", "traversals.mp4"}


@pytest.fixture(scope="module")
def shown(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("shown") / "run"))
    run = load_run(folder)
    evaluate_run(run, ["local", "mig", "jacobian"])
    seen: list[tuple[str, int, int]] = []

    def start_bar(name: str) -> Callable[[int, int], None]:
        return lambda done, total: seen.append((name, done, total))

    assert show_run(run, start_bar=start_bar) == folder / "report.html"
    assert [row for row in seen if row[0] == "pictures"] == [
        ("pictures", done, 8) for done in range(1, 9)
    ]
    return folder


@pytest.fixture(scope="module")
def page(shown: Path) -> str:
    return (shown / "report.html").read_text(encoding="utf-8")


def test_all_pictures_are_drawn_each_in_its_format(shown: Path) -> None:
    starts = {".png": b"\x89PNG\r\n", ".gif": b"GIF8", ".mp4": b"\x00\x00\x00"}
    pictures = {path.name: path.read_bytes() for path in (shown / "pictures").iterdir()}
    assert pictures.keys() == STILLS | FILMS
    for name, content in pictures.items():
        assert content.startswith(starts[Path(name).suffix]), name
        assert len(content) > 2000, name


def test_the_pictures_are_not_blank(shown: Path) -> None:
    from PIL import Image

    for name in STILLS:
        with Image.open(shown / "pictures" / name) as image:
            assert len(image.convert("RGB").getcolors(maxcolors=2**24)) > 50, name


def test_the_page_holds_the_pictures_themselves(shown: Path, page: str) -> None:
    """All but the GIF, which the MP4 stands for."""
    found = {
        base64.b64decode(data)
        for data in re.findall(r'src="data:[a-z]+/[a-z0-9]+;base64,([^"]+)"', page)
    }
    names = (STILLS | FILMS) - {"traversals.gif"}
    course = [path.read_bytes() for path in (shown / "samples").iterdir()]
    assert len(course) == 4  # one at each checkpoint of this short run
    assert found == {(shown / "pictures" / name).read_bytes() for name in names} | set(course)


def test_the_page_needs_no_other_file_and_no_network(page: str) -> None:
    links = re.findall(r'(?:src|href|action|poster|data)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    rest = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search(r"https?://|url\(|@import|<script|<link|<iframe", rest)


def test_the_page_holds_scores_config_and_losses(shown: Path, page: str) -> None:
    scores = json.loads((shown / "evaluation.json").read_text())["scores"]
    assert f"<td>{scores['mig']:.4g}</td>" in page
    row = scores["local_mig"]["0.3"]
    cells = ("local_mig", "0.3", f"{row['mean']:.4f} ± {row['std']:.4f}")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert "<title>tiny, seed 0</title>" in page
    assert "a run of a second. 40 of 40 steps." in page
    config = (shown / "config.yaml").read_text()
    for line in ("class_path: axiswise.data.ThreeDots", "  jl1:", "learning_rate: 0.001"):
        assert line in config
        assert line in page
    assert "Training, from metrics.csv" in page


def test_without_scores_and_metrics_there_are_fewer_pictures_and_no_table(
    trained_copy: Path,
) -> None:
    (trained_copy / "metrics.csv").unlink()
    show_run(load_run(trained_copy))
    expected = (STILLS | FILMS) - {"losses.png", "local_scores.png"}
    assert {path.name for path in (trained_copy / "pictures").iterdir()} == expected
    assert "<table>" not in (trained_copy / "report.html").read_text()


def test_damaged_metrics_are_named_before_anything_is_replaced(trained_copy: Path) -> None:
    (trained_copy / "metrics.csv").write_text("no,table\n1\n")
    (trained_copy / "report.html").write_text("old")
    with pytest.raises(UnreadableFileError, match=r"metrics\.csv is no table"):
        show_run(load_run(trained_copy))
    assert (trained_copy / "report.html").read_text() == "old"


def test_loss_curves_come_from_the_run_s_own_metrics(shown: Path) -> None:
    with (shown / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8


def _evaluation(**scores: Any) -> str:
    return json.dumps({"name": "tiny", "scores": scores})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "3",
        "null",
        '{"name": "tiny"}',
        '{"scores": {}}',
        '{"name": 3, "scores": {}}',
        '{"name": "tiny", "scores": [1]}',
        _evaluation(mig="high"),
        _evaluation(mig=None),
        _evaluation(mig=[0.1]),
        _evaluation(local_mig={"0.1": 0.5}),
        _evaluation(local_mig={"0.1": {"mean": 0.5}}),
        _evaluation(local_mig={"0.1": {"mean": 0.5, "std": "low"}}),
        _evaluation(local_mig={"near": {"mean": 0.5, "std": 0.1}}),
    ],
)
def test_a_damaged_evaluation_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(
        UnreadableFileError, match=f"{path} is damaged(: it is no JSON| or was not written)"
    ):
        read_evaluation_file(path)


def test_an_evaluation_in_no_text_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UnreadableFileError, match=f"{path} is damaged"):
        read_evaluation_file(path)


SCORES = {
    "active_axes": 3,
    "local_mig": {
        "0.1": {"mean": 0.25, "std": 0.0625, "values": [0.2, 0.3]},
        "1": {"mean": 0.125, "std": 0.5, "values": [0.1]},
    },
    "mig": 1 / 3,
}


def test_scores_as_rows_of_text() -> None:
    assert score_rows(SCORES) == [
        ["score", "radius", "value"],
        ["active_axes", "", "3"],
        ["local_mig", "0.1", "0.2500 ± 0.0625"],
        ["local_mig", "1", "0.1250 ± 0.5000"],
        ["mig", "", "0.3333"],
    ]


def test_local_scores_as_curves() -> None:
    assert local_curves(SCORES) == {"local_mig": ([0.1, 1.0], [0.25, 0.125], [0.0625, 0.5])}


def test_scores_of_other_weights_are_left_out_and_it_says_so(
    trained_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_run(load_run(trained_copy), ["local", "mig"])
    vae = ConvVAE.from_pretrained(trained_copy)
    with torch.no_grad():
        next(vae.parameters()).mul_(0.5)
    vae.save_pretrained(trained_copy)
    page = show_run(load_run(trained_copy)).read_text()
    assert "<table>" not in page
    assert not (trained_copy / "pictures" / "local_scores.png").exists()
    for text in (page, capsys.readouterr().err):
        assert "are stale, the model was replaced or trained further since step 40" in text
        assert f"run `axiswise evaluate {trained_copy}`" in text


def test_two_reports_of_one_run_are_not_drawn_at_once(
    trained_copy: Path, refusal: Callable[[Callable[[], object]], str]
) -> None:
    """A killed one's leftovers are removed, and training is no hindrance."""
    (trained_copy / ".report.html.x1y2z3w4").touch()
    with (
        owning(trained_copy),
        alone_showing(trained_copy / "report.html", trained_copy / "pictures"),
    ):
        assert not (trained_copy / ".report.html.x1y2z3w4").exists()
        told = refusal(lambda: show_run(load_run(trained_copy)))
    assert "report.html is in use" in told


# ---------------------------------------------------------------- codes far wider than the prior


@pytest.fixture
def wide(trained_copy: Path) -> Run:
    """A run whose first axis has codes around 3 of deviation 4, as JL1 may make them."""
    vae = ConvVAE.from_pretrained(trained_copy)
    codes = load_run(trained_copy).codes_of_images(load_run(trained_copy).images(500))[:, 0]
    with torch.no_grad():
        layer, factor = vae.encoder.mean, 4 / codes.std()
        layer.weight[0] *= factor
        layer.bias[0] = (layer.bias[0] - codes.mean()) * factor + 3
    vae.save_pretrained(trained_copy)
    return load_run(trained_copy)


def test_a_trained_run_has_the_statistics_of_its_data_s_codes(trained: Path) -> None:
    run = load_run(trained)
    assert isinstance(run.model, ConvVAE)
    saved = run.model.code_statistics
    assert saved == run.code_statistics
    mean, spread = run.model.posterior(run.data.render(run.data.draw(2000, run.rng())))
    assert saved is not None
    expected = (mean.var(0) + spread.exp().mean(0)).sqrt()
    torch.testing.assert_close(torch.tensor(saved.deviation), expected, rtol=0.05, atol=0.02)
    torch.testing.assert_close(torch.tensor(saved.mean), mean.mean(0), rtol=0, atol=0.1)


def test_traversals_cover_the_codes_of_the_data_and_of_the_images_shown(wide: Run) -> None:
    z = wide.latents(4)
    low, high = wide.ranges(z)
    codes = wide.codes_of_images(wide.images(500))
    inside = ((codes >= low) & (codes <= high)).float().mean(0)
    assert (inside > 0.9).all()
    assert ((z >= low) & (z <= high)).all()
    assert 12 < float(high[0] - low[0]) < 26
    assert float(high[0] + low[0]) / 2 == pytest.approx(3, abs=4)
    assert float((codes[:, 0].abs() > 2).float().mean()) > 0.5  # what ±2 would have left out


def test_the_mark_of_an_image_is_where_the_strip_shows_the_image_itself(wide: Run) -> None:
    z = wide.latents(2)
    z[1, 0] = z[0, 0] = wide.ranges(z)[0][0] + 0.25 * (wide.ranges(z)[1] - wide.ranges(z)[0])[0]
    values, frames = traversals_of(wide, z)
    step = int((values[0] - z[0, 0]).abs().argmin())
    assert step == 5  # a quarter of 20
    torch.testing.assert_close(frames[0, 0, step], wide.generate(z)[0].cpu(), rtol=0, atol=1e-4)


def test_a_gan_s_traversals_go_over_its_prior(trained_gan: Path) -> None:
    run = load_run(trained_gan)
    assert run.code_statistics is None
    low, high = run.ranges(run.latents(4))
    assert (low.tolist(), high.tolist()) == ([-2.0] * 4, [2.0] * 4)


def test_the_pictures_say_where_a_traversal_goes(wide: Run, trained_gan: Path) -> None:
    captions = [pictures_of_axes(run)["traversals.png"][1] for run in (wide, load_run(trained_gan))]
    assert "over the values of the codes of its data" in captions[0]
    assert "from −2 to 2" in captions[1]
