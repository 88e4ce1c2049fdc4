"""One change, everything that says something of it, and all of them agree. The changes are data: `changes.yaml`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pytest_endpoints_gitops.canary import Canary
from ruamel.yaml import YAML

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.consumer.checking import check_answer
from endpoints_gitops.consumer.endpoints import Endpoints
from endpoints_gitops.consumer.errors import EndpointRecreated, PagingWarning
from endpoints_gitops.contract.build import from_definition, from_pin, from_version
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.operations.lock.resolve import EnvironmentUses, pin_of, verify
from endpoints_gitops.operations.lock.upgrade import MoveResult, UpgradeOptions, outdated, plan_moves
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, body
from endpoints_gitops.plan.settings import Key, completed, definition_settings
from endpoints_gitops.workspace.manifest import write_lock_file

NAME = "endpoint"
READ = YAML(typ="safe").load((Path(__file__).parent / "changes.yaml").read_text("utf-8"))
CHANGES = READ["changes"]
MOVES = [row for row in CHANGES if "moves" in row]
IN_PLACE = [row for row in CHANGES if "place" in row]
MOVE = RuleContext(callers=(Caller(name="this app", version=1),), is_move=True, is_unknown_error=True)
SERVED = ("S110",)
"""What only a server knows: whether a table is built by now."""


def names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["change"] for row in rows]


def told(findings: Iterable[Finding]) -> list[str]:
    """Codes with severities, each once, infos left out."""
    counted = (one for one in findings if one.severity is not Severity.INFO and one.code not in SERVED)
    return sorted({f"{one.code} {one.severity}" for one in counted})


def definition(row: Mapping[str, Any], side: str, name: str = NAME) -> LoadedDefinition:
    base = dict(READ["bases"][row["of"]])
    said = dict(row.get(side) or {})
    edits = said.pop("edit", None) or (row.get("edit") if side == "after" else None) or {}
    for old, new in edits.items():
        assert old in base["query"], f"{row['change']}: {old!r} is not in the query"
        base["query"] = base["query"].replace(old, new)
    if side == "after" and "node" in row:
        node = {**base["query_definition"], **row["node"]}
        base["query_definition"] = {key: value for key, value in node.items() if value is not None}
    keys = {key: value for key, value in {"name": name, **base, **said}.items() if value is not None}
    return read_definition(f"{name}.yaml", json.dumps(keys).encode(), lambda _: b"")


@dataclass(frozen=True, kw_only=True)
class Server:
    """The endpoint on a server, as a push of its definition left it, and the pin of its first version."""

    client: Client
    running: RunningServer
    name: str = NAME

    def push(self, loaded: LoadedDefinition, action: ChangeAction) -> None:
        meaning = definition_settings(loaded, None)
        keys = (
            *(KeyChange(key=key, before=None, after=value) for key, value in meaning.items() if key is not Key.QUERY),
        )
        query = KeyChange(key=Key.QUERY, before=None, after=completed(meaning[Key.QUERY]))
        known = {one.code_name: one for one in self.client.list_variables()}
        for one in loaded.definition.variables or ():
            if one.name not in known:
                made = {"name": one.name, "type": str(one.type), "default_value": one.default}
                known[one.name] = self.client.create_variable(made)
        sent = body(EndpointChange(name=self.name, action=action, keys=(query, *keys)), known)
        if action is ChangeAction.CREATE:
            self.client.create_endpoint(sent)
        else:
            self.client.update_endpoint(self.name, sent)
        self.client.get_endpoint(self.name)  # its table is built by now

    def contract(self, number: int) -> Contract:
        version = self.client.get_version(self.name, number)
        return from_version(version, {one.id: one for one in self.client.list_variables()})

    def pin(self) -> Pin:
        return pin_of("test", self.client.get_version(self.name, 1), self.contract(1))

    def side(self) -> EnvironmentUses:
        return EnvironmentUses(
            environment="test",
            uses=(Use(name=self.name),),
            client=lambda: self.client,
            examples=lambda _: (),
            place_of=lambda _: None,
        )


@pytest.fixture
def server(engine):
    with running_server(engine=engine) as running:
        connection = Connection(host=running.url, project_id=running.project_id, key=Secret(running.key))
        with Client(connection) as client:
            yield Server(client=client, running=running)


def canary(server: Server, pin: Pin, answer: RunAnswer, number: int) -> list[str]:
    """What the plugin says of a candidate that answers the same call."""
    environment: Any = SimpleNamespace(uses={})
    try:
        other = server.client.run(NAME, version=number, variables=sent(pin))
    except ApiError:
        other = None
    compared = Canary("latest", environment, cast("Any", None))
    return told(compared._findings(pin, server.contract(number), answer, other))


@pytest.mark.parametrize("row", MOVES, ids=names(MOVES))
def test_a_new_version(server, row):
    before, after = definition(row, "before"), definition(row, "after")
    server.push(before, ChangeAction.CREATE)
    pin = server.pin()
    lock = Lock(pins=(pin,))
    target = from_definition(after)
    said = {
        "breaking against a commit": compare(from_definition(before), target, MOVE),
        "breaking against NAME@N": compare(server.contract(1), target, MOVE),
        "breaking against lock": compare(from_pin(pin), target, MOVE),
    }
    server.push(after, ChangeAction.UPDATE)
    (standing,), (move,), (verified,) = (
        outdated(server.side(), lock),
        plan_moves(server.side(), lock, {}, UpgradeOptions()),
        verify(server.side(), lock),
    )
    newest = server.client.get_endpoint(NAME).current_version
    if newest > 1:
        said |= {"outdated": standing.moves, "upgrade": move.findings}
        is_broken = any(line.endswith("error") for line in row["moves"])
        assert (standing.finding.code, move.result) == (
            ("P107", MoveResult.REFUSED) if is_broken else ("P106", MoveResult.MOVES)
        )
    else:
        assert row["moves"] == [], "a change that says something makes a version"
        assert (standing.finding, move.result) == (None, MoveResult.CURRENT)
    expected = {who: sorted(row.get("files", row["moves"]) if "breaking" in who else row["moves"]) for who in said}
    expected["breaking against a commit"] = sorted(row.get("commit", expected["breaking against a commit"]))
    assert {who: told(found) for who, found in said.items()} == expected
    assert (told(standing.in_place), told(verified.findings)) == ([], []), "the pinned version is as it was"
    if pin.kind != "HogQLQuery":
        return
    answer = server.client.run(NAME, version=1, variables=sent(pin))
    check_answer(pin, answer)
    if newest > 1:
        said_by_canary = canary(server, pin, answer, newest)
        errors = [line for line in row["moves"] if line.endswith("error")]
        assert [line for line in said_by_canary if line.endswith("error")] == sorted(errors)


def change(server: Server, row: Mapping[str, Any]) -> None:
    """Do to the pinned version, or to its endpoint, what the row says."""
    client, place = server.client, row["place"]
    if place == "delete":
        client.delete_endpoint(server.name)
    elif place == "recreate":
        client.delete_endpoint(server.name)
        server.push(definition(row, "before", server.name), ChangeAction.CREATE)
    elif place == "idle":
        client.run(server.name)
        server.running.age(timedelta(days=31))
    else:
        client.update_endpoint(server.name, place, version=row.get("version"))
        if place.get("is_active") is not False:
            client.get_endpoint(server.name)


CALLED = [row for row in CHANGES if row["of"] != "trend" and row.get("place") != "idle"]
"""Without insights, which the local server answers with declared rows alone, and without the change that takes a month:
the clock cannot be moved for one endpoint."""


@pytest.fixture(scope="module")
def client_errors(engine, tmp_path_factory) -> Mapping[str, str]:
    """What an app's client gets for the pinned version after each change: the class of the error, empty for an answer.

    Every change is done to an endpoint of its own on one server.
    """
    folder = tmp_path_factory.mktemp("app")
    with running_server(engine=engine) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENDPOINTS_GITOPS_STATE", str(folder / "state"))
        patch.setenv("APP_KEY", running.key)
        connection = Connection(host=running.url, project_id=running.project_id, key=Secret(running.key))
        with Client(connection) as client:
            servers = {
                row["change"]: Server(client=client, running=running, name=f"case_{number:02}")
                for number, row in enumerate(CALLED)
            }
            pins = changed(servers, running)
        write_app(folder, running, pins)
        with Endpoints.from_lock(folder / "endpoints.lock", max_wait=30) as endpoints:
            return {row["change"]: client_error(endpoints, row, pins[servers[row["change"]].name]) for row in CALLED}


def changed(servers: Mapping[str, Server], running: RunningServer) -> dict[str, Pin]:
    """Push, pin and change everything; the pins by the endpoints' names."""
    pins = {}
    for row in sorted(CALLED, key=lambda row: row.get("place") != "recreate"):
        server = servers[row["change"]]
        server.push(definition(row, "before", server.name), ChangeAction.CREATE)
        if "first" in row:
            server.client.update_endpoint(server.name, row["first"])
            server.client.get_endpoint(server.name)
        if row.get("place") == "recreate":  # endpoints of one name are told apart by their age
            running.age(timedelta(days=1))
        pins[server.name] = server.pin()
    for row in CALLED:
        server = servers[row["change"]]
        if "place" in row:
            change(server, row)
        else:
            server.push(definition(row, "after", server.name), ChangeAction.UPDATE)
    return pins


