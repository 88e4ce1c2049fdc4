"""Start and reading: what every command costs before it does anything. Peaks of memory are read from Linux's /proc:
`getrusage` carries the parent's over into a child."""

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

STARTS = 11
READ = 1_000
KEPT = 10_000
_READ_ALL = (
    "import re, sys, time\n"
    "from pathlib import Path\n"
    "from endpoints_gitops.workspace.definitions import read_all\n"
    "started = time.perf_counter()\n"
    "kept = read_all(Path(sys.argv[1]))\n"
    "seconds = time.perf_counter() - started\n"
    "peak = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]\n"
    "print(len(kept), seconds, peak)\n"
)


def measures() -> Iterator[Measure]:
    seconds = statistics.median(_seconds(ours("--version")) for _ in range(STARTS))
    yield Measure(what="`--version`, whole process", value=seconds * 1000, unit="ms", limit=60)
    seconds, _ = _read(READ)
    yield Measure(what=f"reading and validating {READ:,} definitions", value=seconds, unit="s", limit=1)
    _, mebibytes = _read(KEPT)
    yield Measure(what=f"memory with {KEPT:,} definitions read", value=mebibytes, unit="MB", limit=300)


def _seconds(command: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _read(count: int) -> tuple[float, float]:
    """Seconds and peak megabytes of a process that reads a folder and keeps all of it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for number in range(count):
            (Path(folder) / f"{name(number)}.yaml").write_text(definition(number), encoding="utf-8")
        told = subprocess.run((sys.executable, "-c", _READ_ALL, folder), check=True, capture_output=True, text=True)
    read, seconds, peak = told.stdout.split()
    if int(read) != count:
        raise SystemExit(f"{read} of {count} definitions were read")
    return float(seconds), int(peak) * 1024 / 1_000_000
