"""What the flow and its drivers say to each other: the flow decides, and a driver does what it is told.

A flow is a generator: it yields a `Send` and gets an `Answer`, a `NotSent` or a `NoAnswer`; it yields a `Sleep` and
gets None, or a `BlockingWork` and gets what that gives; what it returns is the result of the call.
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
    """One thing to ask. `path` is within the host, escaped; `names` is the endpoint that it is about.

    `repeatable`: whether asking twice is the same as asking once. That holds for reading and for questions that are
    POSTs, and for no write: between two tries somebody else may have written, and a DELETE that landed has freed the
    name, so that its repetition could hit a new endpoint.
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
    """Send it, and wait this long for the connection, for each part of the answer, and for all of it."""

    method: str
    url: str
    body: JsonObject | None
    connect_seconds: float
    read_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockingWork:
    """Do this, which may wait for another machine or another process."""

    do: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for what another flow is asking; its result is what happened, and its exception is raised."""

    future: Future[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. Headers are asked for by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing of the request left this machine, so nothing of it can have landed. `is_final`: nor will it next time."""

    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The request may have arrived. `status` is there where the answer began and broke off.

    `is_too_large`: it was broken off here, and the next one will be as large.
    """

    reason: str
    status: int | None = None
    is_too_large: bool = False


type Step = Send | Sleep | BlockingWork | Join
type Happened = Any  # an Answer, a NotSent or a NoAnswer; of a Work and a Join what they give; of a Sleep None
type Flow[T] = Generator[Step, Happened, T]
