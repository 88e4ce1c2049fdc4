"""The command `endpoints-gitops`: answers `--version` before anything heavy is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        from endpoints_gitops import __version__

        sys.stdout.write(f"endpoints-gitops {__version__}\n")
        return 0
    from endpoints_gitops.cli.main import run

    return run(words)
