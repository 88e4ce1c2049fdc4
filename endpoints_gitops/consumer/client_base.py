"""The common base of the clients of an app: pins, settings, forks and redirections.

This module imports almost nothing. `from_lock` reads the lock and imports what checks calls; the first call imports the
HTTP client.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Self

if TYPE_CHECKING:
    from pathlib import Path

    from endpoints_gitops.api.connection import Connection
    from endpoints_gitops.api.rate_limiter import RateLimiter
    from endpoints_gitops.consumer.cache import Cache
    from endpoints_gitops.consumer.call_event import OnRequest
    from endpoints_gitops.consumer.locked import Locked
    from endpoints_gitops.consumer.pinned import PinnedCalls
    from endpoints_gitops.model.pin import Pin

type Contract = Literal["strict", "warn", "off"]
type Refresh = Literal["cache", "force", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection:
    """The server that all clients of this process call while the redirection is active, instead of their own host."""

    host: str
    project_id: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many calls with one key a process makes at once: `materialized` of materialized versions, `direct` of all
    others. Further calls wait for one of these to end, within their `max_wait`.

        endpoints = Endpoints.from_lock(concurrency=Concurrency(direct=2, materialized=20))

    The server has limits like these for all callers of an organization together (docs/server.md#budgets). All clients
    of the process count together, in threads and event loops. Other processes are not counted: give each of `n`
    workers its share. Raises UsageError unless both are integers of at least 1.
    """

    direct: int = 3
    materialized: int = 10

    def __post_init__(self) -> None:
        for name, limit in (("direct", self.direct), ("materialized", self.materialized)):
            if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
                from endpoints_gitops.errors import UsageError

                fix = "pass concurrency=None for calls without a limit"
                message = f"{name} of Concurrency must be an integer of at least 1, not {limit!r}"
                raise UsageError(message, fix=fix, code="usage.concurrency")


DEFAULT_CONCURRENCY: Final = Concurrency()

REDIRECTIONS: Final[list[Redirection]] = []
"""The active redirections; the last one is used."""


@contextmanager
def redirected(host: str, project_id: int, key: str) -> Iterator[None]:
    """Redirect the calls of all clients of this process to this server within the block: for tests.

    This includes clients that were created before. Clients with `host=` or `transport=` in code are not redirected.
    """
    redirection = Redirection(host=host, project_id=project_id, key=key)
    REDIRECTIONS.append(redirection)
    try:
        yield
    finally:
        REDIRECTIONS[:] = [other for other in REDIRECTIONS if other is not redirection]


CACHE_SCOPES: Final[list[str]] = []
"""The scopes of cached answers that are active; the last one is used."""


@contextmanager
def cache_scope(name: str) -> Iterator[None]:
    """Within the block, use no answer that was cached outside of it, whichever cache has it: for tests.

    Answers of the block are not found outside of it. Nothing is removed, since others may share the cache.
    """
    CACHE_SCOPES.append(name)
    try:
        yield
    finally:
        CACHE_SCOPES.remove(name)


IMPORTS: Final = threading.RLock()
"""Held while a client imports modules, so that a fork waits for them. A child process can never finish an import that
another thread of its parent has begun.
"""


@cache
def _import_what_checks_calls() -> None:
    """Import it once, and let forks wait for IMPORTS from then on.

    The hook that is registered last runs first. These two modules register locks of their own, which the imports of the
    first call take: a fork that held them already would wait for IMPORTS for ever.
    """
    with IMPORTS:
        import concurrent.futures.thread  # noqa: F401
        import logging  # noqa: F401

        import endpoints_gitops.consumer.pinned  # noqa: F401
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=IMPORTS.acquire, after_in_parent=IMPORTS.release, after_in_child=IMPORTS.release)