def write_app(folder: Path, running: RunningServer, pins: Mapping[str, Pin]) -> None:
    lines = ["[environments.test]", f'host = "{running.url}"', f"project_id = {running.project_id}"]
    lines += ['key = "env:APP_KEY"', "[uses]", *(f'{name} = "*"' for name in pins)]
    (folder / "endpoints.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_lock_file(folder / "endpoints.lock", Lock(pins=tuple(pins[name] for name in sorted(pins))))


def client_error(endpoints: Endpoints, row: Mapping[str, Any], pin: Pin) -> str:
    """An app that leaves a variable to its default is the one that a table breaks."""
    leaves_defaults = row.get("call") == 400 and row["of"] == "rows"
    required = {} if leaves_defaults else {variable.name: "note created" for variable in pin.variables}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PagingWarning)  # of 100 rows without a LIMIT
            endpoints.run(pin.name, **required)
    except EndpointsError as error:
        return type(error).__name__
    return ""


@pytest.mark.timeout(400)  # the first one does every change
@pytest.mark.parametrize("row", CALLED, ids=names(CALLED))
def test_the_client_of_an_app(client_errors, row):
    """A pin protects from every new version, and the client fails where the change in place hits callers."""
    assert client_errors[row["change"]] == row.get("client", "")
    assert ("client" in row) is ("call" in row), "the answer of the server and what the client makes of it go together"
    assert "client" not in row or any(line.endswith("error") for line in row["in_place"])


