"""What a run proves that it exercised, written for the release gate: on failing runs too, and over all workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.workspace.files import write_atomically
from endpoints_gitops.workspace.git import git, repository, tracked_changes
from pytest_endpoints_gitops.failures import NotSetUp

if TYPE_CHECKING:
    from pytest_endpoints_gitops.facts import CallFact, TestFacts
    from pytest_endpoints_gitops.session import Session

WORDS: Final = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the checkout stood. A pull request's test commit and its squash are two commits with one tree."""

    commit: str | None = None
    tree: str | None = None
    changed: frozenset[str] = frozenset()


def head(folder: Path, *, besides: Iterable[Path] = ()) -> Head:
    """HEAD, and the tracked files that differ from it, the run's own output left out; untracked files do not count."""
    found = repository(folder)
    if found is None:
        return Head()
    output = {path.resolve() for path in besides}
    changed = tracked_changes(found, found.top) - output
    tree = git(found.top, "rev-parse", f"{found.head}^{{tree}}").decode("ascii").strip()
    names = frozenset(path.relative_to(found.top).as_posix() for path in changed)
    return Head(commit=found.head, tree=tree, changed=names)


def write(session: Session, start: Head, exit_code: int) -> None:
    """Raises OSError where the file cannot be written."""
    path = Path(session.settings.evidence.value)
    end = head(session.config.rootpath, besides=outputs(session))
    evidence = Evidence(
        commit=start.commit,
        tree=start.tree,
        is_dirty=bool(start.changed or end.changed),
        mode=session.settings.mode.value,
        contract=session.settings.contract.value,
        outcome="passed" if exit_code == 0 else "failed",
        partial=session.run.why_partial(),
        counts=counts(session),
        pins=tuple(_exercised(pin, session.facts) for pin in _pins(session)),
    )
    write_atomically(path, write_evidence(evidence))


def outputs(session: Session) -> tuple[Path, ...]:
    """What this run writes itself, besides recordings: those are part of what was tested."""
    said = (session.settings.evidence.value, session.settings.report.value)
    return tuple(Path(path) for path in said if path)


def counts(session: Session) -> dict[str, int]:
    """By pytest's words, over all tests of the run; those that call something where nobody reports to a terminal."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        outcomes = [facts.outcome for facts in session.facts.values()]
        return {word: outcomes.count(word) for word in WORDS if word in outcomes}
    return {word: len(reporter.stats[word]) for word in WORDS if reporter.stats.get(word)}


def _pins(session: Session) -> tuple[Pin, ...]:
    """None where the lock cannot be read: then nothing was exercised."""
    try:
        return session.lock.pins
    except NotSetUp:
        return ()


def _exercised(pin: Pin, facts: Mapping[str, TestFacts]) -> ExercisedPin:
    called = {nodeid: [call for call in test.calls if _is_of(call, pin)] for nodeid, test in facts.items()}
    calls = [call for each in called.values() for call in each]
    sent: dict[str, JsonObject] = {canonical(call.variables): call.variables for call in calls}
    read = sorted({name for call in calls for name in call.read})
    return ExercisedPin(
        environment=pin.environment,
        name=pin.name,
        version=pin.version,
        endpoint_id=pin.endpoint_id,
        version_id=pin.version_id,
        query_hash=pin.query_hash,
        contract_hash=pin.contract_hash,
        variables=tuple(sent[key] for key in sorted(sent)),
        columns_read=None if any(call.is_whole for call in calls) else tuple(read),
        tests=tuple(
            ExercisedTest(test=nodeid, outcome=facts[nodeid].outcome) for nodeid in sorted(called) if called[nodeid]
        ),
    )


def _is_of(call: CallFact, pin: Pin) -> bool:
    return (call.environment, call.endpoint, call.version) == (pin.environment, pin.name, pin.version)
