"""`retire` switches off what is past its sunset and idle, and says of everything else why it stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from endpoints_gitops.cli.commands.retire import _still_ready
from endpoints_gitops.local.answers import endpoint_item, version_item
from endpoints_gitops.local.faults import Edit, Effect, Fault, When
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.sunset import DEFAULT_POLICY
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.operations.retire import (
    RetireContext,
    Retirement,
    RetireState,
    RetireStep,
    judge_versions,
    retire,
)

SUNSET = "2026-06-30"
NOTICE = f"deprecation: {{since: 2026-01-01, sunset: {SUNSET}}}\n"


class Calendar:
    """The clock of the command line and of the server."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def set(self, text: str) -> None:
        self.now = datetime.fromisoformat(text)


@pytest.fixture
def clock() -> Calendar:
    return Calendar()


@pytest.fixture
def server(engine, clock) -> Iterator[RunningServer]:
    with running_server(engine=engine, clock=clock) as running:
        yield running


def yaml(name: str, more: str = NOTICE) -> str:
    return f"name: {name}\nquery: SELECT 1 AS one\n{more}"


@pytest.fixture
def old(cli, checkout, server, client, clock):
    """The definition `old`, pushed, and called on a day: `old(called="2026-06-29")`."""

    def make(more: str = NOTICE, *, called: str | None = None, on: str = "2026-07-01T12:00:00+00:00") -> None:
        checkout.commit({"old.yaml": yaml("old", more)})
        assert cli("push", "--yes").code == 0
        if called:
            clock.set(f"{called}T12:00:00+00:00")
            client.run("old")
        clock.set(on)
        server.requests.clear()

    return make


def item_of(ran, name: str = "old", version: int | None = None) -> dict[str, Any]:
    (item,) = [item for item in ran.json["items"] if (item["name"], item["version"]) == (name, version)]
    return item


# the clock; the last call; the exit code; the state; a reason
DAYS = {
    "the day before the sunset": ("2026-06-29T23:59:59+00:00", None, 0, "waiting", "sunset 2026-06-30, in 1 day"),
    "the day of the sunset": ("2026-06-30T00:00:00+00:00", None, 0, "retired", None),
    "the day after the sunset": ("2026-07-01T00:00:00+00:00", None, 0, "retired", None),
    "the day of the sunset in Auckland": ("2026-06-30T11:59:00+12:00", None, 0, "waiting", "in 1 day"),
    "the day of the sunset in UTC, not yet in Honolulu": ("2026-06-29T14:00:00-10:00", None, 0, "retired", None),
    "called a month before": ("2026-07-01T12:00:00+00:00", "2026-06-01", 0, "retired", None),
    "called 29 days before": ("2026-07-01T12:00:00+00:00", "2026-06-02", 1, "refused", "called within 30 days"),
}


@pytest.mark.parametrize("case", DAYS.values(), ids=DAYS)
def test_what_is_past_its_sunset_and_idle_is_deactivated(cli, old, client, server, case):
    on, called, code, state, reason = case
    old(called=called, on=on)
    ran = cli("retire", "--yes", "--format", "json")
    item = item_of(ran)
    assert (ran.code, item["state"]) == (code, state), ran.out
    assert reason is None or reason in " ".join(item["reasons"])
    assert client.get_endpoint("old").is_active is (state != "retired")
    assert (item["last_call"] or "").partition("T")[0] == (called or "")
    written = [(entry.method, entry.path) for entry in server.requests.writes()]
    assert written == ([("PATCH", "/api/projects/1/endpoints/old/")] if state == "retired" else [])


def test_it_asks_for_one_list_and_writes_once(cli, old, server):
    old()
    assert cli("retire", "--yes").code == 0
    assert [entry.method for entry in server.requests.entries()] == ["GET", "PATCH"]


def test_the_text_says_what_happens_and_what_is_left_to_do(cli, old):
    old()
    ran = cli("retire", "--yes")
    assert ran.out == f"- old: endpoint off (never called; sunset {SUNSET})\nold: endpoint off\n"
    assert "endpoints/old.yaml: write `active: false`, or delete the file" in ran.err
    again = cli("retire", "--yes")
    assert (again.code, again.out) == (0, "  old: it is inactive already\n")


def test_a_call_is_named_with_its_day(cli, old):
    old(called="2026-06-29")
    ran = cli("retire", "--yes")
    assert (ran.code, ran.out) == (1, "! old: refused, called within 30 days; last called on 2026-06-29\n")


def test_the_policy_says_what_is_idle(cli, old, checkout):
    old(called="2026-06-20")
    path = checkout.top / "endpoints.toml"
    path.write_text(path.read_text() + "[deprecation]\nidle_days = 11\n")
    assert cli("retire", "--yes", "--format", "json").json["items"][0]["state"] == "retired"


