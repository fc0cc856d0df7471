"""The fixed scene of JL1-VAE's Figure 2."""

import pytest

from axiswise.runs.figures.axes import scene_of
from axiswise.runs.figures.figure import read_figure


def test_the_scene_has_the_paper_s_dots() -> None:
    scene = read_figure("jl1-figure2").scene
    assert scene == [[32, 16], [48, 32], [16, 48]]
    image = scene_of(scene)
    assert image.shape == (1, 1, 64, 64)
    dark = 1 - image[0, 0].double()
    assert float(dark.sum()) == pytest.approx(3 * 3.14159 * 5.17**2, rel=0.002)  # apart, whole
    for x, y in scene:
        dot = dark[y - 8 : y + 8, x - 8 : x + 8]
        middles = dot.new_tensor(range(16)) + 0.5 - 8
        assert float(dot.sum(0) @ middles / dot.sum()) == pytest.approx(0.05, abs=0.01)
        assert float(dot.sum(1) @ middles / dot.sum()) == pytest.approx(0.05, abs=0.01)
        assert dark[y, x] == 1
