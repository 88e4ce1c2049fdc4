"""`plan` exits as the `push` that follows it, from the definitions or from the saved plan, in every situation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

SQL = "SELECT event, count() AS c FROM events GROUP BY event"


def yaml(name: str, sql: str = SQL, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


def edited(client: Any, name: str = "one") -> None:
    client.update_endpoint(name, {"query": {"kind": "HogQLQuery", "query": SQL + " LIMIT 9"}})


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`base` is pushed, then `server` edits there, then `files` are committed; `code` is how plan and push exit."""

    base: dict[str, str | None]
    code: int
    writes: bool
    files: dict[str, str | None] | None = None
    server: Callable[[Any], object] = lambda _: None
    options: tuple[str, ...] = ()


ONE, MINE = {"one.yaml": yaml("one")}, {"one.yaml": yaml("one", SQL + " LIMIT 3")}
TWO = {"two.yaml": yaml("two")}
SITUATIONS = {
    "nothing to do": Situation(base=ONE, code=0, writes=False),
    "create": Situation(base=ONE, files=TWO, code=0, writes=True),
    "update": Situation(base=ONE, files=MINE, code=0, writes=True),
    "drift": Situation(base=ONE, server=edited, code=0, writes=False),
    "drift that counts": Situation(base=ONE, server=edited, options=("--fail-on-drift",), code=6, writes=False),
    "a create beside drift": Situation(base=ONE, server=edited, files=TWO, code=0, writes=True),
    "a create beside drift that counts": Situation(
        base=ONE, server=edited, files=TWO, options=("--fail-on-drift",), code=6, writes=True
    ),
    "no drift, though it would count": Situation(
        base=ONE, files=MINE, options=("--fail-on-drift",), code=0, writes=True
    ),
    "conflict": Situation(base=ONE, server=edited, files=MINE, code=6, writes=False),
    "conflict with --fail-on-drift": Situation(
        base=ONE, server=edited, files=MINE, options=("--fail-on-drift",), code=6, writes=False
    ),
    "a create beside a conflict": Situation(base=ONE, server=edited, files={**MINE, **TWO}, code=6, writes=True),
    "a conflict in one setting, the query is written": Situation(
        base={"one.yaml": yaml("one", description="a")},
        server=lambda client: client.update_endpoint("one", {"description": "b"}),
        files={"one.yaml": yaml("one", SQL + " LIMIT 3", description="c")},
        code=6,
        writes=True,
    ),
    "deleted on the server": Situation(
        base=ONE, server=lambda client: client.delete_endpoint("one"), code=6, writes=False
    ),
    "overwritten": Situation(base=ONE, server=edited, files=MINE, options=("--overwrite",), code=0, writes=True),
    "another version named to overwrite": Situation(
        base=ONE, server=edited, files=MINE, options=("--overwrite=one@1",), code=6, writes=False
    ),
    "prune": Situation(base=ONE, files={"one.yaml": None}, options=("--prune",), code=0, writes=True),
    "a conflict in what is pruned": Situation(
        base=ONE, server=edited, files={"one.yaml": None}, options=("--prune",), code=6, writes=False
    ),
    "a broken file": Situation(base=ONE, files={"two.yaml": "name: two\n"}, code=2, writes=False),
}


@pytest.mark.parametrize("way", ["push", "saved plan"])
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_plan_exits_as_push_does(cli, checkout, client, server, situation, way):
    checkout.commit(situation.base)
    assert cli("push", "--yes").code == 0
    situation.server(client)
    if situation.files:
        checkout.commit(situation.files)
    plain = cli("plan", *situation.options, "-o", "plan.json")
    planned = cli("plan", *situation.options, "--format", "json")
    detailed = cli("plan", *situation.options, "--detailed-exitcode", "--format", "json")
    assert (plain.code, planned.code) == (situation.code, situation.code), plain.err
    assert planned.json["ok"] == (planned.code == 0)
    assert bool(planned.json["errors"]) == (planned.code != 0), "what the exit code says has words"
    assert detailed.code == (situation.code or (1 if situation.writes else 0))
    assert detailed.json["ok"] == (detailed.code == 0)
    if way == "saved plan" and situation.code == 2:
        assert not (checkout.top / "plan.json").exists()
        return
    server.requests.clear()
    drift = ("--fail-on-drift",) * ("--fail-on-drift" in situation.options)
    words = ("--plan", "plan.json", *drift) if way == "saved plan" else situation.options
    pushed = cli("push", "--yes", *words, "--format", "json")
    assert pushed.code == situation.code, pushed.err
    assert bool(server.requests.writes()) == situation.writes


def test_a_plan_names_what_push_skips(cli, checkout, client):
    checkout.commit({**ONE, **TWO})
    assert cli("push", "--yes").code == 0
    edited(client, "one")
    edited(client, "two")
    checkout.commit(MINE)
    ran = cli("plan", "--fail-on-drift")
    assert "error: one: conflict; a push skips this, and exits with 6\n" in ran.err
    assert "error: two: drifted; a push skips this, and exits with 6\n" in ran.err
    errors = cli("plan", "--format", "json").json["errors"]
    assert [(error["code"], error["message"].partition(":")[0]) for error in errors] == [("conflict", "one")]
