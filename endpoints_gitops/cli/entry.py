"""The command `endpoints-gitops`: answers `--version` before anything heavy is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Final

_OBJECTS_BETWEEN_COLLECTIONS: Final = 200_000
"""At Python's 700, a command looks for cycles again and again, in its imports and in the trees of its queries: there
are none.
"""
_UNUSED: Final = ("httpx._main", "trio")
"""What httpx and httpcore import where it is installed, and do without where it is not: httpx's own command, which
imports rich, and an event loop that no command runs.
"""
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code of the process. Without `argv`, the process runs only this command."""
    try:
        return _run(argv)
    except KeyboardInterrupt:  # while the command is imported, or once more while the first is reported
        sys.stderr.write("error: interrupted\n")
        return _INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-V"]):
        from endpoints_gitops import __version__

        sys.stdout.write(f"endpoints-gitops {__version__}\n")
        return 0
    from endpoints_gitops.cli.main import run

    if argv is not None:
        return run(words)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads every installed distribution
    for unused in _UNUSED:
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # None: importing it raises ModuleNotFoundError
    code = run(words)
    gc.freeze()  # the interpreter's last collection goes over all that the system takes back anyway
    return code