class PinnedClient[Transport]:
    """The pins of one environment, the settings of their calls, and calls that are checked before they are sent."""

    def __init__(
        self,
        locked: Locked,
        *,
        contract: Contract,
        cache: float | Cache | None,
        budget_url: str | None,
        max_wait: float,
        read_timeout: float,
        on_request: OnRequest | None,
        concurrency: Concurrency | None,
        transport: Transport | None,
    ) -> None:
        from endpoints_gitops.errors import UsageError

        _import_what_checks_calls()
        from endpoints_gitops.consumer.call_event import checked_hook
        from endpoints_gitops.consumer.pinned import is_duration

        if contract not in ("strict", "warn", "off"):
            raise UsageError(f'contract must be "strict", "warn" or "off", not {contract!r}', code="usage.contract")
        for name, seconds in (("max_wait", max_wait), ("read_timeout", read_timeout)):
            if not is_duration(seconds):
                raise UsageError(f"{name} must be a number of seconds above 0, not {seconds!r}", code="usage.seconds")
        self._locked = locked
        self._contract = contract
        self._cache = _cache(cache)
        self._budget_url = budget_url
        self._max_wait = max_wait
        self._read_timeout = read_timeout
        self._on_request = checked_hook(on_request)
        if not isinstance(concurrency, Concurrency | None):
            message = f"concurrency must be a Concurrency or None, not {concurrency!r}"
            raise UsageError(message, fix="pass concurrency=Concurrency(direct=3)", code="usage.concurrency")
        self._concurrency = concurrency
        self._transport = transport
        self._lock = threading.Lock()
        self._caller: PinnedCalls | None = None
        _CLIENTS.add(self)
        self._redirected: tuple[Redirection, Self] | None = None

    @classmethod
    def from_lock(
        cls,
        path: str | os.PathLike[str] = "endpoints.lock",
        *,
        environment: str | None = None,
        contract: Contract = "strict",
        cache: float | Cache | None = None,
        budget_url: str | None = None,
        max_wait: float = 60.0,
        read_timeout: float = 60.0,
        on_request: OnRequest | None = None,
        concurrency: Concurrency | None = DEFAULT_CONCURRENCY,
        host: str | None = None,
        project_id: int | None = None,
        key: str | None = None,
        transport: Transport | None = None,
    ) -> Self:
        """Read the pins of a lock. No request is made and no key is needed before the first call.

        Host, project and key come from `host`, `project_id` and `key`, else from the configuration next to the lock,
        else from the `POSTHOG_CLI_…` variables.

        `contract`: an answer that does not match its pin is an error ("strict"), a ContractWarning ("warn"), or is
        accepted ("off"). `cache`: how many seconds to cache answers, or a Cache. `budget_url`: the URL of a Redis in
        which several machines count their requests; by default the processes of this machine count them in a file.
        `max_wait`: the maximum duration of a call in seconds, including waits and retries. `read_timeout`: seconds to
        wait for one answer before a retry; a slow query needs both to be long enough. `on_request`: a function that is
        called with a CallEvent after each call, in its thread or event loop; what it raises is logged. `concurrency`:
        how many calls with the key this process makes at once, 3 and 10 of materialized versions; None for any number.

        Raises UsageError if the lock or the environment does not exist, and InvalidInput with every mistake in the lock
        or the configuration.
        """
        with IMPORTS:
            from endpoints_gitops.consumer.locked import find
        locked = find(path, environment=environment, host=host, project_id=project_id, key=key)
        return cls(
            locked,
            contract=contract,
            cache=cache,
            budget_url=budget_url,
            max_wait=max_wait,
            read_timeout=read_timeout,
            on_request=on_request,
            concurrency=concurrency,
            transport=transport,
        )

    def _target(self) -> Self:
        """This client, or the one that replaces it while calls are redirected, which has its own cache.

        Call it only if there are REDIRECTIONS.
        """
        if self._transport is not None or self._locked.host_in_code is not None:
            return self
        redirection = REDIRECTIONS[-1]
        with self._lock:
            if self._redirected is None or self._redirected[0] is not redirection:
                self._redirected = (redirection, self.redirected_to(redirection))
            return self._redirected[1]

    def redirected_to(self, to: Redirection) -> Self:
        """A client of the same pins and settings that calls another server: for tests. It has its own cache, and issues
        no DeprecationWarning.
        """
        from endpoints_gitops.model.secret import Secret

        locked = replace(
            self._locked,
            settings=replace(self._locked.settings, host=to.host, project_id=to.project_id),
            key=Secret(to.key),
            host_in_code=to.host,
            is_redirected=True,
        )
        cache = None if self._cache is None else replace(self._cache, url=None)
        return type(self)(
            locked,
            contract=self._contract,
            cache=cache,
            budget_url=self._budget_url,
            max_wait=self._max_wait,
            read_timeout=self._read_timeout,
            on_request=self._on_request,
            concurrency=self._concurrency,
            transport=None,
        )

    @property
    def environment(self) -> str:
        """The environment of the pins."""
        return self._locked.environment

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of this environment, by name."""
        return self._locked.pins

    def version(self, name: str) -> int:
        """The pinned version of an endpoint. Raises PinMissing."""
        pin = self._locked.pins.get(name)
        if pin is None:
            raise self._locked.missing(name)
        return pin.version

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._locked.path}: {len(self.pins)} pins, environment {self.environment}>"

    def _make_caller(self, connection: Connection) -> PinnedCalls:
        from endpoints_gitops.api.rate_limiter import call_slots
        from endpoints_gitops.consumer.pinned import PinnedCalls

        host = f"{connection.host} {connection.project_id}"
        return PinnedCalls(
            host=host,
            contract=self._contract,
            uses=self._locked.uses,
            cache=self._cache,
            on_request=self._on_request,
            concurrency=self._concurrency,
            slots=call_slots(connection),
        )

    def _connection(self) -> Connection:
        return self._locked.connection(self._max_wait, self._read_timeout)

    def _settings(self, connection: Connection) -> dict[str, Any]:
        return {
            "rate_limiter": _rate_limiter(connection, self._budget_url),
            "trace": _trace(),
            "notice": _inform,
            "transport": self._transport,
        }

    def _after_fork(self) -> None:
        """In a forked child, neither use nor close the connections and files of the parent."""
        raise NotImplementedError


class OpenClient[AnyClient]:
    """A client that several calls share. If it is closed during calls, the last of them closes it."""

    def __init__(self, client: AnyClient, finalize: Callable[[], object]) -> None:
        self.client = client
        self.calls = 0
        self.is_closing = False
        self.finalize = weakref.finalize(self, finalize)
        """Closes the client once this object is garbage collected."""


_CLIENTS: Final[weakref.WeakSet[PinnedClient[Any]]] = weakref.WeakSet()
INHERITED: Final[list[object]] = []
"""Clients of the parent process. They are kept, because closing them here would close the parent's connections."""


