"""The gate, offline: what a release job of an app pays to judge its pins by lock and evidence."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.locking import PINS, STARTS
from benchmarks.locking import pin as released_pin
from benchmarks.measure import Measure
from benchmarks.project import ours
from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn

MOVED = 20
_FILE = "endpoints-evidence.json"


def measures() -> Iterator[Measure]:
    for moved, limit in ((MOVED, 300), (PINS, None)):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            _release(Path(folder), moved)
            seconds = statistics.median(_seconds(folder) for _ in range(STARTS))
        what = f"`gate --offline` of {PINS} pins, {moved} moved, whole process"
        yield Measure(what=what, value=seconds * 1000, unit="ms", limit=limit)


def _release(folder: Path, moved: int) -> None:
    """A repository whose pins were released as v1, and of which some moved since, with the evidence of their tests."""
    names = [f"endpoint_{number:03}" for number in range(PINS)]
    environment = '[environments.prod]\nhost = "https://us.posthog.com"\nproject_id = 1\nkey = "env:NOBODY"\n'
    uses = "".join(f'{name} = "*"\n' for name in names)
    (folder / "endpoints.toml").write_text(f"{environment}[environments.prod.uses]\n{uses}")
    (folder / ".gitignore").write_text(f"{_FILE}\n")
    released = [released_pin(name) for name in names]
    present = [*map(_moved, released[:moved]), *released[moved:]]
    _git(folder, "init", "--quiet")
    for pins in (released, present):
        (folder / "endpoints.lock").write_bytes(write_lock(Lock(pins=tuple(pins))))
        _git(folder, "add", "--all")
        _git(folder, "commit", "--quiet", "--message", "pins")
    _git(folder, "tag", "v1", "HEAD^")
    evidence = Evidence(
        commit=_git(folder, "rev-parse", "HEAD"),
        tree=_git(folder, "rev-parse", "HEAD^{tree}"),
        is_dirty=False,
        mode="replay",
        contract="strict",
        outcome="passed",
        partial=None,
        pins=tuple(ExercisedPin.of(pin, [_passed(pin)]) for pin in present),
    )
    (folder / _FILE).write_bytes(write_evidence(evidence))


def _passed(pin: Pin) -> ExercisedTest:
    return ExercisedTest(test=f"test_app.py::test_{pin.name}", outcome="passed")


def _moved(pin: Pin) -> Pin:
    """The pin of a version with one more column."""
    sql = str(pin.query["query"]).replace("AS invoices", "AS invoices, max(amount) AS largest")
    columns = (*(pin.columns or ()), PinnedColumn(name="largest", type="decimal"))
    return replace(pin, version=pin.version + 1, query={**pin.query, "query": sql}, columns=columns)


def _seconds(folder: str) -> float:
    started = time.perf_counter()
    subprocess.run(ours("gate", "--against", "v1", "--offline"), check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - started


def _git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    done = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
