"""Run the campaign; see `tests/fuzz/__init__.py`."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import tests.fuzz
from endpoints_gitops.local.engine.engine import Engine
from tests.fuzz import killer
from tests.fuzz.damage import damage
from tests.fuzz.disturbances import edit_between, fail_a_third
from tests.fuzz.hostile import visit
from tests.fuzz.kills import kill_at_every_call, kill_one

PARTS = {"kills": kill_one, "faults": fail_a_third, "edits": edit_between, "damage": damage, "hostile": visit}


def rounds_of(name: str, engine: Engine, arguments: argparse.Namespace) -> Iterator[Callable[[], str]]:
    """The rounds of a part, until its time is over."""
    if name == "kills" and arguments.every:
        yield from kill_at_every_call(engine)
        return
    numbers = count(1) if arguments.round is None else [arguments.round]
    end = time.monotonic() + arguments.seconds
    for number in numbers:
        if arguments.round is None and time.monotonic() > end:
            return
        yield partial(PARTS[name], engine, random.Random(f"{arguments.seed} {number}"))


def run_part(name: str, arguments: argparse.Namespace) -> int:
    """Print the result of each round that fails, and a summary; returns how many failed."""
    outcomes = Counter[str]()
    with Engine.open(sample=True) as engine:
        for number, run in enumerate(rounds_of(name, engine, arguments), start=arguments.round or 1):
            try:
                outcomes[run()] += 1
            except Exception as error:
                outcomes["failed"] += 1
                again = "kills --every" if arguments.every else f"{name} --seed {arguments.seed} --round {number}"
                sys.stdout.write(f"{again}: {type(error).__name__}: {error}\n")
                sys.stdout.flush()
    survived = outcomes.total() - outcomes["failed"]
    counts = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    sys.stdout.write(f"{name}: {survived} of {outcomes.total()} survived ({counts})\n")
    sys.stdout.flush()
    return outcomes["failed"]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=tests.fuzz.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--seconds", type=float, default=120, help="for each part (default: 120)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a random one")
    parser.add_argument("--round", type=int, help="only this round, as a failure names it")
    parser.add_argument("--every", action="store_true", help="kills: kill each command at each of its writing calls")
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    if "kills" in parts and not killer.is_supported():
        parser.error("kills needs Linux on x86-64 or arm64; name the other parts")
    sys.stdout.write(f"seed {arguments.seed}\n")
    return 1 if sum([run_part(name, arguments) for name in parts]) else 0


if __name__ == "__main__":
    sys.exit(main())
