"""The README shows what happens: its commands are run, and print what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)  # dozens of commands and pytest runs, one after the other
def test_what_the_readme_shows_is_what_happens() -> None:
    command = [sys.executable, str(ROOT / "docs" / "readme.py"), "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
