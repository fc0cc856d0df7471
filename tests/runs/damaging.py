"""Files that a command reads, damaged in many ways, and what the command makes of each.

`python tests/runs/damaging.py 1000 [SEED]` tries so many and prints a table.
"""

import contextlib
import faulthandler
import hashlib
import io
import itertools
import json
import os
import random
import resource
import shlex
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

SECONDS = 10.0  # of a processor: others may have it in between
_WAITS = 40.0  # by the clock
_MEMORY = 6 * 2**30  # bytes of addresses beyond those in use
Rng = random.Random


class HangError(BaseException):
    """A command took too long: no handler of the command's own may catch this."""


# ---------------------------------------------------------------- what there is to damage


def build(folder: Path, tiny: str, tiny_gan: str) -> None:
    """A folder of all that commands read: runs, directions, recipes, sweeps, data."""
    from axiswise.cli import main
    from axiswise.runs.figures.figure import read_figure
    from axiswise.runs.figures.reproduce import planned_runs

    def do(words: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert main(shlex.split(words)) == 0, words

    folder.mkdir()
    with contextlib.chdir(folder):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (12, 16, 16), dtype=np.uint8)
        np.savez("images.npz", images=images)
        Path("pictures").mkdir()
        for index, image in enumerate(images[:3]):
            Image.fromarray(image).save(f"pictures/{index}.png")
        Path("tiny.yaml").write_text(tiny)
        Path("gan.yaml").write_text(tiny_gan)
        recipe = yaml.safe_load(tiny)
        recipe |= {"steps": 4, "log_every": 2, "checkpoint_every": 4}
        npz = {"class_path": "axiswise.data.NpzImages", "init_args": {"path": "images.npz"}}
        files = {"path": "pictures", "size": 16, "channels": 1}
        png = {"class_path": "axiswise.data.ImageFolder", "init_args": files}
        for name, data in {"npz": npz, "png": png}.items():
            Path(f"{name}.yaml").write_text(yaml.safe_dump({**recipe, "data": data}))
        do("train tiny.yaml --out vae")
        do("train gan.yaml --out gan --steps 20")
        do("evaluate vae --metrics activeness local_mig --radius 1.0")
        do("evaluate gan --metrics activeness")
        do("discover gan --method coordinates --directions 2 --out found")
        _unfinished(Path("vae"), Path("half"))
        Path("sweep.yaml").write_text(
            yaml.safe_dump({"recipe": "tiny.yaml", "grid": {"terms.jl1.weight": [0.1, 0.2]}})
        )
        Path("swept").mkdir()
        header = "recipe,seed,folder,steps,evaluation.bins,status,mig\n"
        Path("swept/sweep.csv").write_text(
            header + "tiny,0,a,40,5,finished,0.5\ntiny,1,b,40,5,x,\n"
        )
        torch.save({"a": torch.zeros(2), "b": torch.ones(1)}, "weights.pt")
        found = read_figure("jl1-figure4")
        Path("figures/scores").mkdir(parents=True)
        about = {"name": "x", "seed": 0, "scores": {"active_axes": 3}}
        for score in found.scores:
            about["scores"][score] = {"0.1": {"mean": 0.5, "std": 0.1, "values": [0.5]}}  # type: ignore[index]
        budget = found.scales["fast"]
        for runs in planned_runs(found, budget, Path("figures")).values():
            for run in runs:
                own = {"name": run.name, "seed": run.seed, "step": run.steps}
                text = json.dumps({**about, **own, "protocol": run.settings["evaluation"]})
                Path(f"figures/scores/{run.folder.name}.json").write_text(text)


def _unfinished(run: Path, copy: Path) -> None:
    shutil.copytree(run, copy)
    for name in ("model.safetensors", "config.json", "evaluation.json"):
        (copy / name).unlink()
    newest = sorted(copy.glob("checkpoints/*.pt"))[-1]
    newest.unlink()
    newest.with_suffix(".sha256").unlink()


