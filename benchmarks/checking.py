"""Checking: what it costs beside reading the same files with nothing but the parsers, and what its cache saves."""

from __future__ import annotations

import os
import shutil
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
CHANGED = 10
STARTS = 11
RUNS = 3
# one process that does what no checker can do without: one C parser of YAML for all files, PostHog's parser of HogQL,
# and its answer read
_BARE = (
    "import json, sys, time\n"
    "from pathlib import Path\n"
    "from hogql_parser_rs import parse_select_json\n"
    "from ruamel.yaml import YAML\n"
    "reader = YAML(typ='safe', pure=False)\n"
    "started = time.perf_counter()\n"
    "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
    "    json.loads(parse_select_json(reader.load(path.read_bytes())['query']))\n"
    "print(time.perf_counter() - started)\n"
)


def measures() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as top:
        yield from _whole_folder(Path(top))
        yield from _one_file(Path(top))


def _whole_folder(top: Path) -> Iterator[Measure]:
    """Pair by pair: a ratio of two times that were taken one after the other says the same on a busy machine."""
    folder = _written(top / "all", CHECKED)
    times = [_times(folder, top, number) for number in range(RUNS)]
    bare, cold, changed = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(cold / bare for bare, cold, _ in times)
    note = f"{cold:.1f} s, bare {bare:.1f} s"
    yield Measure(what=f"`check` of {CHECKED:,} definitions, against bare parsing", value=ratio, limit=1.5, note=note)
    ratio = statistics.median(changed / cold for _, cold, changed in times)
    what = f"… with {CHANGED} changed since the last run, against none kept"
    yield Measure(what=what, value=ratio, limit=0.2, note=f"{changed:.1f} s")


def _times(folder: Path, top: Path, number: int) -> tuple[float, float, float]:
    """Seconds of bare parsing, of a check without results of an earlier one, and of the next one."""
    shutil.rmtree(_cache(top), ignore_errors=True)
    bare, cold = _bare(folder), _checked(folder, top)
    for changed in range(CHANGED):
        place = number * CHANGED + changed
        (folder / f"{name(place)}.yaml").write_text(
            definition(place, "\n  AND person_id IS NOT NULL"), encoding="utf-8"
        )
    return bare, cold, _checked(folder, top)


def _one_file(top: Path) -> Iterator[Measure]:
    folder = _written(top / "one", 1)
    path = folder / f"{name(0)}.yaml"
    command = ours("check", str(path), "--dir", str(folder))
    seconds = statistics.median(_seconds((*command, "--no-cache"), folder, top) for _ in range(STARTS))
    yield Measure(what="`check` of one file that changed, whole process", value=seconds * 1000, unit="ms", limit=350)
    seconds = statistics.median(_seconds(command, folder, top) for _ in range(STARTS))
    yield Measure(what="… that did not change", value=seconds * 1000, unit="ms", limit=150)


def _written(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{name(number)}.yaml").write_text(definition(number), encoding="utf-8")
    return folder


def _bare(folder: Path) -> float:
    ran = subprocess.run((sys.executable, "-c", _BARE, folder), check=True, capture_output=True, text=True)
    return float(ran.stdout)


def _checked(folder: Path, top: Path) -> float:
    return _seconds(ours("check", "--dir", str(folder)), folder, top)


def _cache(top: Path) -> Path:
    return top / "cache"


def _seconds(command: tuple[str, ...], folder: Path, top: Path) -> float:
    started = time.perf_counter()
    env = os.environ | {"ENDPOINTS_GITOPS_CACHE": str(_cache(top))}
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=env)
    return time.perf_counter() - started
