"""Objects by import path: which are ours, and what a user trusts."""

import pytest

from axiswise.data import ThreeDots
from axiswise.penalties import PENALTIES, jl1_penalty
from axiswise.support.family import Family
from axiswise.support.imports import Trust, UntrustedCodeError, our_object


def test_what_axiswise_defines_is_found_by_its_import_paths() -> None:
    assert our_object("axiswise.data.ThreeDots") is ThreeDots
    assert our_object("axiswise.data.three_dots:ThreeDots") is ThreeDots
    assert our_object("axiswise.penalties:jl1_penalty") is jl1_penalty


@pytest.mark.parametrize(
    "spec",
    [
        "os.system",
        "axiswise_evil.Data",
        "axiswise",
        "axiswise.data",
        "axiswise.data.download",
        "axiswise.cli.shlex.quote",
        "axiswise.data.download.os.system",
        "axiswise.data.stored.Path",
        "axiswise.metrics.METRICS",
        "axiswise.cli.__main__.main",
        "axiswise.support.imports._split",
        "axiswise.data.ThreeDots.__init__",
        "axiswise.nowhere.Thing",
        "axiswise.data.Thing",
        "ａｘｉｓｗｉｓｅ.data.ThreeDots",
        "axiswise.data.ThreeDots ",
        " axiswise.data.ThreeDots",
        ".axiswise.data.ThreeDots",
        "axiswise..data.ThreeDots",
        "axiswise.data.ThreeDots\n",
        3,
        None,
    ],
)
def test_what_is_not_defined_there_is_not_ours(spec: object) -> None:
    assert our_object(spec) is None


def test_a_user_trusts_what_his_words_name() -> None:
    trust = Trust.of(
        ["--data", "mine.Data", "--model={class_path: my.Net}", "--terms", "{a: {term: 'm:t'}}"]
    )
    assert [trust.allows(name) for name in ("mine.Data", "my.Net", "m:t")] == [True] * 3
    assert not trust.allows("my.Other")
    assert not trust.allows(None)
    assert Trust(files=True).allows("my.Other")


def test_a_file_may_name_what_a_family_has_and_no_other_function_of_ours() -> None:
    nothing = Trust()
    assert PENALTIES.find("axiswise.penalties:jl1_penalty", nothing).function is jl1_penalty
    with pytest.raises(ValueError, match="axiswise defines nothing such there"):
        PENALTIES.find("axiswise.data.download:fetch", nothing)
    with pytest.raises(
        UntrustedCodeError, match=r"penalty names 'os\.system', which is not axiswise"
    ):
        PENALTIES.find("os.system", nothing)
    anything: Family[object] = Family(
        "thing", "axiswise.penalties", "penalty", lambda found, _: found
    )
    assert anything.find("os.sep", Trust(named=frozenset({"os.sep"}))) == "/"
