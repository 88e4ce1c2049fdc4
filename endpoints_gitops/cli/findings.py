"""Findings on the screen and in JSON, what `--fail-on` makes of them, and the reports that `--report` writes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.extension import Reporter
    from endpoints_gitops.model.outcome import Outcome

_STYLES: Final = {Severity.ERROR: Style.BAD, Severity.WARN: Style.WARN, Severity.INFO: Style.FAINT}
_COUNTED: Final = {Severity.ERROR: "error", Severity.WARN: "warning", Severity.INFO: "info"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --fail-on and --report."""
    parser.add_argument(
        "--fail-on",
        choices=[severity.value for severity in reversed(Severity)],
        default=Severity.ERROR.value,
        help="exit with 1 for findings of this severity or above (default: error)",
    )
    parser.add_argument(
        "--report",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="also write a report, whatever the exit code: json, or one that a plugin provides",
    )


def lines(findings: Iterable[Finding], *, indent: str = "") -> Iterator[Line]:
    """`path:line:column: CODE message`, with callers and fix unless it is an info."""
    for finding in findings:
        place = _place(finding) or f"{finding.endpoint}{f': {finding.locus}' if finding.locus else ''}"
        yield Line(f"{indent}{place}: {finding.code} {finding.message} [{finding.severity}]", _STYLES[finding.severity])
        if finding.callers and finding.severity is not Severity.INFO:
            yield Line(f"{indent}  hits {', '.join(finding.callers)}", Style.FAINT)
        if finding.fix and finding.severity is not Severity.INFO:
            yield Line(Advice(f"{indent}  fix: ", finding.fix), Style.FAINT)


def shown(findings: Iterable[Finding], *, verbose: bool) -> list[Finding]:
    """The findings to print: infos only with --verbose."""
    return [finding for finding in findings if verbose or finding.severity is not Severity.INFO]


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """The number of findings of each severity."""
    severities = [finding.severity for finding in findings]
    return {f"{word}s": severities.count(severity) for severity, word in _COUNTED.items()}


def counted(findings: Iterable[Finding], *, verbose: bool = True) -> str:
    """The numbers in words, and how to see infos that are not shown; empty without findings."""
    severities = [finding.severity for finding in findings]
    counts = ((severities.count(severity), word) for severity, word in _COUNTED.items())
    text = ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count)
    is_hidden = not verbose and Severity.INFO in severities
    return f"{text} (--verbose shows the infos)" if is_hidden else text


def items(findings: Iterable[Finding]) -> tuple[JsonObject, ...]:
    return tuple(finding.as_json() for finding in findings)


def exit_code(findings: Iterable[Finding], fail_on: str) -> ExitCode:
    """1 if a finding has this severity or a higher one."""
    least = Severity(fail_on).rank
    return ExitCode.FINDINGS if any(finding.severity.rank >= least for finding in findings) else ExitCode.DONE


class Reports:
    """The reports of a command line. Raises UsageError for wrong ones, before any work is done."""

    def __init__(self, console: Console, wanted: Sequence[str]) -> None:
        self.console = console
        known = _reporters() if wanted else {}
        self._wanted = tuple(_wanted(text, known) for text in wanted)

    def write(self, outcome: Outcome, findings: tuple[Finding, ...]) -> None:
        """Write every report. Raises UsageError if a file cannot be written, PluginFailed if a reporter fails."""
        from endpoints_gitops.workspace.files import write_atomically

        for path, reporter in self._wanted:
            write_atomically(path, self.console.redacted(reporter(outcome, findings)).encode())


def _reporters() -> Mapping[str, Reporter]:
    from endpoints_gitops.workspace.plugins import installed

    return {**installed().reporters(), "json": _json}


def _json(outcome: Outcome, _: tuple[Finding, ...]) -> str:
    import json

    return json.dumps(outcome.as_json(), indent=2, ensure_ascii=False) + "\n"


def _wanted(text: str, known: Mapping[str, Reporter]) -> tuple[Path, Reporter]:
    name, is_said, path = text.partition("=")
    if not is_said or not path:
        raise UsageError(f"--report {text} is not NAME=FILE", fix="--report json=findings.json", code="usage.report")
    if name not in known:
        fix = f"the available reports are {', '.join(sorted(known))}"
        raise UsageError(f"there is no report {name!r}", fix=fix, code="usage.report")
    return Path(path), known[name]


def _place(finding: Finding) -> str | None:
    location = finding.location
    return f"{location.path}:{location.line or 1}:{location.column or 1}" if location else None
