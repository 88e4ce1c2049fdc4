"""What the canary found in a whole run: gathered over tests and processes, weighed by what is read, and told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.model.printable import one_line

if TYPE_CHECKING:
    import pytest

    from pytest_endpoints_gitops.facts import TestFacts

MOST_LINES: Final = 10
_COLUMNS: Final = "columns."
_LOWER: Final = {"error": "warn", "warn": "info", "info": "info"}
_RANK: Final = {"error": 0, "warn": 1, "info": 2}
_COLOUR: Final = {"error": "red", "warn": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing to tell. `severity` is error where it could not be found out: that is never "no changes"."""

    severity: str
    code: str
    endpoint: str
    candidate: str
    said: str
    tests: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity:<5}  {self.code:<7}  {self.said}"


@dataclass(slots=True)
class Report:
    """`findings` are those of all candidates, each once, as JSON has them; `lines` the gravest first.

    `has_compared` is false where every call is still pending and where none was made, unless each test that made one
    has the canary switched off.
    """

    findings: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    candidates: dict[tuple[str, str], str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    has_compared: bool = False

    def count(self, severity: str) -> int:
        return sum(line.severity == severity for line in self.lines)

    @property
    def has_errors(self) -> bool:
        return self.count("error") > 0

    def sentence(self) -> str:
        moved = sum(state not in ("same", "pending") for state in self.candidates.values())
        said = [_counted(self.calls, "call"), _counted(len(self.candidates), "candidate"), f"{moved} differ"]
        said += [f"{len(self.pending)} pending"] if self.pending else []
        said += [] if self.has_compared else ["nothing was compared, which proves nothing"]
        said += [_counted(self.count(one), word) for one, word in _WORDS.items() if self.count(one)]
        return f"canary: {', '.join(said)}"


_WORDS: Final = {"error": "error", "warn": "warning", "info": "info"}


def gathered(facts: Mapping[str, TestFacts]) -> Report:
    """Over all tests. A break in a column that no test reads is lowered one step, and says so."""
    report = Report()
    read = _columns_read(facts)
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    calling = [test for test in facts.values() if test.calls]
    report.has_compared = bool(calling) and all(test.is_canary_off for test in calling)
    for nodeid, test in facts.items():
        for entry in test.canary:
            report.calls += 1
            report.has_compared = report.has_compared or entry["state"] != "pending"
            _note(report, entry)
            _merge(merged, entry, nodeid, read)
    report.findings = [one for _, one in sorted(merged.items(), key=lambda pair: _order(pair[1]))]
    report.lines = sorted((*report.lines, *map(_line, report.findings)), key=lambda line: _RANK[line.severity])
    return report


def show(reporter: pytest.TerminalReporter, report: Report) -> None:
    """At most ten lines, the sentence and what is left out included. Infos are counted only."""
    for number, (text, colour) in enumerate(_shown(report)):
        markup = {colour: True} if colour else {}
        reporter.write_line(one_line(text if number == 0 else f"  {text}"), **markup)


def _shown(report: Report) -> Iterator[tuple[str, str | None]]:
    yield report.sentence(), None
    told: list[tuple[str, str | None]] = []
    told += [(str(line), _COLOUR[line.severity]) for line in report.lines if line.severity != "info"]
    told += [(f"pending  {label}: {why}", None) for label, why in report.pending.items()]
    room = MOST_LINES - 1
    if len(told) > room:
        yield from told[: room - 1]
        yield f"and {len(told) - room + 1} more: --endpoints-report=FILE has them all", None
    else:
        yield from told


def _note(report: Report, entry: Mapping[str, Any]) -> None:
    key = (entry["endpoint"], entry["candidate"])
    known = report.candidates.get(key)
    report.candidates[key] = entry["state"] if known in (None, "same") else known
    label = f"{entry['endpoint']}@{entry['version']} → {entry['candidate']}"
    if entry["state"] == "pending" or (entry["why"] and entry["state"] in ("moved", "same")):
        report.pending[label] = entry["why"]
    said = {"unknown": "could not be asked", "refused": "refuses this suite's call"}.get(entry["state"])
    if said is not None:
        _add_line(report, entry, f"{label} {said}: {entry['why']}")


def _add_line(report: Report, entry: Mapping[str, Any], said: str) -> None:
    """Once, however many calls met it."""
    if all(line.said != said for line in report.lines):
        line = Line(
            severity="error",
            code=entry["state"],
            endpoint=entry["endpoint"],
            candidate=entry["candidate"],
            said=said,
            tests=(entry["test"],),
        )
        report.lines.append(line)


def _merge(
    merged: dict[tuple[str, str], dict[str, Any]],
    entry: Mapping[str, Any],
    nodeid: str,
    read: Mapping[str, set[str] | None],
) -> None:
    for finding in entry["findings"]:
        key = (entry["candidate"], finding["fingerprint"])
        known = merged.get(key)
        if known is None:
            columns = read.get(f"{entry['endpoint']}@{entry['version']}")
            weighed = dict(finding) if entry["reads"] == "position" else _weighed(finding, columns)
            known = merged[key] = {
                **weighed,
                "candidate": entry["candidate"],
                "pinned": entry["version"],
                "callers": [],
            }
        if nodeid not in known["callers"]:
            known["callers"].append(nodeid)


def _weighed(finding: Mapping[str, Any], read: set[str] | None) -> dict[str, Any]:
    """`read` None: rows are read whole, so every column counts."""
    locus = str(finding["locus"])
    column = locus.removeprefix(_COLUMNS)
    if read is None or not locus.startswith(_COLUMNS) or column in read or finding["severity"] == "info":
        return dict(finding)
    message = (
        f"{finding['message']}; no test here reads it, so {_LOWER[finding['severity']]} and not {finding['severity']}"
    )
    return {**finding, "severity": _LOWER[finding["severity"]], "message": message}


def _columns_read(facts: Mapping[str, TestFacts]) -> dict[str, set[str] | None]:
    """By version, over the whole suite."""
    found: dict[str, set[str] | None] = {}
    for call in (call for test in facts.values() for call in test.calls):
        known = found.setdefault(call.label, set())
        found[call.label] = None if call.is_whole or known is None else known | call.read
    return found


def _line(finding: Mapping[str, Any]) -> Line:
    tests: Iterable[str] = finding["callers"]
    moved = f"{finding['endpoint']}@{finding['pinned']} → {finding['candidate']}"
    return Line(
        severity=finding["severity"],
        code=finding["code"],
        endpoint=finding["endpoint"],
        candidate=finding["candidate"],
        said=f"{moved}: {finding['message']}",
        tests=tuple(tests),
    )


def _order(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    return _RANK[finding["severity"]], finding["endpoint"], finding["candidate"], finding["code"], finding["locus"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