@pytest.mark.parametrize("pattern", ["old", "o*", "tag:billing"])
def test_protected_endpoints_stay(cli, old, checkout, client, pattern):
    old(NOTICE + "tags: [billing]\n")
    path = checkout.top / "endpoints.toml"
    path.write_text(f'protect = ["{pattern}"]\n' + path.read_text())
    ran = cli("retire", "old", "--yes", "--format", "json")
    assert (ran.code, item_of(ran)["reasons"]) == (1, ["`protect` in the configuration covers it"])
    assert client.get_endpoint("old").is_active


def test_what_an_app_pins_stays(cli, old, client, uses):
    old()
    uses(old='"*"')
    assert cli("lock").code == 0
    ran = cli("retire", "--yes", "--format", "json")
    assert ran.code == 1
    assert "used by endpoints.toml: version 1" in " ".join(item_of(ran)["reasons"])
    assert client.get_endpoint("old").is_active


def test_an_unconfirmed_retirement_writes_nothing(cli, old, server):
    old()
    ran = cli("retire")
    assert (ran.code, ran.out) == (2, f"- old: endpoint off (never called; sunset {SUNSET})\n")
    assert cli("retire", input="n\n").code == 2
    assert server.requests.writes() == ()
    assert cli("retire", input="y\n").code == 0
    assert len(server.requests.writes()) == 1


def test_a_call_between_question_and_answer_is_noticed(cli, old, server, client):
    old()
    call = Edit(method="POST", path="endpoints/old/run", body={})
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", path="*/endpoints", nth=2, edit=call))
    ran = cli("retire", input="y\n")
    assert (ran.code, client.get_endpoint("old").is_active) == (1, True), ran.out
    assert "! old: refused, called within 30 days; last called on 2026-07-01" in ran.out


def test_a_name_that_cannot_be_retired_says_why(cli, old, checkout):
    old("", on="2026-07-01T12:00:00+00:00")
    assert cli("retire", "--yes", "--format", "json").json["items"] == []
    named = cli("retire", "old", "--yes", "--format", "json")
    assert (named.code, item_of(named)["reasons"]) == (1, ["no definition here has a `deprecation` for it"])
    checkout.write({"old.yaml": yaml("old", "deprecation: {since: 2026-01-01, sunset: 2026-12-31}\n")})
    ahead = cli("retire", "old", "--yes", "--format", "json")
    assert (ahead.code, item_of(ahead)["reasons"]) == (1, ["sunset 2026-12-31, in 183 days"])
    missing = cli("retire", "odl", "--yes")
    assert (missing.code, "did you mean 'old'" in missing.err) == (2, True)


def test_a_server_that_cannot_be_asked_is_unknown(cli, old, server, client):
    old()
    server.faults.add(Fault(effect=Effect.ERROR, path="*/endpoints", nth=1, status=403))
    assert cli("retire", "--yes").code == 3
    server.faults.clear()
    server.faults.add(Fault(effect=Effect.HTML, path="*/endpoints", nth=1, status=200))
    assert cli("retire", "--yes").code == 4
    assert client.get_endpoint("old").is_active


@pytest.mark.parametrize(("is_pinned", "code", "state"), [(False, 4, "unknown"), (True, 1, "refused")])
def test_a_server_that_does_not_say_when_it_was_called_is_unknown(
    cli, old, client, uses, monkeypatch, is_pinned, code, state
):
    """What is known to be used stays for that reason."""
    old()
    if is_pinned:
        uses(old='"*"')
        assert cli("lock").code == 0
    monkeypatch.setattr(
        "endpoints_gitops.local.routes.endpoints.endpoint_item",
        lambda *words, **more: {
            key: value for key, value in endpoint_item(*words, **more).items() if key != "last_executed_at"
        },
    )
    ran = cli("retire", "--yes", "--format", "json")
    assert (ran.code, item_of(ran)["state"]) == (code, state)
    assert [error["code"] for error in ran.json["errors"]] == ([] if is_pinned else ["retire.unknown"])
    assert client.get_endpoint("old").is_active


def test_a_write_that_fails_is_partly_applied_and_can_be_repeated(cli, checkout, server, clock):
    checkout.commit({"a.yaml": yaml("a"), "b.yaml": yaml("b")})
    assert cli("push", "--yes").code == 0
    clock.set("2026-07-01T12:00:00+00:00")
    server.faults.add(Fault(effect=Effect.ERROR, method="PATCH", path="*/b", nth=1, status=403))
    ran = cli("retire", "--yes", "--format", "json")
    assert (ran.code, [item["state"] for item in ran.json["items"]]) == (5, ["retired", "failed"])
    again = cli("retire", "--yes", "--format", "json")
    assert (again.code, [item["state"] for item in again.json["items"]]) == (0, ["gone", "retired"])


