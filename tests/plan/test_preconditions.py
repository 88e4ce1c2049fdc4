"""Whether a change is applied, pending or stale: the table that decides what is sent, sent again, or left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, Precondition
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.preconditions import ChangeState, state_of
from endpoints_gitops.plan.settings import Key, normalized_query


def node(number: int | str) -> dict[str, object]:
    return {"kind": "HogQLQuery", "query": f"SELECT {number}"}


def endpoint(
    version: int = 1,
    sql: int | str = 1,
    description: str = "old",
    *,
    id: str = "A",  # noqa: A002 - the server's word
    on: bool = False,
    breakdowns: str = "",
) -> Endpoint:
    return Endpoint(
        id=id,
        name="one",
        query=node(sql),
        description=description,
        optional_breakdown_properties=list(breakdowns),
        current_version=version,
        materialization={"enabled": on},
    )


def update(*, description: bool = True, query: bool = True, before: Endpoint | None = None) -> EndpointChange:
    """To SELECT 2 and "new", from version 1 with SELECT 1 and "old"."""
    keys = []
    if query:
        keys.append(KeyChange(key=Key.QUERY, before=normalized_query(node(1)), after=normalized_query(node(2))))
    if description:
        keys.append(KeyChange(key=Key.DESCRIPTION, before="old", after="new"))
    precondition = Precondition.of(ServerRevision.of(before or endpoint()), (one.key for one in keys))
    return EndpointChange(name="one", action=ChangeAction.UPDATE, keys=tuple(keys), precondition=precondition)


def broken_down(before: str, after: str) -> EndpointChange:
    """To SELECT 2 and other breakdowns that can be left out; each is a letter."""
    keys = (
        KeyChange(key=Key.QUERY, before=normalized_query(node(1)), after=normalized_query(node(2))),
        KeyChange(key=Key.OPTIONAL_BREAKDOWNS, before=list(before), after=list(after)),
    )
    precondition = Precondition.of(ServerRevision.of(endpoint(breakdowns=before)), (key.key for key in keys))
    return EndpointChange(name="one", action=ChangeAction.UPDATE, keys=keys, precondition=precondition)


def without_version(change: EndpointChange) -> EndpointChange:
    return replace(change, precondition=replace(change.precondition, version=None))


CREATE = EndpointChange(
    name="one",
    action=ChangeAction.CREATE,
    keys=(
        KeyChange(key=Key.QUERY, before=None, after=normalized_query(node(2))),
        KeyChange(key=Key.DESCRIPTION, before=None, after="new"),
    ),
)
MATERIALISED = update(description=False, before=endpoint(on=True))
TABLE = {
    "as the plan saw it": (update(), endpoint(), ChangeState.PENDING),
    "all there": (update(), endpoint(2, 2, "new"), ChangeState.APPLIED),
    "our query, not our setting": (update(), endpoint(2, 2), ChangeState.PENDING),
    "our query, and somebody else's setting": (update(), endpoint(2, 2, "theirs"), ChangeState.STALE),
    "our query, one version too far": (update(), endpoint(3, 2), ChangeState.STALE),
    "our setting, not our query": (update(), endpoint(1, 1, "new"), ChangeState.PENDING),
    "our setting, and somebody else's query": (update(), endpoint(2, 7, "new"), ChangeState.STALE),
    "somebody else's query": (update(), endpoint(2, 7), ChangeState.STALE),
    "somebody else's setting": (update(query=False), endpoint(1, 1, "theirs"), ChangeState.STALE),
    "somebody else's query, and a setting to write": (update(query=False), endpoint(2, 7), ChangeState.STALE),
    "another endpoint of that name": (update(), endpoint(id="B"), ChangeState.STALE),
    "another endpoint that is so already": (update(), endpoint(2, 2, "new", id="B"), ChangeState.STALE),
    "gone": (update(), None, ChangeState.STALE),
    "our new version, its table missing": (MATERIALISED, endpoint(2, 2), ChangeState.PENDING),
    "our new version with its table": (MATERIALISED, endpoint(2, 2, on=True), ChangeState.APPLIED),
    "the table gone, and nothing of ours": (MATERIALISED, endpoint(), ChangeState.STALE),
    "a new table, and nothing of ours": (update(description=False), endpoint(on=True), ChangeState.STALE),
    "other formatting of the query that the plan saw": (update(), endpoint(1, " 1"), ChangeState.PENDING),
    "the breakdowns that the plan saw, in another order": (
        broken_down("ab", "c"),
        endpoint(breakdowns="ba"),
        ChangeState.PENDING,
    ),
    "our breakdowns, in another order": (broken_down("a", "cb"), endpoint(2, 2, breakdowns="bc"), ChangeState.APPLIED),
    "our query, and old breakdowns in another order": (
        broken_down("ab", "c"),
        endpoint(2, 2, breakdowns="ba"),
        ChangeState.PENDING,
    ),
    "our setting, and a version that the plan does not know": (
        without_version(update()),
        endpoint(1, 1, "new"),
        ChangeState.STALE,
    ),
    "not there, to be created": (CREATE, None, ChangeState.PENDING),
    "created": (CREATE, endpoint(1, 2, "new"), ChangeState.APPLIED),
    "created by somebody else": (CREATE, endpoint(1, 2), ChangeState.STALE),
}


@pytest.mark.parametrize(("change", "there", "expected"), TABLE.values(), ids=TABLE.keys())
def test_what_is_left_of_a_change(change, there, expected):
    assert state_of(change, ServerRevision.of(there) if there else None) is expected


@pytest.mark.parametrize(("change", "version"), [(update(), 2), (update(query=False), 1), (CREATE, 1)])
def test_the_version_that_a_write_leads_to(change, version):
    assert change.expected_version == version


def test_formatting_that_is_to_be_sent_is_not_there_before_it_was_sent():
    spread = normalized_query({"kind": "HogQLQuery", "query": "SELECT  1"})
    keys = (KeyChange(key=Key.QUERY, before=normalized_query(node(1)), after=spread),)
    before = ServerRevision.of(endpoint())
    change = EndpointChange(name="one", action=ChangeAction.UPDATE, keys=keys, precondition=Precondition.of(before, ()))
    sent = Endpoint(id="A", name="one", query={**node(1), "query": "SELECT  1"}, current_version=2)
    assert state_of(change, before) is ChangeState.PENDING
    assert state_of(change, ServerRevision.of(sent)) is ChangeState.APPLIED
