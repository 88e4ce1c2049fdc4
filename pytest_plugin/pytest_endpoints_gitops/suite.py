"""A run in one process: a worker's, the controller's, or both where there is no xdist. The parts are wired here, and
nowhere else.

pytest imports this module at every start, so the parts are imported when they are needed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_endpoints_gitops.names import LOCK
from pytest_endpoints_gitops.options import (
    FOUND,
    PluginSettings,
    Setting,
    nearest_lock,
    read_settings,
    refuse_writing_in_ci,
)

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.model.pin import Lock
    from pytest_endpoints_gitops.call_log import TestLog, TestRecord
    from pytest_endpoints_gitops.calls import Page, PinnedCall
    from pytest_endpoints_gitops.canary import Canary
    from pytest_endpoints_gitops.candidates import Candidates
    from pytest_endpoints_gitops.collection import Completeness
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.contract import ContractEnforcer
    from pytest_endpoints_gitops.failures import Failure, NotSetUp
    from pytest_endpoints_gitops.local_tables import LocalTables
    from pytest_endpoints_gitops.project import AppProject, PinnedEnvironment, ReplacedVariables
    from pytest_endpoints_gitops.recordings import Recordings
    from pytest_endpoints_gitops.run_folder import RunFolder
    from pytest_endpoints_gitops.server import EndpointsServer
    from pytest_endpoints_gitops.session_data import SharedCalls
    from pytest_endpoints_gitops.sources import AnswerSource, LiveCalls, ReplaySource

_READERS: Final = "endpoints/readers_by_lock"
_CACHEABLE: Final = frozenset({str, int, bool, type(None)})


class Suite:
    """One for each process, in `config.stash`.

    `worker_input` is what the controller tells a worker, None in the controller. In the controller, `records` are those
    of all tests, and `contents` those of the locks when the run began. `locks_of_users` are the locks of tests that use
    a fixture, `late` failures of tests that have ended, and `replaced` the environment variables that `endpoints_env`
    sets at the moment. `closing` is closed at the end of the run.

    Each test has the nearest lock above its file, unless one is given. A lock is named by its path from the rootdir,
    which is the same in all processes; the empty name is for tests without a lock.
    """

    def __init__(self, config: pytest.Config, settings: PluginSettings, worker_input: Mapping[str, Any] | None) -> None:
        self.config = config
        self.settings = settings
        self.worker_input = worker_input
        self.records: dict[str, TestRecord] = {}
        self.current: pytest.Item | None = None
        self.server: EndpointsServer | None = None
        self.late: list[tuple[TestLog, Failure]] = []
        self.closing = ExitStack()
        self.locks_of_users: set[str] = set()
        self.contents: dict[str, bytes | None] = {}
        self.replaced: list[ReplacedVariables] = []
        self._outside: list[Failure] = []
        self._made_folder: Path | None = None
        self._locks: dict[Path, str] = {}
        self._projects: dict[str, AppProject] = {}
        self._apps: list[tuple[EndpointsConfig, AppUnderTest]] = []
        self._tables: dict[Any, LocalTables] = {}

    @property
    def is_worker(self) -> bool:
        return self.worker_input is not None

    @cached_property
    def completeness(self) -> Completeness:
        """Whether everything ran."""
        from pytest_endpoints_gitops.collection import Completeness

        return Completeness()

    @cached_property
    def shared_calls(self) -> SharedCalls:
        """The calls of fixtures that live longer than a test."""
        from pytest_endpoints_gitops.session_data import SharedCalls

        return SharedCalls()

    @cached_property
    def run_lock(self) -> str:
        """The lock of tests that have none nearer."""
        return self._name_of(self.settings.lock.value)

    def lock_of(self, path: Path) -> str:
        """The lock of the tests in a file."""
        folder = path.parent
        if folder not in self._locks:
            self._locks[folder] = self._find_lock(folder)
        return self._locks[folder]

    @property
    def known_locks(self) -> list[str]:
        """The locks of the tests that this process knows, and that of the run."""
        return sorted(filter(None, {self.run_lock, *self._locks.values(), *self.completeness.locks}))

    @property
    def used_locks(self) -> list[str]:
        """The locks of the calls that tests made."""
        return sorted({call.lock for record in self.records.values() for call in record.calls})

    def note_contents(self, locks: Iterable[str]) -> None:
        """Keep what these locks contain when this process first knows of them, for evidence."""
        for lock in locks:
            if lock not in self.contents:
                self.contents[lock] = self.content_of(lock)

    def content_of(self, lock: str) -> bytes | None:
        """What a lock contains now; None for one that cannot be read, which the fixtures report."""
        from endpoints_gitops.workspace.files import read_regular_file

        try:
            return read_regular_file(Path(self.path_of(lock))) if lock else None
        except OSError:
            return None

    def path_of(self, lock: str) -> str:
        """The path of a lock; empty where there is none."""
        return os.path.normpath(self.config.rootpath / lock) if lock else ""

    def project(self, lock: str) -> AppProject:
        from pytest_endpoints_gitops.project import AppProject

        if lock not in self._projects:
            source = self.settings.lock.source if lock == self.run_lock else FOUND
            settings = self.settings._replace(lock=Setting(self.path_of(lock), source))
            self._projects[lock] = AppProject(self.config.rootpath, settings, lock, self.replaced)
        return self._projects[lock]

    def project_of(self, item: pytest.Item) -> AppProject:
        """The project of the lock of a test."""
        return self.project(self.lock_of(item.path))

    def recordings_path(self, lock: str) -> Path:
        """Beside the lock; a path that does not exist where there is no lock."""
        return Path(self.path_of(lock) or self.config.rootpath / "-").parent / self.settings.recordings.value

    def recordings_folder(self, lock: str) -> Path:
        """Raises NotSetUp for a folder that another lock may share."""
        folder = self.recordings_path(lock)
        if lock != self.run_lock and not folder.resolve().is_relative_to(Path(self.path_of(lock)).parent.resolve()):
            raise _shared_recordings(self.settings, lock, folder)
        return folder

    def hosts(self) -> set[str]:
        """The hosts that the configurations of all known locks name."""
        return {host for lock in self.known_locks for host in self.project(lock).hosts}

    @cached_property
    def run_folder(self) -> RunFolder:
        """The folder that all processes of this run share; the controller makes and removes it."""
        from pytest_endpoints_gitops.run_folder import RunFolder

        folder = RunFolder(self._make_run_folder, self.settings)
        if self._made_folder is not None:
            folder.path  # noqa: B018 - it is known from here on, although nothing was written yet
        return folder

    def only_lock(self) -> Lock:
        """The lock of all tests that use a fixture. Raises NotSetUp where they have several: what lives as long as the
        session cannot know whose it is.
        """
        if len(self.locks_of_users) <= 1:
            return self.project(next(iter(self.locks_of_users), self.run_lock)).lock
        from pytest_endpoints_gitops.failures import NotSetUp

        raise NotSetUp(
            "endpoints_lock",
            f"the tests of this run have {len(self.locks_of_users)} locks",
            ("received", "\n".join(lock or "no lock" for lock in sorted(self.locks_of_users))),
            ("instead", "endpoints.pins has the pins of the test's own lock"),
            command=("pytest", f"--endpoints-lock={next(filter(None, sorted(self.locks_of_users)))}"),
        )

    def for_worker(self) -> dict[str, Any]:
        """Plain values, for `workerinput`."""
        return {"run": str(self._make_run_folder()), "settings": self.settings.as_plain()}

    def app(self, config: EndpointsConfig, lock: str) -> AppUnderTest:
        """The app of this lock with this configuration; the same for the same ones."""
        apps = (app for known, app in self._apps if known is config and app.project.name == lock)
        app = next(apps, None)
        if app is None:
            app = AppUnderTest(self, config, self.project(lock))
            self._apps.append((config, app))
            self.closing.callback(app.close)
        return app

    def app_of(self, item: pytest.Item, config: EndpointsConfig) -> AppUnderTest:
        """The app of the lock of a test."""
        return self.app(config, self.lock_of(item.path))

    def tables(self, config: EndpointsConfig) -> LocalTables:
        """One engine for each set of paths in a process, since opening one takes a second."""
        from pytest_endpoints_gitops.local_tables import LocalTables, parse_time

        paths = config.tables
        if not paths and self.settings.data.value:
            paths = (self.config.rootpath / self.settings.data.value,)
        project = self.settings.project.value
        settings = self.config.rootpath / project if project else None
        key = (tuple(paths), parse_time(self.settings.now.value), settings)
        if key not in self._tables:
            self._tables[key] = LocalTables(*key)
            self.closing.callback(self._tables[key].close)
        return self._tables[key]

    def running_log(self) -> TestLog | None:
        """The log of the test that this code runs for, whether or not it uses a fixture of ours; None where no test
        started it. A thread whose start was not seen counts as one of the test that runs.
        """
        from pytest_endpoints_gitops.background import current_owner, is_known_thread
        from pytest_endpoints_gitops.call_log import LOG

        owner = current_owner()
        if owner is None and self.current is not None and not is_known_thread():
            return self.current.stash.get(LOG, None)
        return owner

    def note(self, failure: Failure, log: TestLog | None) -> None:
        """Note a failure where it is born; without a test it fails the run."""
        if log is None:
            self._outside.append(failure)
        else:
            log.note(failure)

    @property
    def outside(self) -> list[Failure]:
        """Failures of code that no test started."""
        return [failure for failure in self._outside if not failure.is_expected]

    def readers(self) -> dict[str, dict[str, dict[str, list[str]]]]:
        """By lock, endpoint and test: the columns that the test read, as far as earlier runs noted it."""
        cache = getattr(self.config, "cache", None)
        return cache.get(_READERS, {}) if cache else {}

    def remember_readers(self) -> None:
        """Note the readers for the messages of later runs; what did not run stays as it was."""
        cache = getattr(self.config, "cache", None)
        if cache is None or not self.records:
            return
        known = self.readers()
        for nodeid, record in self.records.items():
            for lock, endpoint in {(call.lock, call.endpoint) for call in record.calls}:
                calls = [call for call in record.calls if (call.lock, call.endpoint) == (lock, endpoint)]
                read = {name for call in calls for name in call.read}
                known.setdefault(lock, {}).setdefault(endpoint, {})[nodeid] = sorted(read)
        cache.set(_READERS, known)

    def _find_lock(self, folder: Path) -> str:
        if self.settings.has_one_lock:
            return self.run_lock
        root = self.config.rootpath
        if not folder.is_relative_to(root):
            return self._name_of(str(nearest_lock(folder) or "")) or self.run_lock
        below = (above for above in (folder, *folder.parents) if above != root and above.is_relative_to(root))
        path = next((above / LOCK for above in below if (above / LOCK).exists()), None)
        return self.run_lock if path is None else self._name_of(str(path))

    def _name_of(self, path: str) -> str:
        return Path(os.path.relpath(path, self.config.rootpath)).as_posix() if path else ""

    def _make_run_folder(self) -> Path:
        if self.worker_input is not None:
            return Path(self.worker_input["run"])
        if self._made_folder is None:
            self._made_folder = Path(tempfile.mkdtemp(prefix="pytest-endpoints-"))
            self.closing.callback(shutil.rmtree, self._made_folder, ignore_errors=True)
        return self._made_folder


class AppUnderTest:
    """The app of one lock with one `endpoints_config`: its pins, its recordings, and the sources of its answers."""

    def __init__(self, suite: Suite, config: EndpointsConfig, project: AppProject) -> None:
        self.suite = suite
        self.config = config
        self.project = project
        self._sources: dict[str, AnswerSource] = {}
        self._canaries: dict[str, Canary] = {}
        self._calls: dict[Any, PinnedCall] = {}
        self._client: Client | None = None
        self._lock = threading.RLock()  # a destructor may send, and note a failure, at any moment

    @cached_property
    def command_folder(self) -> str:
        """Where commands of endpoints-gitops find the lock, if not where pytest was started."""
        return self.project.command_folder(self.suite.config.invocation_params.dir)

    @cached_property
    def environment(self) -> PinnedEnvironment:
        from pytest_endpoints_gitops.project import PinnedEnvironment

        return PinnedEnvironment(self.project, self.config)

    @cached_property
    def recordings(self) -> Recordings:
        from pytest_endpoints_gitops.recordings import Recordings

        folder = self.suite.recordings_folder(self.project.name)
        return Recordings(folder, int(self.suite.settings.max_age.value))

    @cached_property
    def enforcer(self) -> ContractEnforcer:
        from pytest_endpoints_gitops.contract import ContractEnforcer

        settings, suite = self.suite.settings, self.suite
        name = self.project.name
        readers = lambda: suite.readers().get(name, {})  # noqa: E731 - read for a message only
        return ContractEnforcer(self.environment, settings.contract.value, self.config.redact, readers)

    @cached_property
    def live(self) -> LiveCalls:
        from pytest_endpoints_gitops.sources import LiveCalls

        redact = self.config.redact
        return LiveCalls(self.environment, self.client, self.suite.run_folder, self.enforcer, redact)

    def client(self) -> Client:
        """For all threads of this process; it counts in the rate limit that all processes of this user share.

        Raises NotSetUp where no key can be found.
        """
        from endpoints_gitops.api.client import Client
        from endpoints_gitops.workspace.state import state_folder

        with self._lock:
            if self._client is None:
                rate_limiter = state_folder(self.project.environ()) / "budgets.sqlite"
                self._client = Client(self.environment.connection, rate_limiter=rate_limiter)
            return self._client

    def source(self, mode: str) -> AnswerSource:
        source = self._sources.get(mode)
        if source is None:
            source = self._sources[mode] = self._make_source(mode)
        return source

    def canary(self, name: str) -> Canary:
        """The canary that compares with `latest`, `worktree` or a version's number."""
        from pytest_endpoints_gitops.canary import Canary

        if name not in self._canaries:
            self._canaries[name] = Canary(name, self.environment, self._candidates(name))
        return self._canaries[name]

    def call(self, name: str, given: Mapping[str, Any], page: Page, log: TestLog) -> PinnedCall:
        """The call with these variables; checked and prepared once for simple values.

        Raises NotPinned, VariableUndeclared, VariableMissing or VariableMistyped.
        """
        types = [type(value) for value in given.values()]
        is_cacheable = _CACHEABLE.issuperset(types)
        key = (name, page, *given, *types, *given.values())
        call = self._calls.get(key) if is_cacheable else None
        if call is None:
            call = self._prepare(name, given, page, log)
            if is_cacheable:
                self._calls[key] = call
        else:
            log.note_endpoint(call.label)
        return call

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _prepare(self, name: str, given: Mapping[str, Any], page: Page, log: TestLog) -> PinnedCall:
        from endpoints_gitops.model.redaction import redacted_variables
        from pytest_endpoints_gitops.calls import PinnedCall

        environment = self.environment
        pin = environment.pin(name)
        log.note_endpoint(pin.label)
        variables = self.enforcer.variables(pin, environment.variables(pin, given), log.test)
        limit, offset = page
        return PinnedCall.of(
            pin,
            variables,
            redacted_variables(variables, self.config.redact),
            query_hash=environment.query_hashes[name],
            page=(limit, offset or None),
            folder=environment.recordings_subfolder,
        )

    def _make_source(self, mode: str) -> AnswerSource:
        from pytest_endpoints_gitops.sources import LiveSource, LocalSource, RecordSource

        if mode == "local":
            return LocalSource(self.suite.tables(self.config), self.environment, self.config.redact)
        if mode == "live":
            return LiveSource(self.live, mode)
        if mode == "refresh":
            return LiveSource(self.live, mode, uses_recordings=True)
        return self._replay if mode == "replay" else RecordSource(self._replay, self.live)

    @cached_property
    def _replay(self) -> ReplaySource:
        from pytest_endpoints_gitops.sources import ReplaySource

        return ReplaySource(self.recordings)

    def _candidates(self, name: str) -> Candidates:
        from pytest_endpoints_gitops.candidates import ServedCandidates, WorktreeCandidates

        environment, redact = self.environment, self.config.redact
        if name == "worktree":
            return WorktreeCandidates(environment, lambda: self.suite.tables(self.config), redact)
        number = None if name == "latest" else int(name)
        return ServedCandidates(environment, self.client, self.suite.run_folder, redact, number)


def _shared_recordings(settings: PluginSettings, lock: str, folder: Path) -> NotSetUp:
    from pytest_endpoints_gitops.failures import NotSetUp

    return NotSetUp(
        lock,
        "its recordings would lie outside of its folder, where another lock may have its own",
        ("received", f"{folder}     {settings.recordings.source}"),
        advice="name a folder beside each lock, or give the one lock of this run by --endpoints-lock",
        command=("pytest", "--endpoints-recordings=recordings"),
    )


SUITE: Final = pytest.StashKey[Suite]()


def suite_of(config: pytest.Config) -> Suite:
    return config.stash[SUITE]


def start(config: pytest.Config) -> Suite:
    """Read the settings before anything is collected. Raises pytest.UsageError for invalid or refused ones."""
    worker_input = getattr(config, "workerinput", {}).get("endpoints")
    if worker_input is not None:
        settings = PluginSettings.from_plain(worker_input["settings"])
    else:
        settings = read_settings(config)
        refuse_writing_in_ci(settings, os.environ)
    config.stash[SUITE] = Suite(config, settings, worker_input)
    return config.stash[SUITE]
