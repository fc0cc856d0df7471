"""Files of unknown origin, read within bounds: regular files only, YAML and JSON as plain trees.

Whatever a file contains, reading it ends soon, takes little memory and runs no code; what is wrong
with it is one line.
"""

import io
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from axiswise.support.files import UnreadableFileError

_MOST = {"YAML": 2**20, "JSON": 2**24, "text": 2**28}  # bytes of a file
_DEEPEST = 32  # levels of lists and mappings
_LONGEST_NUMBER = 40  # characters
_LARGEST = 2**63  # of integers: what tensors and seeds have room for


class MalformedTextError(ValueError):
    """A text that is no YAML or JSON, or has what neither needs; the message is one line."""


# ---------------------------------------------------------------- files


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        UnreadableFileError: It is a folder, or a pipe or a device, which might never end.
        OSError: It cannot be read.
    """
    # A pipe without a writer must not be waited for.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    kind = stat.S_IFMT(os.stat(path).st_mode)  # noqa: PTH116 - before it is opened
    if kind == stat.S_IFREG:
        descriptor = os.open(path, flags)
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFREG:
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    what = "a folder" if kind == stat.S_IFDIR else "a pipe or a device"
    raise UnreadableFileError(f"{path} must be a file, it is {what}")


def read_bytes(path: str | Path) -> bytes:
    """All bytes of a regular file."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | Path, kind: str = "text") -> str:
    r"""The text of a regular file, in UTF-8 with or without a byte order mark; lines end in \n.

    Args:
        path: The file.
        kind: "YAML", "JSON" or "text", which bounds its size.

    Raises:
        UnreadableFileError: It is too large, no text in UTF-8, or no regular file.
        OSError: It cannot be read.
    """
    most = _MOST[kind]
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise UnreadableFileError(
            f"{path} is too large for {kind}: at most {most:,} bytes are read"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "a text" if kind == "text" else f"{kind}, a text"
        raise UnreadableFileError(
            f"{path} is no {what.removeprefix('a ')} in UTF-8: byte {error.start} is "
            f"0x{content[error.start]:02x}"
        ) from error
    return io.StringIO(text, newline=None).getvalue()


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file, as by `parse_yaml`; errors are an `UnreadableFileError`."""
    return _parsed(path, "YAML", parse_yaml)


def read_json(path: str | Path, *, finite: bool = True) -> Any:
    """The content of a JSON file, as by `parse_json`; errors are an `UnreadableFileError`."""
    return _parsed(path, "JSON", lambda text: parse_json(text, finite=finite))


def _parsed(path: str | Path, kind: str, parse: Callable[[str], Any]) -> Any:
    text = read_text(path, kind)
    try:
        return parse(text)
    except MalformedTextError as error:
        raise UnreadableFileError(f"{path} is no {kind} file: {error}") from error


# ---------------------------------------------------------------- JSON


def parse_json(text: str, *, finite: bool = True) -> Any:
    """A JSON text as dictionaries, lists, strings, numbers, booleans and None.

    Args:
        text: At most 32 levels deep, no key twice in a mapping, integers below 2⁶³.
        finite: Whether NaN, Infinity and numbers too large for a float are refused.

    Raises:
        MalformedTextError: It is anything else.
    """

    def number(digits: str) -> float:
        value = float(digits)
        if finite and not math.isfinite(value):
            raise MalformedTextError(f"{digits[:_LONGEST_NUMBER]} is no finite number")
        return value

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise MalformedTextError(f"the key {twice!r} is there twice")
        return made

    try:
        tree = json.loads(
            text,
            object_pairs_hook=mapping,
            parse_constant=number,
            parse_float=number,
            parse_int=_integer,
        )
    except RecursionError:
        raise MalformedTextError(f"it is nested more than {_DEEPEST} levels deep") from None
    except MalformedTextError:
        raise
    except ValueError as error:
        raise MalformedTextError(str(error)) from error
    _check_tree(tree)
    return tree


def _check_tree(tree: Any) -> None:
    """Refuse a tree that is too deep, and text that cannot be written again."""
    parts, depth = [tree], 0
    while parts:
        depth += 1
        below: list[Any] = []
        for part in parts:
            if isinstance(part, dict):
                below += [*part, *part.values()]
            elif isinstance(part, list):
                below += part
            elif isinstance(part, str) and not part.isascii():
                try:
                    part.encode()
                except UnicodeEncodeError:
                    raise MalformedTextError("it has half a character (a surrogate)") from None
        if below and depth > _DEEPEST:
            raise MalformedTextError(f"it is nested more than {_DEEPEST} levels deep")
        parts = below


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER or not -_LARGEST < (value := int(digits, 0)) < _LARGEST:
        raise MalformedTextError(f"{digits[:_LONGEST_NUMBER]} is too large for an integer")
    return value


# ---------------------------------------------------------------- YAML

_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
# As in YAML 1.1, but 1e-3 is a number, and there are neither dates nor numbers to base 60.
_PLAIN = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (
        r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
        "yYnNtTfFoO",
    ),
    "int": (r"[-+]?(0b[01_]+|0x[\da-fA-F_]+|0[0-7_]*|[1-9][\d_]*)", "-+0123456789"),
    "float": (
        r"[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\d[\d_]*[eE][-+]?\d+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


class _Loader(_SAFE):  # type: ignore[misc]
    """Plain trees: no objects, no merged keys, no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as its base has it
    yaml_constructors: dict[Any, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _malformed("a key must be a word", key_node)
            if key in made:
                raise _malformed(f"the key {key!r} is there twice", key_node)
            made[key] = self.construct_object(value_node, deep=deep)
        return made

    def plain_int(self, node: Any) -> int:
        digits = node.value.replace("_", "")
        if re.fullmatch(r"[-+]?0[0-7]+", digits):
            digits = re.sub("0", "0o", digits, count=1)
        try:
            return _integer(digits)
        except MalformedTextError as error:
            raise _malformed(str(error), node) from None

    def plain_float(self, node: Any) -> float:
        if len(node.value) > _LONGEST_NUMBER:
            raise _malformed("a number is too long", node)
        return float(node.value.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))


def _malformed(what: str, node: Any) -> MalformedTextError:
    return MalformedTextError(f"line {node.start_mark.line + 1}: {what}")


for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(f"(?:{_pattern})$"), [c if c != "\0" else "" for c in _first]
    )
