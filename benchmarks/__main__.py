"""`uv run python -m benchmarks [NAME…]`: all of them, or those named; exit code 1 where a promise is broken."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Sequence

from benchmarks.measure import Measure, table

NAMES = (
    "starting",
    "classifying",
    "locking",
    "generating",
    "gate",
    "checking",
    "hook",
    "calling",
    "plugin",
    "requests",
    "writes",
    "review",
    "serving",
)


def main(wanted: Sequence[str]) -> int:
    unknown = set(wanted) - set(NAMES)
    if unknown:
        raise SystemExit(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as where a package is installed: its modules are compiled once
    measured: list[Measure] = []
    for each in wanted or NAMES:
        print(f"measuring {each} …", file=sys.stderr, flush=True)
        measured += importlib.import_module(f"benchmarks.{each}").measures()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n\n{table(measured)}")
    return 0 if all(each.holds for each in measured) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