_SHORT = "--steps 2 --log_every 2 --checkpoint_every 2"
# Command → the files that it reads, and what it may change, as beginnings of paths.
COMMANDS = {
    "evaluate vae --metrics activeness": (
        "vae/config.yaml vae/config.json vae/model.safetensors vae/evaluation.json",
        "vae/evaluation.json",
    ),
    "show gan": (
        "gan/config.yaml gan/config.json gan/model.safetensors gan/evaluation.json gan/metrics.csv",
        "gan/pictures gan/report.html",
    ),
    "train --resume half": ("half/config.yaml half/metrics.csv half/checkpoints/*", "half/"),
    "train --resume vae": ("vae/config.yaml vae/metrics.csv vae/checkpoints/*", "vae/"),
    "evaluate half --metrics activeness": (
        "half/config.yaml half/checkpoints/*",
        "half/evaluation.json",
    ),
    "compare vae gan --out new": (
        "vae/evaluation.json vae/config.yaml vae/model.safetensors gan/evaluation.json",
        "new",
    ),
    "compare swept --out new": ("swept/sweep.csv", "new"),
    "evaluate found --metrics jacobian": (
        "found/directions.safetensors found/directions.json found/generator.json gan/config.json",
        "found/evaluation.json",
    ),
    "compare found found --out new": ("found/directions.safetensors found/directions.json", "new"),
    "discover gan --method coordinates --out new": (
        "gan/config.yaml gan/config.json gan/model.safetensors",
        "new",
    ),
    "discover biggan:weights.pt --method coordinates --out new": ("weights.pt", "new"),
    "sefa gan --out new": ("gan/config.yaml gan/config.json gan/model.safetensors", "new"),
    f"train tiny.yaml {_SHORT} --out new": ("tiny.yaml", "new"),
    f"train gan.yaml {_SHORT} --out new": ("gan.yaml", "new"),
    "train npz.yaml --out new": ("npz.yaml images.npz", "new"),
    "train png.yaml --out new": ("png.yaml pictures/*", "new"),
    "sweep sweep.yaml --out new": ("sweep.yaml tiny.yaml", "new"),
    "reproduce jl1-figure4 --draw-only --out figures": (
        "figures/scores/*",
        "figures/jl1-figure4-fast",
    ),
}


# ---------------------------------------------------------------- ways to damage


def _truncate(path: Path, rng: Rng, _world: Path) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(max(1, path.stat().st_size))])


def _empty(path: Path, _rng: Rng, _world: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path, rng: Rng, _world: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _replace(path: Path, rng: Rng, _world: Path) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    stop = start + rng.choice((1, 16, 300))
    content[start:stop] = rng.randbytes(rng.choice((0, stop - start, 40)))
    path.write_bytes(content)


def _swap(path: Path, rng: Rng, world: Path) -> None:
    others = [file for file in sorted(world.rglob("*")) if file.is_file()]
    path.write_bytes(rng.choice(others).read_bytes())


def _of_another_run(path: Path, rng: Rng, world: Path) -> None:
    others = [file for file in sorted(world.rglob(path.name)) if file.is_file()]
    path.write_bytes(rng.choice(others).read_bytes())


def _pipe(path: Path, _rng: Rng, _world: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path, _rng: Rng, _world: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path, _rng: Rng, _world: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _device(path: Path, rng: Rng, _world: Path) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/random")))


def _private(path: Path, _rng: Rng, _world: Path) -> None:
    path.chmod(0)


def _gone(path: Path, _rng: Rng, _world: Path) -> None:
    path.unlink()


_STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 10**18, 2**63, 10**30, 0.5, -0.0, 1e30, float("nan"), float("inf"),
    "", "x", "1e400", "../../x", "a\0b", "é\u202e", "[[[[", "{class_path: os.system}", "&a [*a]",
    [], [[]], [1] * 2000, ["a", 1, None], {}, {"a": {"b": 1}}, {"class_path": "os.system"},
    {"class_path": "axiswise.nets.ConvVAE", "init_args": {"latent_dim": 10**9}},
    {"class_path": "axiswise.data.ThreeDots", "init_args": {"size": 10**6}},
)  # fmt: skip


def _places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys)[:50]:
        yield (*above, key)
        yield from _places(tree[key], (*above, key))


