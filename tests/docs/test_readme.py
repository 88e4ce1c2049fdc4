"""The README shows what happens: its commands are run, and print what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_reference_pages_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(900)  # dozens of commands and pytest runs, one after the other
def test_what_the_readme_shows_is_what_happens() -> None:
    command = [sys.executable, str(ROOT / "docs" / "readme.py"), "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
