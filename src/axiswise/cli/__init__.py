"""The command line: `axiswise COMMAND …`.

Each command is a file, with a function `add` that makes its parser and a function `run` that calls
`axiswise.runs` and prints. Their imports stand in `run`, so that help comes at once. Here nothing
is imported before Ctrl-C has its answer.
"""


def main(words: list[str] | None = None) -> int:
    """Run a command.

    Args:
        words: What follows `axiswise` on the command line; the process's own if None.

    Returns:
        Exit status: 0 if all went well, 1 if it did not, 2 if the words were wrong, 130 after
        Ctrl-C, 141 if what reads the output has closed it.
    """
    from axiswise.cli.process import answer_interrupts, flushed, open_streams, own_words
    from axiswise.support.threads import share_cores

    if words is None:
        answer_interrupts()
        open_streams()
    share_cores()
    from axiswise.cli.commands import run_command

    if words is not None:
        return run_command(list(words))
    return flushed(run_command(own_words()))


def __getattr__(name: str) -> object:
    """`COMMANDS`, whose parsers are imported when they are asked for."""
    if name == "COMMANDS":
        from axiswise.cli.commands import COMMANDS

        return COMMANDS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