def _after_fork() -> None:
    for client in tuple(_CLIENTS):
        client._lock = threading.Lock()
        client._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _cache(cache: float | Cache | None) -> Cache | None:
    if cache is None:
        return None
    from endpoints_gitops.consumer.cache import Cache

    if isinstance(cache, Cache):
        return cache
    if isinstance(cache, bool) or not isinstance(cache, int | float):
        from endpoints_gitops.errors import UsageError

        message = f"cache must be a number of seconds or a Cache, not {cache!r}"
        fix = "pass cache=30, or cache=Cache(seconds=30)"
        raise UsageError(message, fix=fix, code="usage.cache")
    return Cache(seconds=cache)


def _rate_limiter(connection: Connection, url: str | None) -> Path | RateLimiter:
    from endpoints_gitops.workspace.state import state_folder

    if url is None:
        return state_folder(os.environ) / "budgets.sqlite"
    from endpoints_gitops.api.rate_limiter import RedisRateLimiter

    return RedisRateLimiter(url, connection, notice=_inform)


def _trace() -> Callable[[str], None] | None:
    """The logger's `debug`, if it is enabled when the client is opened."""
    import logging

    logger = logging.getLogger("endpoints_gitops")
    return logger.debug if logger.isEnabledFor(logging.DEBUG) else None


def _inform(line: str) -> None:
    import logging

    logging.getLogger("endpoints_gitops").info(line)
