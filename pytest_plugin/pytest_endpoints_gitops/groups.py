"""A failure in a task group comes in a group of exceptions: taken out, so that it is told as it is.

Event loops do more than pass on what is no `Exception`, so a coroutine's group is opened inside of the loop already.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_endpoints_gitops.failures import Failure


def open_inside(item: pytest.Function) -> None:
    """Let the test's own coroutine raise the one failure that its task group holds."""
    if inspect.iscoroutinefunction(item.obj):
        item.obj = _opening(item.obj)


def only_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure of ours that a group holds and nothing else, else the group."""
    inside: BaseException = group
    while isinstance(inside, BaseExceptionGroup) and len(inside.exceptions) == 1:
        inside = inside.exceptions[0]
    return inside if isinstance(inside, Failure) else group


def _opening(test: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(test)
    async def opened(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the test takes
        try:
            return await test(*args, **kwargs)
        except BaseExceptionGroup as group:
            raise only_failure(group) from None

    return opened
