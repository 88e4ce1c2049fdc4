"""Shared fixtures: a real server for each test, real git with fixed dates, and commands run as a user runs them.

The engine is shared by all tests of a process; starting a server takes a few milliseconds.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import httpx

    from endpoints_gitops.local.engine.engine import Engine
    from endpoints_gitops.local.serve import RunningServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; programs that tests start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every program that a test starts compiles all modules again

pytest_plugins = ["pytester"]

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
KEY_VARIABLE = "ENDPOINTS_TEST_KEY"

# laws are about values: how long a machine with other things to do takes says nothing of them
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_SLOW: Final = frozenset(
    f"{folder}/test_{name}.py"
    for folder, names in {
        "api": "answer_size faults paging",
        "cli": (
            "breaking conformance consumers consumers_collect editing extension generators git_base "
            "hostile_repositories hostile_text lock_without_parser no_history not_on_disk plan_exit pull pull_files "
            "push push_disturbed resume slow_queries whose_change"
        ),
        "ci": "ci_command pre_commit workflows",
        "codecs": "rewriting_laws scaling",
        "consumer": "calling clocks paging_by_key public sharing",
        "docs": "readme",
        "hogql": "catalogue parser_processes type_sweep",
        "local": "serve_command",
        "matrix": "failures matrix",
    }.items()
    for name in names.split()
)
"""The modules that take four fifths of the time of a run, as do those of tests/ci, tests/install and tests/plugin,
which start pytest and pre-commit, or install wheels."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slow modules, so that `-m "not slow"` leaves them out."""
    for item in items:
        module = item.path.relative_to(Path(__file__).parent).as_posix()
        if module in _SLOW or module.startswith(("ci/", "install/", "plugin/")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    from endpoints_gitops.local.engine.engine import Engine

    with Engine.open(sample=True, now=START) as opened:
        yield opened


@pytest.fixture
def server(engine: Engine) -> Iterator[RunningServer]:
    from endpoints_gitops.local.serve import running_server

    with running_server(engine=engine) as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients of a server; paths are within the project."""
    import httpx

    clients: list[httpx.Client] = []

    def connected(server: RunningServer, key: str | None = None, project: object = 1) -> httpx.Client:
        client = httpx.Client(
            base_url=f"{server.url}/api/projects/{project}",
            headers={"Authorization": f"Bearer {server.key if key is None else key}"},
            timeout=20,
            verify=False,  # plain http, and reading the certificates takes longer than a test
        )
        clients.append(client)
        return client

    yield connected
    for client in clients:
        client.close()


@pytest.fixture
def parse_within(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Gives queries this many seconds to be parsed; what was parsed before or with it is forgotten."""
    from endpoints_gitops.hogql import parser

    def forget() -> None:
        parser._outcome.cache_clear()
        parser._answered.cache_clear()

    def limit(seconds: float) -> None:
        monkeypatch.setattr(parser, "SECONDS", seconds)
        forget()

    yield limit
    forget()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real Redis server, the same for all tests of a process."""
    from tests.redis_server import running_redis

    with running_redis() as url:
        yield url


class Processes:
    """What /proc says of other processes; a test that asks is skipped where there is none."""

    @staticmethod
    def until(condition: Callable[[], Any]) -> Any:
        """Wait for something to become true."""
        give_up = time.monotonic() + 90
        while not (value := condition()):
            assert time.monotonic() < give_up, "it never became true"
            threading.Event().wait(0.05)
        return value

    @staticmethod
    def is_running(pid: int) -> bool:
        return pid in Processes._parents()

    @staticmethod
    def descendants(pid: int, command: str = "") -> set[int]:
        """The living children of a process, and theirs; those whose command line contains a text."""
        parents = Processes._parents()
        found = {child for child, parent in parents.items() if parent == pid}
        below = [Processes.descendants(child) for child in found]
        return {each for each in found.union(*below) if command in Processes._command(each)}

    @staticmethod
    def _parents() -> dict[int, int]:
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
        return parents

    @staticmethod
    def _command(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return ""


@pytest.fixture
def processes() -> Processes:
    if not Path("/proc/self/stat").exists():
        pytest.skip("looks into /proc")
    return Processes()


class Checkout:
    """A work tree; every commit is an hour after the one before."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folder = top / "endpoints"
        self.hours = 0

    def git(self, *words: str) -> str:
        date = (START + timedelta(hours=self.hours)).isoformat()
        who = {
            f"GIT_{role}_{what}": f"{what}@example.com"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        env = os.environ | who | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(["git", "-C", self.top, *words], env=env, capture_output=True, check=True)
        return os.fsdecode(done.stdout).strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files below the definitions folder; None removes one."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content, encoding="utf-8")

    def commit(self, files: Mapping[str, str | None] | None = None, *options: str) -> str:
        """Write, commit everything, and return the id of the commit."""
        self.write(files or {})
        self.hours += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"hour {self.hours}", *options)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str, files: Mapping[str, str | None] | None = None, *options: str) -> str:
        """Merge a branch with a commit of its own, the files being how it was resolved."""
        words = ("merge", "--quiet", "--no-ff", "--no-commit", "--allow-unrelated-histories", *options, branch)
        try:
            self.git(*words)
        except subprocess.CalledProcessError:
            assert files, "a conflict needs files that resolve it"
        return self.commit(files)

    def date(self, hour: int) -> datetime:
        return START + timedelta(hours=hour)


