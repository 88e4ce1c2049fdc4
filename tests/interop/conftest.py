"""What programs of others keep between runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping

import pytest


@pytest.fixture(scope="session")
def caches() -> Mapping[str, str]:
    """The variables that name the caches of uv and Go, which tests with a home of their own would fill again."""
    found: dict[str, str] = {}
    uv, go = os.environ.get("UV") or shutil.which("uv"), shutil.which("go")
    if uv is not None:
        found["UV_CACHE_DIR"] = subprocess.run(
            [uv, "cache", "dir"], capture_output=True, text=True, check=True
        ).stdout.strip()
    if go is not None:
        words = [go, "env", "-json", "GOCACHE", "GOMODCACHE"]
        found |= json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return found
