"""A call of a pinned version and its answer, whichever source the answer is from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.codecs.recording import Recording, file_of
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops.failures import EndpointRef

HOGQL: Final = "HogQLQuery"

type Page = tuple[int | None, int | None]
"""Limit and offset."""

ALL_ROWS: Final[Page] = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedCall:
    """One pinned version with the variables that are sent; the same for every test that makes it.

    `shown` are the variables as they may be written down, `shown_text` is the same as a text. `file` is the path of the
    recording below the folder of recordings, which no other call has. `query_hash` is the pin's, which takes long to
    compute. `limit` and `offset` are None where all rows are requested. `folder` is the environment's, where the lock
    pins several.
    """

    pin: Pin
    endpoint: EndpointRef
    label: str
    variables: JsonObject
    shown: JsonObject
    shown_text: str
    query_hash: str
    file: str
    limit: int | None = None
    offset: int | None = None
    folder: str = ""

    @classmethod
    def of(
        cls, pin: Pin, variables: JsonObject, shown: JsonObject, *, query_hash: str, page: Page, folder: str
    ) -> PinnedCall:
        return cls(
            pin=pin,
            endpoint=EndpointRef(pin.name, pin.version),
            label=pin.label,
            variables=variables,
            shown=shown,
            shown_text=canonical(shown),
            query_hash=query_hash,
            file=_file(pin, variables, shown, page, folder),
            limit=page[0],
            offset=page[1],
            folder=folder,
        )

    @property
    def hidden(self) -> frozenset[str]:
        """The variables whose values may not be written down; a function may redact them differently each time."""
        return _hidden(self.variables, self.shown)

    @property
    def whole(self) -> PinnedCall:
        """The same call of all rows, of which this one requests a page."""
        if self.limit is None:
            return self
        file = _file(self.pin, self.variables, self.shown, ALL_ROWS, self.folder)
        return replace(self, limit=None, offset=None, file=file)


class AnswerOrigin(Enum):
    """Where an answer is from."""

    RECORDING = "recording"
    LIVE = "live"
    LOCAL = "local"
    STUB = "stub"


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """`run` is the answer as the library has it.

    `location` names the place for messages, or computes the name. Two answers with the same `content` are the same;
    None where that is not known.
    """

    run: RunAnswer
    origin: AnswerOrigin
    location: str | Callable[[], str]
    content: Hashable = None

    @property
    def shown_origin(self) -> str:
        """The origin as messages name it."""
        return self.location if isinstance(self.location, str) else self.location()


def recording_of(call: PinnedCall, answer: RunAnswer, rows: list[Any], recorded_on: date) -> Recording:
    """What is stored of an answer: the keys of a recording, and nothing else of what the server sent."""
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


def recorded_run(call: PinnedCall, recording: Recording) -> RunAnswer:
    """The answer as a test sees it: the same from a recording as live. A page is cut out of a recording of all rows."""
    rows, has_more = list(recording.rows), recording.has_more
    if call.limit is not None and recording.limit is None:
        rows, has_more = page_of(call, rows)
    return run_of(call.pin, recording.columns, recording.types, rows, has_more=has_more)


def page_of(call: PinnedCall, rows: list[Any]) -> tuple[list[Any], bool]:
    """The rows that a call requests of all rows, and whether there are more."""
    if call.limit is None:
        return rows, False
    start = call.offset or 0
    return rows[start : start + call.limit], start + call.limit < len(rows)


def run_of(
    pin: Pin,
    columns: tuple[str, ...] | None,
    types: Sequence[tuple[str, str]],
    rows: list[Any],
    *,
    has_more: bool = False,
    materialized: bool | None = None,
) -> RunAnswer:
    """Rows as the answer of a pinned version. `materialized` is the pin's unless it is given."""
    raw: dict[str, Any] = {"results": rows, "name": pin.name, "endpoint_version": pin.version, "hasMore": has_more}
    if columns is not None:
        raw["columns"], raw["types"] = list(columns), [[name, kind] for name, kind in types]
    return RunAnswer(
        columns=columns,
        types=tuple(types),
        results=rows,
        has_more=has_more,
        version=pin.version,
        execution_id=None,
        materialized=pin.materialized if materialized is None else materialized,
        raw=raw,
    )


def _file(pin: Pin, variables: JsonObject, shown: JsonObject, page: Page, folder: str) -> str:
    hidden = _hidden(variables, shown)
    named = {name: "" if name in hidden else value for name, value in variables.items()}
    name = file_of(pin.name, pin.version, variables, limit=page[0], offset=page[1], shown=named)
    return f"{folder}{name}"


def _hidden(variables: Mapping[str, Any], shown: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, value in variables.items() if shown[name] != value)
