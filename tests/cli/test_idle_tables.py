"""A table that the server switched off, or soon will, because nothing calls it: said everywhere, nobody's change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

FILE = """\
name: signups
query: SELECT count() AS n FROM events
description: ""
materialization: {enabled: true}
"""
LAST = f"{datetime.now(UTC) - timedelta(days=31):%Y-%m-%d}"
GONE = f"the server switched the table off by itself: no API key has called it since {LAST}"


@pytest.fixture
def called(checkout, cli, server, client):
    """A definition with a table, committed, pushed and called; `called(31)` is so many days later."""

    def make(days: int):
        checkout.commit({"signups.yaml": FILE})
        pushed = cli("push", "--yes")
        assert pushed.code == 0, pushed.err
        client.run("signups")
        server.age(timedelta(days=days))

    return make


def test_an_idle_table_is_neither_drift_nor_conflict(cli, called, client, checkout):
    called(31)
    ran = cli("diff", "--format", "json")
    (item,) = ran.json["items"]
    (difference,) = item["differences"]
    assert (ran.code, ran.json["ok"], item["state"], difference["verdict"]) == (0, True, "idled", "idled"), ran.out
    assert (ran.json["summary"]["changed"], ran.json["summary"]["idled"]) == (0, 1)
    shown = cli("diff")
    assert "signups: idled out, version 1" in shown.out
    assert GONE in shown.out
    assert "fix: endpoints-gitops push --overwrite=signups@1 signups turns the table on again" in shown.out
    for words in (("plan",), ("plan", "--fail-on-drift", "--detailed-exitcode"), ("push", "--yes", "--fail-on-drift")):
        ran = cli(*words, "--format", "json")
        (item,) = ran.json["items"]
        assert (ran.code, item["state"]) == (0, "idled"), ran.out
        assert [left["verdict"] for left in item["left_alone"]] == ["idled"]
        assert (ran.json["summary"]["drifted"], ran.json["summary"]["conflicts"], ran.json["summary"]["idled"]) == (
            0,
            0,
            1,
        )
    before = (checkout.folder / "signups.yaml").read_text()
    assert cli("pull", "--yes").code == 0
    assert (checkout.folder / "signups.yaml").read_text() == before, "the file still asks for a table"
    assert client.get_endpoint("signups").materialization.is_on is False, "nothing was written"
    assert "1 idled out, not pushed" in cli("plan").out


def test_a_fresh_clone_reports_the_idle_table_too(cli, called, monkeypatch, tmp_path):
    called(31)
    monkeypatch.setenv("ENDPOINTS_GITOPS_STATE", str(tmp_path / "another state"))
    ran = cli("diff", "--format", "json")
    assert (ran.code, [item["state"] for item in ran.json["items"]]) == (0, ["idled"]), ran.out


def test_push_overwrite_switches_the_table_on_again(cli, called, client):
    called(31)
    assert cli("push", "--overwrite=signups@1", "signups", "--yes").code == 0
    assert client.get_endpoint("signups").materialization.is_on is True
    assert cli("diff").code == 0


def test_other_edits_are_written_and_the_table_stays_off(cli, called, client, checkout):
    called(31)
    checkout.hours += 24 * 365  # the edit is younger than what the server has, also by the server's clock
    checkout.commit({"signups.yaml": FILE.replace('""', "people who signed up")})
    assert cli("push", "--yes").code == 0
    there = client.get_endpoint("signups")
    assert (there.description, there.materialization.is_on) == ("people who signed up", False)
    ran = cli("diff", "--format", "json")
    assert [item["state"] for item in ran.json["items"]] == ["idled"]


def test_a_table_switched_off_by_a_user_is_drift(cli, called, client):
    called(1)
    client.update_endpoint("signups", {"is_materialized": False})
    ran = cli("diff", "--format", "json")
    assert ran.code == 1
    assert ran.json["items"][0]["differences"][0]["verdict"] == "drifted"


NEAR = {
    "diff": ("diff",),
    "plan": ("plan",),
    "list": ("list",),
    "get": ("get", "signups"),
}


@pytest.mark.parametrize("words", NEAR.values(), ids=NEAR)
def test_the_date_of_switching_off_is_reported_when_near(cli, called, words):
    called(25)
    day = f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%d}"
    ran = cli(*words)
    message = f"S115 the server turns off the table of signups@1 on {day}, unless an API key calls it before [warn]"
    assert (ran.code, message in ran.out + ran.err) == (0, True), ran.out + ran.err
    assert "fix: call signups@1 with an API key" in ran.out + ran.err
    (item,) = cli(*words, "--format", "json").json["items"]
    assert [one["code"] for one in item["findings"]] == ["S115"]


@pytest.mark.parametrize("words", NEAR.values(), ids=NEAR)
def test_the_date_of_switching_off_is_not_reported_when_far(cli, called, words):
    called(20)
    ran = cli(*words)
    assert any(text in ran.out for text in ("signups", "1 the same", "nothing to do")), "the endpoint was looked at"
    assert "S115" not in ran.out + ran.err
