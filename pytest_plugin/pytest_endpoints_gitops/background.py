"""Which attempt of which test runs a piece of code, in whatever thread, future or task.

Tasks inherit a context variable. Threads and futures do not, so `Thread.start` and the `submit` of thread pools are
replaced while a run is watched: each remembers the test in which it was called. A worker thread serves whichever test
put the item into its queue, so `Queue.put` and `Queue.get` are replaced too. `pytest.raises` is replaced because a
failure that it catches was expected.
"""

from __future__ import annotations

import concurrent.futures
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import pytest

from pytest_endpoints_gitops.failures import Failure

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import TestLog

_OWNER: Final[ContextVar[TestLog | None]] = ContextVar("endpoints_owner", default=None)
_THREAD_OWNER: Final = "_endpoints_owner"
_ITEM_OWNERS: Final = "_endpoints_item_owners"
_LEFT_RUNNING_SECONDS: Final = 5.0
_SUBMITTING: Final = threading.local()


class Replacements:
    """Methods of other libraries that are replaced for a while."""

    def __init__(self) -> None:
        self._originals: list[tuple[Any, str, object, object]] = []

    def put(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:  # noqa: ANN401 - a class or a module
        method = wrap(getattr(owner, name))
        self._originals.append((owner, name, vars(owner).get(name), method))
        setattr(owner, name, method)

    def undo(self) -> None:
        """Put the originals back. What another library replaced in the meantime stays as that library left it."""
        while self._originals:
            owner, name, original, method = self._originals.pop()
            if vars(owner).get(name) is not method:
                continue
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


class Background:
    """The threads and futures that tests started, while at least one run is watched."""

    def __init__(self) -> None:
        self._replacements = Replacements()
        self._runs = 0
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._futures: WeakSet[concurrent.futures.Future[Any]] = WeakSet()
        self._items = _QueuedItems()
        self._lock = threading.RLock()  # a destructor may send, and note a failure, at any moment

    def watch(self) -> None:
        self._runs += 1
        if self._runs == 1:
            self._replacements.put(threading.Thread, "start", self._starting)
            self._replacements.put(concurrent.futures.ThreadPoolExecutor, "submit", self._submitting)
            self._replacements.put(queue.Queue, "put", self._items.putting)
            self._replacements.put(queue.Queue, "get", self._items.getting)
            self._replacements.put(pytest.RaisesExc, "__exit__", _expecting)
            self._replacements.put(pytest.RaisesGroup, "__exit__", _expecting)

    def unwatch(self) -> None:
        self._runs -= 1
        if self._runs == 0:
            self._replacements.undo()

    def wait(self) -> None:
        """Wait, for a few seconds at most, for what tests left running: Python itself waits for it without end."""
        with self._lock:
            futures, threads = tuple(self._futures), tuple(self._threads)
        end = time.monotonic() + _LEFT_RUNNING_SECONDS
        concurrent.futures.wait(futures, timeout=_LEFT_RUNNING_SECONDS)
        for thread in threads:
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _starting(self, start: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(start)
        def started(thread: threading.Thread) -> None:
            owner = current_owner()
            thread.__dict__[_THREAD_OWNER] = owner
            if owner is not None and not thread.daemon and not getattr(_SUBMITTING, "is_on", False):
                with self._lock:
                    self._threads.add(thread)
            start(thread)

        return started

    def _submitting(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(submit)
        def submitted(pool: Any, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the method
            owner = current_owner()
            _SUBMITTING.is_on = True
            try:
                if owner is None:
                    return submit(pool, function, *args, **named)
                future = submit(pool, functools.partial(_run_owned, owner, function), *args, **named)
            finally:
                _SUBMITTING.is_on = False
            with self._lock:
                self._futures.add(future)
            return future

        return submitted


class _QueuedItems:
    """The tests that put the items into queues; a thread that gets one works for that test from there on.

    An item is known by its identity while it is in a queue, where it stays alive. The main thread belongs to the test
    that runs, whatever it gets.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a destructor may send, and note a failure, at any moment

    def putting(self, put: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(put)
        def put_owned(items: queue.Queue[Any], item: Any, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as the method
            owner = current_owner()
            if owner is None:
                return put(items, item, *args, **named)
            with self._lock:
                items.__dict__.setdefault(_ITEM_OWNERS, {}).setdefault(id(item), []).append(owner)
            try:
                return put(items, item, *args, **named)
            except BaseException:
                self._take(items, item, -1)
                raise

        return put_owned

    def getting(self, get: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(get)
        def get_owned(items: queue.Queue[Any], *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the method
            item = get(items, *args, **named)
            owner = self._take(items, item, 0)
            if owner is not None and threading.current_thread() is not threading.main_thread():
                set_owner(owner)
            return item

        return get_owned

    def _take(self, items: queue.Queue[Any], item: object, index: int) -> TestLog | None:
        with self._lock:
            by_item: dict[int, list[TestLog]] = items.__dict__.get(_ITEM_OWNERS, {})
            owners = by_item.get(id(item))
            if not owners:
                return None
            owner = owners.pop(index)
            if not owners:
                del by_item[id(item)]
            return owner


BACKGROUND: Final = Background()


def current_owner() -> TestLog | None:
    """The attempt that this code runs for; None where no test started it."""
    owner = _OWNER.get()
    return owner if owner is not None else threading.current_thread().__dict__.get(_THREAD_OWNER)


def is_known_thread() -> bool:
    """Whether this thread's start was seen, so that no owner means: no test started it."""
    thread = threading.current_thread()
    return thread is threading.main_thread() or _THREAD_OWNER in thread.__dict__


def set_owner(log: TestLog | None) -> None:
    """Set the owner for the rest of this context."""
    _OWNER.set(log)


@contextmanager
def owned_by(log: TestLog | None) -> Iterator[None]:
    token = _OWNER.set(log)
    try:
        yield
    finally:
        _OWNER.reset(token)


def _run_owned(owner: TestLog, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the function
    with owned_by(owner):
        return function(*args, **named)


def _expecting(leave: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(leave)
    def left(self: Any, kind: Any, error: Any, traceback: Any) -> Any:  # noqa: ANN401 - as the method
        is_caught = leave(self, kind, error, traceback)
        if is_caught and error is not None:
            _expect(error)
        return is_caught

    return left


def _expect(error: BaseException) -> None:
    if isinstance(error, Failure):
        error.is_expected = True
    elif isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _expect(inner)
