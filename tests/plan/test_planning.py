"""Plans: what is written, what is left alone and why, and the bodies that go out."""

from __future__ import annotations

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.plan.changes import ChangeAction, body
from endpoints_gitops.plan.diff import Attribution, ServerRevision
from endpoints_gitops.plan.evidence import Provenance
from endpoints_gitops.plan.planning import Overwrite, PlanOptions, make_plan
from endpoints_gitops.plan.preconditions import stale_keys
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.plan.variables import needed

SQL = "SELECT {variables.event}, {variables.os}"
TWO = [{"name": "event", "type": "String", "default": "new"}, {"name": "os", "type": "String"}]


def planned(*diffs, variables=(), prunable=(), **options):
    where = {"host": "https://x", "project_id": 1, "environment": "prod"}
    return make_plan(diffs, variables, **where, prunable=prunable, options=PlanOptions(**options))


def ahead(make, endpoint, *, before=None, **keys):
    """A diff with a history in which the file said `before`, and no commit has what it says now."""
    history = (make.past(1, **(before or {})),)
    evidence = Provenance(history=history, versions=(make.version(1, "A", 1),), is_dirty=True)
    return make.diff(make.loaded(**keys), endpoint, evidence, "prod")


def drifted(make, **keys):
    evidence = Provenance(history=(make.past(1, query="A"),), versions=make.versions("A", "X"))
    return make.diff(make.loaded(query="A", **keys), make.endpoint(query="X", current_version=2), evidence, "prod")


def conflicting(make, name="signups", version=2):
    evidence = Provenance(history=(make.past(1, query="A"),), versions=make.versions("A", "X"), is_dirty=True)
    endpoint = make.endpoint(name=name, query="X", current_version=version)
    return make.diff(make.loaded(name=name, query="B"), endpoint, evidence, "prod")


def only(plan):
    (change,) = plan.changes
    return change


def test_no_differences_make_an_empty_plan(make):
    plan = planned(make.diff(make.loaded(), make.endpoint(), Provenance(), "prod"))
    assert plan.is_empty
    assert (plan.left_alone, plan.cosmetic, plan.notes) == ((), (), ())


def test_only_what_changes_is_sent(make):
    judged = ahead(make, make.endpoint(), before={"description": ""}, description="new")
    change = only(planned(judged))
    assert body(change, {}) == {"description": "new"}
    assert (change.action, change.path, change.line) == (ChangeAction.UPDATE, "endpoints/signups.yaml", 2)
    assert "version" not in " ".join(change.notes)


def test_every_setting_goes_out_under_the_servers_name(make):
    keys = {
        "description": "d",
        "tags": ["B", "a"],
        "active": False,
        "data_freshness": "1hour",
        "optional_breakdown_properties": ["$os"],
    }
    assert body(only(planned(ahead(make, make.endpoint(), **keys))), {}) == {
        "description": "d",
        "tags": ["a", "b"],
        "is_active": False,
        "data_freshness_seconds": 3600,
        "optional_breakdown_properties": ["$os"],
    }


def test_a_query_keeps_what_the_file_leaves_open_and_goes_by_the_ids_of_the_project(make):
    endpoint = make.endpoint(query=SQL, variables={"event": "old", "os": "mac"})
    version = make.version(1, SQL, 1).model_copy(update={"query": endpoint.query})
    evidence = Provenance(history=(make.past(1, query=SQL),), versions=(version,), is_dirty=True)
    judged = make.diff(make.loaded(query=SQL, variables=TWO), endpoint, evidence, "prod")
    here = {name: make.variable(name, id=f"there-{name}") for name in ("event", "os")}
    change = only(planned(judged))
    assert change.notes == ("makes version 2",)
    assert body(change, here) == {
        "query": {
            "kind": "HogQLQuery",
            "query": SQL,
            "variables": {
                "there-event": {"variableId": "there-event", "code_name": "event", "value": "new", "isNull": False},
                "there-os": {"variableId": "there-os", "code_name": "os", "value": "mac", "isNull": False},
            },
        }
    }
    with pytest.raises(UsageError, match="os, and the project has no such variable") as caught:
        body(change, {"event": here["event"]})
    assert caught.value.where == "endpoints/signups.yaml"


