"""The hook of a commit: one changed file in a folder of 10,000 definitions."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from os import environ
from pathlib import Path

from benchmarks.measure import Measure
from benchmarks.project import definition, name, ours

FILES = 10_000
STARTS = 15
SETTLED = 2.5  # seconds until the times of new files are old enough to be trusted


def measures() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as top:
        folder = Path(top) / "endpoints"
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{name(number)}.yaml").write_text(definition(number), encoding="utf-8")
        time.sleep(SETTLED)
        first = _seconds(Path(top))
        yield Measure(what=f"`endpoints-check`, first commit of a folder of {FILES:,}", value=first, unit="s")
        times = [_seconds(Path(top), _changed(folder, number)) for number in range(STARTS)]
        what = "… one changed file, whole process"
        yield Measure(what=what, value=statistics.median(times) * 1000, unit="ms", limit=200)
        times = [_seconds(Path(top)) for _ in range(STARTS)]
        yield Measure(what="… no changed definition", value=statistics.median(times) * 1000, unit="ms")


def _changed(folder: Path, number: int) -> str:
    path = folder / f"{name(number)}.yaml"
    path.write_text(definition(number, "\n  AND person_id IS NOT NULL"), encoding="utf-8")
    return f"endpoints/{path.name}"


def _seconds(top: Path, *changed: str) -> float:
    env = environ | {"ENDPOINTS_GITOPS_CACHE": str(top / "cache")}
    started = time.perf_counter()
    subprocess.run(ours("check", "--changed-files", *changed), check=True, capture_output=True, cwd=top, env=env)
    return time.perf_counter() - started
