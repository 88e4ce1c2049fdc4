"""For each change of an endpoint, every command, the client and the suites report the same. The changes are data in
`changes.yaml`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

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
from endpoints_gitops.local.engine.interface import QueryEngine
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
from tests.plugin.ways import NO_XDIST

NAME = "endpoint"
HOGQL = "HogQLQuery"
READ = YAML(typ="safe").load((Path(__file__).parent / "changes.yaml").read_text("utf-8"))
CHANGES = READ["changes"]
MOVES = [row for row in CHANGES if "moves" in row]
IN_PLACE = [row for row in CHANGES if "place" in row]
MOVE = RuleContext(callers=(Caller(name="this app", version=1),), is_move=True, is_unknown_error=True)
SERVED = ("S110",)
"""What only a server knows: whether a table is built by now."""


def names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["change"] for row in rows]


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Codes with severities, each once, infos left out."""
    counted = (finding for finding in findings if finding.severity is not Severity.INFO and finding.code not in SERVED)
    return sorted({f"{finding.code} {finding.severity}" for finding in counted})


def definition(row: Mapping[str, Any], side: str, name: str = NAME) -> LoadedDefinition:
    base = dict(READ["bases"][row["of"]])
    keys_of_side = dict(row.get(side) or {})
    edits = keys_of_side.pop("edit", None) or (row.get("edit") if side == "after" else None) or {}
    for old, new in edits.items():
        assert old in base["query"], f"{row['change']}: {old!r} is not in the query"
        base["query"] = base["query"].replace(old, new)
    if side == "after" and "node" in row:
        node = {**base["query_definition"], **row["node"]}
        base["query_definition"] = {key: value for key, value in node.items() if value is not None}
    keys = {key: value for key, value in {"name": name, **base, **keys_of_side}.items() if value is not None}
    return read_definition(f"{name}.yaml", json.dumps(keys).encode(), lambda _: b"")


@dataclass(frozen=True, kw_only=True)
class Server:
    """The endpoint on a server, as a push of its definition left it, and the pin of its first version.

    `examples` is the folder from which the server answers insights: it has a file for each version.
    """

    client: Client
    running: RunningServer
    examples: Path
    name: str = NAME

    def push(self, loaded: LoadedDefinition, action: ChangeAction) -> None:
        node = loaded.definition.query_definition
        if node is not None:
            content = {"name": self.name, "query_definition": node, "examples": READ["insight examples"]}
            self.examples.mkdir(exist_ok=True)
            (self.examples / f"{self.name}_{action}.yaml").write_text(json.dumps(content), encoding="utf-8")
        meaning = definition_settings(loaded, None)
        keys = (
            *(KeyChange(key=key, before=None, after=value) for key, value in meaning.items() if key is not Key.QUERY),
        )
        query = KeyChange(key=Key.QUERY, before=None, after=completed(meaning[Key.QUERY]))
        known = {variable.code_name: variable for variable in self.client.list_variables()}
        for variable in loaded.definition.variables or ():
            if variable.name not in known:
                made = {"name": variable.name, "type": str(variable.type), "default_value": variable.default}
                known[variable.name] = self.client.create_variable(made)
        sent = body(EndpointChange(name=self.name, action=action, keys=(query, *keys)), known)
        if action is ChangeAction.CREATE:
            self.client.create_endpoint(sent)
        else:
            self.client.update_endpoint(self.name, sent)
        self.client.get_endpoint(self.name)  # its table is built by now

    def contract(self, number: int) -> Contract:
        version = self.client.get_version(self.name, number)
        return from_version(version, {variable.id: variable for variable in self.client.list_variables()})

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
def server(engine, tmp_path):
    with running_server(engine=engine, definitions=tmp_path) as running:
        connection = Connection(host=running.url, project_id=running.project_id, key=Secret(running.key))
        with Client(connection) as client:
            yield Server(client=client, running=running, examples=tmp_path)