def test_a_node_keeps_what_is_more_than_text(make):
    node = {"kind": "HogQLQuery", "query": "SELECT 1", "filters": {"filterTestAccounts": True}, "values": {"a": [None]}}
    judged = make.diff(make.loaded(query_definition=node), None, Provenance(), "prod")
    assert body(only(planned(judged)), {})["query"] == node


def test_a_new_endpoint_gets_everything_that_the_file_states(make):
    keys = {"description": "d", "materialization": {"enabled": True}, "bucket_overrides": {"timestamp": "hour"}}
    change = only(planned(make.diff(make.loaded(**keys), None, Provenance(), "prod")))
    assert (change.action, change.notes) == (ChangeAction.CREATE, ("makes version 1",))
    assert (change.path, change.line) == ("endpoints/signups.yaml", 1)
    assert body(change, {}) == {
        "name": "signups",
        "query": {"kind": "HogQLQuery", "query": "SELECT 'A' AS letter"},
        "description": "d",
        "is_materialized": True,
        "bucket_overrides": {"timestamp": "hour"},
    }
    inactive = only(planned(make.diff(make.loaded(**keys, active=False), None, Provenance(), "prod")))
    assert body(inactive, {}).keys() == {"name", "query", "description", "is_active"}


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({"description": "d"}, {"timestamp": "hour"}),
        ({"bucket_overrides": {"timestamp": "day"}}, {"timestamp": "day"}),
        ({"bucket_overrides": {}}, {}),
        ({"materialization": {"enabled": False}}, None),
        ({"active": False}, None),
        ({"query": "B"}, {"timestamp": "hour"}),
    ],
)
def test_a_materialised_version_repeats_its_bucket_overrides(make, keys, sent):
    endpoint = make.endpoint(materialized=True, bucket_overrides={"timestamp": "hour"})
    judged = ahead(
        make, endpoint, before={"materialization": {"enabled": True}, "bucket_overrides": {"timestamp": "hour"}}, **keys
    )
    assert body(only(planned(judged)), {}).get("bucket_overrides") == sent


def test_a_bucket_override_that_the_server_refuses_is_not_sent(make):
    """It would cut a version and then answer 400: the values that a version has are repeated with every change."""
    buckets = {"timestamp": "fortnight", "created_at": "day"}
    endpoint = make.endpoint(materialized=True, bucket_overrides=buckets)
    change = only(planned(ahead(make, endpoint, before={"description": ""}, description="d", query="B")))
    with pytest.raises(UsageError, match=r"timestamp: fortnight$") as refused:
        body(change, {})
    assert refused.value.fix == "the server takes minute, fifteen_minutes, hour, day, week, month"
    assert (refused.value.where, refused.value.code) == ("endpoints/signups.yaml", "plan.buckets")


def test_drift_is_left_alone_and_said(make):
    plan = planned(drifted(make))
    (left,) = plan.drifted
    assert plan.is_empty
    assert (left.key, left.version, left.author, left.date) == (
        Key.QUERY,
        2,
        "ann@example.com",
        "2026-07-01T02:00:00+00:00",
    )
    assert left.fix == "endpoints-gitops pull signups"


def test_nobody_is_named_for_a_setting(make):
    evidence = Provenance(history=(make.past(1, query="A", description="a"),), versions=make.versions("A", "X"))
    written = "2026-07-01T09:00:00+00:00"
    endpoint = make.endpoint(query="X", description="x", current_version=2, updated_at=written)
    plan = planned(make.diff(make.loaded(query="A", description="a"), endpoint, evidence, "prod"))
    assert [(left.key, left.author, left.date) for left in plan.drifted] == [
        (Key.QUERY, "ann@example.com", "2026-07-01T02:00:00+00:00"),
        (Key.DESCRIPTION, None, written),
    ]


