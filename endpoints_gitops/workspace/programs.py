"""Programs of others: where they are, and running one without giving it a key or letting the checkout choose it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.model.secret import begins_like_a_key

if TYPE_CHECKING:
    from subprocess import CompletedProcess


def program_folders() -> list[str]:
    """The folders of PATH. Relative ones are skipped: they could lead into the checkout."""
    return [folder for folder in os.get_exec_path() if os.path.isabs(folder)]  # noqa: PTH117 - as texts


def find_program(name: str) -> str | None:
    """The absolute path of a program; None if it is not on PATH."""
    from shutil import which

    programs = (which(os.path.join(folder, name)) for folder in program_folders())  # noqa: PTH118 - as texts
    return next(filter(None, programs), None)


def environment_without_keys() -> Mapping[str, str]:
    """The environment of this process without relative folders in PATH, PostHog's keys, and its other variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("POSTHOG_") and not begins_like_a_key(value.strip())
    }
    return kept | {"PATH": os.pathsep.join(program_folders())}


def run_program(words: Sequence[str], folder: Path, seconds: float) -> CompletedProcess[bytes]:
    """Run a program in a folder, with its output captured. Raises OSError, and subprocess.TimeoutExpired."""
    import subprocess

    return subprocess.run(
        words,
        cwd=folder,
        env=environment_without_keys(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
