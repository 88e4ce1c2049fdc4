"""Where answers come from, a class for each mode. No mode's meaning depends on whether a file exists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.model.redaction import Redaction, redacted
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import (
    AnswerOrigin,
    PinnedCall,
    SourceAnswer,
    recorded_run,
    recording_of,
)
from pytest_endpoints_gitops.failures import CallRefused, RowsCut, UnsafeRecording
from pytest_endpoints_gitops.recordings import Recordings

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.model.pin import Pin
    from pytest_endpoints_gitops.contract import ContractEnforcer
    from pytest_endpoints_gitops.local_tables import LocalTables
    from pytest_endpoints_gitops.project import PinnedEnvironment
    from pytest_endpoints_gitops.run_folder import RunFolder

_ANSWERS: Final = "answers"


class AnswerSource(Protocol):
    """`is_immediate`: answers without waiting, so that an event loop may ask it directly. `uses_recordings`: the calls
    of a test in this mode need their recordings.
    """

    name: str
    is_immediate: bool
    uses_recordings: bool

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        """Raises a Failure where there is none."""


@dataclass(slots=True)
class ReplaySource:
    """Recordings only: no transport exists."""

    recordings: Recordings
    name: str = "replay"
    is_immediate: bool = True
    uses_recordings: bool = True

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        chosen = self.recordings.choose(call)
        stored = self.recordings.find(chosen, test)

        def location() -> str:
            return f"{shown(self.recordings.path(chosen.file))}, {stored.recording.recorded_on}"

        content = (stored.content, call.limit, call.offset)
        return SourceAnswer(recorded_run(call, stored.unpacked), AnswerOrigin.RECORDING, location, content)


@dataclass(slots=True)
class RecordSource:
    """Recordings; a missing one is called, and added."""

    replay: ReplaySource
    live: LiveCalls
    name: str = "record"
    is_immediate: bool = False
    uses_recordings: bool = True

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        recordings = self.replay.recordings
        if not recordings.holds(recordings.choose(call)):
            recordings.store(call.file, self.live.recorded(call, test))
        return self.replay.answer(call, test)


@dataclass(slots=True)
class LiveSource:
    """The server, once for each distinct call of this run. This source writes nothing: in mode `refresh` the controller
    replaces recordings at the end (`cleanup`).
    """

    live: LiveCalls
    name: str
    is_immediate: bool = False
    uses_recordings: bool = False

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        return self.live.answer(call, test)


@dataclass(slots=True)
class LocalSource:
    """The pinned query, run on this machine for each call."""

    tables: LocalTables
    environment: PinnedEnvironment
    redact: Redaction
    name: str = "local"
    is_immediate: bool = False
    uses_recordings: bool = False

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        from pytest_endpoints_gitops.local_tables import NotRunnable

        page = (call.limit, call.offset)
        try:
            run = self.tables.run_pin(call.pin, call.variables, self.environment.definitions, page)
        except NotRunnable as error:
            raise CallRefused(
                call.endpoint,
                "this query does not run on this machine",
                ("why", str(error)),
                ("query", str(call.pin.query.get("query") or call.pin.kind)),
                command=test.command("replay"),
            ) from None
        refuse_cut(call, run)
        rows = redacted(run.results, run.columns, self.redact)
        return SourceAnswer(replace(run, results=rows), AnswerOrigin.LOCAL, "local")


class LiveCalls:
    """Calls of the server, one for each distinct call in the whole run. Answers are redacted before they are stored.

    `client` makes the client, or raises a Failure, when the first call needs it.
    """

    def __init__(
        self,
        environment: PinnedEnvironment,
        client: Callable[[], Client],
        run_folder: RunFolder,
        enforcer: ContractEnforcer,
        redact: Redaction,
    ) -> None:
        self._environment = environment
        self._client = client
        self._run_folder = run_folder
        self._enforcer = enforcer
        self._redact = redact

    def answer(self, call: PinnedCall, test: RunningTest) -> SourceAnswer:
        """Raises the Failure that the call had, in this process or in another."""
        from endpoints_gitops.codecs.recording import read_recording

        content = self.recorded(call, test)
        answered = datetime.fromtimestamp((self._run_folder.path / self.kept(call)).stat().st_mtime, UTC)
        run = recorded_run(call, read_recording(content, call.file))
        return SourceAnswer(run, AnswerOrigin.LIVE, _live_at(answered))

    def recorded(self, call: PinnedCall, test: RunningTest) -> bytes:
        """The answer as a recording, requested at most once in this run."""
        return self._run_folder.once(self.kept(call), lambda: self._request(call, test))

    def kept(self, call: PinnedCall) -> str:
        """The path of the answer in the run's folder; two configurations that redact differently share none."""
        redaction = repr(sorted((name, getattr(put, "__qualname__", repr(put))) for name, put in self._redact.items()))
        owner = hashlib.sha256(
            f"{self._environment.project.name}\n{self._environment.name}\n{redaction}".encode()
        ).hexdigest()[:12]
        return f"{_ANSWERS}/{owner}/{call.file}"

    def _request(self, call: PinnedCall, test: RunningTest) -> bytes:
        from endpoints_gitops.api.errors import ApiError
        from endpoints_gitops.codecs.recording import KeyInside, write_recording
        from pytest_endpoints_gitops.errors import failure_of
        from pytest_endpoints_gitops.fakes import now

        key = self._environment.connection.key
        self._run_folder.spend(call.endpoint)
        try:
            run = self._client().run(
                call.pin.name,
                variables=call.variables,
                version=call.pin.version,
                limit=call.limit,
                offset=call.offset,
                draws_materialized=call.pin.materialized,
            )
        except ApiError as error:
            raise failure_of(call, test, error) from None
        refuse_cut(call, run)
        answered = now()
        answer = SourceAnswer(run, AnswerOrigin.LIVE, _live_at(answered))
        self._enforcer.check(call, answer, test, is_quiet=True)
        rows = redacted(run.results, run.columns, self._redact)
        try:
            return write_recording(recording_of(call, run, rows, answered.date()), keys=[key.reveal()])
        except KeyInside as error:
            command = test.command("record")
            raise UnsafeRecording(call.endpoint, error.message, advice=error.fix or "", command=command) from None


def refuse_cut(call: PinnedCall, run: RunAnswer) -> None:
    """Raise RowsCut where a call of all rows was answered with a part of them."""
    if call.limit is not None or not (run.has_more or _is_cut_silently(call, run)):
        return
    count = len(run.results)
    raise RowsCut(
        call.endpoint,
        f"the answer is cut after {count} rows",
        ("expected", "all rows: which rows a part contains changes with every new row"),
        ("received", f"{count} rows, and the server has, or may have, more"),
        advice="request a page (_limit=…), or give the query a LIMIT above the number of its rows",
        command=("endpoints-gitops", "run", call.pin.name, "--version", str(call.pin.version), "--all"),
    )


def _is_cut_silently(call: PinnedCall, run: RunAnswer) -> bool:
    """Without a LIMIT in the query the server stops at 100 rows, and does not say so."""
    from endpoints_gitops.api.run_pages import may_be_truncated

    return may_be_truncated(run, None) and has_no_limit(call.pin)


def has_no_limit(pin: Pin) -> bool:
    """Whether the pinned query has no LIMIT of its own."""
    from endpoints_gitops.consumer.pinned import paged_query

    return not paged_query(pin).has_limit


def _live_at(timestamp: datetime) -> str:
    return f"live, {timestamp:%H:%M} UTC"
