"""Runs `endpoints-gitops demo` in a terminal and draws what it shows: `uv run python docs/demo_picture.py`.

The picture is docs/demo.svg, which the README opens with.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

PICTURE: Final = Path(__file__).resolve().parent / "demo.svg"
COLUMNS: Final = 110
_TEMPORARY_FOLDER: Final = re.compile(r"/\S+(/endpoints-gitops-demo)-\w+")


def recorded(command: list[str]) -> str:
    """What a terminal of 110 columns receives from the command, colours included. A failed command is an error."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        output = b""
        while chunk := _read(controller):
            output += chunk
    os.close(controller)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()}")
    return _TEMPORARY_FOLDER.sub(r"\1", output.decode().replace("\r\n", "\n"))


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # how Linux reports that the program has closed its terminal
        return b""


def svg(text: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="standard", force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")))
    return console.export_svg(title="endpoints-gitops demo", unique_id="endpoints-gitops-demo")


if __name__ == "__main__":
    program = Path(sys.executable).with_name("endpoints-gitops")
    PICTURE.write_text(svg(recorded([str(program), "demo"])), encoding="utf-8")
