"""The state of a run in one process: a worker's, the controller's, or both parts where there is no xdist."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_endpoints_gitops.options import Settings

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Lock
    from endpoints_gitops.workspace.configuration import Configuration
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.facts import TestFacts, TestLog
    from pytest_endpoints_gitops.failures import Failure
    from pytest_endpoints_gitops.marks import Mark
    from pytest_endpoints_gitops.server import EndpointsServer
    from pytest_endpoints_gitops.values import Answer, Call

_READERS: Final = "endpoints/readers"


class Run:
    """Whether everything ran: only then can a run tell that a recording is not needed.

    A run is full when that is proven: every test that was collected is in `expected`, each of those is in `finished`,
    and nothing in `reasons` says otherwise. `unsure` is why a full run still cannot judge recordings.
    """

    def __init__(self) -> None:
        self.expected: set[str] = set()
        self.called: set[str] = set()
        self.finished: set[str] = set()
        self.reasons: dict[str, None] = {}
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

    def for_the_controller(self) -> dict[str, list[str]]:
        """What a worker collected, as plain values."""
        return {"expected": sorted(self.expected), "reasons": list(self.reasons)}

    def take_worker(self, plain: dict[str, list[str]] | None) -> None:
        """What a worker says at its end; a worker that says nothing proves nothing."""
        if plain is None:
            self.partial_because("a worker did not say what it collected")
            return
        self.expected.update(plain["expected"])
        for reason in plain["reasons"]:
            self.partial_because(reason)


class Canary:
    """What `Session.canary` is asked for, after an answer was checked and before the test has it."""

    def compare(self, app: App, call: Call, answer: Answer, log: TestLog, mark: Mark) -> None:
        """Make the call to the candidate too, and note what differs."""
        raise NotImplementedError


class Session:
    """One for each process, in `config.stash`.

    `given` is what the controller tells a worker. In the controller, `told` is what it adds to that for workers to
    come, and `facts` are those of all tests. `sections` are called for the summary, `closing` is closed at the end.
    """

    def __init__(self, config: pytest.Config, settings: Settings, given: dict[str, Any] | None) -> None:
        self.config = config
        self.settings = settings
        self.given = given
        self.told: dict[str, Any] = {}
        self.facts: dict[str, TestFacts] = {}
        self.run = Run()
        self.sections: list[Callable[[pytest.TerminalReporter], None]] = []
        self.canary: Canary | None = None
        self.current: pytest.Item | None = None
        self.server: EndpointsServer | None = None
        self.replaced: list[tuple[dict[str, str | None], dict[str, str]]] = []
        self.late: list[tuple[TestLog, Failure]] = []
        self._outside: list[Failure] = []
        self.closing = ExitStack()
        self._apps: list[tuple[EndpointsConfig, App]] = []
        self._directory: Path | None = None
        self._making = threading.Lock()

    @property
    def is_worker(self) -> bool:
        return self.given is not None

    @property
    def run_directory(self) -> Path:
        """The folder that all processes of this run share; the controller makes and removes it.

        Calls of an async test are the first in several threads at once: they must not make one each.
        """
        with self._making:
            if self._directory is None:
                self._directory = self._made_directory()
            return self._directory

    @property
    def has_run_directory(self) -> bool:
        """Whether anything of this run is kept by now."""
        return self._directory is not None

    def _made_directory(self) -> Path:
        if self.given is not None:
            return Path(self.given["run"])
        folder = Path(tempfile.mkdtemp(prefix="pytest-endpoints-"))
        self.closing.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def for_a_worker(self) -> dict[str, Any]:
        """Plain values, for `workerinput`."""
        return {**self.told, "run": str(self.run_directory), "settings": self.settings.as_plain()}

    @cached_property
    def lock_path(self) -> Path:
        """Raises NotSetUp where there is no lock."""
        from pytest_endpoints_gitops.failures import NotSetUp

        if not self.settings.lock.value:
            said = f"no endpoints.lock in {self.config.rootpath} or above"
            raise NotSetUp("endpoints.lock: there is none", ("received", said), command="endpoints-gitops lock")
        return Path(self.settings.lock.value)

    @property
    def recordings_folder(self) -> Path:
        """Beside the lock; without one it is nowhere."""
        return Path(self.settings.lock.value or self.config.rootpath / "-").parent / self.settings.recordings.value

    @cached_property
    def lock(self) -> Lock:
        """Raises NotSetUp where there is none, and where it is not whole."""
        from pytest_endpoints_gitops.trouble import reading_lock

        return reading_lock(self.lock_path)

    def environ(self) -> dict[str, str]:
        """The environment variables without what `endpoints_env` put there: that is for the app, and leads to us."""
        import os

        variables = dict(os.environ)
        for before, ours in reversed(self.replaced):
            for name, value in ours.items():
                if variables.get(name) != value:
                    continue  # the test set it to something else
                original = before[name]
                if original is None:
                    del variables[name]
                else:
                    variables[name] = original
        return variables

    @cached_property
    def configuration(self) -> Configuration:
        """Raises NotSetUp where it cannot be used."""
        from endpoints_gitops.workspace.configuration import load_configuration
        from pytest_endpoints_gitops.trouble import set_up

        with set_up("the configuration cannot be used"):
            return load_configuration(self.lock_path.parent, self.environ())

    def app(self, config: EndpointsConfig) -> App:
        """The app under this configuration; one for each that a suite has."""
        from pytest_endpoints_gitops.app import App

        known = next((app for said, app in self._apps if said is config), None)
        if known is None:
            known = App(self, config)
            self._apps.append((config, known))
            self.closing.callback(known.close)
        return known

    def running_log(self) -> TestLog | None:
        """Of the test that this code runs for, whether it uses a fixture of ours or not; None where no test started it.

        A thread that nobody saw starting is taken for one of the test that runs.
        """
        from pytest_endpoints_gitops.attribution import current_owner, is_known_thread
        from pytest_endpoints_gitops.facts import LOG

        owner = current_owner()
        if owner is None and self.current is not None and not is_known_thread():
            return self.current.stash.get(LOG, None)
        return owner

    def note(self, failure: Failure, log: TestLog | None) -> None:
        """A failure, where it is born; without a test it fails the run."""
        if log is None:
            self._outside.append(failure)
        else:
            log.note(failure)

    @property
    def outside(self) -> list[Failure]:
        """Failures of code that no test started."""
        return [failure for failure in self._outside if not failure.is_expected]

    def readers(self) -> dict[str, dict[str, list[str]]]:
        """Which tests read which columns of which endpoint, as far as the last runs and this process know."""
        cache = getattr(self.config, "cache", None)
        return cache.get(_READERS, {}) if cache else {}

    def remember_readers(self) -> None:
        """Note it for the messages of runs to come; what did not run keeps what was known."""
        cache = getattr(self.config, "cache", None)
        if cache is None or not self.facts:
            return
        known = self.readers()
        for nodeid, facts in self.facts.items():
            for endpoint in {call.endpoint for call in facts.calls}:
                read = {name for call in facts.calls if call.endpoint == endpoint for name in call.read}
                known.setdefault(endpoint, {})[nodeid] = sorted(read)
        cache.set(_READERS, known)


SESSION: Final = pytest.StashKey[Session]()


def session_of(config: pytest.Config) -> Session:
    return config.stash[SESSION]


def start(config: pytest.Config) -> None:
    """Read what was said, and refuse what may not be, before anything is collected."""
    import os

    from pytest_endpoints_gitops.options import read_settings, refuse_writing_in_ci

    given = getattr(config, "workerinput", {}).get("endpoints")
    if given is not None:
        settings = Settings.from_plain(given["settings"])
    else:
        settings = read_settings(config)
        refuse_writing_in_ci(settings, os.environ)
    config.stash[SESSION] = Session(config, settings, given)