@pytest.mark.parametrize("when", list(When))
def test_a_lost_answer_is_read_again(cli, old, server, client, when):
    old()
    server.faults.add(Fault(effect=Effect.DROP, method="PATCH", nth=1, when=when))
    ran = cli("retire", "--yes", "--format", "json")
    assert client.get_endpoint("old").is_active is (when is When.BEFORE)
    assert ran.json["ok"] is (when is When.AFTER)


class TestVersions:
    """`retire --versions`: the table, then the version, and the endpoint last."""

    OVER = "deprecation: {since: 2025-11-01, sunset: 2026-01-10}\n"

    @pytest.fixture
    def three(self, cli, checkout, client, clock, server):
        """Versions 1, with a table, and 2, without; version 3 is current."""

        def make(more: str = "", idle_days: int = 14) -> None:
            path = checkout.top / "endpoints.toml"
            path.write_text(path.read_text() + f"[deprecation]\nidle_days = {idle_days}\n")
            checkout.commit({"old.yaml": yaml("old", more + "materialization: {enabled: true}\n")})
            assert cli("push", "--yes").code == 0
            for number in (2, 3):
                client.update_endpoint("old", {"query": {"kind": "HogQLQuery", "query": f"SELECT {number} AS one"}})
            client.update_endpoint("old", {"is_materialized": False}, version=2)
            clock.set("2026-01-15T12:00:00+00:00")  # before the server itself takes the table
            server.requests.clear()

        return make

    def states(self, ran) -> dict[int | None, str]:
        return {item["version"]: item["state"] for item in ran.json["items"]}

    def writes(self, server) -> list[str]:
        return [entry.path.rpartition("/endpoints/")[2] for entry in server.requests.writes()]

    def test_the_order_is_table_version_endpoint(self, cli, three, server, client):
        three(self.OVER)
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (0, {1: "retired", 2: "retired", None: "retired"}), ran.out
        assert [item["done"] for item in ran.json["items"]] == [
            ["table off", "version off"],
            ["version off"],
            ["endpoint off"],
        ]
        assert self.writes(server) == ["old/?version=1", "old/?version=1", "old/?version=2", "old/"]
        assert len(server.requests.entries(methods={"GET"})) == 2, "the endpoints, and the versions of one"
        assert [client.get_version("old", number).is_active for number in (1, 2, 3)] == [False, False, True]

    def test_an_endpoint_without_a_sunset_keeps_its_current_version(self, cli, three, client):
        three()
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert self.states(ran) == {1: "retired", 2: "retired"}
        assert client.get_endpoint("old").is_active
        assert client.run("old", version=3).results

    def test_a_version_that_was_called_stays(self, cli, three, client, server):
        three()
        client.run("old", version=1)
        server.requests.clear()
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (1, {1: "refused", 2: "retired"})
        assert item_of(ran, version=1)["reasons"] == ["called within 14 days"]
        assert self.writes(server) == ["old/?version=2"]

    def test_a_version_that_is_young_stays(self, cli, three, server):
        three(idle_days=15)
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (1, {1: "refused", 2: "refused"})
        reason = "created within 15 days, so its callers may not have called it yet"
        assert item_of(ran, version=2)["reasons"] == [reason]
        assert self.writes(server) == []

    def test_a_version_that_an_app_pins_stays(self, cli, three, uses, client):
        three()
        uses(old="{ version = 2 }")
        assert cli("lock").code == 0
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (1, {1: "retired", 2: "refused"})
        assert client.get_version("old", 2).is_active

    def test_versions_that_cannot_be_listed_are_unknown_and_so_is_the_endpoint(self, cli, three, server):
        three(self.OVER)
        server.faults.add(Fault(effect=Effect.HTML, path="*/versions", nth=1, status=200))
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, [item["state"] for item in ran.json["items"]]) == (4, ["unknown"])
        assert server.requests.writes() == ()

    def test_an_older_server_without_times_of_versions_is_unknown(self, cli, three, server, monkeypatch):
        three()
        monkeypatch.setattr(
            "endpoints_gitops.local.routes.endpoints.version_item",
            lambda *words, **more: {
                key: value for key, value in version_item(*words, **more).items() if key != "last_executed_at"
            },
        )
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (4, {1: "unknown", 2: "unknown"})
        assert server.requests.writes() == ()

    def test_a_failure_leaves_the_rest_of_the_endpoint(self, cli, three, server, client):
        three(self.OVER)
        server.faults.add(Fault(effect=Effect.ERROR, method="PATCH", nth=2, status=403))
        ran = cli("retire", "--versions", "--yes", "--format", "json")
        assert (ran.code, self.states(ran)) == (5, {1: "failed", 2: "refused", None: "refused"})
        assert item_of(ran, version=1)["done"] == ["table off"]
        assert client.get_endpoint("old").is_active
        assert self.states(cli("retire", "--versions", "--yes", "--format", "json")) == {
            1: "retired",
            2: "retired",
            None: "retired",
        }

    def test_protected_endpoints_keep_their_versions(self, cli, three, checkout, server):
        three()
        path = checkout.top / "endpoints.toml"
        path.write_text('protect = ["old"]\n' + path.read_text())
        assert cli("retire", "--versions", "--yes").code == 1
        assert server.requests.writes() == ()


