"""The one way in which an answer is got, whoever asks: a fixture, a case, or the app's own client over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_endpoints_gitops.attribution import noting
from pytest_endpoints_gitops.checking import hold_to_contract, right_variables
from pytest_endpoints_gitops.facts import CallFact, TestLog
from pytest_endpoints_gitops.marks import Mark
from pytest_endpoints_gitops.real import real_files
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.modes import Mode


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

    def prepared(self, name: str, said: Mapping[str, Any]) -> tuple[Call, CallFact]:
        """The call, noted before it is made: a call that fails was asked for all the same."""
        with noting(self.log), real_files():
            pin = self.app.pin(name)
            self.log.note_endpoint(pin.label)
            variables = right_variables(self.app, pin, self.app.variables(pin, said), self.log)
        call = Call(pin, variables, self.log.nodeid, self.log.target, self.app.query_hashes[name])
        fact = CallFact(
            environment=pin.environment,
            endpoint=pin.name,
            version=pin.version,
            variables=variables,
            mode=self.mode.name,
            file=call.file if self.mode.uses_recordings else None,
            kept=self.app.live.kept(call) if self.mode.name == "refresh" else None,
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

    def ask(self, name: str, said: Mapping[str, Any]) -> tuple[Call, Answer, CallFact]:
        call, fact = self.prepared(name, said)
        return call, self.answered(call), fact