def test_a_conflict_is_left_alone_with_every_way_out(make):
    plan = planned(conflicting(make))
    (left,) = plan.conflicts
    assert plan.is_empty
    for way in ("pull --theirs signups", "adopt signups", "push --overwrite=signups@2 signups"):
        assert f"endpoints-gitops {way}" in left.fix


@pytest.mark.parametrize(
    ("overwrite", "written"),
    [
        (Overwrite(everything=True), True),
        (Overwrite(versions={"signups": 2}), True),
        (Overwrite(versions={"signups": 1}), False),
        (Overwrite(), False),
    ],
)
def test_overwriting_needs_the_word_and_the_current_version(make, overwrite, written):
    for judged, word in ((conflicting(make), "conflict"), (drifted(make), "drifted")):
        plan = planned(judged, overwrite=overwrite)
        assert bool(plan.changes) is written
        assert bool(plan.left_alone) is not written
        if written:
            assert only(plan).notes[0] == "makes version 3"
            assert only(plan).notes[1].startswith(f"overwrites query ({word}): edited on the server")
        elif overwrite.versions:
            assert plan.notes == ("signups: nothing is overwritten, as version 1 was named and version 2 is current",)


def test_overwriting_one_leaves_the_others(make):
    plan = planned(conflicting(make, "b"), conflicting(make, "a"), overwrite=Overwrite(versions={"b": 2}))
    assert [change.name for change in plan.changes] == ["b"]
    assert [left.name for left in plan.left_alone] == ["a"]
    with pytest.raises(UsageError, match="--overwrite names c"):
        planned(conflicting(make), overwrite=Overwrite(versions={"c": 2}))


def test_a_name_that_may_be_overwritten_and_is_gone(make):
    judged = make.diff(make.loaded(), None, Provenance(is_pinned=True), "prod")
    plan = planned(judged, overwrite=Overwrite(versions={"signups": 3}))
    assert plan.notes == ("signups: nothing is overwritten, as version 3 was named and the endpoint is gone",)


def test_a_variable_that_the_project_lacks_is_not_sent(make):
    change = only(planned(make.diff(make.loaded(query=SQL, variables=TWO), None, Provenance(), "prod")))
    with pytest.raises(UsageError) as refused:
        body(change, {})
    assert (refused.value.code, refused.value.where) == ("plan.variable", "endpoints/signups.yaml")
    assert refused.value.message.startswith("signups says a value for event, ")


def test_what_was_ours_and_is_gone_is_created_only_on_request(make):
    judged = make.diff(make.loaded(), None, Provenance(is_pinned=True), "prod")
    plan = planned(judged)
    assert plan.is_empty
    (left,) = plan.left_alone
    assert (left.attribution, left.key, left.reason) == (Attribution.CONFLICT, None, judged.note)
    assert left.fix == (
        "endpoints-gitops push --overwrite signups creates it again, at version 1; else remove the definition"
    )
    assert left.explanation == judged.note
    again = only(planned(judged, overwrite=Overwrite(everything=True)))
    assert again.action is ChangeAction.CREATE
    assert "makes version 1" in again.notes


def test_a_cosmetic_difference_is_sent_only_on_request(make):
    keys = {"query": "SELECT  1", "description": "new"}
    endpoint = make.endpoint(query="SELECT 1")
    judged = ahead(make, endpoint, before={"query": "SELECT 1", "description": ""}, **keys)
    plan = planned(judged)
    assert plan.cosmetic == ("signups",)
    assert body(only(plan), {}) == {"description": "new"}
    plan = planned(judged, allow_cosmetic=True)
    assert plan.cosmetic == ()
    assert body(only(plan), {}) == {"query": {"kind": "HogQLQuery", "query": "SELECT  1"}, "description": "new"}
    assert only(plan).notes == ("makes version 2",)


