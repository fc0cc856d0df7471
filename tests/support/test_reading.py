"""Files of unknown origin: what is refused, in one line, before it takes time or memory."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest

from axiswise.support.files import UnreadableFileError
from axiswise.support.parsers import argument_parser
from axiswise.support.reading import (
    MalformedTextError,
    dump_yaml,
    open_regular,
    parse_json,
    parse_yaml,
    read_json,
    read_text,
    read_yaml,
)


def bomb(levels: int = 12) -> str:
    """YAML that aliases blow up to a billion parts."""
    names = [f"a{level}" for level in range(levels)]
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for below, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]")
    return "\n".join(lines)


YAML = {
    "aliases": (bomb(), "line 1: aliases"),
    "an anchor": ("a: &x 1", "line 1: aliases"),
    "an alias alone": ("a: *x", "line 1: aliases"),
    "a tag": ("a: 1\nb: !!python/object/apply:os.system [ls]", "line 2: tags are not read"),
    "a plain tag": ("a: !!int 3", "line 1: tags are not read"),
    "a local tag": ("a: !new 3", "line 1: tags are not read"),
    "depth": ("[" * 100_000, "nest(ed|ing)"),
    "depth of lists below each other": ("- " * 5000 + "a", "nested more than 32 levels"),
    "depth of keys": ("{a: " * 40 + "1" + "}" * 40, "nested more than 32 levels"),
    "a key twice": ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is there twice"),
    "a key twice, below": ("a: {b: 1, b: 2}", "the key 'b' is there twice"),
    "a key that is no word": ("[1, 2]: 3", "a key must be a word"),
    "a key that is a mapping": ("{a: 1}: 3", "a key must be a word"),
    "a million digits": ("steps: " + "9" * 10**6, "line 1: 9{40} is too large"),
    "hexadecimal digits": ("steps: 0x" + "f" * 10**6, "is too large"),
    "more than 63 bits": ("seed: 9223372036854775808", "is too large for an integer"),
    "a long fraction": ("a: 0." + "1" * 100_000, "a number is too long"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a control character": ("a: \x07", "control characters"),
    "no YAML": ("a: {{{", "line 2: did not find"),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_that_is_more_than_plain_is_refused_at_once(kind: str) -> None:
    text, message = YAML[kind]
    started = time.perf_counter()
    with pytest.raises(MalformedTextError, match=message) as caught:
        parse_yaml(text)
    assert time.perf_counter() - started < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1.5E+3", -1500.0),
        ("1_000", 1000),
        ("0x1f", 31),
        ("010", 8),
        ("-.inf", float("-inf")),
        ("yes", True),
        ("", None),
        ("~", None),
        ("2020-01-01", "2020-01-01"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("'1e5'", "1e5"),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("{a: [1, {b: c}]}", {"a": [1, {"b": "c"}]}),
    ],
)
def test_plain_values_are_read(text: str, value: Any) -> None:
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


def test_what_is_written_is_read_back_the_same() -> None:
    shared = [1, 2.5]
    words = [
        "1e5",
        "yes",
        "",
        "12",
        "0x1",
        "~",
        "null",
        "#x",
        "a: b",
        "é\n",
        "x " * 200,
        ".inf",
        "<<",
    ]
    tree = {"words": words, "one": shared, "two": shared, "none": None, "number": 1e-5, "is": True}
    assert parse_yaml(dump_yaml(tree)) == tree


JSON = {
    "a key twice": ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
    "NaN": ('{"a": NaN}', "NaN is no finite number"),
    "infinity": ("[-Infinity]", "-Infinity is no finite number"),
    "a number too large for a float": ("1e999", "1e999 is no finite number"),
    "a million digits": ("9" * 10**6, "9{40} is too large for an integer"),
    "depth": ("[" * 100_000, "nested more than 32 levels"),
    "depth of what is whole": ("[" * 40 + "]" * 40, "nested more than 32 levels"),
    "half a character": ('"\\ud800"', "half a character"),
    "half a file": ('{"a": ', "Expecting value: line 1 column 7"),
}


@pytest.mark.parametrize("kind", JSON)
def test_json_that_is_more_than_plain_is_refused_at_once(kind: str) -> None:
    text, message = JSON[kind]
    with pytest.raises(MalformedTextError, match=message):
        parse_json(text)


def test_json_of_scores_may_have_numbers_that_are_not_finite() -> None:
    assert parse_json("[Infinity, 1e999, 3]", finite=False) == [float("inf"), float("inf"), 3]


def test_text_is_utf8_with_or_without_a_mark_and_any_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xc3\xa9\r\nsteps: 3\rseed: 1\n")
    assert read_text(path) == "name: é\nsteps: 3\nseed: 1\n"
    assert read_yaml(path) == {"name": "é", "steps": 3, "seed": 1}
    path.write_bytes("name: é".encode("utf-16"))
    with pytest.raises(UnreadableFileError, match=f"{path} is no YAML.* UTF-8: byte 0 is 0xff"):
        read_yaml(path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("{")
    with pytest.raises(UnreadableFileError, match=f"{path} is no JSON file: Expecting"):
        read_json(path)
    path.write_text("a: b: c")
    with pytest.raises(UnreadableFileError, match=f"{path} is no YAML file: line 1: mapping"):
        read_yaml(path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(2**40)  # holes: it takes no place on the disk
    for read in (read_yaml, read_json, read_text):
        with pytest.raises(UnreadableFileError, match=f"{path} is too large"):
            read(path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("pipe", "a pipe or a device"), ("folder", "a folder"), ("zero", "a pipe or a device")],
)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    tmp_path: Path, kind: str, said: str
) -> None:
    path = tmp_path / "file"
    make = {"pipe": os.mkfifo, "folder": Path.mkdir, "zero": lambda p: p.symlink_to("/dev/zero")}
    make[kind](path)  # type: ignore[operator]
    for read in (read_yaml, read_json, read_text, open_regular):
        with pytest.raises(UnreadableFileError, match=f"{path} must be a file, it is {said}"):
            read(path)


def test_a_link_to_a_file_is_read_and_a_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a: 1")
    (tmp_path / "link").symlink_to("file")
    assert read_yaml(tmp_path / "link") == {"a": 1}
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        read_yaml(tmp_path / "loop")


def test_parsers_read_values_the_same_way() -> None:
    """And leave other users of jsonargparse theirs."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = argument_parser()
    parser.add_argument("--rate", type=float)
    parser.add_argument("--more", type=dict)
    assert parser.parse_args(["--rate", "1e-3", "--more", "{a: 2020-01-01}"]).more == {
        "a": "2020-01-01"
    }
    with pytest.raises(ArgumentError):
        parser.parse_args(["--more", "{a: &x 1, b: *x}"])
    with pytest.raises(ArgumentError):
        parser.parse_args(["--rat", "3"])
    assert ArgumentParser().parser_mode == "yaml"
