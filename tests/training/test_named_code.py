"""The values of a recipe, checked by the types of the arguments that they are for."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from torch import nn

from axiswise.data import ImageSource
from axiswise.data.family import DATA_SETS
from axiswise.nets import VAE, ConvVAE
from axiswise.nets.loading import ARCHITECTURES
from axiswise.support.imports import Trust, UntrustedCodeError
from axiswise.training.named_code import Checker, check_keys, with_value

BOMB = "{a: &a [x, x, x], b: &b [*a, *a, *a], c: [*b, *b, *b]}"
NOTHING, ALL = Checker(Trust()), Checker(Trust(files=True))


class Own:
    """A class of a user's, with arguments of many kinds."""

    def __init__(self, call: Callable[[int], int], plain, kind: type, **more: Any) -> None:  # type: ignore[no-untyped-def]
        self.all = call, plain, kind, more


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("os.system", str),
        ("images.npz", str | Path),
        ("3", int),
        ("1e-3", float | None),
        ("null", int | None),
        ("mean", Literal["mean", "max"]),
        ([1, 2], list[int]),
        (["a.b", "c.d"], Sequence[str]),
        ([0.5, 0.9], tuple[float, float]),
        ({"a": "b.c"}, Mapping[str, str]),
        ("a.b", Any),
        (None, ImageSource),
        (3, ImageSource),  # jsonargparse says what is wrong
    ],
    ids=str,
)
def test_plain_values_stay_as_they_are(value: Any, hint: Any) -> None:
    assert NOTHING.value(value, hint, "key") == value


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("os.system", Callable[[int], int]),
        ("os.system", Callable[..., Any] | str),
        ("os.system", type),
        ("os.system", type[nn.Module]),
        ("os.system", nn.Module),
        ("os", nn.Module),
        ("Linear", nn.Module),
        ("{class_path: os.system}", Any),
        ('{"class\\x5fpath": os.system}', Any),
        ("[{class_path: os.system}]", Callable[[int], int]),
        ({"class_path": "os.system"}, Any),
        ({"class_path": "os.system"}, int),
        ({"a": {"class_path": "os.system"}}, dict[str, Any]),
        ([{"class_path": "os.system"}], list[Any]),
        ([["os.system"]], list[list[Callable[[int], int]]]),
        ({"a": "os.system"}, Mapping[str, Callable[[int], int]]),
        ({"class_path": ["os.system"]}, nn.Module),
        ({"class_path": {"class_path": "os.system"}}, nn.Module),
    ],
    ids=str,
)
def test_code_is_refused_wherever_it_is_named(value: Any, hint: Any) -> None:
    with pytest.raises(UntrustedCodeError, match=r"^key.* names .*which is not axiswise's own"):
        NOTHING.value(value, hint, "key")


def test_classes_of_ours_are_named_in_full() -> None:
    full = {"class_path": "axiswise.nets.ConvVAE"}
    assert NOTHING.value("ConvVAE", VAE, "model") == full
    assert NOTHING.value("axiswise.nets.ConvVAE", VAE, "model") == full
    given = {**full, "init_args": {"hidden": [4, 4], "features": "8"}}
    assert NOTHING.value(given, VAE, "model") == given
    for spec in ("axiswise.nets.Conv", "axiswise.nets.conv_vae", "axiswise.nets.ConvVAE.forward"):
        with pytest.raises(
            ValueError, match=r"model\.class_path names .*: axiswise defines nothing"
        ):
            NOTHING.value(spec, VAE, "model")


def test_arguments_of_a_trusted_class_are_a_file_s_still() -> None:
    named = Checker(Trust(named=frozenset({f"{__name__}.Own"})))
    spec = {"class_path": f"{__name__}.Own", "init_args": {"plain": "a.b"}}
    assert named.value(spec, object, "data") == spec
    for name in ("call", "kind", "unknown"):
        given = {**spec, "init_args": {name: "os.system"}}
        with pytest.raises(UntrustedCodeError, match=rf"data\.{name} names 'os\.system'"):
            named.value(given, object, "data")
        assert ALL.value(given, object, "data") == given


@pytest.mark.parametrize("text", [BOMB, "[1]", "- 1", "9" * 41, "a: b", "3 4"])
def test_a_number_is_a_number(text: str) -> None:
    """Jsonargparse would read the text as YAML, aliases and all."""
    with pytest.raises(ValueError, match="steps must be a number, got"):
        NOTHING.value(text, int, "steps")


def test_long_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="radius must have at most 1000 values, got 1001"):
        NOTHING.value([0.1] * 1001, list[float], "radius")


@pytest.mark.parametrize("key", ["a.b", "a+", "__path__", "", "a b", 3, None, "ключ.а", "a\n"])
def test_keys_are_words(key: Any) -> None:
    check_keys({"a-b": [{"ключ_1": 1}]})
    with pytest.raises(ValueError, match="a key must be a word without dots, got"):
        check_keys({"a": [{"b": {key: 1}}]})


@pytest.mark.parametrize(
    ("tree", "key", "value", "expected"),
    [
        ({}, "steps", 3, {"steps": 3}),
        ({"name": "a"}, "name", "b", {"name": "b"}),
        ({"model": "N"}, "model.x", 1, {"model": {"class_path": "N", "init_args": {"x": 1}}}),
        ({"o": {"beta": 1}}, "o.beta", 2, {"o": {"beta": 2}}),
        ({"o": {"beta": 1}}, "o", "C", {"o": {"class_path": "C", "init_args": {"beta": 1}}}),
        (
            {"d": {"class_path": "A", "init_args": {"x": 1}}},
            "d.class_path",
            "B",
            {"d": {"class_path": "B", "init_args": {"x": 1}}},
        ),
        (
            {"d": {"class_path": "A", "init_args": {"in": "B"}}},
            "d.in.y",
            2,
            {
                "d": {
                    "class_path": "A",
                    "init_args": {"in": {"class_path": "B", "init_args": {"y": 2}}},
                }
            },
        ),
    ],
    ids=str,
)
def test_a_word_is_merged_as_jsonargparse_does(
    tree: dict[str, Any], key: str, value: Any, expected: dict[str, Any]
) -> None:
    assert with_value(tree, key.split("."), value) == expected


def test_every_class_of_ours_has_arguments_whose_types_are_known() -> None:
    """No argument of a class that a file may name is code, but for data inside of data."""
    names = {
        type(make())
        for name in DATA_SETS.names()
        for make in DATA_SETS.find(name).variants.values()
    }
    for cls in (*names, *ARCHITECTURES.values(), ConvVAE):
        for name, hint in get_type_hints(cls.__init__).items():
            if name not in ("return", "dataset"):
                started = time.perf_counter()
                assert NOTHING.value("3", hint, name) == "3", (cls, name, hint)
                assert time.perf_counter() - started < 1
    assert dataclasses.is_dataclass(Checker)
