"""Start and stop a local server: in the foreground for `serve`, in a thread for tests and the demo."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, TextIO

import uvicorn

from endpoints_gitops.errors import UsageError
from endpoints_gitops.hogql.parser import resume_parsing, stop_parsing
from endpoints_gitops.local import keys
from endpoints_gitops.local.access import AccessLevel
from endpoints_gitops.local.app import application
from endpoints_gitops.local.deployment import (
    AUTHOR,
    COLLEAGUE,
    Deployment,
    Limiter,
    Limits,
    furnish,
    wall_clock,
)
from endpoints_gitops.local.engine.interface import LazyEngine, QueryEngine
from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT, ProjectData
from endpoints_gitops.local.fault_layer import Connections
from endpoints_gitops.local.request_threads import RequestThreads
from endpoints_gitops.local.store import Project, Store
from endpoints_gitops.local.web_page import page_url

if TYPE_CHECKING:
    from endpoints_gitops.local.engine.clickhouse_url import ClickHouseUrl
    from endpoints_gitops.local.faults import Faults, RequestLog

LOOPBACK: Final = "127.0.0.1"
IDLE_SECONDS: Final = 75
"""How long a connection without a request stays open (docs/server.md#connections)."""
_GRACE_SECONDS: Final = 0.5
_TURNS_OF_AN_ACCEPT: Final = 3
"""The loop iterations until uvicorn knows an accepted connection; asyncio fails if it is closed earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A running server. Its keys are new for each start; `colleague_key` belongs to another user."""

    url: str
    project_id: int
    key: str
    readonly_key: str
    project_secret_key: str
    colleague_key: str
    deployment: Deployment

    @property
    def store(self) -> Store:
        return self.deployment.store

    @property
    def faults(self) -> Faults:
        return self.deployment.faults

    @property
    def requests(self) -> RequestLog:
        return self.deployment.log

    def issue_key(
        self, *scopes: str, scoped_projects: tuple[int, ...] = (), secret: bool = False, project_id: int | None = None
    ) -> str:
        """Create a key with only these scopes; with `secret` a project secret key."""
        return keys.issue(
            self.store,
            self.deployment.clock(),
            label="Issued by a test",
            scopes=scopes,
            project_id=project_id or self.project_id,
            user_id=None if secret else AUTHOR,
            scoped_projects=scoped_projects,
        )

    def add_project(self, name: str) -> int:
        """Create a project of the same organization, and return its id."""
        with self.store.lock:
            number = self.store.projects.count() + 1
            return self.store.projects.insert(Project(id=number, name=name)).id

    def set_access(self, level: AccessLevel, endpoint: str | None = None) -> None:
        """Set the level of the user of `key` and `readonly_key`, for all endpoints or for one. Raises LookupError if
        there is no such endpoint."""
        self.deployment.set_access(level, endpoint)

    def age(self, by: timedelta) -> None:
        """Move all times of this server into the past: unused tables idle out with the next request."""
        self.deployment.age(by)


@contextmanager
def running_server(
    *,
    port: int = 0,
    state: Path | None = None,
    sample: bool = False,
    data: Sequence[Path] = (),
    now: datetime | None = None,
    definitions: Path | None = None,
    engine: QueryEngine | None = None,
    clickhouse: ClickHouseUrl | None = None,
    clock: Callable[[], datetime] = wall_clock,
    build_seconds: float = 0.0,
    limits: Limits | None = None,
    prefix: str = "",
    control: bool = False,
    project: ProjectData = UNKNOWN_PROJECT,
) -> Iterator[RunningServer]:
    """A server in a thread of this process, stopped at the end of the block.

    `now` stops the clock of queries, `clock` gives the times that endpoints are stamped with. `project`
    has its settings. `engine` is borrowed: one of the caller's, who closes it. `prefix` is a path before every route.
    `control` adds the route for faults.
    """
    with ExitStack() as stack:
        bound = stack.enter_context(bound_port(port))
        if engine is None:
            engine = LazyEngine(
                _opener(sample=sample, data=data, now=now, project=project, clickhouse=clickhouse), project
            )
            stack.callback(engine.close)
        deployment = Deployment(
            store=_store(stack, state),
            engine=engine,
            definitions=definitions,
            clock=clock,
            build_seconds=build_seconds,
            limiter=Limiter(limits=limits),
        )
        listening, running = _opened(deployment, bound, prefix)
        configuration = _configuration(deployment, running, _threads(stack), prefix, control=control)
        server = _UvicornServer(configuration)
        thread = threading.Thread(target=server.run, args=([listening],), name="local-server", daemon=True)
        thread.start()
        server.ready.wait()
        try:
            yield running
        finally:
            server.stop()
            thread.join()


def serve(
    bound: socket.socket,
    *,
    state: Path | None,
    sample: bool,
    data: Sequence[Path],
    now: datetime | None,
    definitions: Path | None,
    announce: TextIO = sys.stdout,
    control: bool = False,
    build_seconds: float = 0.0,
    builds_fail: bool = False,
    project: Path | None = None,
    clickhouse: ClickHouseUrl | None = None,
    host_names: Collection[str] = (),
    notice: Callable[[str], object] | None = None,
) -> None:
    """Serve on a socket of `bound_port` until SIGINT or SIGTERM. A single line with URL and keys is written to
    `announce`. A table is built in `build_seconds`; with `builds_fail` every build fails. `project` is the file with
    the settings of the project, `host_names` are names besides localhost under which requests are answered. `notice`
    is called with what is no mistake in the data but may be meant otherwise."""
    with ExitStack() as stack:
        stack.callback(resume_parsing)  # last: the process can continue
        settings = UNKNOWN_PROJECT if project is None else _project_data(project, now)
        opener = _opener(sample=sample, data=data, now=now, project=settings, clickhouse=clickhouse, notice=notice)
        engine = LazyEngine(opener, settings)
        stack.callback(engine.close)
        if data or project or clickhouse is not None:
            with _interrupted_by_sigterm():
                engine.open()  # report mistakes in files and a missing server now, not with the first query
        deployment = Deployment(
            store=_store(stack, state),
            engine=engine,
            definitions=definitions,
            build_seconds=build_seconds,
            builds_fail=builds_fail,
            host_names={name.lower() for name in host_names},
        )
        listening, running = _opened(deployment, bound, "")
        server = _UvicornServer(
            _configuration(deployment, running, _threads(stack), "", control=control),
            when_ready=lambda: _announce(announce, running),
        )
        stack.callback(stop_parsing, for_good=True)  # threads that wait for the parser would keep the process alive
        stack.enter_context(_signals_kept())
        server.run([listening])


def _project_data(file: Path, now: datetime | None) -> ProjectData:
    from endpoints_gitops.local.insights.project_file import read_project  # takes long, and few servers have a file

    return read_project(file, now)


class _UvicornServer(uvicorn.Server):
    """uvicorn's server with a ready event and an immediate stop; its own loop polls ten times a second."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._when_ready = when_ready
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()
        if self._when_ready is not None:
            self._when_ready()

    async def main_loop(self) -> None:
        assert self._stopping is not None
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or ():
            asyncio.get_running_loop().remove_reader(listening)
        for _ in range(_TURNS_OF_AN_ACCEPT):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_GRACE_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def stop(self) -> None:
        """Stop the server, from any thread."""
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self.stop()


def _opener(
    *,
    sample: bool,
    data: Sequence[Path],
    now: datetime | None,
    project: ProjectData,
    clickhouse: ClickHouseUrl | None,
    notice: Callable[[str], object] | None = None,
) -> Callable[[], QueryEngine]:
    def open_engine() -> QueryEngine:
        from endpoints_gitops.local.engine.engine import Engine

        return Engine.open(sample=sample, data=data, now=now, project=project, clickhouse=clickhouse, notice=notice)

    return open_engine


def _store(stack: ExitStack, state: Path | None) -> Store:
    store = Store(state)
    stack.callback(store.close)
    return store


def _opened(deployment: Deployment, bound: socket.socket, prefix: str) -> tuple[socket.socket, RunningServer]:
    port = bound.getsockname()[1]
    with _refused_by_system(bound, port):
        bound.listen(128)
    url = f"http://{LOOPBACK}:{port}{prefix}"
    return bound, _furnished(deployment, url)


def bound_port(port: int) -> socket.socket:
    """A socket that has the port, and refuses connections until it listens. Raises UsageError if the port is in use."""
    # asyncio turns off Nagle only if the protocol is named; otherwise every second answer waits 40 ms
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _refused_by_system(bound, port):
        bound.bind((LOOPBACK, port))
    return bound


@contextmanager
def _refused_by_system(bound: socket.socket, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError) as error:
        bound.close()
        raise UsageError(
            f"cannot listen on port {port} of {LOOPBACK}: {error}",
            fix="choose another --port, or 0 for any that is free",
        ) from None


def _furnished(deployment: Deployment, url: str) -> RunningServer:
    project = furnish(deployment.store)

    def key(label: str, scopes: tuple[str, ...], user_id: int | None) -> str:
        now = deployment.clock()
        return keys.issue(deployment.store, now, label=label, scopes=scopes, project_id=project.id, user_id=user_id)

    return RunningServer(
        url=url,
        project_id=project.id,
        key=key("Everything", ("*",), AUTHOR),
        readonly_key=key("Reading", keys.READ_SCOPES, AUTHOR),
        project_secret_key=key("Running", ("endpoint:read",), None),
        colleague_key=key("Everything", ("*",), COLLEAGUE),
        deployment=deployment,
    )


def _threads(stack: ExitStack) -> RequestThreads:
    threads = RequestThreads()
    stack.callback(threads.close)
    return threads


def _configuration(
    deployment: Deployment, running: RunningServer, threads: RequestThreads, prefix: str, *, control: bool
) -> uvicorn.Config:
    connections = Connections()
    app = application(deployment, connections, threads, colleague=running.colleague_key, prefix=prefix, control=control)
    return uvicorn.Config(
        app,
        http=connections.protocol(),
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        access_log=False,
        log_config=None,
        log_level="critical",
    )


def _announce(stream: TextIO, running: RunningServer) -> None:
    names = ("url", "project_id", "key", "readonly_key", "project_secret_key")
    announced = {name: getattr(running, name) for name in names}
    stream.write(json.dumps(announced | {"page": page_url(running.url, running.readonly_key)}) + "\n")
    stream.flush()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, so that the database on a server is dropped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ignore the signal that stopped uvicorn, which raises it again."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
