"""Pushes that nothing and nobody disturbs, and what they may do only when it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import endpoints_gitops
from endpoints_gitops.api.client import Client
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.operations.concurrency import THREADS

EXAMPLES = Path(endpoints_gitops.__file__).parent.parent / "endpoints"
SQL = "SELECT event, count() AS c FROM events GROUP BY event"
TRENDS = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "$pageview"}]}
KINDS = {
    "hogql": {"query": SQL},
    "with_variable": {
        "query": "SELECT count() AS c FROM events WHERE event = {variables.kind}",
        "variables": [{"name": "kind", "type": "String", "default": "$pageview", "label": "Kind of event"}],
    },
    "list_variable": {
        "query": "SELECT count() AS c FROM events WHERE event = {variables.plan}",
        "variables": [{"name": "plan", "type": "List", "default": "a", "values": ["a", "b"], "multi": False}],
    },
    "open_variable": {
        "query": "SELECT count() AS c FROM events WHERE event = {variables.open}",
        "variables": [{"name": "open", "type": "String"}],
    },
    "settings": {
        "query": SQL,
        "description": "Said",
        "tags": ["Web ", "b"],
        "active": False,
        "data_freshness": "1hour",
    },
    "trends": {"query_definition": TRENDS},
    "breakdown": {
        "query_definition": TRENDS | {"breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"}},
        "optional_breakdown_properties": ["$browser"],
    },
    "funnel": {"query_definition": {"kind": "FunnelsQuery", "series": TRENDS["series"] * 2}},
    "lifecycle": {"query_definition": {"kind": "LifecycleQuery", "series": TRENDS["series"]}},
    "retention": {"query_definition": {"kind": "RetentionQuery", "retentionFilter": {"totalIntervals": 4}}},
}


def yaml(name: str, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, **keys}.items())


def written(ran) -> list[tuple[str, str]]:
    return [(item["name"], item["state"]) for item in ran.json["items"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_push_writes_nothing(cli, checkout, server, kind):
    checkout.commit({"one.yaml": yaml("one", **KINDS[kind])})
    ran = cli("push", "--yes", "--format", "json")
    assert ("one", "created") in written(ran), ran.err
    server.requests.clear()
    assert cli("push").code == 0, "without --yes, as nothing is to be written"
    assert cli("diff").code == 0
    assert server.requests.writes() == ()


def test_the_example_definitions_are_not_pushed_twice(cli, checkout, server):
    files = {path.relative_to(EXAMPLES).as_posix(): path.read_text() for path in EXAMPLES.rglob("*") if path.is_file()}
    checkout.commit(files)
    ran = cli("push", "--yes")
    assert ran.code == 0, ran.err
    server.requests.clear()
    assert cli("push", "--format", "json").json["summary"]["same"] >= 10
    assert cli("diff").code == 0
    assert server.requests.writes() == ()


def test_push_writes_nothing_without_confirmation(cli, checkout, server):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    ran = cli("push")
    assert ran.code == 2
    assert f"Write 1 change to test ({server.url}, project 1)? stdin is not a terminal; pass --yes." in ran.err
    assert cli("push", input="no\n").code == 2
    assert server.requests.writes() == ()
    assert cli("push", input="y\n").code == 0
    assert len(server.requests.writes()) == 1


def test_push_reports_wrong_definitions_before_any_request(cli, checkout, server):
    checkout.commit({"one.yaml": yaml("one", query=SQL), "two.yaml": yaml("two", query="SELEKT")})
    assert [cli(command).code for command in ("diff", "plan", "push")] == [2, 2, 2]
    assert server.requests.entries() == ()


def test_push_sends_few_requests(cli, make_cli, checkout, server):
    """One list for any number of endpoints that fits a page, one of variables, one write for one change."""
    checkout.commit({f"{number}.yaml": yaml(f"e{number}", **KINDS["with_variable"]) for number in range(30)})
    cli("push", "--yes")
    checkout.commit({"7.yaml": yaml("e7", **KINDS["with_variable"], tags=["new"])})
    checkout.git("clone", "--quiet", str(checkout.top), str(checkout.top.parent / "clone"))
    fresh = make_cli(checkout.top.parent / "clone")

    def asked(run, *words: str) -> tuple[int, int]:
        server.requests.clear()
        run(*words)
        return len(server.requests.entries()), len(server.requests.writes())

    assert asked(cli, "diff") == (2, 0)
    assert asked(fresh, "diff") == (2, 0)
    assert asked(fresh, "push", "--yes") == (4, 1), "a setting is read again before it is written"
    assert asked(cli, "push", "--yes") == (2, 0)
    checkout.commit(
        {"7.yaml": yaml("e7", **(KINDS["with_variable"] | {"query": KINDS["with_variable"]["query"] + " "}))}
    )
    checkout.commit({"8.yaml": yaml("e8", query=SQL)})
    assert asked(cli, "push", "--yes") == (3, 1)


def test_a_changed_query_costs_a_fresh_clone_one_more_request(cli, make_cli, checkout, server):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    cli("push", "--yes")
    checkout.commit({"one.yaml": yaml("one", query=SQL + " LIMIT 7")})
    checkout.git("clone", "--quiet", str(checkout.top), str(checkout.top.parent / "clone"))
    server.requests.clear()
    assert make_cli(checkout.top.parent / "clone")("push", "--yes").code == 0
    assert [entry.method for entry in server.requests.entries()] == ["GET", "GET", "PATCH"]


def test_push_writes_only_selected_and_managed_endpoints(cli, checkout, client, create):
    create("stranger")
    checkout.commit({"one.yaml": yaml("one", query=SQL), "two.yaml": yaml("two", query=SQL, tags=["web"])})
    cli("push", "--yes", "tag:web")
    assert {one.name for one in client.list_endpoints()} == {"stranger", "two"}
    assert cli("push", "--yes", "nobody").code == 2
    settings = checkout.top / "endpoints.toml"
    settings.write_text('manage = ["t*"]\n' + settings.read_text())
    ran = cli("diff", "--format", "json")
    assert (ran.code, ran.json["items"], ran.json["summary"]["outside"]) == (0, [], 2)
    assert cli("push", "--yes", "one").code == 2


def test_settings_of_an_environment_override_common_ones(cli, checkout, client):
    overlay = {"test": {"tags": ["staging"], "data_freshness": "1hour"}, "other": {"active": False}}
    checkout.commit({"one.yaml": yaml("one", query=SQL, tags=["common"], environments=overlay)})
    assert cli("push", "--yes").code == 0
    there = client.get_endpoint("one")
    assert (there.tags, there.data_freshness_seconds, there.is_active) == (("staging",), 3600, True)
    assert cli("diff").code == 0


def test_formatting_is_sent_only_with_allow_cosmetic(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", query=SQL), "two.yaml": yaml("two", query=SQL)})
    cli("push", "--yes")
    checkout.commit({"one.yaml": yaml("one", query=SQL.replace("SELECT", "select  ").replace("FROM", "\nFROM"))})
    for command in ("diff", "plan", "push"):
        ran = cli(command)
        assert ran.code == 0
        assert ran.err.splitlines()[-1].startswith("1 query differs in formatting only")
        note = cli(command, "--verbose").err.splitlines()[-1]
        assert ("one" in note.split(": ")[-1], "two" in note) == (True, False), note
    assert client.get_endpoint("one").current_version == 1
    assert cli("push", "--yes", "--allow-cosmetic").code == 0
    assert client.get_endpoint("one").current_version == 2
    assert cli("push", "--allow-cosmetic").code == 0


class TestSharedVariables:
    def test_a_missing_one_is_created_under_its_code_name_and_then_named(self, cli, checkout, client):
        checkout.commit({"one.yaml": yaml("one", **KINDS["with_variable"])})
        ran = cli("push", "--yes")
        assert (ran.code, ran.out.splitlines()[0]) == (0, "shared variable kind: created")
        (variable,) = client.list_variables()
        assert (variable.code_name, variable.name, variable.default_value) == ("kind", "Kind of event", "$pageview")

    def test_one_that_is_there_changes_only_where_that_is_said(self, cli, checkout, client, create):
        create("stranger", "SELECT {variables.kind} AS k", variables={"kind": ("String", "x")})
        checkout.commit({"one.yaml": yaml("one", **KINDS["with_variable"])})
        assert cli("diff", "one").code == 1
        ran = cli("push", "--yes")
        assert ran.code == 0
        assert "as one, stranger use it" in ran.err
        assert [one.name for one in client.list_variables()] == ["kind"]
        shown = cli("plan", "--shared-variables").out
        assert "! CHANGE the shared variable kind, for every endpoint that uses it: one, stranger" in shown
        assert "shared variable kind: changed\n" in cli("push", "--yes", "--shared-variables").out
        assert [(one.name, one.default_value) for one in client.list_variables()] == [("Kind of event", "x")]
        assert cli("diff", "one").code == 0

    def test_definitions_that_disagree_are_an_error(self, cli, checkout, server):
        other = {**KINDS["with_variable"], "variables": [{"name": "kind", "type": "Number", "default": 1}]}
        checkout.commit({"one.yaml": yaml("one", **KINDS["with_variable"]), "two.yaml": yaml("two", **other)})
        ran = cli("push", "--yes", "one")
        assert ran.code == 2
        assert "endpoints/two.yaml" in ran.err
        assert server.requests.writes() == ()

    def test_one_that_is_refused_keeps_only_those_back_that_need_it(self, cli, checkout, client, server):
        server.faults.add(Fault(effect=Effect.ERROR, status=500, method="POST", path="*/insight_variables"))
        checkout.commit({"one.yaml": yaml("one", **KINDS["with_variable"]), "two.yaml": yaml("two", query=SQL)})
        ran = cli("push", "--yes", "--format", "json")
        assert ran.code == 5, ran.err
        assert sorted(written(ran)) == [("kind", "uncertain"), ("one", "not sent"), ("two", "created")]
        server.faults.clear()
        assert cli("resume", "--yes").code == 0
        assert {one.name for one in client.list_endpoints()} == {"one", "two"}
        assert cli("resume").out == "nothing to resume: no push of this checkout left anything to do\n"


@pytest.mark.parametrize(("cause", "code"), [("401", 3), ("a key that may only read", 3)], ids=lambda value: str(value))
def test_a_refused_key_stops_all_other_writes(cli, make_cli, checkout, client, server, cause, code):
    names = [f"e{number:02}" for number in range(40)]
    checkout.commit({f"{name}.yaml": yaml(name, query=SQL) for name in names})
    assert cli("push", "--yes").code == 0
    checkout.commit({f"{name}.yaml": yaml(name, query=f"{SQL} LIMIT 7") for name in names})
    server.requests.clear()
    refused = make_cli(checkout.top, key=server.readonly_key) if "key" in cause else cli
    if "key" not in cause:
        server.faults.add(Fault(effect=Effect.ERROR, status=401, method="PATCH"))
    ran = refused("push", "--yes", "--max-wait", "2", "--format", "json")
    assert ran.code == code, ran.err
    tried = {entry.path for entry in server.requests.writes()}
    assert 1 <= len(tried) <= THREADS, "only the writes that were under way when the first was refused"
    states = [state for _, state in written(ran)]
    assert set(states) == {"failed", "not sent"}
    assert states.count("failed") == len(tried)
    server.faults.clear()
    assert {endpoint.current_version for endpoint in client.list_endpoints()} == {1}
    assert cli("resume", "--yes").code == 0
    assert {endpoint.current_version for endpoint in client.list_endpoints()} == {2}


class TestPrune:
    @pytest.fixture
    def removed(self, cli, checkout, create):
        """`old` was ours, `kept` is the former name of `new`, `safe` is protected, `stranger` was never ours."""
        names = ("old", "kept", "safe")
        checkout.commit({f"{name}.yaml": yaml(name, query=SQL) for name in names})
        assert cli("push", "--yes").code == 0
        create("stranger")
        checkout.commit(
            {f"{name}.yaml": None for name in names} | {"new.yaml": yaml("new", query=SQL, renamed_from="kept")}
        )
        settings = checkout.top / "endpoints.toml"
        settings.write_text('protect = ["safe"]\n' + settings.read_text())

    @pytest.mark.usefixtures("removed")
    def test_what_was_ours_is_deactivated_and_nothing_else(self, cli, client):
        cli("push", "--yes")
        assert all(one.is_active for one in client.list_endpoints()), "not asked for"
        ran = cli("plan", "--prune")
        assert "DEACTIVATE old" in ran.out
        assert not any(name in ran.out for name in ("kept", "safe", "stranger"))
        assert cli("push", "--yes", "--prune").code == 0
        assert [one.name for one in client.list_endpoints() if not one.is_active] == ["old"]
        assert cli("plan", "--prune", "--detailed-exitcode").code == 0

    @pytest.mark.usefixtures("removed")
    def test_what_somebody_changed_since_is_a_conflict(self, cli, client):
        client.update_endpoint("old", {"query": {"kind": "HogQLQuery", "query": SQL + " LIMIT 3"}})
        assert cli("push", "--yes", "--prune").code == 6
        assert client.get_endpoint("old").is_active

    @pytest.mark.usefixtures("removed")
    def test_a_shallow_clone_does_not_know_what_was_ours(self, make_cli, checkout):
        top = checkout.top.parent / "shallow"
        checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.top}", str(top))
        ran = make_cli(top)("push", "--yes", "--prune")
        assert ran.code == 2
        assert "fetch-depth: 0" in ran.err


class TestSavedPlan:
    @pytest.fixture
    def saved(self, cli, checkout, server):
        checkout.commit({"one.yaml": yaml("one", query=SQL), "two.yaml": yaml("two", query=SQL)})
        cli("push", "--yes")
        checkout.commit(
            {
                "one.yaml": yaml("one", query=SQL + " LIMIT 3", tags=["a"]),
                "two.yaml": yaml("two", query=SQL, description="D"),
            }
        )
        assert cli("plan", "-o", "plan.json", "--detailed-exitcode").code == 1
        plan = (checkout.top / "plan.json").read_text()
        assert json.loads(plan)["schema_version"] == 1
        assert server.key not in plan
        return checkout.top / "plan.json"

    @pytest.mark.usefixtures("saved")
    def test_it_is_done_exactly(self, cli, checkout, client):
        checkout.write({"one.yaml": yaml("one", query=SQL + " LIMIT 5"), "two.yaml": None})
        ran = cli("push", "--yes", "--plan", "plan.json", "--format", "json")
        assert (ran.code, written(ran)) == (0, [("one", "updated"), ("two", "updated")]), ran.err
        one, two = (client.get_endpoint(name) for name in ("one", "two"))
        assert (one.sql, one.tags, one.current_version) == (SQL + " LIMIT 3", ("a",), 2)
        assert (two.description, two.current_version) == ("D", 1)

    @pytest.mark.usefixtures("saved")
    def test_doing_it_twice_writes_once(self, cli, server):
        assert cli("push", "--yes", "--plan", "plan.json").code == 0
        server.requests.clear()
        ran = cli("push", "--yes", "--plan", "plan.json", "--format", "json")
        assert (ran.code, written(ran)) == (0, [("one", "already so"), ("two", "already so")])
        assert server.requests.writes() == ()

    @pytest.mark.usefixtures("saved")
    @pytest.mark.parametrize(
        "moved",
        [
            lambda client: client.update_endpoint("one", {"query": {"kind": "HogQLQuery", "query": SQL + " LIMIT 9"}}),
            lambda client: client.update_endpoint("one", {"tags": ["theirs"]}),
            lambda client: client.update_endpoint("one", {"is_active": False}),
            lambda client: client.delete_endpoint("one"),
        ],
    )
    def test_what_moved_since_is_refused_and_the_rest_is_done(self, cli, client, moved):
        moved(client)
        before = [one for one in client.list_endpoints() if one.name == "one"]
        ran = cli("push", "--yes", "--plan", "plan.json", "--format", "json")
        assert (ran.code, written(ran)) == (6, [("one", "conflict"), ("two", "updated")]), ran.err
        assert [one for one in client.list_endpoints() if one.name == "one"] == before
        assert cli("resume").out.startswith("nothing to resume")

    @pytest.mark.usefixtures("saved")
    def test_what_was_not_written_names_no_version_of_ours(self, cli, client):
        client.update_endpoint("one", {"query": {"kind": "HogQLQuery", "query": "SELECT 7"}})
        ran = cli("push", "--yes", "--plan", "plan.json")
        assert "one: conflict, nothing written; the server has version 2\n" in ran.out

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, ["one"]),
            (None, ["--prune"]),
            (b"{", []),
            (b'{"schema_version": 99}', []),
        ],
    )
    def test_what_cannot_be_done_is_a_usage_error(self, cli, saved, server, content, words):
        if content is not None:
            saved.write_bytes(content)
        server.requests.clear()
        assert cli("push", "--yes", "--plan", "plan.json", *words).code == 2
        assert server.requests.writes() == ()

    @pytest.mark.usefixtures("saved")
    def test_the_plan_of_another_project_is_refused(self, cli, server):
        server.requests.clear()
        ran = cli("push", "--yes", "--plan", "plan.json", env={"ENDPOINTS_GITOPS_PROJECT_ID": "77"})
        assert ran.code == 2
        assert "project 77" in ran.err
        assert not server.requests.writes()


ON = {"query": SQL, "materialization": {"enabled": True, "schedule": "1hour"}}


def test_push_reports_settings_that_the_server_ignored_and_sends_them_again(cli, checkout, client, monkeypatch):
    """As a server does that does not know the key: it answers 200, and has something else."""
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", query=SQL, tags=["a"], description="D")})
    sent = Client.update_endpoint

    def without_description(self, name, body, **more):
        return sent(self, name, {key: value for key, value in body.items() if key != "description"}, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "update_endpoint", without_description)
        ran = cli("push", "--yes", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (5, "push.unverified"), ran.err
    assert "something else for description" in ran.err
    assert client.get_endpoint("one").tags == ("a",)
    assert cli("resume", "--yes").code == 0
    assert client.get_endpoint("one").description == "D"


class TestMaterialisation:
    def test_it_is_pushed_once_and_waited_for(self, cli, checkout, client):
        checkout.commit({"one.yaml": yaml("one", **ON), "two.yaml": yaml("two", query=SQL)})
        ran = cli("push", "--yes", "--wait")
        assert (ran.code, ran.out) == (0, "one: created, version 1\ntwo: created, version 1\none: materialised\n")
        assert client.get_endpoint("one").is_materialized
        assert cli("diff").code == 0
        assert cli("push", "--wait=5").code == 0

    def test_a_new_query_is_materialised_too_and_overrides_stay(self, cli, checkout, client):
        query = "SELECT count() AS c FROM events WHERE timestamp >= {variables.since}"
        since = {"variables": [{"name": "since", "type": "Date", "default": "2026-01-01"}]}
        on = ON | since | {"query": query, "bucket_overrides": {"timestamp": "hour"}}
        checkout.commit({"one.yaml": yaml("one", **on)})
        assert cli("push", "--yes").code == 0
        checkout.commit({"one.yaml": yaml("one", **on | {"description": "D"})})
        assert cli("push", "--yes").code == 0
        assert client.get_endpoint("one").bucket_overrides == {"timestamp": "hour"}
        checkout.commit({"one.yaml": yaml("one", **on | {"description": "D", "query": query + " AND 1 = 1"})})
        assert cli("push", "--yes").code == 0
        there = client.get_endpoint("one")
        assert (there.current_version, there.materialization.is_on) == (2, True)
        assert there.bucket_overrides == {"timestamp": "hour"}
        assert cli("diff").code == 0

    def test_a_build_that_fails_is_a_failure_where_it_is_waited_for(self, cli, checkout, server):
        checkout.commit({"one.yaml": yaml("one", **ON)})
        server.faults.add(Fault(effect=Effect.FAIL_BUILD, method="POST"))
        ran = cli("push", "--yes", "--wait")
        assert ran.code == 5
        assert "one: materialisation ended as Failed" in ran.err
        assert cli("push", "--wait").code == 5, "it is still not there"

    def test_a_new_version_that_could_not_be_materialised_is_a_failure_that_resume_mends(
        self, cli, checkout, client, server
    ):
        checkout.commit({"one.yaml": yaml("one", **ON)})
        cli("push", "--yes")
        checkout.commit({"one.yaml": yaml("one", **ON | {"query": SQL + " LIMIT 3"})})
        server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH", nth=1))
        ran = cli("push", "--yes", "--format", "json")
        assert ran.code == 5
        assert [error["code"] for error in ran.json["errors"]] == ["push.materialization_error", "push.unfinished"]
        assert "Failed to enable materialization" in ran.json["errors"][0]["message"]
        assert cli("resume", "--yes").code == 0
        there = client.get_endpoint("one")
        assert (there.current_version, there.materialization.is_on) == (2, True)

    def test_a_push_after_that_failure_mends_it_too(self, cli, checkout, client, server):
        checkout.commit({"one.yaml": yaml("one", **ON)})
        cli("push", "--yes")
        checkout.commit({"one.yaml": yaml("one", **ON | {"query": SQL + " LIMIT 3"})})
        server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH", nth=1))
        assert cli("push", "--yes").code == 5
        ran = cli("push", "--yes")
        assert ran.code == 0, ran.err
        assert client.get_endpoint("one").materialization.is_on

    @pytest.mark.parametrize("nth", [1, None])
    def test_settings_that_landed_without_the_table_are_told_as_partly_applied(
        self, cli, checkout, client, server, nth
    ):
        checkout.commit({"one.yaml": yaml("one", query=SQL)})
        cli("push", "--yes")
        checkout.commit({"one.yaml": yaml("one", **ON | {"description": "New"})})
        server.faults.add(Fault(effect=Effect.BREAK_MATERIALIZATION, method="PATCH", nth=nth))
        assert cli("push", "--yes", "--max-wait", "1").code == (5 if nth is None else 0)
        server.faults.clear()
        assert cli("resume", "--yes").code == 0
        there = client.get_endpoint("one")
        assert (there.description, there.materialization.is_on, there.current_version) == ("New", True, 1)


class TestWaiting:
    @pytest.fixture
    def server(self, engine):
        with running_server(engine=engine, build_seconds=4.0) as running:
            yield running

    def test_it_lasts_until_the_table_is_there(self, cli, checkout, client):
        checkout.commit({"one.yaml": yaml("one", **ON)})
        assert cli("push", "--yes", "--wait=0.01").code == 5, "not yet"
        assert client.get_endpoint("one").materialization.status != "Completed"
        assert cli("push", "--wait=30").code == 0
        assert client.get_endpoint("one").materialization.status == "Completed"
