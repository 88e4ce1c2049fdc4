"""Find the files of tables: a file for each table, a folder of such files, or a folder with the parts of one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FORMATS: Final = {".csv": "CSVWithNames", ".jsonl": "JSONEachRow", ".ndjson": "JSONEachRow", ".parquet": "Parquet"}
"""ClickHouse's name of the format, by suffix."""
COMPRESSIONS: Final = {".gz": "gzip", ".br": "br"}
"""ClickHouse's name of the compression, by suffix: those of PostHog's JSON lines (docs/server.md#batch-exports)."""
_OF_PARQUET: Final = (".gz", ".br", ".zst", ".lz4", ".sz")
"""PostHog names a Parquet file after the compression that it uses inside."""
IN_PARTS: Final = ("events", "persons")
"""The tables that may be a folder of files, as a batch export is."""
_MANIFEST: Final = "_manifest.json"

type Report = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file with rows of a table. `suffix` names its format, `compression` is ClickHouse's name of it or ''. The rows
    of a part belong to the table together with those of the other parts.
    """

    path: Path
    table: str
    suffix: str
    compression: str = ""
    is_part: bool = False

    @property
    def format(self) -> str:
        return FORMATS[self.suffix]


def find(paths: Iterable[Path], report: Report) -> list[TableFile]:
    """The files of all paths in order. Paths that cannot be read are reported, and left out."""
    return [file for path in paths for file in (_in_folder if path.is_dir() else _single)(path, report)]


def _single(path: Path, report: Report) -> Iterator[TableFile]:
    if not path.is_file():
        report(path, _not_a_file(path))
        return
    file = _file(path)
    if file is None:
        report(path, _endings())
    else:
        yield file


def _in_folder(folder: Path, report: Report) -> Iterator[TableFile]:
    """The tables in a folder; the parts of the table if the folder has the name of one."""
    if folder.name in IN_PARTS:
        yield from _parts(folder, report)
        return
    is_empty = True
    for path in _visible(folder):
        if path.is_dir() and path.name in IN_PARTS:
            is_empty = False
            yield from _parts(path, report)
        elif _file(path) is not None or _looks_like_table(path):
            is_empty = False
            yield from _single(path, report)
    if is_empty:
        report(folder, f"the folder has no tables: {_endings()}")


def _parts(folder: Path, report: Report) -> Iterator[TableFile]:
    """All files below a folder, which are rows of the table with the name of the folder, whatever their own names."""
    files = [path for path in _below(folder, report, (folder.resolve(),)) if not path.name.endswith(_MANIFEST)]
    if not files:
        report(folder, f"the folder has no rows of the table {folder.name}: {_endings()}")
    for path in files:
        file = _file(path, part_of=folder.name)
        if file is None:
            report(path, _endings())
        elif not path.is_file():
            report(path, _not_a_file(path))
        else:
            yield file


def _below(folder: Path, report: Report, parents: tuple[Path, ...]) -> Iterator[Path]:
    """All that is below a folder and is not a folder. Links to folders are followed, but for one that leads back to a
    folder that it is in."""
    for path in _visible(folder):
        if not path.is_dir():
            yield path
        elif (target := path.resolve()) in parents:
            report(path, f"the link leads back to {target}, which it is in: remove it")
        else:
            yield from _below(path, report, (*parents, target))


def _visible(folder: Path) -> list[Path]:
    """What is in a folder. Raises OSError if it cannot be read."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _not_a_file(path: Path) -> str:
    """Why a path with the name of a table cannot be read as one."""
    if path.is_symlink() and not path.exists():
        return f"the link leads to {path.readlink()}, which does not exist"
    return "not a file" if path.exists() else "there is no such file"


def _file(path: Path, part_of: str = "") -> TableFile | None:
    """The file as a part of a table, or as the table that it is named after; None if its format is unknown."""
    stem, suffix, compression = path.stem, path.suffix.lower(), ""
    inner = Path(stem).suffix.lower()
    if (suffix in COMPRESSIONS and inner in FORMATS) or (suffix in _OF_PARQUET and inner == ".parquet"):
        compression = "" if inner == ".parquet" else COMPRESSIONS[suffix]
        stem, suffix = Path(stem).stem, inner
    if suffix not in FORMATS:
        return None
    return TableFile(path=path, table=part_of or stem, suffix=suffix, compression=compression, is_part=bool(part_of))


def _looks_like_table(path: Path) -> bool:
    """Whether a file of unknown format was meant as a table: others may lie beside the tables."""
    first, *suffixes = path.name.lower().split(".")
    return first in IN_PARTS or any(f".{suffix}" in FORMATS for suffix in suffixes)


def _endings() -> str:
    packed = " and ".join(COMPRESSIONS)
    return f"the name of the file must end in {', '.join(FORMATS)} (compressed: {packed} after it)"
