"""What a command did: one value that text, JSON and exit code are all made from, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from endpoints_gitops.errors import EndpointsError, ExitCode, InvalidInput, worst
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.model.report import Report

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEntry:
    """An entry of `errors` in the machine output."""

    code: str
    message: str
    where: str | None = None
    fix: str | None = None

    def as_json(self) -> JsonObject:
        return {"code": self.code, "message": self.message, "where": self.where, "fix": self.fix}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one command.

    `items` has one JSON object per endpoint or finding. `findings` are those that the command judged, and `fail_on` the
    severity from which they fail it. `report` is what `review` and `gate` judged: items, findings and summary come from
    it unless they are set.
    """

    command: str
    exit_code: ExitCode = ExitCode.DONE
    summary: Mapping[str, int] = field(default_factory=dict)
    items: tuple[JsonObject, ...] = ()
    errors: tuple[ErrorEntry, ...] = ()
    findings: tuple[Finding, ...] = ()
    fail_on: Severity = Severity.ERROR
    report: Report | None = None

    def as_json(self) -> dict[str, Json]:
        """The machine output."""
        if self.report is not None:
            return {**self._envelope(), "report": self.report.as_json()}
        return self._envelope()

    def _envelope(self) -> dict[str, Json]:
        items, summary = self.items, self.summary
        if self.report is not None:
            items = items or tuple(subject.as_json() for subject in self.report.subjects)
            summary = summary or self.report.counts
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "exit_code": int(self.exit_code),
            "ok": self.exit_code == ExitCode.DONE,
            "summary": dict(summary),
            "items": list(items),
            "errors": [failure.as_json() for failure in self.errors],
        }


def failures_of(error: EndpointsError) -> tuple[ErrorEntry, ...]:
    """The entries of `errors` that one error makes: one for each mistake in the files, else a single one."""
    if isinstance(error, InvalidInput):
        return tuple(
            ErrorEntry(code=problem.code, message=problem.message, where=problem.where, fix=problem.fix)
            for problem in error.problems
        )
    return (ErrorEntry(code=error.code, message=error.message, where=error.where, fix=error.fix),)


def failures_of_all(named: Sequence[tuple[str, EndpointsError]], *alike: str) -> Iterator[ErrorEntry]:
    """The entries of `errors` of several things that are done, each error with the name of what it is about.

    A refusal of the key is the same for all: it is one entry with all names. So are errors whose code is in `alike`.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name, error in named:
        if error.exit_code is ExitCode.CREDENTIALS or error.code in alike:
            names.setdefault((error.code, error.message), []).append(name)
    for name, error in named:
        first, *others = names.get((error.code, error.message), [name])
        if first != name:
            continue
        also = f" (the same for {', '.join(others)})" if others else ""
        about = "" if name == error.subject else f"{name}: "
        for failure in failures_of(error):
            yield replace(failure, message=f"{about}{failure.message}{also}")


def failed(command: str, *errors: EndpointsError) -> Outcome:
    """The outcome of a command that could do nothing."""
    return Outcome(
        command=command,
        exit_code=worst(*(error.exit_code for error in errors)),
        errors=tuple(failure for error in errors for failure in failures_of(error)),
    )