@pytest.mark.parametrize("row", MOVES, ids=names(MOVES))
def test_a_new_version(server, row):
    before, after = definition(row, "before"), definition(row, "after")
    server.push(before, ChangeAction.CREATE)
    pin = server.pin()
    lock = Lock(pins=(pin,))
    target = from_definition(after)
    reported = {
        "breaking against a commit": compare(from_definition(before), target, MOVE),
        "breaking against NAME@N": compare(server.contract(1), target, MOVE),
        "breaking against lock": compare(from_pin(pin), target, MOVE),
    }
    server.push(after, ChangeAction.UPDATE)
    (status,), (move,), (verified,) = (
        outdated(server.side(), lock),
        plan_moves(server.side(), lock, {}, UpgradeOptions()),
        verify(server.side(), lock),
    )
    newest = server.client.get_endpoint(NAME).current_version
    if newest > 1:
        reported |= {"outdated": status.moves, "upgrade": move.findings}
        is_broken = any(line.endswith("error") for line in row["moves"])
        assert (status.finding.code, move.result) == (
            ("P107", MoveResult.REFUSED) if is_broken else ("P106", MoveResult.MOVES)
        )
    else:
        assert row["moves"] == [], "a change that says something makes a version"
        assert (status.finding, move.result) == (None, MoveResult.CURRENT)
    expected = {who: sorted(row.get("files", row["moves"]) if "breaking" in who else row["moves"]) for who in reported}
    expected["breaking against a commit"] = sorted(row.get("commit", expected["breaking against a commit"]))
    assert {who: finding_lines(findings) for who, findings in reported.items()} == expected
    assert (finding_lines(status.in_place), finding_lines(verified.findings)) == ([], []), "unchanged"
    if pin.kind != "HogQLQuery":
        return
    answer = server.client.run(NAME, version=1, variables=sent(pin))
    check_answer(pin, answer)


def change(server: Server, row: Mapping[str, Any]) -> None:
    """Do to the pinned version, or to its endpoint, what the row says."""
    client, place = server.client, row["place"]
    if place == "delete":
        client.delete_endpoint(server.name)
    elif place == "recreate":
        client.delete_endpoint(server.name)
        server.push(definition(row, "before", server.name), ChangeAction.CREATE)
    elif place == "idle":
        client.run(server.name, variables=variables_of(row, server.pin()))
        server.running.age(IDLE)
    else:
        client.update_endpoint(server.name, place, version=row.get("version"))
        if place.get("is_active") is not False:
            client.get_endpoint(server.name)


REFUSED = "canary.refused error"
"""The candidate refuses the call of this app."""
IDLE = timedelta(days=31)
"""After so long without a call a table is switched off."""
SUITE = """
import pytest

CALLS = {calls!r}

def call(endpoints, name):
    variables, limit = CALLS[name]
    return endpoints(name, variables=variables, _limit=limit).as_dicts()

@pytest.mark.parametrize("name", CALLS)
def test_recorded(endpoints, name):
    call(endpoints, name)

@pytest.mark.parametrize("name", CALLS)
@pytest.mark.endpoints(mode="live", canary="off")
def test_live(endpoints, name):
    call(endpoints, name)
"""


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """What calls of a pinned version get after a change: of the client the class of its error, of the live suite the
    kind of its failure, both empty for an answer; of the canary its lines without infos.
    """

    client: str
    live: str
    canary: list[str]


