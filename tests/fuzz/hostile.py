"""Hostile repositories: no command runs a program that a checkout brings."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Mapping

from endpoints_gitops.local.engine.engine import Engine
from tests.fuzz.world import PROGRAM, new_world, require
from tests.hostile_repositories import HOSTILE, escapes, plant


def visit(engine: Engine, chance: random.Random) -> str:
    """Run every command in one of the repositories of `tests/hostile_repositories.py`."""
    trick = chance.choice(HOSTILE)
    with new_world(engine) as world:
        planted = plant(trick, world.folder / "hostile")
        configuration = (world.top / "endpoints.toml").read_text()
        (planted.top / "endpoints.toml").write_text(configuration.replace('"endpoints"', f'"{trick.folder}"', 1))

        def run(*words: str, env: Mapping[str, str]) -> object:
            return subprocess.run(
                [*PROGRAM, *words], cwd=planted.top, env=world.environment | dict(env), stdin=subprocess.DEVNULL,
                capture_output=True, timeout=120, check=False,
            )  # fmt: skip

        escaped = list(escapes(planted, run))
        require(not escaped, "\n".join(escaped))
        return trick.name
