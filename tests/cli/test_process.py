"""A command as a process: Ctrl-C, closed and narrow streams, encodings, odd folders."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "axiswise.cli"]
ASCII = {"PYTHONIOENCODING": "ascii"}
LATIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def ended(
    *words: str, cwd: Path | None = None, shell: str = "", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    command = (
        ["bash", "-c", f'"$@" {shell}', "-", *COMMAND, *words] if shell else [*COMMAND, *words]
    )
    there = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "TERM")}
    return subprocess.run(
        command, env=there | environment, cwd=cwd, capture_output=True, timeout=60, check=False
    )


def in_folder() -> dict[str, str]:
    """What a process in another folder needs, to find axiswise as this one does."""
    return {"PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p)}


# ---------------------------------------------------------------- Ctrl-C


def test_ctrl_c_in_the_imports_is_one_line(tmp_path: Path) -> None:
    """A `torch` whose import never ends, and makes an error of its own of an interruption."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('began').touch()\n"
        "while True:\n    try:\n        time.sleep(0.01)\n"
        "    except BaseException as error:\n        raise ImportError('halfway') from error\n"
    )
    path = os.pathsep.join([str(tmp_path), *in_folder()["PYTHONPATH"].split(os.pathsep)])
    process = subprocess.Popen(
        [*COMMAND, "evaluate", "runs/none"],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )
    while not (tmp_path / "torch" / "began").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"axiswise: error: interrupted\n")


DEFERRED = """
import signal, sys, threading, time
from axiswise.cli.process import answer_interrupts
answer_interrupts()
threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
try:
    import slow
    print("imported", slow.whole)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted after", slow.whole)
"""


@pytest.mark.slow
def test_an_import_in_the_course_of_work_is_finished_before_ctrl_c_is_answered(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.4)\nwhole = True\n")
    found = subprocess.run(
        [sys.executable, "-c", DEFERRED],
        env=os.environ | in_folder(),
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == b"interrupted after True"


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from axiswise.cli.process import answer_interrupts; answer_interrupts()\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("shell", "status"),
    [
        ("| head -1; exit ${PIPESTATUS[0]}", 0),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 141),
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
    ],
)
def test_streams_that_are_closed(shell: str, status: int) -> None:
    found = ended("recipes", shell=shell)
    assert found.returncode in (status, 141 if "PIPE" in shell else status)
    assert found.stderr == b""


@pytest.mark.slow
def test_output_that_cannot_be_written_is_said() -> None:
    found = ended("recipes", shell="> /dev/full")
    assert found.returncode == 1
    assert found.stderr.startswith(b"axiswise: error: ")
    assert b"No space left on device" in found.stderr
    assert found.stderr.count(b"\n") == 1


def test_a_file_does_not_take_the_number_of_a_closed_stream() -> None:
    code = (
        "from axiswise.cli.process import open_streams; open_streams()\n"
        "import tempfile, sys\n"
        "print('here'); print('there', file=sys.stderr)\n"
        "sys.exit(tempfile.TemporaryFile().fileno() < 3)"
    )
    line = f'"{sys.executable}" -c "{code}" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 0


@pytest.mark.parametrize("environment", [ASCII, LATIN], ids=["ASCII", "the C locale"])
@pytest.mark.parametrize(
    "words",
    [
        "recipes",
        "show --help",
        "reproduce",
        pytest.param("train RECIPE --steps é", marks=pytest.mark.slow),
    ],
)
def test_what_an_encoding_lacks_is_written_in_ascii(
    environment: dict[str, str], words: str
) -> None:
    found = ended(*words.split(), **environment)
    text = found.stdout.decode("ascii") + found.stderr.decode("ascii")
    assert "Traceback" not in text
    if "RECIPE" in words:  # a name that is no text in this locale is shown by its bytes
        assert found.returncode == 1
        return
    assert "\\u" not in text
    assert "\\x" not in text
    assert found.returncode == 0


def test_signs_keep_their_meaning_in_ascii() -> None:
    code = (
        "from axiswise.cli.process import open_streams; open_streams()\n"
        "print('8×8 – 2…3 ± é λ → \\udcff 猫')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | ASCII, capture_output=True, check=True
    )
    assert found.stdout == b"8x8 - 2...3 +- e lambda -> \xff \\u732b\n"


@pytest.mark.parametrize("width", ["1", "20", "300", "none"])
def test_any_width_will_do(width: str) -> None:
    for words in (["reproduce"], ["train", "--help"]):
        found = ended(*words, COLUMNS=width, NO_COLOR="1", TERM="dumb")
        assert found.returncode == 0
        assert found.stderr == b""
        assert b"\x1b" not in found.stdout


# ---------------------------------------------------------------- places


def test_a_current_folder_that_was_deleted_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        "import shutil, sys; from axiswise.cli import main\n"
        "shutil.rmtree('.', ignore_errors=True); shutil.rmtree(sys.argv[1])\n"
        "sys.exit(main(['compare', 'a', '--out', 'b']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(gone)],
        env=os.environ | in_folder(),
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr == (
        "axiswise: error: the current folder does not exist any more: go to another one\n"
    )


@pytest.mark.slow
def test_no_home_and_no_writable_place_for_matplotlib(trained: Path, tmp_path: Path) -> None:
    """A folder that is a file cannot be written, whoever the user is."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    blocked = tmp_path / "blocked"
    blocked.touch()
    home = {"HOME": str(blocked), "MPLCONFIGDIR": str(blocked / "matplotlib")}
    found = ended("compare", str(run / "none"), cwd=tmp_path, **in_folder(), **home)
    assert b"Traceback" not in found.stderr
    assert found.returncode == 1