def call_results(engine: QueryEngine, folder: Path) -> dict[str, CallResult]:
    """The results by change. Each change is made to its own endpoint on one server, and one suite calls all of them."""
    changes = {f"case_{number:02}": row for number, row in enumerate(CHANGES)}
    with (
        running_server(engine=engine, definitions=folder / "examples") as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("ENDPOINTS_GITOPS_STATE", str(folder / "state"))
        patch.setenv("APP_KEY", running.key)
        patch.delenv("CI", raising=False)
        lines = ["[environments.test]", f'host = "{running.url}"', f"project_id = {running.project_id}"]
        lines += ['key = "env:APP_KEY"', "[uses]", *(f'{name} = "*"' for name in changes)]
        (folder / "endpoints.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        connection = Connection(host=running.url, project_id=running.project_id, key=Secret(running.key))
        with Client(connection) as client:
            servers = {
                row["change"]: Server(client=client, running=running, examples=folder / "examples", name=name)
                for name, row in changes.items()
            }
            pins = created(servers, folder)
            for row in CHANGES:
                server = servers[row["change"]]
                if "place" not in row:
                    server.push(definition(row, "after", server.name), ChangeAction.UPDATE)
                elif row["place"] != "idle":
                    change(server, row)
        run_suite(folder, "--endpoints-canary=latest", "--endpoints-report=report.json")
        report = json.loads((folder / "report.json").read_text("utf-8"))
        with Endpoints.from_lock(folder / "endpoints.lock", max_wait=30) as endpoints:
            return {
                row["change"]: CallResult(
                    client=client_error(endpoints, row, pins[name]),
                    live=live_failure(report, name),
                    canary=canary_lines(report, name),
                )
                for name, row in changes.items()
            }


def created(servers: Mapping[str, Server], folder: Path) -> dict[str, Pin]:
    """Push, pin and record everything; the pins by the endpoints' names.

    Only the whole server can be made older, so the changes that need that come first: a table is switched off a month
    after the last call, and endpoints of one name are told apart by their age. Their pins get the times that the server
    has at the end.
    """
    aged = [row for row in CHANGES if row.get("place") in ("idle", "recreate")]
    idling = [row for row in aged if row["place"] == "idle"]
    pins = {servers[row["change"]].name: pinned(servers[row["change"]], row) for row in idling}
    write_app(folder, pins)
    run_suite(folder, "--endpoints=record", "-k", "test_recorded")
    for row in idling[:1]:
        servers[row["change"]].running.age(IDLE)
    for row in (*(row for row in aged if row not in idling), *(row for row in CHANGES if row not in aged)):
        server = servers[row["change"]]
        pins[server.name] = pinned(server, row)
        if row in aged:
            server.running.age(timedelta(days=1))
    for server in (servers[row["change"]] for row in aged):
        created_at = server.client.get_version(server.name, 1).created_at
        pins[server.name] = replace(pins[server.name], created_at=created_at)
    write_app(folder, pins)
    run_suite(folder, "--endpoints=record", "-k", "test_recorded")
    return pins


def pinned(server: Server, row: Mapping[str, Any]) -> Pin:
    server.push(definition(row, "before", server.name), ChangeAction.CREATE)
    if "first" in row:
        server.client.update_endpoint(server.name, row["first"])
        server.client.get_endpoint(server.name)
    return server.pin()


def write_app(folder: Path, pins: Mapping[str, Pin]) -> None:
    write_lock_file(folder / "endpoints.lock", Lock(pins=tuple(pins[name] for name in sorted(pins))))
    rows = {f"case_{number:02}": row for number, row in enumerate(CHANGES)}
    calls = {name: (variables_of(rows[name], pin), limit_of(pin)) for name, pin in pins.items()}
    (folder / "test_app.py").write_text(SUITE.format(calls=calls), encoding="utf-8")


def variables_of(row: Mapping[str, Any], pin: Pin) -> dict[str, str]:
    """An app that leaves a variable to its default is the one that a table breaks."""
    if pin.kind != HOGQL:
        return {variable.name: "Chrome" for variable in pin.variables if variable.required}
    leaves_defaults = row.get("call") == 400 and row["of"] == "rows"
    return {} if leaves_defaults else {variable.name: "note created" for variable in pin.variables}


def limit_of(pin: Pin) -> int | None:
    """Insights have no pages; of other answers one page is enough."""
    return 50 if pin.kind == HOGQL else None


def run_suite(folder: Path, *options: str) -> None:
    """Run the app's suite in a process of its own, whichever way it ends: its report and recordings count."""
    command = [sys.executable, "-m", "pytest", "-q", *NO_XDIST, "-p", "no:randomly", "-p", "no:cacheprovider", *options]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr


def live_failure(report: Mapping[str, Any], name: str) -> str:
    """The kind of the failure of the test that calls the endpoint in mode live; empty where it passed."""
    failures = [error["code"] for error in report["errors"] if error["where"].endswith(f"test_live[{name}]")]
    return ", ".join(failures)


def canary_lines(report: Mapping[str, Any], name: str) -> list[str]:
    """Codes with severities, each once, infos left out; what could not be compared as an error."""
    findings = [item for item in report["items"] if item["endpoint"] == name and item["severity"] != "info"]
    lines = {f"{item['code']} {item['severity']}" for item in findings if item["code"] not in SERVED}
    errors = [error for error in report["errors"] if error["where"].endswith(f"test_recorded[{name}]")]
    return sorted(lines | {f"{error['code']} error" for error in errors})


def client_error(endpoints: Endpoints, row: Mapping[str, Any], pin: Pin) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PagingWarning)  # of 100 rows without a LIMIT
            endpoints.run(pin.name, variables=variables_of(row, pin))
    except EndpointsError as error:
        return type(error).__name__
    return ""


@pytest.mark.slow  # a suite runs before and after the changes
@pytest.mark.timeout(600)
def test_the_calls_of_an_app(engine, tmp_path):
    """One test for all changes, so that they are made once however many workers there are."""
    assert call_results(engine, tmp_path) == {
        row["change"]: CallResult(
            client=row.get("client", ""), live=row.get("live", ""), canary=sorted(expected_canary(row))
        )
        for row in CHANGES
    }


def expected_canary(row: Mapping[str, Any]) -> list[str]:
    """The lines of the canary, which are those of `upgrade` unless the row names others."""
    lines = row.get("canary") or row.get("moves", row.get("in_place"))
    return [*lines, "ROWS warn"] if row.get("rows") == "differ" else list(lines)


@pytest.mark.parametrize("row", CHANGES, ids=names(CHANGES))
def test_the_columns_agree(row):
    """A pin protects from every new version: calls fail only where a change in place breaks callers. The canary has the
    errors of `upgrade`.
    """
    assert ("client" in row) is ("live" in row) is ("call" in row), "server, client and live suite fail together"
    findings = row.get("moves", row.get("in_place"))
    assert "call" not in row or ("place" in row and errors_of(findings))
    assert errors_of(expected_canary(row)) - {REFUSED} == errors_of(findings)


def errors_of(lines: Iterable[str]) -> set[str]:
    return {line for line in lines if line.endswith("error")}


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
    (status,), (move,), (verified,) = (
        outdated(server.side(), lock),
        plan_moves(server.side(), lock, {}, UpgradeOptions()),
        verify(server.side(), lock),
    )
    outdated_findings = [*([status.finding] if status.finding else []), *status.in_place]
    reported = {"lock --verify": verified.findings, "outdated": outdated_findings, "upgrade": move.findings}
    expected = sorted(row["in_place"])
    errors = {line for line in expected if line.endswith("error")}
    assert finding_lines(verified.findings) == expected
    for who, findings in reported.items():
        lines = finding_lines(findings)
        assert errors - {"P103 error"} <= {*lines}, (who, lines)
        assert bool(lines) is bool(expected), (who, lines)
    assert move.result is not MoveResult.MOVES, "a change in place moves no pin"
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
    return {variable.name: variable.default for variable in pin.variables if variable.default is not None}


def test_the_matrix_is_wide():
    codes = {line.split()[0] for row in CHANGES for line in (*row.get("moves", ()), *row.get("in_place", ()))}
    assert len(CHANGES) >= 84
    assert codes <= RULES.keys()
    assert len(codes) > 35
    assert len({*names(CHANGES)}) == len(CHANGES)
