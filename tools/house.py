"""The house: which folder of the package imports from which, and whether one may.

`python tools/house.py` prints a row for each folder of src/axiswise, the highest first, with its
lines and the folders that it imports from. It fails on an import of a folder that stands higher or
beside, on a circle between modules or folders, and on a function that is too long.
`python tools/house.py --lines FOLDER …` prints the lines for each folder of several copies of
src/axiswise, side by side.
"""

import argparse
import ast
import graphlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import grimp

SOURCE = Path(__file__).parents[1] / "src" / "axiswise"
# Highest first. A folder imports from lower lines only; those of one line know nothing of each
# other. A folder inside another one stands where it is named, else where the outer one does.
FLOORS = (
    "cli",
    "runs.figures",
    "runs.sweeps",
    "runs",
    "training",
    "directions objectives metrics",
    "generators",
    "nets data plots",
    "penalties",
    "jacobian",
    "support",
)
# Folders that only these may import from.
ONLY_FOR = {"metrics": {"runs", "runs.figures", "runs.sweeps"}}
LONGEST = 80  # lines of a function, with its docstring

_FLOOR_OF = {folder: floor for floor, names in enumerate(FLOORS) for folder in names.split()}
_ROOT = ""  # the package's own __init__, which everything may be named in


def main() -> int:
    """Print the house or the lines; the exit status is 1 if the house has faults."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--lines", nargs="*", type=Path, metavar="FOLDER", help="print lines alone")
    options = parser.parse_args()
    if options.lines is not None:
        print_table(line_table(options.lines or [SOURCE]))
        return 0
    imports = module_imports()
    print_table(house_table(imports))
    faults = [*floor_faults(imports), *circles(imports), *long_functions(SOURCE)]
    print(*faults, sep="\n")
    print(f"{len(faults)} faults" if faults else "no arrow up, no circle, no function too long")
    return bool(faults)


def module_imports() -> dict[str, set[str]]:
    """Module → modules that it imports, anywhere in it; names without "axiswise."."""
    graph = grimp.build_graph("axiswise", cache_dir=None)
    return {
        _inside(module): {_inside(name) for name in graph.find_modules_directly_imported_by(module)}
        for module in sorted(graph.modules)
    }


def folder_of(module: str) -> str:
    """The floor's folder that a module belongs to: the longest name that begins its own."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in _FLOOR_OF), parts[0])


def folder_imports(imports: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Folder → other folders that its modules import from."""
    folders: dict[str, set[str]] = {}
    for module, imported in imports.items():
        folder = folder_of(module)
        folders.setdefault(folder, set()).update(map(folder_of, imported))
        folders[folder].discard(folder)
    return dict(sorted(folders.items(), key=lambda item: _FLOOR_OF.get(item[0], -1)))


def floor_faults(imports: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A line for each import that goes up or sideways."""
    for module, imported in imports.items():
        above = folder_of(module)
        if above not in _FLOOR_OF and above != _ROOT:
            yield f"{module} is in no folder of the house: {', '.join(FLOORS)}"
            continue
        for name in sorted(imported):
            below = folder_of(name)
            if above in (below, _ROOT):
                continue
            if below == _ROOT or _FLOOR_OF[above] >= _FLOOR_OF.get(below, -1):
                yield f"{module} imports {name or 'axiswise'}, which does not stand lower"
            elif above not in ONLY_FOR.get(below, {above}):
                yield f"{module} imports {name}, which is for {', '.join(ONLY_FOR[below])} alone"


def circles(imports: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A line for one circle of modules, and one for one of folders, if there are any."""
    for what, graph in (("modules", imports), ("folders", folder_imports(imports))):
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            yield f"circle of {what}: {' ← '.join(error.args[1])}"


def long_functions(source: Path) -> Iterator[str]:
    """A line for each function that is too long."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST:
                    where = f"{path.relative_to(source)}:{node.lineno}"
                    yield f"{where} {node.name} has {lines} lines, {LONGEST} at most"


def house_table(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Header and a row for each folder: its lines, and where it imports from."""
    lines = _lines(SOURCE, folder_of)
    rows = [["folder", "files", "lines", "docstrings", "imports from"]]
    for folder, imported in folder_imports(imports).items():
        if folder == _ROOT:
            continue
        files, whole, words = lines[folder]
        order = sorted(imported, key=lambda name: _FLOOR_OF.get(name, -1))
        rows.append([folder, str(files), str(whole), str(words), " ".join(order)])
    return rows


def line_table(sources: Iterable[Path]) -> list[list[str]]:
    """Header and a row for each folder: its lines in each of several copies of the package."""
    tables = {
        str(source): _lines(source, lambda module: module.split(".")[0]) for source in sources
    }
    folders = sorted({folder for table in tables.values() for folder in table})
    rows = [["folder", *(f"{name}: lines (docstrings)" for name in tables)]]
    for folder in [*folders, None]:
        row = [folder or "package" if folder is not None else "all"]
        for table in tables.values():
            found = [table[folder]] if folder in table else []
            found = list(table.values()) if folder is None else found
            whole, words = (sum(counts[i] for counts in found) for i in (1, 2))
            row.append(f"{whole} ({words})")
        rows.append(row)
    return rows


def print_table(rows: list[list[str]]) -> None:
    """Print rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _lines(source: Path, folder_of: Callable[[str], str]) -> dict[str, tuple[int, int, int]]:
    """Folder → its files, their lines, and how many of these are docstrings."""
    counts: dict[str, Counter[str]] = {}
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        count = counts.setdefault(folder_of(module.removesuffix("__init__").strip(".")), Counter())
        count.update(files=1, lines=text.count("\n"), docstrings=_docstring_lines(ast.parse(text)))
    return {name: (c["files"], c["lines"], c["docstrings"]) for name, c in counts.items()}


def _docstring_lines(tree: ast.Module) -> int:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(
        (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
    )


def _inside(module: str) -> str:
    return module.removeprefix("axiswise").removeprefix(".")


if __name__ == "__main__":
    sys.exit(main())