def _edit_tree(tree: Any, rng: Rng) -> Any:
    places = list(_places(tree))
    if not places:
        return rng.choice(_STRANGE)
    *above, last = rng.choice(places)
    part = tree
    for key in above:
        part = part[key]
    way = rng.randrange(6)
    if way == 0:
        del part[last]
    elif way == 1 and isinstance(part, dict):
        part[str(rng.choice(("more", "a.b", "__path__", "recipe", "é")))] = part.pop(last)
    elif way == 2:
        deep: Any = 1
        for _ in range(rng.choice((40, 2000))):
            deep = [deep]
        part[last] = deep
    else:
        part[last] = rng.choice(_STRANGE)
    return tree


def _edit_text(path: Path, rng: Rng, _world: Path) -> None:
    """A change of the content of a YAML, JSON or CSV file that is still well-formed, or nearly."""
    text = path.read_text()
    if path.suffix == ".csv":
        rows = [line.split(",") for line in text.splitlines()]
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(rng.choice(_STRANGE))
        if rng.random() < 0.3:
            rows.remove(rng.choice(rows))
        path.write_text("\n".join(map(",".join, rows)) + "\n")
        return
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # of these lines, not of the command's
    try:
        tree = _edit_tree(yaml.safe_load(text), rng)
        raw = json.dumps(tree)
    finally:
        sys.setrecursionlimit(limit)
    if path.suffix == ".yaml" and "[[[" not in raw:
        with contextlib.suppress(yaml.YAMLError):
            raw = yaml.safe_dump(tree, allow_unicode=True)
    way = rng.randrange(8)
    if way == 0:
        raw = "\ufeff" + raw.replace("\n", "\r\n")
    elif way == 1 and path.suffix == ".yaml":
        lines = ["a: &a [x, x, x, x]"]
        for above, name in itertools.pairwise("abcdefghi"):
            lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]")
        raw = "\n".join(lines) + "\n" + raw
    elif way == 2:
        raw = raw.replace(rng.choice(raw), "9" * 100_000, 1)
    elif way == 3 and raw.startswith("{"):
        raw = '{"name": 1, "name": 2, ' + raw[1:]
    path.write_bytes(raw.encode("utf-16" if way == 4 else "utf-8", errors="replace"))


def _edit_safetensors(path: Path, rng: Rng, _world: Path) -> None:
    """A header or numbers that are not those that were saved."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    way = rng.randrange(7)
    if way == 0:
        header[name]["dtype"] = rng.choice(("I32", "F16", "BF16", "F64", "BOOL", "U8", "X9"))
    elif way == 1:
        header[name]["shape"] = rng.choice(([10**9], [-1], [], [2**62, 4], ["a"], [1.5]))
    elif way == 2:
        header[name]["data_offsets"] = rng.choice(([0, 10**12], [8, 4], [-4, 4], [0], [0, 0]))
    elif way == 3:
        header[rng.choice(("more", "decoder.9.weight"))] = header.pop(name)
    elif way == 4:
        start = header[name]["data_offsets"][0]
        data[start : start + 4] = np.float32(rng.choice((np.nan, np.inf, 1e38))).tobytes()
    elif way == 5:
        header["__metadata__"] = rng.choice(({"sha256": "0" * 64}, {}, {"a": 1}, None, []))
    else:
        size = rng.choice((2**62, 0, 10**8))
    text = json.dumps(header).encode()
    length = size if way == 6 else len(text)
    path.write_bytes(length.to_bytes(8, "little") + text + data)


def _edit_checkpoint(path: Path, rng: Rng, _world: Path) -> None:
    """A state that is not this training's, with the checksum that belongs to it."""
    if path.suffix == ".sha256":
        path.write_bytes(rng.randbytes(64))
        return
    state = torch.load(path, weights_only=True)
    *above, last = rng.choice(list(_places(state)))
    part = state
    for key in above:
        part = part[key]
    if rng.random() < 0.2:
        del part[last]
    else:
        value = part[last]
        strange: tuple[Any, ...] = (
            *_STRANGE[:10],
            "x",
            {},
            torch.zeros(3),
            torch.full((2, 2), torch.nan),
        )
        if isinstance(value, torch.Tensor):
            strange = (
                *strange,
                value.double(),
                value.flatten()[:1],
                value.to(torch.int64),
                value[None],
            )
        part[last] = rng.choice(strange)
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(digest)


