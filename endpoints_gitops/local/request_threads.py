"""The threads in which requests are answered, beside the event loop that reads and writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final

_QUICK: Final = 40
_WAITING: Final = 64
"""Requests that wait for the parser or a query at the same time; further ones wait for these."""


class RequestThreads:
    """Threads of one server. Requests that can wait for a query have their own, so that they leave those of the others
    alone."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(_QUICK, thread_name_prefix="request")
        self._waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="query")

    async def run[Argument, Result](
        self, function: Callable[[Argument], Result], argument: Argument, *, can_wait: bool
    ) -> Result:
        """The result of a function that is called in a thread, with the context variables of the caller. If the caller
        is cancelled, the function runs to its end and its result is dropped."""
        threads = self._waiting if can_wait else self._quick
        return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, function, argument)

    def close(self) -> None:
        """Start nothing more, without waiting for what runs."""
        for threads in (self._quick, self._waiting):
            threads.shutdown(wait=False, cancel_futures=True)
