"""Damaged files: each command that reads one ends with a sentence and an exit code of the table."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.faults import Effect, Fault
from tests.fuzz.mutation import mutate
from tests.fuzz.world import KEY_VARIABLE, BrokenPromise, World, new_world

READERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "definition": (("check",), ("diff",), ("plan",)),
    "query": (("check",), ("diff",), ("plan",)),
    "configuration": (("check",), ("diff",), ("lock", "--check")),
    "lock": (("lock", "--check"), ("breaking", "--against", "lock"), ("outdated",)),
    "plan": (("push", "--plan", "plan.json"),),
    "dotenv": (("auth", "status"),),
    "credentials": (("auth", "status"),),
    "trust": (("auth", "trust", "--list"),),
    "record": (("diff",), ("plan",)),
    "journal": (("diff",), ("resume", "--yes")),
}
"""The files of a checkout, a home and a state folder, and the commands that read them."""
_IN_CHECKOUT = {
    "definition": "endpoints/one.yaml",
    "query": "endpoints/three.sql",
    "configuration": "endpoints.toml",
    "lock": "endpoints.lock",
    "plan": "plan.json",
}
_DAMAGES = 6


def damage(engine: Engine, chance: random.Random) -> str:
    """Damage one file at a time, and run the commands that read it."""
    with new_world(engine) as world:
        (world.top / "endpoints" / "three.yaml").write_text("name: three\nquery_file: three.sql\n")
        (world.top / "endpoints" / "three.sql").write_text(world.sql)
        world.succeed("lock")
        world.edit()
        world.succeed("plan", "-o", "plan.json")
        configuration = (world.top / "endpoints.toml").read_text()
        for _ in range(_DAMAGES):
            file = chance.choice(sorted(READERS))
            path = _find(world, file)
            before = path.read_bytes()
            path.write_bytes(mutate(before, chance))
            for words in READERS[file]:
                try:
                    world.run(*words, "--max-wait", "1")
                except BrokenPromise as broken:
                    raise BrokenPromise(f"{file}: {path.read_bytes()[:20_000]!r}\n{broken}") from None
            path.unlink(missing_ok=True)
            path.write_bytes(before)
            (world.top / "endpoints.toml").write_text(configuration)
        return "read"


def _find(world: World, file: str) -> Path:
    """Where the tool looks for a file; made first if it comes from a login, a trust, or a push that failed."""
    make = {"dotenv": _dotenv, "credentials": _credentials, "trust": _trust, "journal": _journal}.get(file)
    if make is not None:
        return make(world)
    return world.state_file("record.json") if file == "record" else world.top / _IN_CHECKOUT[file]


def _dotenv(world: World) -> Path:
    _take_key_from(world, "dotenv:.env:KEY")
    path = world.top / ".env"
    path.write_text(f"# the key\nKEY='{world.server.key}'\nOTHER=\"a\"\n")
    return path


def _credentials(world: World) -> Path:
    _take_key_from(world, "posthog-cli")
    path = world.folder / ".posthog" / "credentials.json"
    path.parent.mkdir(exist_ok=True)
    login = {"host": world.server.url, "token": world.server.key, "env_id": str(world.server.project_id)}
    path.write_text(json.dumps(login))
    return path


def _trust(world: World) -> Path:
    world.succeed("auth", "trust", "https://posthog.example.com", f"env:{KEY_VARIABLE}")
    return world.state_file("trust.json")


def _journal(world: World) -> Path:
    world.server.faults.add(Fault(effect=Effect.DROP, method="PATCH"))
    world.run("push", "--yes", "--max-wait", "1")
    world.server.faults.clear()
    return world.state_file("journal.jsonl")


def _take_key_from(world: World, source: str) -> None:
    path = world.top / "endpoints.toml"
    path.write_text(path.read_text().replace(f"env:{KEY_VARIABLE}", source))
