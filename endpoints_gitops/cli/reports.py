"""`--format` and `--report` of the commands that judge: `check`, `breaking`, `review` and `gate`.

Such a command is named in `registry.REPORTING`, and returns an `Outcome` with its `report`, or with `findings`. It
renders nothing itself: `main` shows the report on stdout and writes the files, also when the command raises an error,
so that no report of an earlier run looks current.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Command
from endpoints_gitops.cli.console import Console, OutputFormat
from endpoints_gitops.cli.registry import REPORTING
from endpoints_gitops.errors import EndpointsError, UsageError, worst
from endpoints_gitops.model.outcome import Outcome, failures_of

if TYPE_CHECKING:
    from endpoints_gitops.extension import Reporter
    from endpoints_gitops.reports import Invocation

_OPTION: Final = "--report"
_FROM_ROOT: Final = ("github", "sarif", "gitlab")
"""Formats whose paths start at the top of the repository, wherever the command runs."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --report."""
    parser.add_argument(
        _OPTION,
        metavar="FORMAT=FILE",
        action="append",
        default=[],
        help="also write a report, whatever the exit code: text, json, markdown, github, sarif, junit, gitlab, or one "
        "that a plugin provides; may be repeated",
    )


def formats(command: str) -> list[str]:
    """The formats that `--format` of a command accepts."""
    return [*OutputFormat] if command in REPORTING else [OutputFormat.TEXT, OutputFormat.JSON]


@dataclass(frozen=True, slots=True)
class _ReportFile:
    format: str
    path: Path


class Reports:
    """The report files of one command line.

    `words` are those of the command line, so that the files are known where it cannot be parsed. `mistake` is the
    first thing that is wrong with them; the others are written with it.
    """

    def __init__(self, command: str, words: Sequence[str]) -> None:
        self._words = words
        self._plugins: Mapping[str, Reporter] = {}
        self._files: list[_ReportFile] = []
        self.mistake: EndpointsError | None = None
        wanted = list(_values(words[1:])) if command in REPORTING else []
        if not wanted:
            return
        from endpoints_gitops.workspace.plugins import installed

        try:
            self._plugins = installed().reporters()
        except EndpointsError as error:
            self.mistake = error
        for text in wanted:
            try:
                self._files.append(self._file(text))
            except EndpointsError as error:
                self.mistake = self.mistake or error
            except ValueError:  # a NUL in the path, which is refused with all other words
                continue

    def finish(self, outcome: Outcome, console: Console) -> int:
        """Write every report, and print the outcome on stdout. Returns the exit code.

        A report that cannot be rendered or written is an error of the outcome, which the other reports then show.
        """
        if outcome.report is not None:  # the verdict and the exit code cannot disagree
            outcome = replace(outcome, exit_code=worst(outcome.exit_code, outcome.report.verdict.exit_code))
        document, written, failures = self._written(outcome, console, self._files)
        if failures:
            outcome = replace(
                outcome,
                exit_code=worst(outcome.exit_code, *(error.exit_code for error in failures)),
                errors=(*outcome.errors, *(entry for error in failures for entry in failures_of(error))),
            )
            document, _, _ = self._written(outcome, console, written)
        if outcome.report is not None and console.format is OutputFormat.TEXT:
            from endpoints_gitops.reports.content import report_of
            from endpoints_gitops.reports.text import report_lines

            in_color = console.coloured(console.stdout)
            console.show(report_lines(report_of(outcome), verbose=console.verbose, in_color=in_color))
        return console.finish(outcome, document)

    def _written(
        self, outcome: Outcome, console: Console, files: Iterable[_ReportFile]
    ) -> tuple[str, list[_ReportFile], list[EndpointsError]]:
        """The report for stdout, the files that were written, and the errors of the others."""
        from endpoints_gitops.workspace.files import write_atomically

        document = ""
        written: list[_ReportFile] = []
        failures: list[EndpointsError] = []
        try:
            if console.format not in (OutputFormat.TEXT, OutputFormat.JSON):
                document = self._rendered(console.format, outcome, console)
        except Exception as error:
            failures.append(console.defect(error))
        for file in files:
            try:
                write_atomically(file.path, self._rendered(file.format, outcome, console).encode())
                written.append(file)
            except EndpointsError as error:
                failures.append(error)
            except Exception as error:
                failures.append(console.defect(error))
        return document, written, failures

    def _rendered(self, name: str, outcome: Outcome, console: Console) -> str:
        from endpoints_gitops.reports import render
        from endpoints_gitops.reports.content import findings_of
        from endpoints_gitops.reports.shown import with_texts

        place = _from_root if name in _FROM_ROOT else str
        shown = with_texts(outcome, console.shown, place)
        if name in self._plugins:
            return console.redacted(self._plugins[name](shown, findings_of(shown)))
        return render(name, shown, self._invocation(console))

    def _invocation(self, console: Console) -> Invocation:
        from endpoints_gitops.reports import Invocation

        folder = _from_root(".")
        options = {**({"in": folder} if folder != "." else {}), **console.repeated}
        return Invocation(options=options, again=Command(*_without_reports(self._words)))

    def _file(self, text: str) -> _ReportFile:
        """The file that `FORMAT=FILE` means. Raises UsageError."""
        from endpoints_gitops.reports import FORMATS, is_report
        from endpoints_gitops.workspace.files import read_regular_file, shown

        name, is_stated, path = text.partition("=")
        if not is_stated or not path:
            fix = "--report json=findings.json"
            raise UsageError(f"--report {text} is not FORMAT=FILE", fix=fix, code="usage.report")
        if path == "-":
            fix = f"--format {name} prints the report"
            raise UsageError("--report writes files, and - is not one", fix=fix, code="usage.report")
        known = sorted({*FORMATS, *self._plugins})
        if name not in known:
            fix = f"the available reports are {', '.join(known)}"
            raise UsageError(f"there is no report {name!r}", fix=fix, code="usage.report")
        file = _ReportFile(name, Path(path))
        if any(other.path.resolve() == file.path.resolve() for other in self._files):
            raise UsageError(f"two reports would be written to {path}", fix="name two files", code="usage.report")
        if name in FORMATS:
            try:
                content = read_regular_file(file.path)
            except OSError:
                return file  # there is no file, or writing it reports why that is impossible
            if not is_report(content):
                message = f"{shown(file.path)} exists, and it is not a report: not overwritten"
                fix = "name another file, or delete this one"
                raise UsageError(message, fix=fix, code="usage.output")
        return file


def _values(words: Sequence[str]) -> Iterable[str]:
    """The values of --report in the words of a command line, whether or not it can be parsed."""
    words = words[: words.index("--")] if "--" in words else words
    for word, following in pairwise([*words, ""]):
        if word == _OPTION:
            yield following
        elif word.startswith(f"{_OPTION}="):
            yield word.removeprefix(f"{_OPTION}=")


def _without_reports(words: Sequence[str]) -> Iterable[str]:
    """The words of a command line that shows on the screen all that this one reports."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith((f"{_OPTION}=", "--format=")) and word not in (_OPTION, "--format"):
            yield word
        is_value = word in (_OPTION, "--format")
    if "--verbose" not in words and "-v" not in words:
        yield "--verbose"


def _from_root(path: str) -> str:
    """A path as the platforms know it: from the top of the repository."""
    from endpoints_gitops.workspace.files import work_tree

    here = Path.cwd()
    top = work_tree(here)
    if top is None:
        return path
    real = Path(os.path.normpath(here.resolve() / path))
    return real.relative_to(top).as_posix() if real.is_relative_to(top) else path
