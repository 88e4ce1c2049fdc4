"""What a push did: what became of every change, and the exit code that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from endpoints_gitops.errors import EndpointsError, ExitCode, worst
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.operations.variables import VariableWritten
from endpoints_gitops.operations.waiting import Waited
from endpoints_gitops.operations.written import State, Written
from endpoints_gitops.plan.changes import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The plan, and what became of it; `waited` where `--wait` was said, `findings` are what it does to callers."""

    plan: Plan
    variables: tuple[VariableWritten, ...] = ()
    written: tuple[Written, ...] = ()
    waited: tuple[Waited, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left that `resume` could finish."""
        return all(one.error is None for one in self.variables) and all(one.is_settled for one in self.written)

    @property
    def errors(self) -> tuple[EndpointsError, ...]:
        """Everything that went wrong, in the order of the plan."""
        return (
            *(one.error for one in self.variables if one.error is not None),
            *(error for one in self.written for error in one.errors),
            *(one.error for one in self.waited if one.error is not None),
        )

    def exit_code(self, *, fail_on_drift: bool = False) -> ExitCode:
        """Something left undone is "partly applied" where anything landed or may have, else what kept it from that."""
        return worst(*self._codes(fail_on_drift=fail_on_drift))

    def _codes(self, *, fail_on_drift: bool) -> Iterator[ExitCode]:
        yield from (error.exit_code for error in self.errors)
        if not self.is_settled and self._landed():
            yield ExitCode.PARTLY_APPLIED
        yield from self.plan.exit_codes(fail_on_drift=fail_on_drift)

    def _landed(self) -> bool:
        uncertain = any(one.is_uncertain for one in self.variables) or any(
            one.state is State.UNCERTAIN for one in self.written
        )
        return uncertain or any(one.landed for one in self.variables) or any(one.landed for one in self.written)