def test_pruning_deactivates_what_no_file_defines_any_more(make):
    history = (make.past(1, query="A"),)
    ours = make.diff(None, make.endpoint(query="A"), Provenance(history=history), "prod")
    moved = make.diff(None, make.endpoint(name="moved", query="X"), Provenance(history=history), "prod")
    kept = make.diff(None, make.endpoint(name="protected", query="A"), Provenance(history=history), "prod")
    assert planned(ours, moved, kept).is_empty
    assert planned(ours, moved, kept, prunable={"signups", "moved"}).is_empty, "--prune was not given"
    plan = planned(ours, moved, kept, prune=True, prunable={"signups", "moved"})
    change = only(plan)
    assert (change.name, change.action, body(change, {})) == ("signups", ChangeAction.DEACTIVATE, {"is_active": False})
    assert [(one.before, one.after) for one in change.keys] == [(True, False)]
    assert [(left.name, left.key, left.attribution) for left in plan.left_alone] == [
        ("moved", Key.ACTIVE, Attribution.CONFLICT)
    ]
    assert (ours.removal.key, ours.removal.local, ours.removal.remote) == (Key.ACTIVE, False, True)
    assert plan.left_alone[0].fix == "endpoints-gitops deactivate moved"


MOVES = [
    ({}, ()),
    ({"tags": ["somebody"]}, ()),
    ({"description": "somebody"}, (Key.DESCRIPTION,)),
    ({"is_active": False}, (Key.ACTIVE, Key.MATERIALIZATION)),
    ({"materialized": True}, (Key.MATERIALIZATION,)),
    ({"current_version": 2}, (Key.QUERY,)),
    ({"current_version_id": "other"}, (Key.QUERY,)),
    ({"id": "other"}, (Key.QUERY,)),
]


@pytest.mark.parametrize(("moved", "keys"), MOVES)
def test_a_precondition_holds_while_nothing_moved_that_counts(make, moved, keys):
    change = only(planned(ahead(make, make.endpoint(), before={"description": ""}, description="new")))
    assert set(stale_keys(change.precondition, ServerRevision.of(make.endpoint(**moved)))) == set(keys)


def test_a_precondition_is_about_what_is_there(make):
    update = only(planned(ahead(make, make.endpoint(), before={"description": ""}, description="new")))
    create = only(planned(make.diff(make.loaded(), None, Provenance(), "prod")))
    assert stale_keys(update.precondition, None) == (Key.QUERY,)
    assert stale_keys(create.precondition, None) == ()
    assert stale_keys(create.precondition, ServerRevision.of(make.endpoint())) == (Key.QUERY,)


def test_a_missing_variable_comes_with_the_query_that_brings_it(make):
    loaded = make.loaded(query=SQL, variables=TWO)
    changes = needed([loaded], [make.variable("os")], [])
    new = make.diff(loaded, None, Provenance(), "prod")
    assert [one.code_name for one in planned(new, variables=changes).variables] == ["event"]
    both = planned(new, variables=needed([loaded], [], []))
    assert [one.code_name for one in both.variables] == ["event", "os"]
    gone = make.diff(loaded, None, Provenance(is_pinned=True), "prod")
    assert planned(gone, variables=changes).variables == ()


def test_a_shared_variable_is_changed_only_on_request(make):
    loaded = make.loaded(query=SQL, variables=[{"name": "os", "type": "Number"}])
    user = make.endpoint(name="other", query=SQL, variables={"os": "mac"})
    changes = needed([loaded], [make.variable("os")], [user])
    judged = make.diff(loaded, make.endpoint(query=SQL, variables={"os": "mac"}), Provenance(), "prod")
    plan = planned(judged, variables=changes)
    assert plan.is_empty
    assert "has another type than endpoints/signups.yaml" in plan.notes[0]
    assert "other, signups use it" in plan.notes[0]
    assert planned(judged, variables=changes, shared_variables=True).variables == changes
    elsewhere = make.diff(make.loaded(name="third"), None, Provenance(), "prod")
    plan = planned(elsewhere, variables=changes, shared_variables=True)
    assert (plan.variables, plan.notes) == ((), ())
