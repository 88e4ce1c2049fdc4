"""Check facts, and write a dated report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from endpoints_gitops import __version__
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.conformance.trial import FactResult, KeyRefused, Trial, TrialVerdict
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.fact import Fact
from endpoints_gitops.model.json import Json, JsonObject

SCHEMA_VERSION: Final = 1
_FAILURES_IN_A_ROW: Final = 3
_PERSONAL: Final = frozenset(
    {"first_name", "last_name", "email", "distinct_id", "uuid", "hedgehog_config", "created_by_email"}
)


class Listener(Protocol):
    """Receives the progress of a run."""

    def tried(self, result: FactResult) -> None:
        """A fact was tried, or could not be tried."""

    def removing(self) -> None:
        """The run starts to remove what it created."""


@dataclass(slots=True, kw_only=True)
class ConformanceReport:
    """The results of a run. `error` ended the run early; `left` is what could not be removed."""

    host: str
    project_id: int
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    results: list[FactResult] = field(default_factory=list)
    requests: int = 0
    error: EndpointsError | None = None
    is_interrupted: bool = False
    left: tuple[str, ...] = ()

    def count(self, verdict: TrialVerdict) -> int:
        return sum(result.verdict is verdict for result in self.results)

    def counts_by_heading(self) -> Mapping[str, Mapping[TrialVerdict, int]]:
        """The number of facts by heading of docs/server.md and verdict."""
        counts: dict[str, Counter[TrialVerdict]] = {}
        for result in self.results:
            counts.setdefault(result.fact.about, Counter())[result.verdict] += 1
        return counts

    def to_json(self) -> JsonObject:
        """The report as JSON, without the key and without names and addresses of people."""
        return {
            "schema_version": SCHEMA_VERSION,
            "date": self.date.isoformat(timespec="seconds"),
            "release": __version__,
            "host": self.host,
            "requests": self.requests,
            "is_interrupted": self.is_interrupted,
            "error": None if self.error is None else str(self.error),
            "left": list(self.left),
            "summary": {verdict.value: self.count(verdict) for verdict in TrialVerdict},
            "facts": list(self.facts_as_json()),
        }

    def facts_as_json(self) -> tuple[JsonObject, ...]:
        return tuple(_as_json(result) for result in self.results)


def try_facts(trial: Trial, facts: Sequence[Fact], *, listener: Listener) -> ConformanceReport:
    """Try the facts in order, and always remove everything at the end.

    An interruption, a key without permission, and three consecutive facts without an answer end the run early; the
    remaining facts are then not tried. A second interruption ends the removal.
    """
    report = ConformanceReport(host=trial.server.host, project_id=trial.server.project_id)
    try:
        _try_each(trial, facts, report, listener)
    except KeyboardInterrupt:
        report.is_interrupted = True
    except KeyRefused as refused:
        report.error = refused.cause
    except ApiError as error:
        report.error = error
    try:
        listener.removing()
        report.left = trial.remove_all()
    except KeyboardInterrupt:
        report.is_interrupted = True
        report.left = trial.known()
    ended = "interrupted" if report.is_interrupted else "the run ended before it"
    tried = len(report.results)
    report.results += [FactResult(fact=fact, verdict=TrialVerdict.NOT_TRIED, reason=ended) for fact in facts[tried:]]
    report.requests = trial.server.requests
    return report


def _try_each(trial: Trial, facts: Sequence[Fact], report: ConformanceReport, listener: Listener) -> None:
    failures = 0
    for fact in facts:
        try:
            result, failures = trial.try_fact(fact), 0
        except ApiError as error:
            failures += 1
            if failures == _FAILURES_IN_A_ROW:
                raise
            result = FactResult(fact=fact, verdict=TrialVerdict.NOT_TRIED, reason=error.message)
            trial.remove_all()  # an object from a lost answer would disturb the next fact
        report.results.append(result)
        listener.tried(result)


def _as_json(result: FactResult) -> JsonObject:
    value: dict[str, Json] = {"fact": result.fact.id, "about": result.fact.about, "verdict": result.verdict.value}
    if result.verdict is TrialVerdict.DIFFERS:
        value |= {
            "differences": list(result.differences),
            "request": result.request,
            "expected": result.expected,
            "received": without_people(result.received),
        }
    if result.reason is not None:
        value["reason"] = result.reason
    return value


def without_people(value: Json) -> Json:
    """The value with names and addresses of people replaced by placeholders."""
    if isinstance(value, Mapping):
        return {key: "(removed)" if key in _PERSONAL else without_people(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_people(item) for item in value]
    return value
