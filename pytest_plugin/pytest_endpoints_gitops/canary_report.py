"""The canary's report on a whole run: gathered over tests and processes, and weighed by what is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.model.printable import one_line

if TYPE_CHECKING:
    import pytest

    from pytest_endpoints_gitops.call_log import TestRecord

MOST_LINES: Final = 10
_LOWER: Final = {"error": "warn", "warn": "info", "info": "info"}
_RANK: Final = {"error": 0, "warn": 1, "info": 2}
_COLOUR: Final = {"error": "red", "warn": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryLine:
    """One line. `severity` is error where the comparison failed: that never counts as "no changes"."""

    severity: str
    code: str
    endpoint: str
    candidate: str
    message: str
    tests: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity:<5}  {self.code:<7}  {self.message}"


@dataclass(slots=True)
class CanaryReport:
    """`findings` are those of all candidates, each once, as JSON has them; `lines` the most severe first.

    `has_compared` is false where every call is still pending and where none was made, unless each test that made one
    has the canary switched off.
    """

    findings: list[dict[str, Any]] = field(default_factory=list)
    lines: list[CanaryLine] = field(default_factory=list)
    candidates: dict[tuple[str, str, str], str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    has_compared: bool = False
    has_several_locks: bool = False

    def count(self, severity: str) -> int:
        return sum(line.severity == severity for line in self.lines)

    @property
    def has_errors(self) -> bool:
        return self.count("error") > 0

    def sentence(self) -> str:
        moved = sum(state not in ("same", "pending") for state in self.candidates.values())
        parts = [_counted(self.calls, "call"), _counted(len(self.candidates), "candidate"), f"{moved} differ"]
        parts += [f"{len(self.pending)} pending"] if self.pending else []
        parts += [] if self.has_compared else ["nothing was compared, which proves nothing"]
        parts += [_counted(self.count(severity), word) for severity, word in _WORDS.items() if self.count(severity)]
        return f"canary: {', '.join(parts)}"


_WORDS: Final = {"error": "error", "warn": "warning", "info": "info"}


def gathered(records: Mapping[str, TestRecord]) -> CanaryReport:
    """Over all tests. A break in a column that no test reads is lowered one step, and says so."""
    report = CanaryReport()
    read = _columns_read(records)
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    report.has_several_locks = len({entry["lock"] for test in records.values() for entry in test.canary}) > 1
    calling = [test for test in records.values() if any(not call.is_stubbed for call in test.calls)]
    report.has_compared = bool(calling) and all(test.is_canary_off for test in calling)
    for nodeid, test in records.items():
        for entry in test.canary:
            report.calls += 1
            report.has_compared = report.has_compared or entry["state"] != "pending"
            _note(report, entry)
            _merge(merged, entry, nodeid, read)
    report.findings = [finding for _, finding in sorted(merged.items(), key=lambda pair: _order(pair[1]))]
    report.lines = sorted(
        (*report.lines, *(_line(report, finding) for finding in report.findings)), key=lambda line: _RANK[line.severity]
    )
    return report


def show(reporter: pytest.TerminalReporter, report: CanaryReport) -> None:
    """At most ten lines, the sentence and what is left out included. Infos are counted only."""
    for number, (text, colour) in enumerate(_shown(report)):
        markup = {colour: True} if colour else {}
        reporter.write_line(one_line(text if number == 0 else f"  {text}"), **markup)


def _shown(report: CanaryReport) -> Iterator[tuple[str, str | None]]:
    yield report.sentence(), None
    lines: list[tuple[str, str | None]] = []
    lines += [(str(line), _COLOUR[line.severity]) for line in report.lines if line.severity != "info"]
    lines += [(f"pending  {label}: {why}", None) for label, why in report.pending.items()]
    most = MOST_LINES - 1
    if len(lines) > most:
        yield from lines[: most - 1]
        yield f"and {len(lines) - most + 1} more: --endpoints-report=FILE has them all", None
    else:
        yield from lines


def _note(report: CanaryReport, entry: Mapping[str, Any]) -> None:
    key = (entry["lock"], entry["endpoint"], entry["candidate"])
    known = report.candidates.get(key)
    report.candidates[key] = entry["state"] if known in (None, "same") else known
    label = _label(report, entry, entry["version"])
    if entry["state"] == "pending" or (entry["why"] and entry["state"] in ("moved", "same")):
        report.pending[label] = entry["why"]
    problem = {"unknown": "could not be compared", "refused": "refuses this suite's call"}.get(entry["state"])
    if problem is not None:
        _add_line(report, entry, f"{label} {problem}: {entry['why']}")


def _add_line(report: CanaryReport, entry: Mapping[str, Any], message: str) -> None:
    """Once, however many calls met it."""
    if all(line.message != message for line in report.lines):
        line = CanaryLine(
            severity="error",
            code=entry["state"],
            endpoint=entry["endpoint"],
            candidate=entry["candidate"],
            message=message,
            tests=(entry["test"],),
        )
        report.lines.append(line)


def _merge(
    merged: dict[tuple[str, str, str], dict[str, Any]],
    entry: Mapping[str, Any],
    nodeid: str,
    read: Mapping[tuple[str, str], set[str] | None],
) -> None:
    for finding in entry["findings"]:
        key = (entry["lock"], entry["candidate"], finding["fingerprint"])
        known = merged.get(key)
        if known is None:
            columns = read.get((entry["lock"], f"{entry['endpoint']}@{entry['version']}"))
            weighed = dict(finding) if entry["reads"] == "position" else _weighed(finding, columns)
            weighed.pop("column")
            known = merged[key] = {
                **weighed,
                "lock": entry["lock"],
                "candidate": entry["candidate"],
                "pinned": entry["version"],
                "callers": [],
            }
        if nodeid not in known["callers"]:
            known["callers"].append(nodeid)


def _weighed(finding: Mapping[str, Any], read: set[str] | None) -> dict[str, Any]:
    """`read` None: rows are read whole, so every column counts."""
    column = finding["column"]
    if read is None or column is None or column in read or finding["severity"] == "info":
        return dict(finding)
    message = (
        f"{finding['message']}; no test here reads it, so {_LOWER[finding['severity']]} and not {finding['severity']}"
    )
    return {**finding, "severity": _LOWER[finding["severity"]], "message": message}


def _columns_read(records: Mapping[str, TestRecord]) -> dict[tuple[str, str], set[str] | None]:
    """By lock and version, over the whole suite."""
    columns: dict[tuple[str, str], set[str] | None] = {}
    for call in (call for test in records.values() for call in test.calls):
        key = (call.lock, call.label)
        known = columns.setdefault(key, set())
        columns[key] = None if call.is_whole or known is None else known | call.read
    return columns


def _label(report: CanaryReport, entry: Mapping[str, Any], pinned: int) -> str:
    lock = f"{entry['lock']}: " if report.has_several_locks else ""
    return f"{lock}{entry['endpoint']}@{pinned} → {entry['candidate']}"


def _line(report: CanaryReport, finding: Mapping[str, Any]) -> CanaryLine:
    tests: Iterable[str] = finding["callers"]
    moved = _label(report, finding, finding["pinned"])
    return CanaryLine(
        severity=finding["severity"],
        code=finding["code"],
        endpoint=finding["endpoint"],
        candidate=finding["candidate"],
        message=f"{moved}: {finding['message']}",
        tests=tuple(tests),
    )


def _order(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        _RANK[finding["severity"]],
        finding["lock"],
        finding["endpoint"],
        finding["candidate"],
        finding["code"],
        finding["locus"],
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
