"""Kills: what is repeated after a kill ends as if there had been none."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from endpoints_gitops.local.engine.engine import Engine
from tests.fuzz import killer
from tests.fuzz.world import COLLEAGUE_SQL, NAMES, SQL, BrokenPromise, Completed, Snapshot, World, new_world, require


@dataclass(frozen=True, slots=True)
class Command:
    """`prepare` gives the command something to do, `check` repeats it and looks at the result, and `files` are all that
    the checkout may hold afterwards.
    """

    words: tuple[str, ...]
    prepare: Callable[[World], None]
    check: Callable[[World], None]
    files: frozenset[str]

    def __str__(self) -> str:
        return " ".join(self.words)


def kill_one(engine: Engine, chance: random.Random) -> str:
    """Kill one of COMMANDS at one of its calls."""
    command = chance.choice(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        with new_world(engine) as world:
            command.prepare(world)
            snapshot = Snapshot(world, Path(folder) / "snapshot")
        calls = _count(command, snapshot, engine)
        return _kill_at(chance.randint(1, len(calls)), command, snapshot, engine)


def kill_at_every_call(engine: Engine) -> Iterator[Callable[[], str]]:
    """A round for each call of each of COMMANDS."""
    for command in COMMANDS:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            with new_world(engine) as world:
                command.prepare(world)
                snapshot = Snapshot(world, Path(folder) / "snapshot")
            calls = _count(command, snapshot, engine)
            sys.stdout.write(f"{command}: {len(calls)} calls\n")
            sys.stdout.flush()
            for at in range(1, len(calls) + 1):
                yield partial(_kill_at, at, command, snapshot, engine)


def _count(command: Command, snapshot: Snapshot, engine: Engine) -> list[str]:
    with snapshot.world(engine) as world:
        completed, calls = _run(world, command, 0)
        require(completed.code == 0, f"{command} exits with {completed.code}\n{completed.err}")
        command.check(world)
        require(not world.files() - command.files, f"{command} leaves {sorted(world.files() - command.files)}")
        return calls


def _kill_at(at: int, command: Command, snapshot: Snapshot, engine: Engine) -> str:
    with snapshot.world(engine) as world:
        completed, calls = _run(world, command, at)
        after_the_kill = sorted(world.files() - command.files)
        where = f"{command} at call {at} ({calls[-1] if calls else 'none'}), exit {completed.code}"
        try:
            command.check(world)
        except BrokenPromise as broken:
            raise BrokenPromise(f"{where}\n{broken}") from None
        left = sorted(world.files() - command.files)
        require(not left, f"{where}: {left} is left (right after the kill: {after_the_kill})")
        return "killed" if completed.code == killer.KILLED else "not reached"


def _run(world: World, command: Command, at: int) -> tuple[Completed, list[str]]:
    log = world.folder / "calls"
    tracer = (sys.executable, "-m", "tests.fuzz.killer", str(log), str(at))
    completed = world.run(*command.words, prefix=tracer)
    return completed, log.read_text().split()


def _edit(world: World) -> None:
    world.edit()


def _edit_as_a_colleague(world: World) -> None:
    for name in NAMES:
        world.ask("PATCH", f"{name}/", {"query": {"kind": "HogQLQuery", "query": COLLEAGUE_SQL}})


def _lock_then_push_an_edit(world: World) -> None:
    world.succeed("lock")
    world.edit()
    world.succeed("push", "--yes")


def _nothing(world: World) -> None:
    """The world is ready as it is."""


def check_pushed(world: World) -> None:
    world.succeed("resume", "--yes")
    world.succeed("push", "--yes")
    for name in NAMES:
        versions = world.versions(name)
        require(versions == [f"{SQL} LIMIT 2", world.sql], f"{name} has the versions {versions}")


def _check_pulled(world: World) -> None:
    world.succeed("pull", "--yes")
    for name in NAMES:
        text = (world.top / "endpoints" / f"{name}.yaml").read_text()
        require(COLLEAGUE_SQL in " ".join(text.split()), f"{name}.yaml lacks the query of the server:\n{text}")
    world.succeed("diff")


def _check_locked(world: World) -> None:
    world.succeed("lock")
    world.succeed("lock", "--check")
    world.succeed("lock", "--verify")


def _check_upgraded(world: World) -> None:
    world.succeed("upgrade", "--yes")
    world.succeed("lock", "--check")
    lock = (world.top / "endpoints.lock").read_text()
    require(lock.count("\nversion = 2\n") == 2, f"the lock lacks the new versions:\n{lock}")


_DEFINITIONS = frozenset(f"endpoints/{name}.yaml" for name in NAMES) | {"endpoints.toml"}
COMMANDS = (
    Command(("push", "--yes"), _edit, check_pushed, _DEFINITIONS),
    Command(("pull", "--yes"), _edit_as_a_colleague, _check_pulled, _DEFINITIONS),
    Command(("lock",), _nothing, _check_locked, _DEFINITIONS | {"endpoints.lock"}),
    Command(("upgrade", "--yes"), _lock_then_push_an_edit, _check_upgraded, _DEFINITIONS | {"endpoints.lock"}),
)