LISTED = {
    "an old one": ({"version": 2}, [2]),
    "the current one": ({"version": 3}, []),
    "one that is inactive": ({"version": 2, "is_active": False}, []),
    "one of an endpoint that was created meanwhile": ({"version": 2, "id": "another"}, []),
}


@pytest.mark.parametrize(("changes", "expected"), LISTED.values(), ids=LISTED)
def test_only_old_active_versions_of_this_endpoint_are_judged(changes, expected):
    facts = {"id": "a", "name": "old", "query": {}, "current_version": 3}
    version = EndpointVersion.model_validate(facts | changes)
    context = RetireContext(
        environment="test",
        announcements={},
        callers=Callers(),
        protected=(),
        policy=DEFAULT_POLICY,
        now=datetime(2026, 7, 1, tzinfo=UTC),
    )
    listing = SimpleNamespace(list_versions=lambda _: [version])
    judged = judge_versions(listing, context, ["old"], {"old": Endpoint.model_validate(facts)})
    assert [retirement.version for retirement in judged] == expected


READY = Retirement(name="old", state=RetireState.READY, endpoint_id="a", steps=(RetireStep.ENDPOINT,))


@pytest.mark.parametrize(("answered", "code"), [("a", None), ("b", "push.moved")])
def test_an_endpoint_that_was_recreated_before_the_write_is_named(answered, code):
    endpoint = Endpoint.model_validate({"id": answered, "name": "old", "query": {}, "is_active": False})
    client = SimpleNamespace(update_endpoint=lambda *_, **__: endpoint)
    progress = SimpleNamespace(started=lambda *_: None, advanced=lambda *_: None, finished=lambda: None)
    (retirement,) = retire(client, [READY], progress)
    assert (retirement.state, retirement.error and retirement.error.code) == (
        RetireState.FAILED if code else RetireState.RETIRED,
        code,
    )


def test_only_what_was_confirmed_is_written():
    later = [READY, replace(READY, endpoint_id="b"), replace(READY, name="other"), replace(READY, version=2)]
    assert [retirement.state for retirement in _still_ready(later, [READY])] == ["ready", *["refused"] * 3]


def test_what_is_not_managed_stays(cli, old, checkout, client):
    old()
    client.create_endpoint({"name": "mine", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})
    checkout.write({"mine.yaml": yaml("mine")})
    path = checkout.top / "endpoints.toml"
    path.write_text('manage = ["mine"]\n' + path.read_text())
    ran = cli("retire", "--yes", "--format", "json")
    assert (ran.code, [item["name"] for item in ran.json["items"]]) == (0, ["mine"])
    assert [client.get_endpoint(name).is_active for name in ("old", "mine")] == [True, False]


def test_a_recreated_endpoint_is_judged_by_its_own_calls(cli, old, client, clock):
    """The name was called yesterday, but by callers of the endpoint that was deleted."""
    old(called="2026-06-30")
    client.delete_endpoint("old")
    client.create_endpoint({"name": "old", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})
    assert timedelta(0) < clock.now - datetime(2026, 6, 30, 12, tzinfo=UTC) < timedelta(days=2)
    ran = cli("retire", "--yes", "--format", "json")
    assert (ran.code, item_of(ran)["state"]) == (0, "retired"), json.dumps(ran.json)


def test_what_a_registered_consumer_pins_stays(cli, old, client, make_cli, tmp_path):
    old()
    app = tmp_path / "billing"
    run = make_cli(app)
    path = app / "endpoints.toml"
    path.write_text(path.read_text() + '[uses]\nold = "*"\n')
    assert run("lock").code == 0
    assert cli("consumers", "collect", str(app)).code == 0
    ran = cli("retire", "--yes", "--format", "json")
    assert (ran.code, item_of(ran)["state"]) == (1, "refused")
    assert item_of(ran)["reasons"][0].startswith("used by billing: version 1")
    assert client.get_endpoint("old").is_active
    path.unlink()
    (app / "endpoints.lock").unlink()
    assert cli("consumers", "collect", "--remove", "billing").code == 0
    assert cli("retire", "--yes").code == 0
