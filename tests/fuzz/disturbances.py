"""A push whose requests fail, and a push during which a colleague edits."""

from __future__ import annotations

import random

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.faults import Edit, Effect, Fault, When
from tests.fuzz.kills import check_pushed
from tests.fuzz.world import COLLEAGUE_SQL, NAMES, BrokenPromise, new_world, require

_EFFECTS = (Effect.ERROR, Effect.HALF, Effect.HTML, Effect.WRONG_JSON, Effect.BROKEN_JSON, Effect.DROP)
_REQUESTS = 80
"""More than a push makes, its retries included."""


def fail_a_third(engine: Engine, chance: random.Random) -> str:
    """A third of the requests of a push fail; what is repeated afterwards ends as if none had, and no version twice."""
    with new_world(engine) as world:
        world.edit()
        for nth in range(1, _REQUESTS):
            if chance.random() < 1 / 3:
                effect, when = chance.choice(_EFFECTS), chance.choice(tuple(When))
                status, retry = chance.choice((429, 500, 502, 503)), chance.choice((None, 0, 1))
                world.server.faults.add(Fault(effect=effect, nth=nth, when=when, status=status, retry_after=retry))
        completed = world.run("push", "--yes", "--max-wait", "3")
        world.server.faults.clear()
        all_written = all(world.versions(name)[-1] == world.sql for name in NAMES)
        require(all_written or completed.code != 0, f"exit 0, and not everything is written\n{completed.err}")
        try:
            check_pushed(world)
        except BrokenPromise as broken:
            text = f"after a push that exits with {completed.code}\n{completed.err}\n{broken}"
            raise BrokenPromise(text) from None
        return f"exit {completed.code}"


def edit_between(engine: Engine, chance: random.Random) -> str:
    """A colleague edits a query between two requests of a push, which exits with 6 if it covers the edit or leaves its
    own out.
    """
    with new_world(engine) as world:
        world.edit()
        name, nth, when = chance.choice(NAMES), chance.randrange(1, 9), chance.choice(tuple(When))
        body = {"query": {"kind": "HogQLQuery", "query": COLLEAGUE_SQL}}
        edit = Edit(path=f"endpoints/{name}/", body=body)
        world.server.faults.add(Fault(effect=Effect.EDIT, nth=nth, when=when, edit=edit))
        completed = world.run("push", "--yes")
        world.server.faults.clear()
        versions = world.versions(name)
        if COLLEAGUE_SQL not in versions:
            return "no request left to edit at"
        is_sent = world.sql in versions
        if not is_sent or versions.index(COLLEAGUE_SQL) < versions.index(world.sql):
            text = f"{when} request {nth}: exit {completed.code}, and the versions are {versions}\n{completed.err}"
            require(completed.code == 6, text)
        require(len(versions) == len(set(versions)), f"a version came twice: {versions}")
        return f"exit {completed.code}"
