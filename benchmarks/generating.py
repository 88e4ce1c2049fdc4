"""Clients of 100 pins: what a commit that moves a pin pays, and what every other one does."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.locking import PINS, pin
from benchmarks.measure import Measure
from benchmarks.project import ours
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.model.pin import Lock, PinnedVariable
from endpoints_gitops.model.target import NATIVE_LANGUAGES

STARTS = 11


def measures() -> Iterator[Measure]:
    for lang in NATIVE_LANGUAGES:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            top = Path(folder)
            _write_project(top, lang)
            written = _seconds(
                top, "generate", before=lambda top=top: shutil.rmtree(top / "clients", ignore_errors=True)
            )
            checked = _seconds(top, "generate", "--check")
        what = f"of {PINS} pins for {lang}, whole process"
        yield Measure(what=f"`generate` {what}", value=written * 1000, unit="ms", limit=500)
        yield Measure(what=f"`generate --check` {what}", value=checked * 1000, unit="ms", limit=300)


def _write_project(top: Path, lang: str) -> None:
    names = [f"endpoint_{number:03}" for number in range(PINS)]
    variables = (PinnedVariable(name="month", type="Date", required=True),)
    pins = tuple(replace(pin(name), variables=variables) for name in names)
    (top / "endpoints.lock").write_bytes(write_lock(Lock(pins=pins)))
    uses = "".join(f'{name} = "*"\n' for name in names)
    environment = '[environments.prod]\nhost = "https://us.posthog.com"\nproject_id = 1\nkey = "env:NOBODY"\n'
    target = f'[generate.app]\nlang = "{lang}"\nnative = true\n'
    (top / "endpoints.toml").write_text(f"{environment}[environments.prod.uses]\n{uses}{target}")


def _seconds(top: Path, *words: str, before: Callable[[], object] = lambda: None) -> float:
    """The median of several processes; `before` is called before each of them, and not measured."""
    measured = []
    for _ in range(STARTS):
        before()
        started = time.perf_counter()
        subprocess.run(ours(*words), check=True, capture_output=True, cwd=top)
        measured.append(time.perf_counter() - started)
    return statistics.median(measured)
