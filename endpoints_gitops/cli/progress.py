"""Progress of long work: a bar on a terminal, a plain line each in CI, nothing under --quiet."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.operations.project import Progress, Silence

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


def progress_on(console: Console) -> Progress:
    """The right kind for where the console writes."""
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
