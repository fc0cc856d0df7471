"""The process of a command: its answer to Ctrl-C, and its standard streams."""

import codecs
import io
import os
import signal
import sys
import threading
import time
from types import FrameType

# Exit status if the reader of the output has closed it, as of a shell's other commands.
UNREAD = 141

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - pathlib takes longer to import than all else here
_TICK = 0.05  # seconds
# What of our own output ASCII lacks; beside it, letters lose their accents.
_ASCII = str.maketrans(
    {"×": "x", "–": "-", "−": "-", "…": "...", "≤": "<=", "≥": ">=", "→": "->", "•": "*"}
    | {"±": "+-", "λ": "lambda", "β": "beta", "ε": "epsilon", "∞": "inf", "━": "-", "╸": "-"}
    | {"’": "'", "‘": "'", "“": '"', "”": '"', "·": "*", "╺": "-"}
)


def own_words() -> list[str]:
    """What follows the command on the command line."""
    return sys.argv[1:]


# ------------------------------------------------ Ctrl-C


def answer_interrupts() -> None:
    """Answer Ctrl-C with one line and exit status 130, whatever is going on.

    In work it raises a KeyboardInterrupt. In an import, that may get lost, or come out as another
    error: before work begins the process ends at once; after that, when the import is over.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `nohup` and & ignore it
        signal.signal(signal.SIGINT, _Answer())


class _Answer:
    """What Ctrl-C does; a second one does not wait."""

    def __init__(self) -> None:
        self.waits = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        importer = _importer(frame)
        if importer is None:
            self.waits = False
            raise KeyboardInterrupt
        if self.waits or os.path.dirname(importer) == _HERE:  # noqa: PTH120
            os.write(2, b"axiswise: error: interrupted\n")
            os._exit(130)
        self.waits = True
        threading.Thread(target=_interrupt_later, daemon=True).start()


def _interrupt_later() -> None:
    main = threading.main_thread().ident
    while _importer(sys._current_frames().get(main or 0)) is not None:
        time.sleep(_TICK)
    signal.raise_signal(signal.SIGINT)


def _importer(frame: FrameType | None) -> str | None:
    """The file that has the outermost import under way, if there is one."""
    found, inside = None, False
    while frame is not None:
        name = frame.f_code.co_filename
        if inside and not name.startswith("<frozen importlib"):
            found = name
        inside = name.startswith("<frozen importlib")
        frame = frame.f_back
    return found


# ------------------------------------------------ streams


def open_streams() -> None:
    """Have all three standard streams open, and writing whatever text there is.

    Else the next file that is opened would take a closed one's number, and get its output. What an
    encoding lacks is written in ASCII.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    codecs.register_error("axiswise", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="axiswise")


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """A handler of encoding errors (see `codecs`): one character, as ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, after = error.object[error.start], error.start + 1
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no text
        return bytes([ord(character) - 0xDC00]), after
    import unicodedata

    plain = unicodedata.normalize("NFKD", character.translate(_ASCII))
    ascii_ = plain.encode("ascii", "ignore").decode()
    return ascii_ or character.encode("ascii", "backslashreplace").decode(), after


def is_unread() -> bool:
    """Whether the reader of standard output has closed it."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # for errors alone
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # there is no such call, or no file below
        return False


def flushed(status: int) -> int:
    """A process's exit status, after its output has gone to its reader.

    From here on Ctrl-C ends the process without a word.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python's own flush at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return UNREAD
        os.write(2, f"axiswise: error: the output cannot be written: {error.strerror}\n".encode())
        return status or 1
    return status
