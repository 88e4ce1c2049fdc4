"""What a plan knows will be refused is not sent, the rest is, and the exit codes of plan and push say so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_gitops.codecs.plan import read_plan, write_plan
from endpoints_gitops.plan.changes import KeyChange
from endpoints_gitops.plan.settings import Key

SQL = "SELECT event, count() AS c FROM events GROUP BY event"
ONE_EACH = "SELECT count() AS c FROM events WHERE event = {variables.kind}"
UNFIT = "SELECT count() AS c FROM events WHERE event IN {variables.kind}"
TABLE = {"materialization": {"enabled": True, "schedule": "1hour"}}
KIND = {"variables": [{"name": "kind", "type": "String", "default": "a"}]}


def yaml(name: str, sql: str = SQL, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


GOOD = {"good.yaml": yaml("good")}
MISTAKES = {
    "S109": {"bad.yaml": yaml("bad", UNFIT, **KIND, **TABLE)},
    "S109 of a draft": {"bad.yaml": yaml("bad", UNFIT, **KIND, **TABLE, stability="draft")},
    "G105": {"bad.yaml": yaml("bad", SQL, columns=[{"name": "other", "type": "string"}])},
}


def pushed(cli, way: str, *words: str):
    if way == "push":
        return cli("push", "--yes", *words, "--format", "json")
    cli("plan", *words, "-o", "plan.json")
    return cli("push", "--yes", "--plan", "plan.json", "--format", "json")


@pytest.mark.parametrize("way", ["push", "saved plan"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_push_skips_endpoints_with_errors_and_writes_the_others(cli, checkout, client, way, mistake):
    checkout.commit({**GOOD, **MISTAKES[mistake]})
    code = mistake.partition(" ")[0]
    planned = cli("plan", "--format", "json")
    ran = pushed(cli, way)
    assert [one.name for one in client.list_endpoints()] == ["good"]
    assert client.list_variables() == (), "the variable of what is not sent"
    for told in (planned, ran):
        assert (told.code, told.json["ok"], told.json["summary"]["withheld"]) == (1, False, 1)
        states = {item["name"]: item["state"] for item in told.json["items"]}
        assert states == {"bad": "withheld", "good": "create" if told is planned else "created"}
        (bad,) = (item for item in told.json["items"] if item["name"] == "bad")
        assert {one["code"] for one in bad["withheld"]} == {code}
        (error,) = told.json["errors"]
        assert "bad" in error["message"]
    assert ran.json["errors"][0]["code"] == code
    assert ran.json["errors"][0]["where"].startswith("endpoints/bad.yaml:")
    text = cli("plan").out
    assert f"= bad is not sent: {code} " in text
    assert "1 not pushed because of findings\n" in text


def test_an_update_that_would_lose_its_table_is_not_sent(cli, checkout, client):
    """The file leaves materialisation alone; the server has it, and the new query cannot be materialised."""
    checkout.commit({"one.yaml": yaml("one", ONE_EACH, **KIND, **TABLE)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", UNFIT, **KIND)})
    assert cli("push", "--yes").code == 1
    checkout.commit({"one.yaml": yaml("one", UNFIT, **KIND, **TABLE)})
    ran = cli("push", "--yes", "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (1, ["S109"]), "said once"
    assert (client.get_endpoint("one").current_version, client.get_endpoint("one").sql) == (1, ONE_EACH)


def test_a_mistake_counts_also_without_a_change(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", SQL)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", SQL, columns=[{"name": "other", "type": "string"}])})
    for words in (["plan"], ["push", "--yes"]):
        ran = cli(*words, "--format", "json")
        assert ran.code == 1
        assert {error["code"] for error in ran.json["errors"]} == {"G105"}
    assert cli("push", "--yes", "one").code == 1
    checkout.commit({"two.yaml": yaml("two", SQL)})
    assert cli("push", "--yes", "two").code == 0, "only what is selected is judged"
    assert {one.name for one in client.list_endpoints()} == {"one", "two"}


def test_a_saved_plan_is_checked_again_by_push(cli, checkout, client):
    """As a plan of an older release has it, or one that was edited: no file says any more what it would send."""
    checkout.commit({**GOOD, "bad.yaml": yaml("bad", UNFIT, **KIND)})
    cli("plan", "-o", "plan.json")
    path = checkout.top / "plan.json"
    plan = read_plan(path.read_bytes(), "plan.json")
    table = KeyChange(key=Key.MATERIALIZATION, before=None, after=True)
    changes = (replace(one, keys=(*one.keys, table)) if one.name == "bad" else one for one in plan.changes)
    path.write_bytes(write_plan(replace(plan, changes=tuple(changes))))
    ran = cli("push", "--yes", "--plan", "plan.json", "--format", "json")
    assert (ran.code, [one.name for one in client.list_endpoints()]) == (1, ["good"])


BREAKING = SQL.replace("count() AS c", "count() AS d")


@pytest.mark.parametrize("way", ["push", "saved plan"])
@pytest.mark.parametrize(
    ("words", "code", "version"),
    [([], 0, 2), (["--fail-on", "error"], 1, 1), (["--fail-on", "warn"], 1, 1), (["--fail-on", "info"], 1, 1)],
)
def test_findings_for_callers_withhold_only_with_fail_on(cli, checkout, client, way, words, code, version):
    checkout.commit({"one.yaml": yaml("one"), **GOOD})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", BREAKING), "good.yaml": yaml("good", SQL, description="D")})
    assert cli("plan", *words).code == code
    ran = pushed(cli, way, *words)
    assert ran.code == code, ran.err
    assert client.get_endpoint("one").current_version == version
    assert client.get_endpoint("good").description == "D", "the rest is written"
    assert ({"C102"} <= {error["code"] for error in ran.json["errors"]}) == (code == 1)


def test_a_change_in_place_withholds_only_with_fail_on(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", SQL, active=True)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", SQL, active=False)})
    assert (cli("push", "--yes", "--fail-on", "error").code, client.get_endpoint("one").is_active) == (1, True)
    assert (cli("push", "--yes").code, client.get_endpoint("one").is_active) == (0, False)


def test_warnings_withhold_only_with_fail_on(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", SQL + " LIMIT 3")})
    assert cli("plan", "--fail-on", "error").code == 0
    ran = cli("push", "--yes", "--fail-on", "warn")
    assert (ran.code, client.list_endpoints()) == (1, ())
    assert "one is not sent: LIMIT 3 without ORDER BY" in ran.err
    ran = cli("push", "--yes")
    assert (ran.code, "in the definitions: 1 warning\n" in ran.err) == (0, True)


def test_a_retyped_shared_variable_is_withheld_with_fail_on(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", ONE_EACH, **KIND)})
    assert cli("push", "--yes").code == 0
    number = {"variables": [{"name": "kind", "type": "Number", "default": 1}]}
    checkout.commit({"one.yaml": yaml("one", ONE_EACH, **number)})
    ran = cli("push", "--yes", "--shared-variables", "--fail-on", "error", "--format", "json")
    assert (ran.code, [one.type for one in client.list_variables()]) == (1, ["String"])
    assert "V109" in {error["code"] for error in ran.json["errors"]}


def test_rename_to_a_withheld_endpoint_renames_nothing(cli, checkout, client):
    checkout.commit({"old.yaml": yaml("old", UNFIT, **KIND)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"old.yaml": yaml("old", UNFIT, **KIND, **TABLE)})
    ran = cli("rename", "old", "new", "--yes")
    assert (ran.code, [one.name for one in client.list_endpoints()]) == (1, ["old"])
    assert "name: old\n" in (checkout.folder / "old.yaml").read_text().replace('"', "")


def test_a_conflict_beside_it_decides_the_exit_code(cli, checkout, client):
    checkout.commit(GOOD)
    assert cli("push", "--yes").code == 0
    client.update_endpoint("good", {"query": {"kind": "HogQLQuery", "query": SQL + " LIMIT 9"}})
    checkout.commit({"good.yaml": yaml("good", SQL + " LIMIT 3 "), **MISTAKES["S109"]})
    assert [cli("plan").code, cli("push", "--yes").code] == [6, 6]


def test_resume_sends_no_withheld_endpoint(cli, checkout):
    checkout.commit({**GOOD, **MISTAKES["S109"]})
    assert cli("push", "--yes").code == 1
    assert cli("resume").out.startswith("nothing to resume")
