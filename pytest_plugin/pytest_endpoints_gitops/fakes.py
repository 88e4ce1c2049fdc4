"""The real clock and the real files in tests that fake them.

Tests stop the clock (freezegun, time-machine) and fake the file system (pyfakefs). That must not reach the plugin:
modules that build types from dates are imported before a clock stops, and lock and configuration are read while files
are real.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pytest_endpoints_gitops.names import FIXTURES
from pytest_endpoints_gitops.options import PluginSettings

if TYPE_CHECKING:
    import pytest

_ALWAYS: Final = (
    "encodings.utf_8_sig",
    "endpoints_gitops.consumer.insights",
    "pytest_endpoints_gitops.endpoint_caller",
    "pytest_endpoints_gitops.project",
    "pytest_endpoints_gitops.recordings",
    "pytest_endpoints_gitops.sources",
    "pytest_endpoints_gitops.stubbing",
)
_FOR_CLIENTS: Final = (
    "encodings.idna",
    "endpoints_gitops.api.client",
    "endpoints_gitops.consumer.async_endpoints",
    "endpoints_gitops.consumer.cache",
    "endpoints_gitops.consumer.endpoints",
    "endpoints_gitops.consumer.locked",
    "endpoints_gitops.consumer.pinned",
    "endpoints_gitops.workspace.credentials",
    "endpoints_gitops.workspace.state",
    "httpx",
    "pytest_endpoints_gitops.server_fixture",
)
_FOR_CALLS: Final = (
    "endpoints_gitops.model.endpoint",
    "filelock",
    "pytest_endpoints_gitops.run_folder",
)
_FOR_DEFINITIONS: Final = ("endpoints_gitops.codecs.definition",)
_SERVERS: Final = frozenset({"endpoints_server", "endpoints_env", "endpoints_client", "async_endpoints_client"})


def prepare(
    settings: PluginSettings, read_project: Callable[[pytest.Item], None], items: Iterable[pytest.Item]
) -> None:
    """Import and read what the tests of this run need, before the first of them starts. Packages of an extra that are
    not installed are named by the test that needs them.
    """
    from pytest_endpoints_gitops.failures import Failure
    from pytest_endpoints_gitops.marks import mark_of

    fixtures = [({*getattr(item, "fixturenames", ())} & FIXTURES, mark_of(item), item) for item in items]
    used = [(names, mark, item) for names, mark, item in fixtures if names]
    if not used:
        return
    from endpoints_gitops.extras import missing_packages

    modes = {mark.mode or settings.mode.value for _, mark, _ in used}
    canaries = {mark.canary or settings.canary.value for _, mark, _ in used}
    needs_calls = modes != {"replay"} or canaries != {"off"}
    needs_client = needs_calls or any(names & _SERVERS for names, _, _ in used)
    reads_definitions = ("local" in modes or "worktree" in canaries) and not missing_packages("cli")
    needed = (
        (_ALWAYS, True),
        (_FOR_CLIENTS, needs_client),
        (_FOR_CALLS, needs_calls),
        (_FOR_DEFINITIONS, reads_definitions),
    )
    for name in (name for names, is_needed in needed if is_needed for name in names):
        import_module(name)
    for item in {item.path.parent: item for _, _, item in used}.values():
        with suppress(Failure):  # raised by the test that asks
            read_project(item)


def now() -> datetime:
    """The real time: the operating system stamps files by its own clock."""
    with tempfile.TemporaryFile() as file:
        return datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)


class _FakeFiles:
    """pyfakefs, while a test has it. It is paused for as long as anything here needs real files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._paused: Any = None

    def pause(self) -> None:
        with self._lock:
            self._users += 1
            module = sys.modules.get("pyfakefs.fake_filesystem_unittest")
            patcher = module.Patcher.PATCHER if module else None
            if self._users == 1 and patcher is not None and not getattr(patcher, "_paused", False):
                patcher.pause()
                self._paused = patcher

    def resume(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._paused is not None:
                self._paused.resume()
                self._paused = None


_FAKE_FILES: Final = _FakeFiles()


@contextmanager
def real_files() -> Iterator[None]:
    """Within this block files are the real ones, also in a test that fakes them."""
    _FAKE_FILES.pause()
    try:
        yield
    finally:
        _FAKE_FILES.resume()
