"""Pushes in a world that does not hold still: other people's edits, a server that fails, answers that are lost."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.local.faults import Edit, Effect, Fault, When
from endpoints_gitops.workspace.state import exclusive_lock

SQL = "SELECT event, count() AS c FROM events GROUP BY event"
THEIRS = SQL + " LIMIT 99"
WRITE = {"method": "PATCH", "path": "*/endpoints/one"}


def yaml(name: str, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, **keys}.items())


def query(sql: str) -> dict[str, object]:
    return {"query": {"kind": "HogQLQuery", "query": sql}}


@pytest.fixture
def edited(cli, checkout, server):
    """Two endpoints that were pushed, and files of which each has a new query and a new description."""
    checkout.commit({f"{name}.yaml": yaml(name, query=SQL, description="Old") for name in ("one", "two")})
    assert cli("push", "--yes").code == 0
    checkout.commit({f"{name}.yaml": yaml(name, query=f"{SQL} LIMIT 2", description="New") for name in ("one", "two")})
    server.requests.clear()


def queries(client, name: str = "one") -> list[str]:
    """Those of all versions, the first one first."""
    return [version.sql for version in reversed(client.list_versions(name))]


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_push_never_silently_overwrites_an_edit_between_two_requests(cli, client, server, nth, when):
    server.faults.add(
        Fault(effect=Effect.EDIT, nth=nth, when=when, edit=Edit(path="endpoints/one/", body=query(THEIRS)))
    )
    ran = cli("push", "--yes", "--format", "json")
    versions = queries(client)
    assert client.get_endpoint("two").sql == f"{SQL} LIMIT 2", "the rest is done"
    theirs = versions.index(THEIRS) + 1
    if versions[-1] == THEIRS:
        assert ran.code == (6 if f"{SQL} LIMIT 2" not in versions else 0), ran.err
        return
    assert (ran.code, versions) == (6, [SQL, THEIRS, f"{SQL} LIMIT 2"])
    (error,) = ran.json["errors"]
    assert f"version {theirs} of one was made by another client" in error["message"]
    assert f"version {theirs + 1} is ours" in error["message"]
    assert f"endpoints-gitops rollback one@{theirs}" in error["fix"]
    assert cli("resume").out.startswith("nothing to resume")


def test_push_reports_an_edit_before_a_setting_is_written(cli, checkout, client, server):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    cli("push", "--yes")
    checkout.commit({"one.yaml": yaml("one", query=SQL, tags=["new"])})
    server.faults.add(Fault(effect=Effect.EDIT, **WRITE, edit=Edit(path="endpoints/one/", body=query(THEIRS))))
    ran = cli("push", "--yes")
    assert ran.code == 6
    assert (
        "version 2 of one was made by another client while this push ran; the plan was made against version 1"
        in ran.err
    )
    assert queries(client) == [SQL, THEIRS]


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"description": "Theirs"}, {"description": "Ours"}),
        ({"tags": ["theirs"]}, {"tags": ["ours"]}),
        ({"is_active": False}, {"active": True, "tags": ["ours"]}),
    ],
)
def test_a_setting_edited_between_the_list_and_the_write_is_not_replaced(cli, checkout, client, server, body, changed):
    keys = {"description": "Old", "tags": ["old"]}
    checkout.commit({"one.yaml": yaml("one", query=SQL, active=True, **keys)})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", query=SQL, **{"active": True, **keys, **changed})})
    theirs = Edit(path="endpoints/one/", body=body)
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", path="*/endpoints", nth=1, when=When.AFTER, edit=theirs))
    ran = cli("push", "--yes")
    assert ran.code == 6, ran.err
    (key,) = body
    assert client.get_endpoint("one").model_dump(mode="json")[key] == body[key]


def test_push_reports_a_description_that_its_version_replaces(cli, checkout, client, server):
    """The version before still has it."""
    checkout.commit({"one.yaml": yaml("one", query=SQL, description="Old")})
    assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", query=f"{SQL} LIMIT 2", description="New")})
    theirs = Edit(path="endpoints/one/", body={"description": "Theirs"})
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", path="*/endpoints", nth=1, when=When.AFTER, edit=theirs))
    ran = cli("push", "--yes")
    assert ran.code == 6, ran.err
    assert "description of one was edited on the server while this push ran" in ran.err
    assert "get one --version 1" in ran.err
    assert client.get_version("one", 1).description == "Theirs"


@pytest.mark.parametrize("is_new", [True, False])
def test_push_reads_the_endpoint_after_a_refusal(cli, checkout, client, server, is_new):
    """A write that is refused (400) can have landed in part."""
    if not is_new:
        checkout.commit({"one.yaml": yaml("one", query=SQL)})
        assert cli("push", "--yes").code == 0
    checkout.commit({"one.yaml": yaml("one", query=f"{SQL} LIMIT 2")})
    server.faults.add(Fault(effect=Effect.ERROR, status=400, method="P*", path="*/endpoints*", nth=1, when=When.AFTER))
    ran = cli("push", "--yes", "--format", "json")
    assert ran.code == 5, ran.err
    assert "although the server refused the write" in ran.err
    assert queries(client)[-1] == f"{SQL} LIMIT 2"
    server.faults.add(Fault(effect=Effect.ERROR, status=400, method="PATCH", nth=1))
    checkout.commit({"one.yaml": yaml("one", query=f"{SQL} LIMIT 3")})
    assert cli("push", "--yes").code == 2, "nothing of it landed"


@pytest.mark.parametrize(("begun", "code"), [(False, 4), (True, 5)])
def test_a_defect_after_a_write_is_partly_applied(cli, checkout, monkeypatch, begun, code):
    from endpoints_gitops.operations.push import execute

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    with monkeypatch.context() as patch:
        patch.setattr(execute, "agreed", broken) if begun else patch.setattr(execute, "apply_change", broken)
        ran = cli("push", "--yes", "--format", "json")
    assert (ran.code, "RuntimeError: unforeseen" in ran.err) == (code, True)
    if begun:
        assert "left to do by the earlier push" in cli("resume", "--yes").err


@pytest.mark.usefixtures("edited")
def test_push_notices_edits_during_the_confirmation(cli, client, server):
    """A setting leaves no version behind: only a look after the answer can tell."""
    theirs = Edit(path="endpoints/one/", body={"description": "Theirs"})
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", path="*/endpoints", nth=2, edit=theirs))
    ran = cli("push", input="y\n")
    assert ran.code == 6
    assert "the plan for one is stale: settings of version 1 were changed on the server; nothing was written" in ran.err
    assert (client.get_endpoint("one").description, client.get_endpoint("two").description) == ("Theirs", "New")


VARIABLE = {"type": "String", "label": "Kind"}
USES = "SELECT {variables.kind} AS k"


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"name": "Theirs"}), ("DELETE", {})])
def test_push_leaves_a_shared_variable_that_changed_before_the_write(cli, checkout, client, server, method, body):
    """It leaves no versions, so it is read once more right before it is changed."""
    variable = client.create_variable({"name": "kind", "type": "String"})
    checkout.commit({"one.yaml": yaml("one", query=USES, variables=[{"name": "kind", **VARIABLE}])})
    theirs = Edit(method=method, path=f"insight_variables/{variable.id}/", body=body)
    path = f"*/insight_variables/{variable.id}"
    server.faults.add(Fault(effect=Effect.EDIT, method="GET", path=path, nth=1, edit=theirs))
    ran = cli("push", "--yes", "--shared-variables")
    assert ran.code == 6
    assert "the shared variable 'kind'" in ran.err
    assert [one.name for one in client.list_variables()] == (["Theirs"] if body else [])
    assert client.list_endpoints() == (), "its user is not sent"


def test_push_leaves_an_endpoint_created_meanwhile(cli, checkout, client, server):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    taken = Edit(method="POST", path="endpoints/", body={"name": "one", **query(THEIRS)})
    server.faults.add(Fault(effect=Effect.EDIT, method="POST", edit=taken))
    ran = cli("push", "--yes")
    assert ran.code == 6
    assert "one was created by another client since the plan was made" in ran.err
    assert queries(client) == [THEIRS]


@pytest.mark.usefixtures("edited")
def test_push_reports_an_endpoint_deleted_meanwhile(cli, client, server):
    gone = Edit(method="DELETE", path="endpoints/one/")
    server.faults.add(Fault(effect=Effect.EDIT, **WRITE, nth=1, edit=gone))
    ran = cli("push", "--yes")
    assert ran.code == 6
    assert "one was deleted on the server" in ran.err
    assert [one.name for one in client.list_endpoints()] == ["two"]


@pytest.mark.usefixtures("edited")
def test_push_reports_an_endpoint_recreated_meanwhile(cli, client, server):
    anew = Edit(method="POST", path="endpoints/", body={"name": "one", **query(THEIRS)})
    server.faults.add(
        Fault(effect=Effect.EDIT, **WRITE, nth=1, edit=Edit(method="DELETE", path="endpoints/one/")),
        Fault(effect=Effect.EDIT, **WRITE, nth=1, edit=anew),
    )
    ran = cli("push", "--yes", "one")
    assert ran.code == 6
    assert (
        "one was deleted and recreated on the server while this push ran; version 2 of the new one is ours" in ran.err
    )
    assert "endpoints-gitops rollback one@1 restores it" in ran.err
    assert queries(client) == [THEIRS, f"{SQL} LIMIT 2"]


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize(
    "after_it",
    [Edit(path="endpoints/one/", body=query(THEIRS)), Edit(path="endpoints/one/", body={"description": "?"})],
)
def test_push_keeps_an_edit_made_after_its_lost_answer(cli, client, server, after_it):
    """Ours landed as version 2, nobody heard of it, and somebody wrote before we could look."""
    server.faults.add(
        Fault(effect=Effect.DROP, **WRITE, nth=1, when=When.AFTER),
        Fault(effect=Effect.EDIT, method="GET", path="*/endpoints/one", nth=1, edit=after_it),
    )
    ran = cli("push", "--yes", "--max-wait", "5")
    assert ran.code in {0, 6}
    theirs = after_it.body.get("description")
    if theirs is None:
        assert "version 2 of one is ours, and another client made version 3 after it" in ran.err
        assert queries(client)[-1] == THEIRS


FAULTS = {
    "throttled": Fault(effect=Effect.ERROR, status=429, retry_after=0, **WRITE, nth=1),
    "at capacity": Fault(effect=Effect.ERROR, status=503, retry_after=0, **WRITE, nth=1),
    "a fault": Fault(effect=Effect.ERROR, status=500, **WRITE, nth=1),
    "a fault after it landed": Fault(effect=Effect.ERROR, status=500, **WRITE, nth=1, when=When.AFTER),
    "HTML": Fault(effect=Effect.HTML, status=502, **WRITE, nth=1),
    "HTML that says it is fine": Fault(effect=Effect.HTML, status=200, **WRITE, nth=1, when=When.AFTER),
    "wrong JSON": Fault(effect=Effect.WRONG_JSON, **WRITE, nth=1, when=When.AFTER),
    "broken JSON": Fault(effect=Effect.BROKEN_JSON, **WRITE, nth=1, when=When.AFTER),
    "half a body": Fault(effect=Effect.HALF, **WRITE, nth=1),
    "dropped before": Fault(effect=Effect.DROP, **WRITE, nth=1),
    "dropped after": Fault(effect=Effect.DROP, **WRITE, nth=1, when=When.AFTER),
    "hangs": Fault(effect=Effect.HANG, seconds=20, **WRITE, nth=1),
    "hangs after it landed": Fault(effect=Effect.HANG, seconds=20, **WRITE, nth=1, when=When.AFTER),
}


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_push_survives_one_fault_and_writes_nothing_twice(cli, client, server, fault):
    server.faults.add(fault)
    ran = cli("push", "--yes", "--max-wait", "2", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json["summary"]["updated"] == 2
    for name in ("one", "two"):
        there = client.get_endpoint(name)
        assert (queries(client, name), there.description) == ([SQL, f"{SQL} LIMIT 2"], "New")
    assert cli("push").code == 0


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("status", [500, 503])
def test_resume_finishes_a_push_on_a_failing_server(cli, client, server, status):
    server.faults.add(Fault(effect=Effect.ERROR, status=status, **WRITE))
    ran = cli("push", "--yes", "--max-wait", "1", "--format", "json")
    states = {item["name"]: item["state"] for item in ran.json["items"]}
    assert (ran.code, states) == (5, {"one": "failed", "two": "updated"}), ran.err
    assert any(error["code"] == "push.unfinished" for error in ran.json["errors"])
    server.faults.clear()
    server.requests.clear()
    assert cli("resume").code == 2, "it writes, so it asks"
    assert cli("resume", "--yes").code == 0
    assert len(server.requests.writes()) == 1
    assert {name: queries(client, name) for name in states} == {name: [SQL, f"{SQL} LIMIT 2"] for name in states}


@pytest.mark.usefixtures("edited")
def test_a_write_without_answer_is_uncertain_until_resume(cli, client, server):
    server.faults.add(
        Fault(effect=Effect.DROP, **WRITE, when=When.AFTER), Fault(effect=Effect.DROP, method="GET", path="*/one")
    )
    ran = cli("push", "--yes", "--max-wait", "1", "--format", "json", "one")
    assert (ran.code, [item["state"] for item in ran.json["items"]]) == (5, ["uncertain"]), ran.err
    server.faults.clear()
    server.requests.clear()
    assert cli("resume", "--yes").code == 0
    assert server.requests.writes() == (), "it had landed"
    assert queries(client) == [SQL, f"{SQL} LIMIT 2"]


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("effect", [Effect.ERROR, Effect.HTML, Effect.WRONG_JSON, Effect.BROKEN_JSON, Effect.DROP])
def test_an_unreadable_list_is_never_reported_as_no_difference(cli, server, effect):
    server.faults.add(Fault(effect=effect, method="GET", status=502))
    codes = [cli(*words, "--max-wait", "0.5").code for words in (["diff"], ["plan"], ["push", "--yes"])]
    assert codes == [4, 4, 4]
    assert server.requests.writes() == ()


@pytest.mark.usefixtures("edited")
def test_a_key_without_write_scope_exits_with_3(make_cli, checkout, server):
    cli = make_cli(checkout.top, key=server.readonly_key)
    ran = cli("push", "--yes")
    assert ran.code == 3
    assert "endpoint:write" in ran.err
    assert cli("diff").code == 1


@pytest.mark.usefixtures("edited")
def test_a_refused_endpoint_does_not_stop_the_others(cli, checkout, client):
    checkout.commit({"one.yaml": yaml("one", query="SELECT nothing FROM nowhere")})
    ran = cli("push", "--yes", "--format", "json")
    assert ran.code == 5
    assert any("one" in error["message"] for error in ran.json["errors"])
    assert client.get_endpoint("two").current_version == 2
    checkout.commit({"one.yaml": yaml("one", query=f"{SQL} LIMIT 4")})
    assert cli("push", "--yes").code == 0, "a journal is no reason to refuse"
    assert queries(client) == [SQL, f"{SQL} LIMIT 4"]


def test_a_journal_that_cannot_be_read_is_replaced(cli, checkout, client, tmp_path):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    cli("push", "--yes")
    (record,) = (tmp_path / "state").rglob("record.json")
    record.with_name("journal.jsonl").write_text("{\n")
    assert cli("resume", "--yes").code == 2
    checkout.commit({"one.yaml": yaml("one", query=f"{SQL} LIMIT 4")})
    ran = cli("push", "--yes")
    assert ran.code == 0
    assert "this push replaces it" in ran.err
    assert client.get_endpoint("one").current_version == 2


@pytest.mark.usefixtures("edited")
def test_two_pushes_of_one_checkout_exclude_each_other(cli, server, tmp_path):
    (record,) = (tmp_path / "state").rglob("record.json")
    with exclusive_lock(record.parent):
        ran = cli("push", "--yes")
    assert ran.code == 6
    assert "another command of this checkout is still running (push)" in ran.err
    assert server.requests.writes() == ()