for _name in ("null", "bool", "str", "seq", "map"):
    _Loader.add_constructor(f"{_TAG}{_name}", getattr(_SAFE, f"construct_yaml_{_name}"))
_Loader.add_constructor(f"{_TAG}int", _Loader.plain_int)
_Loader.add_constructor(f"{_TAG}float", _Loader.plain_float)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back the same: "1e5" in quotes, each list as often as it is."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def parse_yaml(text: str) -> Any:
    """A YAML text as dictionaries, lists, strings, numbers, booleans and None.

    Args:
        text: One document, at most 32 levels deep, without aliases, anchors and tags, no key twice
            in a mapping, integers below 2⁶³. 1e-3 is a number, and dates are text.

    Raises:
        MalformedTextError: It is anything else.
    """
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        problem = getattr(error, "problem", None) or str(error)
        raise MalformedTextError(where + " ".join(str(problem).split())) from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, MalformedTextError):
            raise
        raise MalformedTextError(" ".join(str(error).split())) from error


def value_of(text: str) -> Any:
    """What a text means as a value in YAML; the text itself where it is none."""
    try:
        return parse_yaml(text)
    except MalformedTextError:
        return text


def _check_events(text: str) -> None:
    """Refuse, before anything is made of it, what is too deep or refers to anything else."""
    depth = 0
    for event in yaml.parse(text, Loader=_SAFE):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _malformed("aliases (*) and anchors (&) are not read", event)
        if (tag := getattr(event, "tag", None)) not in (None, "!"):
            raise _malformed(f"tags are not read, such as {tag}", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _malformed(f"it is nested more than {_DEEPEST} levels deep", event)


def dump_yaml(tree: Any) -> str:
    """A tree as text that `parse_yaml` reads back to the same."""
    return yaml.dump(
        tree, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
