"""Whether a run is full: every test of the whole suite was collected, kept and run by the processes of this run.

Shards, conftest files and plugins drop tests in many places and need not announce it. So what pytest collected is
compared with what is left when the tests start, and that with what ran.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_endpoints_gitops.names import REPORTED

_NARROWING_OPTIONS: Final = (
    ("keyword", "-k"),
    ("markexpr", "-m"),
    ("lf", "--lf"),
    ("stepwise", "--stepwise"),
    ("ignore", "--ignore"),
    ("ignore_glob", "--ignore-glob"),
    ("deselect", "--deselect"),
    ("maxfail", "--maxfail"),
    ("collectonly", "--collect-only"),
    ("setuponly", "--setup-only"),
    ("setupplan", "--setup-plan"),
    ("inifilename", "-c"),
)
_NARROWING_INI: Final = ("addopts", "testpaths", "norecursedirs", "python_files", "python_classes", "python_functions")


class Completeness:
    """Whether everything ran: only then can a run tell that a recording is not needed.

    A run is full when that is proven: every test that was collected is in `expected`, each of those is in `finished`,
    and `reasons` is empty. `locks` are those of the collected tests. `unsure` is why a full run still cannot judge
    recordings.
    """

    def __init__(self) -> None:
        self.expected: set[str] = set()
        self.called: set[str] = set()
        self.finished: set[str] = set()
        self.reasons: dict[str, None] = {}
        self.locks: set[str] = set()
        self.unsure: str | None = None

    def partial_because(self, reason: str) -> None:
        self.reasons[reason] = None

    def why_partial(self) -> str | None:
        """The first reason why this run cannot judge what it did not touch; None for a full run."""
        if self.reasons:
            return next(iter(self.reasons))
        ran = self.finished & self.called & self.expected
        if not ran or len(ran) < len(self.expected):
            return f"{len(ran)} of {len(self.expected)} tests ran"
        return None

    def for_controller(self) -> dict[str, list[str]]:
        """What a worker collected, as plain values."""
        return {"expected": sorted(self.expected), "reasons": list(self.reasons), "locks": sorted(self.locks)}

    def take_worker(self, plain: dict[str, list[str]] | None) -> None:
        """Take what a worker reports at its end; a worker that reports nothing proves nothing."""
        if plain is None:
            self.partial_because("a worker did not report what it collected")
            return
        self.expected.update(plain["expected"])
        self.locks.update(plain["locks"])
        for reason in plain["reasons"]:
            self.partial_because(reason)


class CollectionHooks:
    """The hooks of collection that run outermost: they see what every other plugin leaves. `lock_of` gives the lock of
    the tests in a file, and `on_log` is called with each report that has a call log.
    """

    def __init__(
        self,
        config: pytest.Config,
        completeness: Completeness,
        lock_of: Callable[[Path], str],
        on_log: Callable[[pytest.TestReport], None],
    ) -> None:
        self._completeness = completeness
        self._lock_of = lock_of
        self._on_log = on_log
        self._root = config.rootpath
        self._items: list[pytest.Item] = []
        self._inner = InnerCollectionHooks()
        config.pluginmanager.register(self._inner, "endpoints_collection_inner")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append(item)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        if items:
            self._completeness.partial_because(f"{len(items)} tests were deselected")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._completeness.partial_because(f"{report.nodeid or 'a file'} was not collected")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(
        self, collection_path: Path, config: pytest.Config
    ) -> Generator[None, bool | None, bool | None]:
        is_ignored = yield
        if is_ignored and _may_hold_tests(collection_path, config):
            self._completeness.partial_because(f"{_relative(collection_path, self._root)} was ignored")
        return is_ignored

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        left = {node.nodeid for node in report.result or ()}
        if not left.issuperset(self._inner.collected.pop(collector.nodeid, ())):
            self._completeness.partial_because(f"a plugin dropped tests of {collector.nodeid or 'the suite'}")
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pycollect_makeitem(
        self,
        collector: Any,  # noqa: ANN401 - a module or a class
        name: str,
        obj: object,
    ) -> Generator[None, object, object]:
        collected = yield
        if not collected and _is_test(collector, name, obj):
            self._completeness.partial_because(f"a plugin dropped {collector.nodeid}::{name}")
        return collected

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Ids are compared as they are now: xdist adds the group of a test to its id."""
        kept = {item.nodeid for item in session.items}
        dropped = sum(item.nodeid not in kept for item in self._items)
        if dropped:
            self._completeness.partial_because(f"{dropped} of {len(self._items)} collected tests were dropped")
        self._completeness.expected.update(kept)
        self._completeness.locks.update(self._lock_of(item.path) for item in session.items)
        self._items.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which tests ran: in the process where all reports arrive, that is all of them."""
        if REPORTED in report.__dict__:
            self._on_log(report)
        if report.when == "teardown":
            self._completeness.finished.add(report.nodeid)
        elif report.when == "call" or report.skipped:
            self._completeness.called.add(report.nodeid)


class InnerCollectionHooks:
    """The hooks of collection that run innermost: they see what pytest itself collects, before wrappers of other
    plugins change it.
    """

    def __init__(self) -> None:
        self.collected: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self.collected[collector.nodeid] = {node.nodeid for node in report.result or ()}
        return report


def note_partial(completeness: Completeness, config: pytest.Config, exit_status: int) -> None:
    """Note why the command line and the end of the run make it a partial one."""
    if exit_status == pytest.ExitCode.INTERRUPTED:
        completeness.partial_because("the run was interrupted")
    elif exit_status != pytest.ExitCode.OK:
        completeness.partial_because("not everything passed")
    if _names_paths(config):
        completeness.partial_because("paths were named")
    for option, flag in _NARROWING_OPTIONS:
        if config.getoption(option, None):
            completeness.partial_because(f"{flag} was given")
    for setting in config.getoption("override_ini", None) or ():
        name = setting.partition("=")[0].strip()
        if name in _NARROWING_INI:
            completeness.partial_because(f"-o {name} was given")


def _names_paths(config: pytest.Config) -> bool:
    """Whether less than the whole was asked for: a path on the command line, or a start from further below."""
    source = config.args_source
    if source == pytest.Config.ArgsSource.INVOCATION_DIR:
        return config.invocation_params.dir != config.rootpath
    return source != pytest.Config.ArgsSource.TESTPATHS


def _may_hold_tests(path: Path, config: pytest.Config) -> bool:
    """Whether pytest would have collected an ignored path; it never looks into virtual environments and the like."""
    if path.is_dir():
        is_environment = (path / "pyvenv.cfg").is_file() or (path / "conda-meta").is_dir()
        names = ("__pycache__", *config.getini("norecursedirs"))
        return not is_environment and not _matches(path, names)
    return _matches(path, config.getini("python_files"))


def _matches(path: Path, patterns: Any) -> bool:  # noqa: ANN401 - an ini value
    return any(fnmatch.fnmatch(path.as_posix() if "/" in pattern else path.name, pattern) for pattern in patterns)


def _is_test(collector: Any, name: str, obj: object) -> bool:  # noqa: ANN401 - a module or a class
    if inspect.isclass(obj):
        return bool(collector.istestclass(obj, name))
    return inspect.isfunction(obj) and getattr(obj, "__test__", True) and bool(collector.istestfunction(obj, name))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
