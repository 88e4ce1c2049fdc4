"""The programs of others that the tests run, and why one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NoReturn

import pytest

REQUIRED = "ENDPOINTS_TEST_REQUIRE_NODE_PACKAGES"
"""Set where the Node packages are installed on purpose: without them the tests fail instead of being skipped."""


REQUIRED_PROGRAMS = "ENDPOINTS_TEST_REQUIRE_PROGRAMS"
"""Names of programs, with blanks between them, without which the tests fail instead of being skipped."""


def program(name: str) -> str:
    """The path of a program. Skips the test where it is not on PATH."""
    path = shutil.which(name)
    if path is None:
        missing_program(name, f"{name} is not on PATH")
    return path


def missing_program(name: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where the program is required."""
    if name in os.environ.get(REQUIRED_PROGRAMS, "").split():
        pytest.fail(reason)
    pytest.skip(reason)


def node_file(name: str) -> str:
    """The path of a file of an npm package (`@posthog/cli/lib/posthog-api-cli.mjs`), found by NODE_PATH.

    Skips the test where Node or the package is missing.
    """
    node = program("node") if not os.environ.get(REQUIRED) else "node"
    code = "process.stdout.write(require.resolve(process.argv[1]))"
    found = subprocess.run([node, "-e", code, name], capture_output=True, text=True, check=False)
    if found.returncode:
        _missing(f"{name} is not installed: npm install --ignore-scripts it, and set NODE_PATH to that node_modules")
    return found.stdout


def _missing(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
