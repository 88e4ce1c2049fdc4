"""Run the soak; see `tests/soak/__init__.py`."""

from __future__ import annotations

import argparse
import sys

import tests.soak
from tests.soak.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=tests.soak.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", type=int, default=64, help="at the same time (default: 64)")
    parser.add_argument("--requests", type=int, default=100_000, help="of all clients (default: 100,000)")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILLs while they write (default: 0)")
    parser.add_argument("--seed", default="soak", help="chooses the operations (default: soak)")
    arguments = parser.parse_args()

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    outcome = soak(
        clients=arguments.clients,
        requests=arguments.requests,
        kills=arguments.kills,
        seed=arguments.seed,
        tell=tell,
    )
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(outcome.statuses.items()))
    operations = ", ".join(f"{count:,} {name}" for name, count in outcome.operations.most_common())
    tell(f"{outcome.requests:,} requests in {outcome.seconds:.0f} s: {statuses}")
    tell(f"{operations}")
    tell(
        f"{outcome.versions:,} versions compared, {outcome.starts} starts, {outcome.unanswered} writes without an "
        f"answer, {outcome.megabytes} MB"
    )
    for failure in outcome.failures:
        tell(f"FAILED: {failure}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