@pytest.fixture
def nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the git settings and credentials of the user who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("ENDPOINTS_GITOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ENDPOINTS_GITOPS_CACHE", str(tmp_path / "cache"))
    foreign = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "NO_COLOR")
    ours = [name for name in os.environ if name.startswith(("ENDPOINTS_GITOPS_", "POSTHOG_"))]
    for name in {*foreign, *ours} - {"ENDPOINTS_GITOPS_STATE", "ENDPOINTS_GITOPS_CACHE"}:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_checkout(tmp_path: Path, nobodys_settings: None) -> Callable[..., Checkout]:  # noqa: ARG001 - a fixture that works by being there
    def make(name: str = "checkout") -> Checkout:
        top = tmp_path / name
        top.mkdir(parents=True)
        made = Checkout(top)
        made.git("init", "--quiet", "--initial-branch", "main")
        return made

    return make


@pytest.fixture
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout()


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The envelope of --format json."""
        value: dict[str, Any] = json.loads(self.out)
        return value


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Callable[[], datetime] | None:
    """What stamps the record of the command line; None is the clock of this machine."""
    return None


class FailingStream(io.StringIO):
    """A stream that raises an error at the first line with a text, as Ctrl-C or a defect would."""

    def __init__(self, text: str, error: BaseException) -> None:
        super().__init__()
        self.text, self.error = text, error

    def write(self, text: str) -> int:
        if self.text and self.text in text:
            self.text = ""
            raise self.error
        return super().write(text)


@pytest.fixture
def failing_stream() -> type[FailingStream]:
    """For `cli(…, stderr=failing_stream("[1/2]", KeyboardInterrupt()))`."""
    return FailingStream


@pytest.fixture
def make_cli(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, clock: Callable[[], datetime] | None
) -> Callable[..., Callable[..., Ran]]:
    """Makes the command for one folder: `make_cli(folder, key=…)`. No run may show the key, nor two exit codes."""
    from endpoints_gitops.cli.main import run as main

    def make(top: Path, *, key: str | None = None) -> Callable[..., Ran]:
        secret = server.key if key is None else key
        (top / "endpoints").mkdir(parents=True, exist_ok=True)
        (top / "endpoints.toml").write_text(
            f'dir = "endpoints"\n[environments.test]\nhost = "{server.url}"\nproject_id = {server.project_id}\n'
            f'key = "env:{KEY_VARIABLE}"\n'
        )

        def run(
            *words: str,
            env: Mapping[str, str] | None = None,
            input: str | None = None,  # noqa: A002 - named after what it plays
            cwd: Path | None = None,
            stderr: io.StringIO | None = None,
        ) -> Ran:
            """`input` is what a user at a terminal types; without it, stdin is no terminal."""
            person = input is not None
            streams = [_Terminal(input), io.StringIO(), _Terminal()] if person else [io.StringIO() for _ in range(3)]
            streams[2] = stderr or streams[2]
            with monkeypatch.context() as patch:
                patch.chdir(cwd or top)
                colour = {"NO_COLOR": "1"} if person else {}
                for name, value in ({KEY_VARIABLE: secret} | colour | dict(env or {})).items():
                    patch.setenv(name, value)
                for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                    patch.setattr(sys, name, stream)
                code = main(words, clock=clock)
            ran = Ran(code, streams[1].getvalue(), streams[2].getvalue())
            assert not secret or secret not in ran.out + ran.err, "the key was shown"
            if "--format json" in " ".join(words) and ran.out:
                assert ran.json["exit_code"] == ran.code, "two exit codes"
            return ran

        return run

    return make


@pytest.fixture
def cli(make_cli: Callable[..., Callable[..., Ran]], checkout: Checkout) -> Callable[..., Ran]:
    """The command in the checkout: `cli("list", "--format", "json").json`."""
    return make_cli(checkout.top)
