"""Output for people: results on stdout, progress and messages on stderr, and no text that moves the cursor.

Lines are values (`Line`), made by the renderers and printed here: in colour on a terminal, plain elsewhere and under
NO_COLOR. Each is one line on the way out, whatever it holds (`one_line`): text comes from servers and files.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

from endpoints_gitops.advice import Advice, with_options
from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.line import Line as Line
from endpoints_gitops.model.line import Style as Style
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import one_line, printable, printable_json
from endpoints_gitops.model.secret import Secret

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.text import Text as RichText

    from endpoints_gitops.operations.project import Clock, Progress


class OutputFormat(StrEnum):
    """Formats of stdout. Those after `JSON` are report formats, of commands that write reports."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"
    SARIF = "sarif"
    JUNIT = "junit"
    GITLAB = "gitlab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Where a command writes; one is made for each run of the program.

    `repeated` holds the options that commands in advice need to mean what this command line meant, `redaction` is what
    plugins make of each text before it is shown, and `secrets` are the keys in use: each is masked wherever it appears.
    `clock` stamps the record; None is the clock of the machine.
    """

    format: OutputFormat = OutputFormat.TEXT
    quiet: bool = False
    verbose: bool = False
    stdout: TextIO
    stderr: TextIO
    environment: Mapping[str, str]
    repeated: Mapping[str, str] = field(default_factory=dict)
    redaction: Callable[[str], str] | None = None
    secrets: set[Secret] = field(default_factory=set)
    clock: Clock | None = None

    @classmethod
    def of_process(cls, *, format: str = "text", quiet: bool = False, verbose: bool = False) -> Console:  # noqa: A002 - named after the option
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal without a letter is no reason to fail
        return cls(
            format=OutputFormat(format),
            quiet=quiet,
            verbose=verbose,
            stdout=sys.stdout or io.StringIO(),  # None where the caller closed it
            stderr=sys.stderr or io.StringIO(),
            environment=os.environ,
        )

    @property
    def interactive(self) -> bool:
        """Whether a user can be asked: stdin and stderr are a terminal."""
        return sys.stdin is not None and sys.stdin.isatty() and self.stderr.isatty()

    def show(self, lines: Iterable[Line | str]) -> None:
        """Print a result on stdout; not in JSON mode, where `finish` prints the outcome."""
        if self.format is OutputFormat.TEXT:
            self._print(self.stdout, lines)

    def say(self, *lines: Line | str) -> None:
        """Print a message on stderr; not with --quiet."""
        if not self.quiet:
            self._print(self.stderr, lines)

    def warn(self, *lines: Line | str) -> None:
        """Print a warning on stderr, also with --quiet."""
        self._print(self.stderr, lines)

    def trace(self, text: str) -> None:
        """Print a line that only --verbose shows."""
        if self.verbose:
            self._print(self.stderr, [Line(text, Style.FAINT)])

    def defect(self, error: Exception) -> EndpointsError:
        """The error to report for an exception that no code foresaw, after printing its traceback."""
        import traceback

        self.warn(*"".join(traceback.format_exception(error)).rstrip().split("\n"))
        message = f"internal error: {type(error).__name__}: {error}"
        return EndpointsError(message, fix="please report it with the lines above", code="defect")

    def finish(self, outcome: Outcome, document: str = "") -> int:
        """Print the errors, and what is not text on stdout: in JSON mode the outcome, else this report.

        Returns the exit code.
        """
        if self.format not in (OutputFormat.TEXT, OutputFormat.JSON):
            self._write(document)
        if self.format is OutputFormat.JSON:
            shown = self.shown_json(outcome.as_json())
            document = json.dumps(shown, indent=2, ensure_ascii=False, default=str)
            self._write(printable_json(document) + "\n")
        for failure in outcome.errors:
            where = f"{failure.where}: " if failure.where else ""
            self.warn(Line(f"error: {where}{failure.message}", Style.BAD))
            if failure.fix:
                self.warn(Advice("  fix: ", failure.fix))
        return int(outcome.exit_code)

    def show_document(self, text: str) -> None:
        """Print a whole document (rows, a schema, a script) on stdout; left out in JSON mode, like `show`.

        A file or a pipe gets every character as it is, a terminal what it can show without being told what to do.
        """
        text = self.redacted(text)
        if self.format is OutputFormat.TEXT:
            self._write(printable(text.replace("\r\n", "\n")) if self.stdout.isatty() else text)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask before something is written. Raises UsageError without a terminal, unless `yes` answers."""
        if yes:
            return True
        if not self.interactive:
            raise UsageError(
                f"{question} stdin is not a terminal; pass --yes.",
                fix="add --yes, or run it in a terminal",
                code="usage.unconfirmed",
            )
        self.stderr.write(f"{one_line(self.redacted(question))} [y/N] ")
        self.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def ask_for(self, question: str) -> str:
        """Ask for a line of text; empty without a terminal."""
        if not self.interactive:
            return ""
        self.stderr.write(f"{one_line(self.redacted(question))} ")
        self.stderr.flush()
        return sys.stdin.readline().strip()

    def coloured(self, stream: TextIO) -> bool:
        """Whether text on this stream has colours: NO_COLOR wins over FORCE_COLOR and CLICOLOR_FORCE."""
        if self.environment.get("NO_COLOR"):
            return False
        return self._colours_are_forced() or (stream.isatty() and self.environment.get("TERM") != "dumb")

    def width(self) -> int | None:
        """The width of the terminal on stdout; None for a file or a pipe, which get every character."""
        if not self.stdout.isatty():
            return None
        columns = self.environment.get("COLUMNS", "")
        if columns.isascii() and columns.isdigit() and int(columns) > 0:
            return int(columns)
        try:
            return os.get_terminal_size(self.stdout.fileno()).columns or None
        except (OSError, ValueError):  # a terminal without a size, or one that is played
            return None

    def rich(self, stream: TextIO) -> RichConsole:
        """A rich console for one of the two streams."""
        from rich.console import Console as RichConsole

        forced: dict[str, Any] = {"force_terminal": True, "color_system": "standard"}
        options = forced if self._colours_are_forced() else {}
        return RichConsole(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def _colours_are_forced(self) -> bool:
        return any(self.environment.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))

    def redacted(self, text: str) -> str:
        """The text with secrets masked and the redaction of plugins applied."""
        for secret in self.secrets:
            text = secret.masked_in(text)
        return self.redaction(text) if self.redaction else text

    def shown(self, text: str) -> str:
        """The text as it is printed: commands with the options of this command line, secrets masked."""
        return self.redacted(with_options(text, self.repeated))

    def shown_json(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.shown(value)
        if isinstance(value, Mapping):
            return {self.shown(key): self.shown_json(item) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self.shown_json(item) for item in value]
        return value

    def _write(self, text: str) -> None:
        with _reader_may_leave(self.stdout):
            self.stdout.write(text)
            self.stdout.flush()

    def _print(self, stream: TextIO, lines: Iterable[Line | str]) -> None:
        given = (line if isinstance(line, Line) else Line(line) for line in lines)
        shown = [(one_line(self.shown(line.text)), line) for line in given]
        with _reader_may_leave(stream):
            if self.coloured(stream):
                rich = self.rich(stream)
                for text, line in shown:
                    rich.print(_with_marks(text, line) if line.marked else text, style=line.style.value or None)
            else:
                stream.writelines(f"{text}\n" for text, _ in shown)
            stream.flush()


def _with_marks(text: str, line: Line) -> RichText:
    from rich.text import Text as RichText

    marked = RichText(text)
    for start, end in line.marked if text == line.text else ():  # escaping or redaction moved the characters
        marked.stylize("reverse", start, end)
    return marked


@contextmanager
def _reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Ignore a closed pipe (`| head`): the command goes on, and its exit code stays correct."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def progress_on(console: Console) -> Progress:
    """A bar on a terminal, lines elsewhere, nothing with --quiet."""
    from endpoints_gitops.operations.project import Silence

    if console.quiet:
        return Silence()
    can_move = console.stderr.isatty() and console.coloured(console.stderr)
    return _Bar(console) if can_move else _ProgressLines(console)


class _ProgressLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._total = 0
        self._done = 0

    def started(self, what: str, total: int) -> None:
        self._total, self._done = total, 0
        self._console.say(Line(f"{what}: {total}" if total else what, Style.FAINT))

    def advanced(self, name: str, state: str) -> None:
        with self._lock:
            self._done += 1
            count = f"{self._done}/{self._total}" if self._total else str(self._done)
            self._console.say(Line(f"  [{count}] {name}: {state}", Style.FAINT))

    def finished(self) -> None:
        self._total = 0


class _Bar:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def started(self, what: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=self._console.rich(self._console.stderr), transient=True)
        self._task = self._bar.add_task(what, total=total or None)
        self._bar.start()

    def advanced(self, name: str, state: str) -> None:
        if self._bar is not None and self._task is not None:
            seen = one_line(self._console.redacted(f"{name}: {state}"))
            self._bar.update(self._task, advance=1, description=seen)

    def finished(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
