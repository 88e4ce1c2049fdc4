"""The reasons that the tests of attribution are given, one section for each test in `reasons.json`.

`uv run python -m tests.plan.reasons` writes them anew, after words or tests changed; then read the difference.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from endpoints_gitops.plan.diff import EndpointDiff, KeyDiff

FILE = Path(__file__).with_name("reasons.json")
WRITES = "ENDPOINTS_TEST_WRITE_REASONS"


def reasons(diff: EndpointDiff) -> list[str]:
    """What an attributed diff says, a line for each key."""
    removal = [diff.removal] if diff.removal else []
    lines = [_line(difference) for difference in (*diff.differences, *removal)]
    lines += [f"{dropped.key} dropped: {dropped.message}" for dropped in diff.dropped]
    return [*lines, *([f"missing: {diff.is_missing}; {diff.note}"] if diff.is_missing or diff.note else [])]


def _line(difference: KeyDiff) -> str:
    words = [f"{difference.key} {difference.attribution}: {difference.reason}"]
    words += [f"with {difference.follows}"] if difference.follows else []
    words += [] if difference.is_known else ["not known"]
    words += [f"line {difference.line}"] if difference.line else []
    return "; ".join([*words, *([f"fix: {difference.fix}"] if difference.fix else [])])


def assert_reasons(test: str, diffs: list[EndpointDiff]) -> None:
    """Compare with the file, or write the section of this test."""
    lines = [line for diff in diffs for line in reasons(diff)]
    known = json.loads(FILE.read_text("utf-8"))
    if WRITES in os.environ:
        known = {**known, test: lines} if lines else known
        FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
    else:
        assert lines == known.get(test, [])


if __name__ == "__main__":
    os.environ[WRITES] = "1"
    FILE.write_text("{}", "utf-8")
    sys.exit(pytest.main(["-n0", "-q", str(FILE.with_name("test_attribution.py"))]))
