"""A run in one process: a worker's, the controller's, or both where there is no xdist. The parts are wired here, and
nowhere else.

pytest imports this module at every start, so the parts are imported when they are needed.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_endpoints_gitops.options import PluginSettings, read_settings, refuse_writing_in_ci

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from pytest_endpoints_gitops.call_log import TestLog, TestRecord
    from pytest_endpoints_gitops.calls import Page, PinnedCall
    from pytest_endpoints_gitops.canary import Canary
    from pytest_endpoints_gitops.candidates import Candidates
    from pytest_endpoints_gitops.collection import Completeness
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.contract import ContractEnforcer
    from pytest_endpoints_gitops.failures import Failure
    from pytest_endpoints_gitops.local_tables import LocalTables
    from pytest_endpoints_gitops.project import AppProject, PinnedEnvironment
    from pytest_endpoints_gitops.recordings import Recordings
    from pytest_endpoints_gitops.run_folder import RunFolder
    from pytest_endpoints_gitops.server import EndpointsServer
    from pytest_endpoints_gitops.session_data import SharedCalls
    from pytest_endpoints_gitops.sources import AnswerSource, LiveCalls, ReplaySource

_READERS: Final = "endpoints/readers"
_CACHEABLE: Final = frozenset({str, int, bool, type(None)})


class Suite:
    """One for each process, in `config.stash`.

    `worker_input` is what the controller tells a worker, None in the controller. In the controller, `records` are those
    of all tests. `late` are failures of tests that have ended. `closing` is closed at the end of the run.
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
        self._outside: list[Failure] = []
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
    def project(self) -> AppProject:
        from pytest_endpoints_gitops.project import AppProject

        return AppProject(self.config.rootpath, self.settings)

    @cached_property
    def run_folder(self) -> RunFolder:
        """The folder that all processes of this run share; the controller makes and removes it."""
        from pytest_endpoints_gitops.run_folder import RunFolder

        return RunFolder(self._make_run_folder, self.settings)

    @property
    def recordings_folder(self) -> Path:
        """Beside the lock; a path that does not exist where there is no lock."""
        return Path(self.settings.lock.value or self.config.rootpath / "-").parent / self.settings.recordings.value

    def for_worker(self) -> dict[str, Any]:
        """Plain values, for `workerinput`."""
        return {"run": str(self.run_folder.path), "settings": self.settings.as_plain()}

    def app(self, config: EndpointsConfig) -> AppUnderTest:
        """The app with this configuration; the same for the same configuration."""
        known = next((app for known_config, app in self._apps if known_config is config), None)
        if known is None:
            known = AppUnderTest(self, config)
            self._apps.append((config, known))
            self.closing.callback(known.close)
        return known

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

    def readers(self) -> dict[str, dict[str, list[str]]]:
        """By endpoint and test: the columns that the test read, as far as earlier runs noted it."""
        cache = getattr(self.config, "cache", None)
        return cache.get(_READERS, {}) if cache else {}

    def remember_readers(self) -> None:
        """Note the readers for the messages of later runs; what did not run stays as it was."""
        cache = getattr(self.config, "cache", None)
        if cache is None or not self.records:
            return
        known = self.readers()
        for nodeid, record in self.records.items():
            for endpoint in {call.endpoint for call in record.calls}:
                read = {name for call in record.calls if call.endpoint == endpoint for name in call.read}
                known.setdefault(endpoint, {})[nodeid] = sorted(read)
        cache.set(_READERS, known)

    def _make_run_folder(self) -> Path:
        if self.worker_input is not None:
            return Path(self.worker_input["run"])
        folder = Path(tempfile.mkdtemp(prefix="pytest-endpoints-"))
        self.closing.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


class AppUnderTest:
    """The app with one `endpoints_config`: its pins, its recordings, and the sources of its answers."""

    def __init__(self, suite: Suite, config: EndpointsConfig) -> None:
        self.suite = suite
        self.config = config
        self._sources: dict[str, AnswerSource] = {}
        self._canaries: dict[str, Canary] = {}
        self._calls: dict[Any, PinnedCall] = {}
        self._client: Client | None = None
        self._lock = threading.RLock()  # a destructor may send, and note a failure, at any moment

    @cached_property
    def environment(self) -> PinnedEnvironment:
        from pytest_endpoints_gitops.project import PinnedEnvironment

        return PinnedEnvironment(self.suite.project, self.config)

    @cached_property
    def recordings(self) -> Recordings:
        from pytest_endpoints_gitops.recordings import Recordings

        return Recordings(self.suite.recordings_folder, int(self.suite.settings.max_age.value))

    @cached_property
    def enforcer(self) -> ContractEnforcer:
        from pytest_endpoints_gitops.contract import ContractEnforcer

        settings, suite = self.suite.settings, self.suite
        return ContractEnforcer(self.environment, settings.contract.value, self.config.redact, suite.readers)

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
                rate_limiter = state_folder(self.suite.project.environ()) / "budgets.sqlite"
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


SUITE: Final = pytest.StashKey[Suite]()


def suite_of(config: pytest.Config) -> Suite:
    return config.stash[SUITE]


def start(config: pytest.Config) -> Suite:
    """Read the settings before anything is collected. Raises pytest.UsageError for invalid or refused ones."""
    import os

    worker_input = getattr(config, "workerinput", {}).get("endpoints")
    if worker_input is not None:
        settings = PluginSettings.from_plain(worker_input["settings"])
    else:
        settings = read_settings(config)
        refuse_writing_in_ci(settings, os.environ)
    config.stash[SUITE] = Suite(config, settings, worker_input)
    return config.stash[SUITE]
