"""A picture of what a terminal showed, as SVG: what the README opens with."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from endpoints_gitops.workspace.files import write_atomically

_COLUMNS = 110


class _Screen(io.TextIOBase):
    """Says that it is a terminal, so that commands use colour, keeps what is written, and passes it on."""

    def __init__(self, onto: TextIO, shown: list[str]) -> None:
        self.onto = onto
        self.shown = shown

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.onto.fileno()

    def write(self, text: str) -> int:
        self.shown.append(text)
        return self.onto.write(text)

    def flush(self) -> None:
        self.onto.flush()


@contextmanager
def drawn(path: Path | None, title: str) -> Iterator[None]:
    """Draws what is written inside of the block, to stdout and stderr, once that has ended well.

    Nothing is drawn where there is no path.
    """
    if path is None:
        yield
        return
    before = sys.stdout, sys.stderr
    shown: list[str] = []
    sys.stdout, sys.stderr = (cast("TextIO", _Screen(stream, shown)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
    write_atomically(path, _svg("".join(shown), title).encode())


def _svg(text: str, title: str) -> str:
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), color_system="standard", force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")))
    return console.export_svg(title=title, unique_id="endpoints-gitops-demo")
