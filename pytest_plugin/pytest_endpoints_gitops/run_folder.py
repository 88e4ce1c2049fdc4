"""What the processes of one run share: answers that are requested only once, and the ceiling of live calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from pytest_endpoints_gitops.failures import CeilingReached, EndpointRef, Failure, from_plain
from pytest_endpoints_gitops.options import PluginSettings

_SPENT = "spent"


class RunFolder:
    """A folder that is made by `make` when the first file is needed.

    Calls of an async test come from several threads at once: they must not make one each.
    """

    def __init__(self, make: Callable[[], Path], settings: PluginSettings) -> None:
        self._make = make
        self._settings = settings
        self._path: Path | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        with self._lock:
            if self._path is None:
                self._path = self._make()
            return self._path

    @property
    def spent(self) -> int:
        """How many live calls this run has made so far."""
        path = None if self._path is None else self._path / _SPENT
        return int(path.read_text()) if path is not None and path.is_file() else 0

    def once(self, file: str, request: Callable[[], bytes]) -> bytes:
        """The content of a file, which the first process that needs it gets from `request`.

        Raises the Failure that `request` raised, in this process or in another.
        """
        from filelock import FileLock

        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        failed = path.with_suffix(".failed")
        with FileLock(path.with_suffix(".lock")):
            if path.is_file():
                return path.read_bytes()
            if failed.is_file():
                raise from_plain(json.loads(failed.read_bytes()))
            try:
                content = request()
            except Failure as failure:
                failed.write_text(json.dumps(failure.as_plain()), encoding="utf-8")
                raise
            path.write_bytes(content)
            return content

    def spend(self, endpoint: EndpointRef) -> None:
        """Count a live call that is about to be made. Raises CeilingReached where the run may make no more."""
        from filelock import FileLock

        counted = self.path / _SPENT
        with FileLock(counted.with_suffix(".lock")):
            made = int(counted.read_text()) if counted.is_file() else 0
            if made >= int(self._settings.max_calls.value):
                raise self._ceiling(endpoint)
            counted.write_text(str(made + 1))

    def _ceiling(self, endpoint: EndpointRef) -> CeilingReached:
        ceiling, canary = self._settings.max_calls, self._settings.canary.value
        canaries = () if canary == "off" else (f"--endpoints-canary={canary}",)
        return CeilingReached(
            endpoint,
            f"this run has made all of its {ceiling.value} live calls",
            ("defined", ceiling.source),
            command=(
                "pytest",
                f"--endpoints={self._settings.mode.value}",
                *canaries,
                f"--endpoints-max-calls={int(ceiling.value) * 2}",
            ),
        )