@pytest.mark.parametrize("row", IN_PLACE, ids=names(IN_PLACE))
def test_a_change_in_place(server, row):
    client, place = server.client, row["place"]
    server.push(definition(row, "before"), ChangeAction.CREATE)
    if "first" in row:
        client.update_endpoint(NAME, row["first"])
        client.get_endpoint(NAME)
    if place == "recreate":  # endpoints of one name are told apart by their age
        server.running.age(timedelta(days=1))
    pin = server.pin()
    lock = Lock(pins=(pin,))
    call = {"variables": sent(pin)} if row.get("call") != 400 or row["of"] != "rows" else {}
    change(server, row)
    (standing,), (move,), (verified,) = (
        outdated(server.side(), lock),
        plan_moves(server.side(), lock, {}, UpgradeOptions()),
        verify(server.side(), lock),
    )
    found = [*([standing.finding] if standing.finding else []), *standing.in_place]
    said = {"lock --verify": verified.findings, "outdated": found, "upgrade": move.findings}
    expected = sorted(row["in_place"])
    errors = {line for line in expected if line.endswith("error")}
    assert told(verified.findings) == expected
    for who, findings in said.items():
        lines = told(findings)
        assert errors - {"P103 error"} <= {*lines}, (who, lines)
        assert bool(lines) is bool(expected), (who, lines)
    assert move.result is not MoveResult.MOVES, "by itself nothing moves"
    assert (move.result is MoveResult.CURRENT) is (expected in ([], ["S115 warn"]) and move.after is None), move
    if pin.kind != "HogQLQuery" or place == "idle":  # the age of this server moves the pinned version's too
        return
    if row.get("call") == "recreated":
        with pytest.raises(EndpointRecreated):
            check_answer(pin, client.run(NAME, version=1, **call))
    elif "call" in row:
        with pytest.raises(ApiError) as refused:
            client.run(NAME, version=1, **call)
        assert refused.value.status == row["call"]
    else:
        check_answer(pin, client.run(NAME, version=1, **call))


def sent(pin: Pin) -> dict[str, Any]:
    """A value for every variable that has one."""
    return {one.name: one.default for one in pin.variables if one.default is not None}


def test_the_matrix_is_wide():
    codes = {line.split()[0] for row in CHANGES for line in (*row.get("moves", ()), *row.get("in_place", ()))}
    assert len(CHANGES) >= 80
    assert codes <= RULES.keys()
    assert len(codes) > 35
    assert len({*names(CHANGES)}) == len(CHANGES)
