"""One change sent to a server that answers from a script: which requests are made, and what the answers come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from endpoints_gitops.api.errors import (
    ApiError,
    EndpointNotFound,
    LostAnswer,
    NameTaken,
    NotFound,
    Refused,
    ServerFault,
    Throttled,
)
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.operations.push.apply import TRIES, TURNS, apply_change, write_variable
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, Precondition
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.settings import Key, normalized_query
from endpoints_gitops.plan.variables import VariableAction, VariableChange


def node(number: int) -> dict[str, object]:
    return {"kind": "HogQLQuery", "query": f"SELECT {number}"}


def endpoint(version: int = 1, sql: int = 1, description: str = "old", **keys: Any) -> Endpoint:
    materialization = {"enabled": keys.pop("on", False)}
    return Endpoint(
        **{"id": "A", "name": "one", "query": node(sql), "description": description, "current_version": version}
        | {"materialization": materialization, "is_active": True}
        | keys
    )


def old_version(number: int, sql: int, description: str = "old") -> EndpointVersion:
    return EndpointVersion(
        id="A",
        name="one",
        query=node(sql),
        description=description,
        current_version=9,
        version=number,
        version_id=f"A{number}",
        materialization={"enabled": False},
    )


QUERY = KeyChange(key=Key.QUERY, before=normalized_query(node(1)), after=normalized_query(node(2)))
DESCRIPTION = KeyChange(key=Key.DESCRIPTION, before="old", after="new")
ACTIVE = KeyChange(key=Key.ACTIVE, before=True, after=False)


def update(*keys: KeyChange, before: Endpoint | None = None) -> EndpointChange:
    precondition = Precondition.of(ServerRevision.of(before or endpoint()), (key.key for key in keys))
    return EndpointChange(name="one", action=ChangeAction.UPDATE, keys=keys, precondition=precondition)


CREATE = EndpointChange(name="one", action=ChangeAction.CREATE, keys=(QUERY, DESCRIPTION))
TABLE = endpoint(on=True)


def lost() -> ApiError:
    return LostAnswer("no answer")


def refused(detail: str = "no") -> ApiError:
    return Refused(detail, detail=detail)


@dataclass
class Script:
    """A client that gives these answers in turn, and notes the requests. An error is raised."""

    answers: list[Any]
    asked: list[str] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)

    def _next(self, request: str, *body: Any) -> Any:
        self.asked.append(request)
        self.sent += body
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __getattr__(self, method: str) -> Callable[..., Any]:
        words = {"update_endpoint": "PATCH", "create_endpoint": "POST", "get_endpoint": "GET", "get_version": "VERSION"}
        words |= {"list_versions": "VERSIONS", "list_variables": "LIST", "get_variable": "GET"}
        words |= {"create_variable": "POST", "update_variable": "PATCH"}
        return lambda *arguments: self._next(words[method], *(each for each in arguments if isinstance(each, dict)))


BOTH = update(QUERY, DESCRIPTION)
DONE = endpoint(2, 2, "new")
CASES = {
    "created": (CREATE, [endpoint(1, 2, "new")], "POST", "created landed", []),
    "created after a lost answer": (CREATE, [lost(), endpoint(1, 2, "new")], "POST GET", "created landed", []),
    "created at the second try": (
        CREATE,
        [lost(), EndpointNotFound("no"), endpoint(1, 2, "new")],
        "POST GET POST",
        "created landed",
        [],
    ),
    "the name is taken": (CREATE, [NameTaken("taken"), endpoint(1, 7)], "POST GET", "conflict", ["push.moved"]),
    "the name is taken by what this key may not see": (
        CREATE,
        [NameTaken("taken"), EndpointNotFound("no")],
        "POST GET",
        "failed",
        ["api.name_taken"],
    ),
    "created without its description": (
        CREATE,
        [refused(), endpoint(1, 2)],
        "POST GET",
        "failed landed",
        ["push.refused_in_part"],
    ),
    "not created": (CREATE, [refused(), EndpointNotFound("no")], "POST GET", "failed", ["api.refused"]),
    "updated": (update(QUERY), [endpoint(2, 2)], "PATCH", "updated landed", []),
    "updated with a setting of the version": (BOTH, [DONE, old_version(1, 1)], "PATCH VERSION", "updated landed", []),
    "a setting was edited before": (
        BOTH,
        [DONE, old_version(1, 1, "theirs")],
        "PATCH VERSION",
        "updated landed",
        ["push.came_between"],
    ),
    "the version before cannot be read": (
        BOTH,
        [DONE, ServerFault("away")],
        "PATCH VERSION",
        "updated landed",
        ["push.unverified"],
    ),
    "a setting alone is read first": (
        update(DESCRIPTION),
        [endpoint(), endpoint(1, 1, "new")],
        "GET PATCH",
        "updated landed",
        [],
    ),
    "a setting alone is there": (update(DESCRIPTION), [endpoint(1, 1, "new")], "GET", "already so", []),
    "a setting alone is another": (update(DESCRIPTION), [endpoint(1, 1, "x")], "GET", "conflict", ["push.moved"]),
    "a setting of what is gone": (update(DESCRIPTION), [EndpointNotFound("no")], "GET", "conflict", ["push.moved"]),
    "a setting cannot be read": (update(DESCRIPTION), [ServerFault("away")], "GET", "failed", ["api.server_fault"]),
    "a setting that no version keeps": (
        update(QUERY, ACTIVE),
        [endpoint(), endpoint(2, 2, is_active=False)],
        "GET PATCH",
        "updated landed",
        [],
    ),
    "overrides of a table are repeated": (
        update(QUERY, before=endpoint(on=True, bucket_overrides={"t": "hour"})),
        [endpoint(on=True, bucket_overrides={"t": "hour"}), endpoint(2, 2, on=True, bucket_overrides={"t": "hour"})],
        "GET PATCH",
        "updated landed",
        [],
    ),
    "gone": (update(QUERY), [EndpointNotFound("no")], "PATCH", "conflict", ["push.moved"]),
    "throttled": (update(QUERY), [Throttled("slow down")], "PATCH", "failed", ["api.throttled"]),
    "not sendable": (update(QUERY), [UsageError("no", code="no")], "PATCH", "failed", ["no"]),
    "refused": (update(QUERY), [refused(), endpoint()], "PATCH GET", "failed", ["api.refused"]),
    "refused, and gone": (update(QUERY), [refused(), EndpointNotFound("no")], "PATCH GET", "failed", ["api.refused"]),
    "refused, and not to be read": (
        update(QUERY),
        [refused(), ServerFault("away")],
        "PATCH GET",
        "uncertain",
        ["api.refused"],
    ),
    "refused, in part": (BOTH, [refused(), endpoint(2, 2)], "PATCH GET", "failed landed", ["push.refused_in_part"]),
    "refused, and another has the query": (
        update(QUERY, DESCRIPTION),
        [refused(), endpoint(1, 2)],
        "PATCH GET",
        "failed",
        ["api.refused"],
    ),
    "refused, and the setting alone is there": (
        BOTH,
        [refused(), endpoint(2, 1, "new")],
        "PATCH GET",
        "failed",
        ["api.refused"],
    ),
    "a race for the version that ours won": (
        update(QUERY),
        [refused("Failed to update endpoint."), endpoint(2, 2)],
        "PATCH GET",
        "updated landed",
        [],
    ),
    "a race for the version, sent again": (
        update(QUERY),
        [refused("Failed to update endpoint."), endpoint(), endpoint(2, 2)],
        "PATCH GET PATCH",
        "updated landed",
        [],
    ),
    "lost, and there": (update(QUERY), [lost(), endpoint(2, 2)], "PATCH GET", "updated landed", []),
    "lost again and again": (
        update(QUERY),
        [lost(), endpoint()] * TRIES,
        "PATCH GET PATCH GET PATCH GET",
        "failed",
        ["api.lost_answer"],
    ),
    "lost, and not to be read": (
        update(QUERY),
        [lost(), ServerFault("away")],
        "PATCH GET",
        "uncertain",
        ["api.lost_answer"],
    ),
    "lost, and overtaken": (
        update(QUERY),
        [lost(), endpoint(3, 7), [old_version(3, 7), old_version(2, 2), old_version(1, 1)]],
        "PATCH GET VERSIONS",
        "conflict landed",
        ["push.came_between"],
    ),
    "lost, and theirs alone": (
        update(QUERY),
        [lost(), endpoint(2, 7), [old_version(2, 7), old_version(1, 2)]],
        "PATCH GET VERSIONS",
        "conflict",
        ["push.moved"],
    ),
    "lost, and the versions too": (
        update(QUERY),
        [lost(), endpoint(2, 7), ServerFault("away")],
        "PATCH GET VERSIONS",
        "conflict",
        ["push.moved"],
    ),
    "lost, and recreated": (update(QUERY), [lost(), endpoint(1, 7, id="B")], "PATCH GET", "conflict", ["push.moved"]),
}


@pytest.mark.parametrize(("change", "answers", "requests", "outcome", "codes"), CASES.values(), ids=CASES)
def test_a_change_is_sent(change, answers, requests, outcome, codes):
    script = Script(list(answers))
    result = apply_change(script, change, {}, None)
    assert (" ".join(script.asked), script.answers) == (requests, [])
    assert f"{result.state}{' landed' if result.landed else ''}" == outcome
    assert [error.code for error in result.errors] == codes


@pytest.mark.parametrize(
    ("there", "sent"),
    [
        (None, {}),
        (endpoint(on=True), {}),
        (endpoint(on=False), {"is_materialized": True}),
    ],
)
def test_a_table_that_was_lost_is_asked_for_again(there, sent):
    script = Script([endpoint(2, 2, on=True)])
    apply_change(script, update(QUERY, before=TABLE), {}, ServerRevision.of(there) if there else None)
    assert script.sent == [{"query": normalized_query(node(2)), **sent}]


def variable(**keys: Any) -> InsightVariable:
    wire = {"id": "1", "name": "Plan", "code_name": "plan", "type": "List", "values": ["a", "1"], "is_multi": False}
    return InsightVariable.model_validate(wire | keys)


WANTED = VariableChange(
    code_name="plan",
    action=VariableAction.CREATE,
    type=VariableType.LIST,
    label="Plan",
    values=("a", 1),
    multi=False,
    where="one.yaml:3",
)
OURS = variable(name="plan")
RELABELED = replace(WANTED, action=VariableAction.UPDATE, before={"label": "Old"}, id="1")
OLD = variable(name="Old")
VARIABLES = {
    "there already": (WANTED, variable(), [], "", True, False, False, None),
    "another is there": (WANTED, variable(type="Date"), [], "", True, False, False, "push.variable_moved"),
    "created and labeled": (WANTED, None, [OURS, variable()], "POST PATCH", True, True, False, None),
    "our half is labeled": (WANTED, OURS, [variable()], "PATCH", True, True, False, None),
    "created after a lost answer": (WANTED, None, [lost(), [variable()]], "POST LIST", True, True, False, None),
    "sent again": (WANTED, None, [lost(), [], OURS, variable()], "POST LIST POST PATCH", True, True, False, None),
    "not to be known": (WANTED, None, [lost(), lost()], "POST LIST", False, False, True, "api.lost_answer"),
    "refused": (WANTED, None, [refused()], "POST", False, False, False, "api.refused"),
    "refused because it exists": (
        WANTED,
        None,
        [refused("plan already exists"), [variable(code_name="other"), variable()]],
        "POST LIST",
        True,
        True,
        False,
        None,
    ),
    "the label is refused": (WANTED, None, [OURS, refused()], "POST PATCH", False, True, False, "api.refused"),
    "always another": (
        WANTED,
        None,
        [OURS] * TURNS,
        "POST PATCH PATCH PATCH PATCH PATCH",
        False,
        True,
        True,
        "push.unverified",
    ),
    "relabeled": (RELABELED, OLD, [OLD, variable()], "GET PATCH", True, True, False, None),
    "edited meanwhile": (RELABELED, OLD, [variable(name="x")], "GET", True, False, False, "push.variable_moved"),
    "gone": (RELABELED, OLD, [NotFound("no")], "GET", False, False, False, "push.variable_moved"),
    "not there": (RELABELED, None, [], "", False, False, False, "push.variable_moved"),
}


@pytest.mark.parametrize(
    ("change", "listed", "answers", "requests", "known", "landed", "uncertain", "code"),
    VARIABLES.values(),
    ids=VARIABLES,
)
def test_a_variable_is_written(change, listed, answers, requests, known, landed, uncertain, code):
    script = Script(list(answers))
    result = write_variable(script, change, listed)
    assert (" ".join(script.asked), script.answers) == (requests, [])
    assert (result.variable is not None, result.landed, result.is_uncertain) == (known, landed, uncertain)
    assert (result.error.code if result.error else None) == code
    assert result.change is change


def test_what_is_sent_of_a_variable_and_what_its_conflict_says():
    script = Script([OURS, variable()])
    write_variable(script, WANTED, None)
    assert script.sent == [
        {"name": "plan", "type": "List", "default_value": None, "values": ["a", 1], "is_multi": False},
        {"name": "Plan"},
    ]
    moved = write_variable(Script([]), WANTED, variable(type="Date")).error
    assert (moved.where, moved.fix) == ("one.yaml:3", "plan and push again")
    assert moved.message == "the shared variable 'plan' was changed on the server since the plan was made; not written"
    unlike = write_variable(Script([OURS] * TURNS), replace(WANTED, where=""), None).error
    assert (unlike.where, unlike.fix) == (None, "look at it in PostHog: Data management, Variables")
    assert unlike.message == "the server accepted the shared variable 'plan', but has something else"
