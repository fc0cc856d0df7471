"""jsonargparse's parsers as we use them: they raise errors, and read values as files are read."""

from typing import Any

from jsonargparse import ArgumentParser, set_dumper, set_loader

from axiswise.support.reading import MalformedTextError, dump_yaml, parse_yaml

_MODE = "axiswise"  # of our own, so that other users of jsonargparse keep theirs

set_loader(_MODE, parse_yaml, (MalformedTextError,))
set_dumper(_MODE, dump_yaml)


def argument_parser(**options: Any) -> ArgumentParser:
    """A parser that raises errors instead of ending the process, and takes whole names only.

    Args:
        **options: Further ones of `jsonargparse.ArgumentParser`.
    """
    options |= {"exit_on_error": False, "allow_abbrev": False, "print_config": None}
    return ArgumentParser(parser_mode=_MODE, **options)
