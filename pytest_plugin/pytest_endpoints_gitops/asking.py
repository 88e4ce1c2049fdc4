"""The one way in which an answer is got, whoever asks: a fixture, a case, or the app's own client over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import UsageError
from pytest_endpoints_gitops.attribution import noting
from pytest_endpoints_gitops.checking import hold_to_contract, right_variables
from pytest_endpoints_gitops.config import redacted_variables
from pytest_endpoints_gitops.facts import CallFact, TestLog
from pytest_endpoints_gitops.marks import Mark
from pytest_endpoints_gitops.real import real_files
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.modes import Mode


type Page = tuple[int | None, int | None]
"""Limit and offset."""

ALL_ROWS: Final[Page] = (None, None)


@dataclass(frozen=True, slots=True)
class Asker:
    """One test of one app."""

    app: App
    log: TestLog
    mark: Mark

    @property
    def mode(self) -> Mode:
        """The test's own, else the run's."""
        return self.app.mode(self.mark.mode or self.app.session.settings.mode.value)

    def prepared(self, name: str, said: Mapping[str, Any], page: Page = ALL_ROWS) -> tuple[Call, CallFact]:
        """The call, noted before it is made: a call that fails was asked for all the same."""
        with noting(self.log), real_files():
            pin = self.app.pin(name)
            self.log.note_endpoint(pin.label)
            variables = right_variables(self.app, pin, self.app.variables(pin, said), self.log)
            query_hash = self.app.query_hashes[name]
            limit, offset = page
            if offset is not None and limit is None:
                raise UsageError("_offset needs _limit", code="usage.offset")
            call = Call(
                pin=pin,
                variables=variables,
                test=self.log.nodeid,
                target=self.log.target,
                query_hash=query_hash,
                shown=redacted_variables(variables, self.app.config.redact),
                limit=limit,
                offset=offset or None,
                folder=self.app.folder_of_recordings,
            )
            mode = self.mode
            asked = self.app.recordings.choose(call) if mode.name in ("replay", "record") else call
        fact = CallFact(
            environment=pin.environment,
            endpoint=pin.name,
            version=pin.version,
            variables=dict(call.shown),
            mode=mode.name,
            file=asked.file if mode.uses_recordings else None,
            kept=self.app.live.kept(call) if mode.name == "refresh" else None,
        )
        self.log.calls.append(fact)
        return call, fact

    def answered(self, call: Call) -> Answer:
        """The answer, held to the contract, and compared with the candidate's where there is a canary."""
        with noting(self.log), real_files():
            answer = self.mode.answer(call)
            hold_to_contract(self.app, call, answer)
            canary = self.app.session.canary
            if canary is not None:
                canary.compare(self.app, call, answer, self.log, self.mark)
            return answer

    def ask(self, name: str, said: Mapping[str, Any], page: Page = ALL_ROWS) -> tuple[Call, Answer, CallFact]:
        call, fact = self.prepared(name, said, page)
        return call, self.answered(call), fact