def _edit_npz(path: Path, rng: Rng, _world: Path) -> None:
    strange = (
        np.zeros((3, 16, 16), object), np.zeros((0, 16, 16), np.uint8), np.zeros((2, 16, 16, 5)),
        np.full((3, 16, 16), np.nan), np.full((3, 16, 16), 2.0), np.zeros(3),
        np.zeros((2, 3, 4), "U3"),
        np.zeros((2, 16, 16), complex), np.zeros((2, 1, 1), np.uint8),
    )  # fmt: skip
    np.savez(path, **{rng.choice(("images", "other")): rng.choice(strange)})


Damage = Callable[[Path, Rng, Path], None]
ANY: dict[str, Damage] = {
    "truncated": _truncate,
    "emptied": _empty,
    "bits flipped": _flip,
    "bytes replaced": _replace,
    "another file": _swap,
    "of another run": _of_another_run,
    "a pipe": _pipe,
    "a folder": _folder,
    "a loop of links": _loop,
    "a device": _device,
    "not to be read": _private,
    "gone": _gone,
}
EDITS: dict[str, Damage] = {
    ".yaml": _edit_text,
    ".json": _edit_text,
    ".csv": _edit_text,
    ".safetensors": _edit_safetensors,
    ".pt": _edit_checkpoint,
    ".sha256": _edit_checkpoint,
    ".npz": _edit_npz,
}


# ---------------------------------------------------------------- one try


@dataclass(frozen=True)
class Result:
    """What a command made of a damaged file."""

    number: int
    command: str
    file: str
    damage: str
    outcome: str  # "refused" or "carried out"; else a fault
    about: str

    @property
    def is_fault(self) -> bool:
        """Whether it is not as it should be."""
        return self.outcome not in ("refused", "carried out")


def attempt(world: Path, seed: int, number: int) -> Result:
    """Damage a file, run the command that reads it, and look at what it said and changed."""
    rng = Rng(f"{seed}/{number}")
    words = rng.choice(list(COMMANDS))
    reads, writes = (part.split() for part in COMMANDS[words])
    file = rng.choice([path for pattern in reads for path in sorted(world.glob(pattern))])
    name = str(file.relative_to(world))
    edit = EDITS.get(file.suffix) if name != "weights.pt" else None
    damage = "edited" if edit is not None and rng.random() < 0.5 else rng.choice(list(ANY))
    needs = {Path(path).parts[0] for path in [*reads, *words.split()]}
    with tempfile.TemporaryDirectory(prefix="axiswise-fuzz-") as place, contextlib.chdir(place):
        for need in needs:
            if (source := world / need).is_dir():
                shutil.copytree(source, need)
            elif source.exists():
                shutil.copy(source, need)
        (edit if damage == "edited" and edit is not None else ANY[damage])(Path(name), rng, world)
        before = _snapshot(Path())
        status, errors, fault = _run(shlex.split(words))
        after = _snapshot(Path())
        if not fault:
            fault = _fault(tuple(writes), name, status, errors, before, after)
        if not fault and status == 0 and _has_other_weights(Path(name), world / name):
            fault = "scored", f"{name} has other weights than those that were saved: {errors}"
    outcome, about = fault or (("carried out" if status == 0 else "refused"), errors.strip())
    return Result(number, words, name, damage, outcome, about)


def _has_other_weights(damaged: Path, original: Path) -> bool:
    """Whether a file of weights gives others than the original: no command may take them."""
    if damaged.name != "model.safetensors" or not damaged.is_file():  # of a pipe, say
        return False
    try:
        found, saved = load_file(damaged), load_file(original)
    except Exception:  # whatever the damage makes of it; a command that went on did not read it
        return False
    return found.keys() != saved.keys() or any(
        value.dtype != saved[name].dtype or not torch.equal(value, saved[name])
        for name, value in found.items()
    )


