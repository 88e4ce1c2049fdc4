"""How the server stands to a change: the table that decides whether something is sent, sent again, or left alone."""

from __future__ import annotations

import pytest

from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.standing import Standing, expected_version, standing
from endpoints_gitops.plan.changes import Action, Change, KeyChange, Precondition
from endpoints_gitops.plan.meaning import Key, query_meaning


def node(number: int) -> dict[str, object]:
    return {"kind": "HogQLQuery", "query": f"SELECT {number}"}


def endpoint(version: int = 1, sql: int = 1, description: str = "old", *, id: str = "A", on: bool = False) -> Endpoint:  # noqa: A002 - the server's word
    return Endpoint(
        id=id,
        name="one",
        query=node(sql),
        description=description,
        current_version=version,
        materialization={"enabled": on},
    )


def update(*, description: bool = True, query: bool = True, before: Endpoint | None = None) -> Change:
    """To SELECT 2 and "new", from version 1 with SELECT 1 and "old"."""
    keys = []
    if query:
        keys.append(KeyChange(key=Key.QUERY, before=query_meaning(node(1)), after=query_meaning(node(2))))
    if description:
        keys.append(KeyChange(key=Key.DESCRIPTION, before="old", after="new"))
    precondition = Precondition.of(before or endpoint(), (one.key for one in keys))
    return Change(name="one", action=Action.UPDATE, keys=tuple(keys), precondition=precondition)


CREATE = Change(
    name="one",
    action=Action.CREATE,
    keys=(
        KeyChange(key=Key.QUERY, before=None, after=query_meaning(node(2))),
        KeyChange(key=Key.DESCRIPTION, before=None, after="new"),
    ),
)
MATERIALISED = update(description=False, before=endpoint(on=True))
TABLE = {
    "as the plan saw it": (update(), endpoint(), Standing.TO_DO),
    "all there": (update(), endpoint(2, 2, "new"), Standing.DONE),
    "our query, not our setting": (update(), endpoint(2, 2), Standing.TO_DO),
    "our query, and somebody else's setting": (update(), endpoint(2, 2, "theirs"), Standing.MOVED),
    "our query, one version too far": (update(), endpoint(3, 2), Standing.MOVED),
    "our setting, not our query": (update(), endpoint(1, 1, "new"), Standing.TO_DO),
    "our setting, and somebody else's query": (update(), endpoint(2, 7, "new"), Standing.MOVED),
    "somebody else's query": (update(), endpoint(2, 7), Standing.MOVED),
    "somebody else's setting": (update(query=False), endpoint(1, 1, "theirs"), Standing.MOVED),
    "somebody else's query, and a setting to write": (update(query=False), endpoint(2, 7), Standing.MOVED),
    "another endpoint of that name": (update(), endpoint(id="B"), Standing.MOVED),
    "another endpoint that is so already": (update(), endpoint(2, 2, "new", id="B"), Standing.MOVED),
    "gone": (update(), None, Standing.MOVED),
    "our new version, its table missing": (MATERIALISED, endpoint(2, 2), Standing.TO_DO),
    "our new version with its table": (MATERIALISED, endpoint(2, 2, on=True), Standing.DONE),
    "the table gone, and nothing of ours": (MATERIALISED, endpoint(), Standing.MOVED),
    "not there, to be created": (CREATE, None, Standing.TO_DO),
    "created": (CREATE, endpoint(1, 2, "new"), Standing.DONE),
    "created by somebody else": (CREATE, endpoint(1, 2), Standing.MOVED),
}


@pytest.mark.parametrize(("change", "there", "expected"), TABLE.values(), ids=TABLE.keys())
def test_standing(change, there, expected):
    assert standing(change, there) is expected


@pytest.mark.parametrize(("change", "version"), [(update(), 2), (update(query=False), 1), (CREATE, 1)])
def test_the_version_that_a_write_leads_to(change, version):
    assert expected_version(change) == version


def test_formatting_that_is_to_be_sent_is_not_there_before_it_was_sent():
    spread = query_meaning({"kind": "HogQLQuery", "query": "SELECT  1"})
    keys = (KeyChange(key=Key.QUERY, before=query_meaning(node(1)), after=spread),)
    change = Change(name="one", action=Action.UPDATE, keys=keys, precondition=Precondition.of(endpoint(), ()))
    assert standing(change, endpoint()) is Standing.TO_DO
    assert standing(
        change, Endpoint(id="A", name="one", query={**node(1), "query": "SELECT  1"}, current_version=2)
    ) is (Standing.DONE)
