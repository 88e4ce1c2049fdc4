"""The protocol between flows, which decide, and drivers, which execute.

A flow is a generator. It yields a `Send` and receives an `Answer`, a `NotSent` or a `NoAnswer`; it yields a `Sleep` and
receives None, or a `BlockingWork` or `Join` and receives its result. What a driver raises meanwhile, such as a
cancellation, is raised in the flow at its `yield`. The value that the flow returns is the result of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from endpoints_gitops.model.json import JsonObject

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One API request. `path` is relative to the host, escaped; `names` is the name of its endpoint, if it has one.

    `repeatable`: whether repeating the request is safe. This holds for reads, including reads by POST, but for no
    write: another user can write between two attempts, and after a successful DELETE the repetition could delete a new
    endpoint of the same name.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: JsonObject | None = None
    repeatable: bool = True
    draws_materialized: bool = False
    with_project_secret: bool = False
    names: str | None = None
    expects: str = "a JSON object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send a request. The timeouts are for the connection, for each part of the answer, and for the complete answer.
    `with_key`: whether the request has the key of the connection.
    """

    method: str
    url: str
    body: JsonObject | None
    connect_seconds: float
    read_seconds: float
    total_seconds: float
    with_key: bool = True


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockingWork:
    """Call a function that can block on another machine or process."""

    do: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for the result of another flow, for so many seconds at most. Its exception is raised in this flow, and
    TimeoutError if the wait ends first. The other flow goes on whatever happens to this one.
    """

    future: Future[Any]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request was never sent, so the server cannot have handled it. `is_final`: a retry would fail too."""

    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The request was sent, but no complete answer arrived. `status` is set if the answer began.

    `is_too_large`: this machine stopped reading, and a retry would be as large.
    """

    reason: str
    status: int | None = None
    is_too_large: bool = False


type Step = Send | Sleep | BlockingWork | Join
type Happened = Any  # an Answer, NotSent or NoAnswer for a Send; the result of a Work or Join; None for a Sleep
type Flow[T] = Generator[Step, Happened, T]
