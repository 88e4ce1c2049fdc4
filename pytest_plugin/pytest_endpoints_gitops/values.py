"""A call and its answer, whichever way the answer was got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.codecs.recording import Recording, file_of
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.pin import Pin


@dataclass(frozen=True)
class Call:
    """One pinned version with the variables that are sent. `test` is the node id of who asks, `target` what to give to
    pytest to run that test alone. `query_hash` is the pin's, which takes longer to make than to look up. `shown` are
    the variables as they may be written down. `limit` and `offset` are None where all rows are asked for. `folder` is
    the environment's, where the lock has several.
    """

    pin: Pin
    variables: JsonObject
    test: str
    target: str
    query_hash: str
    shown: JsonObject
    limit: int | None = None
    offset: int | None = None
    folder: str = ""

    @property
    def label(self) -> str:
        return self.pin.label

    def command(self, mode: str) -> str:
        """The test that asks, run in another mode."""
        return f"pytest --endpoints={mode} {self.target}"

    @cached_property
    def file(self) -> str:
        """The recording's place below the folder of recordings, which no other call has."""
        pin, page = self.pin, (self.limit, self.offset)
        shown = {name: "" if name in self.hidden else value for name, value in self.variables.items()}
        name = file_of(pin.name, pin.version, self.variables, limit=page[0], offset=page[1], shown=shown)
        return f"{self.folder}{name}"

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The variables whose values may not be written down; a function may redact them differently each time."""
        return frozenset(name for name, value in self.variables.items() if self.shown[name] != value)

    @property
    def whole(self) -> Call:
        """The same call of all rows, of which this one asks for a page."""
        return self if self.limit is None else replace(self, limit=None, offset=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """`run` is the answer as the library has it, `said` where it is from in words, or what finds them: they are for
    failures only.
    """

    run: RunAnswer
    said: str | Callable[[], str]

    @property
    def origin(self) -> str:
        return self.said if isinstance(self.said, str) else self.said()


def recording_of(call: Call, answer: RunAnswer, rows: list[Any], recorded_on: date) -> Recording:
    """What is kept of an answer: what a recording lists, and nothing else of what the server said."""
    return Recording(
        endpoint=call.pin.name,
        version=call.pin.version,
        version_id=call.pin.version_id,
        variables=call.shown,
        recorded_on=recorded_on,
        query_hash=call.query_hash,
        columns=answer.columns,
        types=answer.types,
        rows=tuple(rows),
        limit=call.limit,
        offset=call.offset,
        has_more=answer.has_more,
    )


def answer_of(call: Call, recording: Recording, origin: str | Callable[[], str]) -> Answer:
    """The answer as a test sees it: the same from a recording as live. A page is cut out of a recording of all rows."""
    rows, has_more = list(recording.rows), recording.has_more
    if call.limit is not None and recording.limit is None:
        start = call.offset or 0
        rows, has_more = rows[start : start + call.limit], start + call.limit < len(rows)
    raw: dict[str, Any] = {"results": rows, "name": call.pin.name, "endpoint_version": call.pin.version}
    if recording.columns is not None:
        raw |= {"columns": list(recording.columns), "types": [list(pair) for pair in recording.types]}
    run = RunAnswer(
        columns=recording.columns,
        types=recording.types,
        results=rows,
        has_more=has_more,
        version=call.pin.version,
        execution_id=None,
        materialized=call.pin.materialized,
        raw={**raw, "hasMore": has_more},
    )
    return Answer(run, origin)
