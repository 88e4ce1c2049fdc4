"""Locks resolved and verified against a server that is data: what is pinned, what is asked, and what is lacking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from endpoints_gitops.api.errors import EndpointNotFound, Forbidden, Unreachable, VersionNotFound
from endpoints_gitops.contract.build import from_version
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, Use
from endpoints_gitops.operations.lock.resolve import (
    EnvironmentUses,
    PinAction,
    inactive,
    look_up,
    pin_of,
    read_types,
    resolve,
    verify,
)

MONTH = InsightVariable.model_validate({"id": "id-month", "name": "Month", "type": "Date", "code_name": "month"})
EXAMPLE = PinnedExample(variables={"plan": "pro"})


def version(name: str = "revenue", number: int = 2, current: int = 2, **keys: Any) -> EndpointVersion:
    wire = {
        "id": f"id-{name}",
        "name": name,
        "query": {"kind": "HogQLQuery", "query": f"SELECT {number} AS n"},
        "is_active": True,
        "endpoint_is_active": True,
        "data_freshness_seconds": 900,
        "current_version": current,
        "version": number,
        "version_id": f"{name}-{number}",
        "created_at": "2026-07-01T12:00:00Z",
        "version_created_at": "2026-07-01T12:00:00Z",
        "materialization": {"enabled": False},
        "columns": [{"name": "n", "type": "integer"}],
    }
    return EndpointVersion.model_validate(wire | keys)


def dated(name: str = "monthly") -> EndpointVersion:
    variables = {"id-month": {"variableId": "id-month", "code_name": "month", "value": "2026-07-01"}}
    query = {"kind": "HogQLQuery", "query": "SELECT {variables.month} AS n", "variables": variables}
    return version(name, 1, 1, query=query)


@dataclass
class Server:
    """The client of a server that has these versions, and the requests that it was asked for."""

    versions: tuple[EndpointVersion, ...] = ()
    may_list_variables: bool = True
    is_away: bool = False
    document: Any = None
    asked: list[str] = field(default_factory=list)

    def _newest(self) -> dict[str, EndpointVersion]:
        return {one.name: one for one in self.versions if one.version == one.current_version}

    def get_endpoint(self, name: str) -> Endpoint:
        self.asked.append(name)
        if name not in self._newest():
            raise EndpointNotFound(f"no {name}")
        return self._newest()[name]

    def get_version(self, name: str, number: int) -> EndpointVersion:
        self.asked.append(f"{name}@{number}")
        if self.is_away:
            raise Unreachable("away")
        if name not in self._newest():
            raise EndpointNotFound(f"no {name}")
        found = [one for one in self.versions if (one.name, one.version) == (name, number)]
        if not found:
            raise VersionNotFound(f"no {name}@{number}")
        return found[0]

    def list_endpoints(self) -> list[Endpoint]:
        self.asked.append("list")
        return list(self._newest().values())

    def list_variables(self) -> tuple[InsightVariable, ...]:
        self.asked.append("variables")
        if not self.may_list_variables:
            raise Forbidden("no")
        return (MONTH,)

    def openapi(self, name: str, *, version: int) -> Any:
        self.asked.append(f"openapi {name}@{version}")
        return self.document


def side(server: Server, *uses: Use, examples: tuple[PinnedExample, ...] = (), name: str = "prod") -> EnvironmentUses:
    return EnvironmentUses(
        environment=name,
        uses=uses,
        client=lambda: server,
        examples=lambda _: examples,
        place_of=lambda name: f"endpoints.toml:{name}",
    )


def resolved(server: Server, *uses: Use, old: Lock | None = None, is_whole: bool = True, **keys: Any) -> Any:
    return resolve([side(server, *uses, **keys)], old or Lock(), is_whole=is_whole)


def entries(result: Any) -> list[tuple[str, str, str | None]]:
    return [(entry.action.value, f"{entry.pin.environment} {entry.pin.label}", entry.note) for entry in result.entries]


PIN = Pin(
    environment="prod",
    name="revenue",
    endpoint_id="id-revenue",
    version=2,
    version_id="revenue-2",
    created_at=version().created_at,
    query={"kind": "HogQLQuery", "query": "SELECT 2 AS n"},
    columns=(PinnedColumn(name="n", type="integer", nullable=False),),
    materialized=False,
    freshness_seconds=900,
)


def test_a_pin_is_what_the_server_answers():
    server = Server((version(),))
    result = resolved(server, Use(name="revenue"), examples=(EXAMPLE,))
    assert entries(result) == [("added", "prod revenue@2", None)]
    assert result.lock.pins == (replace(PIN, examples=(EXAMPLE,)),)
    assert server.asked == ["revenue"]


def test_a_pin_of_a_contract_holds_all_of_it():
    contract = from_version(version())
    (column,) = contract.columns
    serving = replace(contract.serving, materialized=True, optional_breakdowns=("$os",), bucket_overrides={"t": "day"})
    contract = replace(contract, columns=(replace(column, type="array", full="Array(integer)"),), serving=serving)
    assert pin_of("prod", version(), contract, allowed=("C101 wanted",)) == replace(
        PIN,
        columns=(PinnedColumn(name="n", type="array", nullable=column.nullable, full="Array(integer)"),),
        materialized=True,
        optional_breakdown_properties=("$os",),
        bucket_overrides={"t": "day"},
        allowed=("C101 wanted",),
    )


@pytest.mark.parametrize(
    ("may_list", "document", "kind", "asked"),
    [
        (True, None, "Date", "variables"),
        (False, {"type": "string", "format": "date"}, "Date", "openapi monthly@1"),
        (False, {"type": "number"}, "Number", "openapi monthly@1"),
        (False, {"type": "boolean"}, "Boolean", "openapi monthly@1"),
        (False, {"type": "array"}, "List", "openapi monthly@1"),
        (False, {"type": "string"}, "String", "openapi monthly@1"),
        (False, {}, "String", "openapi monthly@1"),
        (False, "no schema", "unknown", "openapi monthly@1"),
    ],
)
def test_the_types_of_variables_come_from_the_list_else_from_the_document(may_list, document, kind, asked):
    schema = {"components": {"schemas": {"Variables": {"properties": {"month": document}}}}}
    server = Server((dated(),), may_list_variables=may_list, document=schema)
    result = resolved(server, Use(name="monthly"))
    variable = PinnedVariable(name="month", type=kind, required=False, has_default=True, default="2026-07-01")
    assert result.lock.pins[0].variables == (variable,)
    assert server.asked[-1] == asked


@pytest.mark.parametrize("document", [None, [], {"components": {"schemas": []}}])
def test_a_document_of_another_shape_says_no_types(document):
    server = Server(may_list_variables=False, document=document)
    assert read_types(server, [dated()]).named == {("monthly", 1): {}}
    assert read_types(server, [version()]).shared is None


def test_what_is_pinned_stays_and_is_not_asked_for():
    server = Server((version(), version("signups", 1, 1)))
    old = Lock(
        pins=(replace(PIN, version=1, version_id="x"), replace(PIN, name="gone"), replace(PIN, environment="dev"))
    )
    uses = (Use(name="revenue"), Use(name="signups", version=1))
    result = resolved(server, *uses, old=old)
    assert entries(result) == [
        ("dropped", "dev revenue@2", None),
        ("dropped", "prod gone@2", None),
        ("kept", "prod revenue@1", None),
        ("added", "prod signups@1", None),
    ]
    assert [pin.label for pin in result.lock.pins] == ["revenue@1", "signups@1"]
    assert server.asked == ["signups@1"]
    kept = resolved(server, *uses, old=old, is_whole=False)
    assert entries(kept)[0] == ("kept", "dev revenue@2", None)
    assert [pin.environment for pin in kept.lock.pins] == ["dev", "prod", "prod"]


def test_other_examples_change_a_pin():
    result = resolved(Server(), Use(name="revenue"), old=Lock(pins=(PIN,)), examples=(EXAMPLE,))
    assert entries(result) == [("changed", "prod revenue@2", "other examples")]
    assert result.lock.pins == (replace(PIN, examples=(EXAMPLE,)),)
    assert result.entries[0].action is PinAction.CHANGED


def test_a_version_changed_by_hand_is_a_move():
    server = Server((version(),))
    result = resolved(server, Use(name="revenue", version=1), old=Lock(pins=(PIN,)))
    ((environment, move),) = result.moves
    assert (environment, move.before, move.after, move.where) == ("prod", 2, 1, "endpoints.toml:revenue")
    assert (result.entries, result.failures, server.asked) == ((), (), [])


def test_what_the_server_lacks_is_said_with_the_closest_name_and_nothing_is_pinned():
    server = Server((version(), version("signups")))
    result = resolved(server, Use(name="revenu"), Use(name="revenue", version=9), Use(name="signups"))
    assert result.entries == ()
    assert [(one.code, one.message, one.where, str(one.fix)) for one in result.failures] == [
        (
            "lock.endpoint",
            "environment prod has no endpoint 'revenu'; did you mean 'revenue'?",
            "endpoints.toml:revenu",
            "endpoints-gitops list --env prod shows what is there; correct the name in `uses`",
        ),
        (
            "lock.version",
            "environment prod has no version 9 of revenue; its newest is 2",
            "endpoints.toml:revenue",
            "write version = 2",
        ),
    ]


def test_of_many_that_are_lacking_some_are_named():
    result = resolved(Server(), *(Use(name=f"e{number}") for number in range(1_100)))
    last = result.failures[-1]
    named = len(result.failures) - 1
    assert last.message == f"environment prod lacks {1_100 - named:,} more of the endpoints that are used"
    assert (last.code, str(last.fix)) == ("lock.endpoint", "endpoints-gitops list --env prod")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, None),
        ({"is_active": False}, "version 2 of revenue is inactive: calls of it are refused (400)"),
        ({"endpoint_is_active": False}, "revenue is inactive: calls of it are a 404"),
    ],
)
def test_what_is_switched_off_is_noted(keys, words):
    assert inactive(version(**keys)) == words
    assert resolved(Server((version(**keys),)), Use(name="revenue")).entries[0].note == words


def test_an_endpoint_that_is_switched_off():
    endpoint = Endpoint(id="A", name="revenue", query={}, is_active=False)
    assert inactive(endpoint) == "revenue is inactive: calls of it are a 404"
    assert inactive(endpoint.model_copy(update={"is_active": True})) is None


def test_a_lookup_says_what_is_there_of_a_pin():
    server = Server((version(),))
    there, without_version, gone = look_up(server, [PIN, replace(PIN, version=7), replace(PIN, name="gone")])
    assert (there.endpoint, there.version, there.error) == (version(), version(), None)
    assert (without_version.endpoint, without_version.version, without_version.error) == (version(), None, None)
    assert (gone.endpoint, gone.version, gone.error) == (None, None, None)
    (away,) = look_up(Server((version(),), is_away=True), [PIN])
    assert (away.endpoint, type(away.error)) == (None, Unreachable)


def test_what_is_pinned_is_verified():
    server = Server((version(),))
    uses = side(server, Use(name="revenue"), Use(name="gone"), Use(name="not_pinned"))
    lock = Lock(pins=(PIN, replace(PIN, name="gone"), replace(PIN, environment="dev")))
    verified = verify(uses, lock)
    assert [(one.environment, one.pin.name, [finding.code for finding in one.findings]) for one in verified] == [
        ("prod", "revenue", []),
        ("prod", "gone", ["P102"]),
    ]
    assert sorted(server.asked) == ["gone@2", "revenue@2"]
    (away,) = verify(side(Server((version(),), is_away=True), Use(name="revenue")), lock)
    assert (away.environment, away.pin, away.findings, type(away.error)) == ("prod", PIN, (), Unreachable)
    assert verify(side(server, Use(name="none")), lock) == ()