def _run(words: list[str]) -> tuple[int, str, tuple[str, str] | None]:
    from axiswise.cli import main
    from axiswise.training.stops import TrainingStoppedError

    def hang(*_: object) -> None:
        raise HangError

    output, errors = io.StringIO(), io.StringIO()
    status, fault = -1, None
    timers = {signal.ITIMER_PROF: SECONDS, signal.ITIMER_REAL: _WAITS}
    before = [signal.signal(number, hang) for number in (signal.SIGALRM, signal.SIGPROF)]
    faulthandler.dump_traceback_later(2 * _WAITS, exit=True)
    for timer, seconds in timers.items():
        signal.setitimer(timer, seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, hard))
    engine = "axiswise.runs.sweeps.run_all._engine"
    try:
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            patch(engine, side_effect=TrainingStoppedError("no run is started here")),
        ):
            status = main(words)
    except HangError:
        fault = ("hang", "".join(traceback.format_exc()[-1500:]))
    except BaseException:
        fault = ("traceback", traceback.format_exc()[-3000:])
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in zip((signal.SIGALRM, signal.SIGPROF), before, strict=True):
            signal.signal(number, handler)
    return status, errors.getvalue(), fault


def _fault(
    writes: tuple[str, ...],
    name: str,
    status: int,
    errors: str,
    before: dict[str, str],
    after: dict[str, str],
) -> tuple[str, str] | None:
    """What is wrong with how a command ended, if anything."""
    said = [line for line in errors.splitlines() if line.startswith("axiswise: error: ")]
    if "Traceback" in errors or status not in (0, 1, 2):
        return "traceback", errors
    if len(said) != (status != 0) or any(len(line) > 2000 for line in said):
        return "words", f"status {status}: {errors[:3000]}"
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    own = [path for path in changed if not path.startswith(writes)]
    if own:
        return "changed", f"status {status}, {', '.join(sorted(own))}: {errors}"
    # Training leaves what it has done; `sweep` a table of what is missing.
    if status != 0 and "new" in after and "step" not in errors and "new/sweep.csv" not in after:
        return "left", f"{errors}: {sorted(after)}"
    if name in changed and name.endswith(("config.yaml", ".pt", ".sha256")) and status != 0:
        return "changed", f"status {status}, {name}: {errors}"
    return None


def _snapshot(folder: Path) -> dict[str, str]:
    """Path → kind and digest of all below a folder, but for hidden files and locks."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        kind = stat.S_IFMT(path.lstat().st_mode)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if kind == stat.S_IFREG else ""
        if not path.name.startswith(".") and not path.name.endswith(".lock"):
            seen[str(path)] = f"{kind} {digest}"
    return seen


def table(results: list[Result]) -> str:
    """Damage × command → outcomes, as text."""
    counts = Counter((each.damage, each.command.split(" --")[0], each.outcome) for each in results)
    lines = [f"{n:5}  {d:16} {c:34} {o}" for (d, c, o), n in sorted(counts.items())]
    totals = Counter(each.outcome for each in results)
    return "\n".join([*lines, ", ".join(f"{n} {outcome}" for outcome, n in totals.items())])


def main() -> int:
    """Try as many as the command line says, and print the faults and the table."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tiny import TINY, TINY_GAN

    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.strftime("%Y%m%d"))
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    print(f"seed {seed}")
    results = []
    with tempfile.TemporaryDirectory() as place:
        world = Path(place) / "world"
        build(world, TINY, TINY_GAN)
        for number in range(first, first + count):
            started = time.perf_counter()
            results.append(attempt(world, seed, number))
            last = results[-1]
            if len(results) % 100 == 0:
                print(f"{len(results)} of {count} tried", file=sys.stderr, flush=True)
            if last.is_fault:
                print(number, f"{time.perf_counter() - started:.1f} s", last, flush=True)
    print(table(results))
    return int(any(each.is_fault for each in results))


if __name__ == "__main__":
    sys.exit(main())
