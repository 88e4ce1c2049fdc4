"""Checking: what it costs beside reading the same files with nothing but the parsers."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measure
from benchmarks.project import definition, name, ours

CHECKED = 10_000
STARTS = 11
RUNS = 3
# one process that does what no checker can do without: the C parser of YAML, PostHog's of HogQL, and its answer read
_BARE = (
    "import json, sys, time\n"
    "from pathlib import Path\n"
    "from hogql_parser_rs import parse_select_json\n"
    "from ruamel.yaml import YAML\n"
    "started = time.perf_counter()\n"
    "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
    "    read = YAML(typ='safe', pure=False).load(path.read_bytes())\n"
    "    json.loads(parse_select_json(read['query']))\n"
    "print(time.perf_counter() - started)\n"
)


def measures() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as top:
        yield from _whole_folder(Path(top))
        yield from _one_file(Path(top))


def _whole_folder(top: Path) -> Iterator[Measure]:
    folder = _written(top / "all", CHECKED)
    pairs = [(_bare(folder), _checked(folder)) for _ in range(RUNS)]
    ratio = statistics.median(checked / bare for bare, checked in pairs)
    bare, checked = (statistics.median(times) for times in zip(*pairs, strict=True))
    note = f"{checked:.1f} s, bare {bare:.1f} s"
    yield Measure(what=f"`check` of {CHECKED:,} definitions, against bare parsing", value=ratio, limit=1.5, note=note)


def _one_file(top: Path) -> Iterator[Measure]:
    folder = _written(top / "one", 1)
    command = ours("check", str(folder / f"{name(0)}.yaml"), "--dir", str(folder))
    seconds = statistics.median(_seconds(command, folder) for _ in range(STARTS))
    yield Measure(what="`check` of one file, whole process", value=seconds * 1000, unit="ms", limit=250)


def _written(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{name(number)}.yaml").write_text(definition(number), encoding="utf-8")
    return folder


def _bare(folder: Path) -> float:
    told = subprocess.run((sys.executable, "-c", _BARE, folder), check=True, capture_output=True, text=True)
    return float(told.stdout)


def _checked(folder: Path) -> float:
    return _seconds(ours("check", "--dir", str(folder)), folder)


def _seconds(command: tuple[str, ...], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - started
