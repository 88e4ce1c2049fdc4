"""Whether a run is full: every test of the whole suite was collected, kept and run by the processes of this run.

Shards, conftest files and plugins drop tests at many places and need not announce it. So this module trusts none of
them: it compares what pytest collected with what is left when the tests start, and that with what ran.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pytest_endpoints_gitops.session import Run, Session

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


class Collection:
    """The hooks that see what is collected, after every other plugin had its say."""

    def __init__(self, session: Session) -> None:
        self._run: Run = session.run
        self._root = session.config.rootpath
        self._items: list[pytest.Item] = []
        self._before_plugins = _BeforePlugins()
        session.config.pluginmanager.register(self._before_plugins, "endpoints_collection_before_plugins")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append(item)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        if items:
            self._run.partial_because(f"{len(items)} tests were deselected")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._run.partial_because(f"{report.nodeid or 'a file'} was not collected")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(
        self, collection_path: Path, config: pytest.Config
    ) -> Generator[None, bool | None, bool | None]:
        is_ignored = yield
        if is_ignored and _may_hold_tests(collection_path, config):
            self._run.partial_because(f"{_relative(collection_path, self._root)} was ignored")
        return is_ignored

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        left = {node.nodeid for node in report.result or ()}
        if not left.issuperset(self._before_plugins.collected.pop(collector.nodeid, ())):
            self._run.partial_because(f"a plugin dropped tests of {collector.nodeid or 'the suite'}")
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
            self._run.partial_because(f"a plugin dropped {collector.nodeid}::{name}")
        return collected

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Ids are compared as they are now: xdist adds the group of a test to its id."""
        kept = {item.nodeid for item in session.items}
        dropped = sum(item.nodeid not in kept for item in self._items)
        if dropped:
            self._run.partial_because(f"{dropped} of {len(self._items)} collected tests were dropped")
        self._run.expected.update(kept)
        self._items.clear()


class _BeforePlugins:
    """What pytest itself collected, before wrappers of other plugins change it."""

    def __init__(self) -> None:
        self.collected: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self.collected[collector.nodeid] = {node.nodeid for node in report.result or ()}
        return report


def note_partial(run: Run, config: pytest.Config, exit_status: int, lock: Path | None) -> None:
    """Note what the command line and the end of the run say against a full one."""
    if exit_status == pytest.ExitCode.INTERRUPTED:
        run.partial_because("the run was interrupted")
    elif exit_status != pytest.ExitCode.OK:
        run.partial_because("not everything passed")
    if _names_paths(config):
        run.partial_because("paths were named")
    if lock is not None and not lock.parent.resolve().is_relative_to(config.rootpath.resolve()):
        run.partial_because("the lock is above the rootdir, and other suites may use its recordings")
    for option, flag in _NARROWING_OPTIONS:
        if config.getoption(option, None):
            run.partial_because(f"{flag} was given")
    for setting in config.getoption("override_ini", None) or ():
        name = setting.partition("=")[0].strip()
        if name in _NARROWING_INI:
            run.partial_because(f"-o {name} was given")


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
