"""What a push says about each change: its outcome, whether it landed, the error, its place, and the advice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.api.errors import LostAnswer, Refused
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.push import results
from endpoints_gitops.operations.push.results import ChangeOutcome, ChangeResult, PushResult, VariableResult, Waited
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, Plan, Precondition
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.settings import Key, normalized_query
from endpoints_gitops.plan.variables import VariableAction, VariableChange


def node(number: int) -> dict[str, object]:
    return {"kind": "HogQLQuery", "query": f"SELECT {number}"}


def remote(version: int = 1, sql: int = 1, description: str = "old", *, id: str = "A", why: str = "") -> ServerRevision:  # noqa: A002 - the server's word
    materialization = {"enabled": False, "ready": False, "error": ""}
    return ServerRevision.of(
        Endpoint(
            id=id,
            name="one",
            query=node(sql),
            description=description,
            current_version=version,
            materialization=materialization,
            materialization_error=why or None,
        )
    )


QUERY = KeyChange(key=Key.QUERY, before=normalized_query(node(1)), after=normalized_query(node(2)))
DESCRIPTION = KeyChange(key=Key.DESCRIPTION, before="old", after="new")


def update(*keys: KeyChange) -> EndpointChange:
    """From version 1 with SELECT 1 and "old"."""
    return EndpointChange(
        name="one",
        action=ChangeAction.UPDATE,
        path="endpoints/one.yaml",
        line=3,
        keys=keys,
        precondition=Precondition.of(remote(), (key.key for key in keys)),
    )


BOTH, SETTING = update(QUERY, DESCRIPTION), update(DESCRIPTION)
CREATE = replace(BOTH, action=ChangeAction.CREATE, precondition=Precondition())


def outline(result: ChangeResult) -> str:
    words = [result.state.value, *(["landed"] if result.landed else []), *(["settled"] if result.is_settled else [])]
    keys = "/".join(",".join(sorted(keys)) for keys in (result.applied, result.unapplied))
    return f"{', '.join(words)}: {keys}, now {result.version}"


def told(error: EndpointsError) -> tuple[str, int, str, str, str | None]:
    return error.code, error.exit_code.value, error.message, str(error.fix), error.where


LOST = LostAnswer("no answer", request="PATCH endpoints/one/")
LOST.reason = "the connection was cut"
FAULT = LostAnswer("server error", request="PATCH endpoints/one/", status=502, detail="Bad gateway")
REFUSED = Refused("tags: too long", request="PATCH endpoints/one/")
SITUATIONS = {
    "created": (
        lambda: results.verified(CREATE, remote(1, 2, "new")),
        "created, landed, settled: description,query/, now 1",
        None,
    ),
    "updated": (
        lambda: results.verified(BOTH, remote(2, 2, "new")),
        "updated, landed, settled: description,query/, now 2",
        None,
    ),
    "deactivated": (
        lambda: results.verified(replace(SETTING, action=ChangeAction.DEACTIVATE), remote(1, 1, "new")),
        "deactivated, landed, settled: description/, now 1",
        None,
    ),
    "applied already": (
        lambda: ChangeResult(change=BOTH, state=ChangeOutcome.ALREADY, remote=remote(2, 2, "new")),
        "already so, settled: description,query/, now 2",
        None,
    ),
    "not sent": (
        lambda: ChangeResult(change=BOTH, state=ChangeOutcome.NOT_SENT, errors=(REFUSED,)),
        "not sent: /, now None",
        (
            "api.refused",
            2,
            "tags: too long",
            "change what the message names, and run the command again",
            "PATCH endpoints/one/",
        ),
    ),
    "no answer": (
        lambda: ChangeResult(change=BOTH, state=ChangeOutcome.UNCERTAIN, errors=(LOST,)),
        "uncertain: /, now None",
        (
            "api.lost_answer",
            4,
            "no answer",
            "endpoints-gitops diff NAME shows whether the change was made; `push` checks by itself",
            "PATCH endpoints/one/",
        ),
    ),
    "refused": (
        lambda: results.failed(BOTH, REFUSED),
        "failed: /, now None",
        (
            "api.refused",
            2,
            "tags: too long",
            "change what the message names, and run the command again",
            "PATCH endpoints/one/",
        ),
    ),
    "refused after the version was cut": (
        lambda: results.refused_in_part(BOTH, REFUSED, remote(2, 2), [Key.DESCRIPTION]),
        "failed, landed: query/, now 2",
        (
            "push.refused_in_part",
            5,
            "one landed in part without description, although the server refused the write: tags: too long",
            "endpoints-gitops diff one shows it; correct what the server names, and push again",
            "endpoints/one.yaml:3",
        ),
    ),
    "refused, and all is there": (
        lambda: results.refused_in_part(BOTH, REFUSED, remote(2, 2, "new"), []),
        "failed, landed: description,query/, now 2",
        (
            "push.refused_in_part",
            5,
            "one landed in part, although the server refused the write: tags: too long",
            "endpoints-gitops diff one shows it; correct what the server names, and push again",
            "endpoints/one.yaml:3",
        ),
    ),
    "another version before ours": (
        lambda: results.verified(BOTH, remote(3, 2, "new")),
        "updated, landed, settled: description,query/, now 3",
        (
            "push.came_between",
            6,
            "version 2 of one was made by another client while this push ran, and version 3 is ours",
            "endpoints-gitops rollback one@2 restores theirs; else there is nothing to do",
            "endpoints/one.yaml:3",
        ),
    ),
    "another version before our setting": (
        lambda: results.verified(SETTING, remote(2, 7, "new")),
        "updated, landed, settled: description/, now 2",
        (
            "push.came_between",
            6,
            "version 2 of one was made by another client while this push ran; the plan was made against version 1",
            "endpoints-gitops pull one brings version 2 into the file; endpoints-gitops rollback one@1 goes back",
            "endpoints/one.yaml:3",
        ),
    ),
    "recreated before ours": (
        lambda: results.verified(BOTH, remote(3, 2, "new", id="B")),
        "updated, landed, settled: description,query/, now 3",
        (
            "push.came_between",
            6,
            "one was deleted and recreated on the server while this push ran; version 3 of the new one is ours",
            "endpoints-gitops versions one shows theirs; endpoints-gitops rollback one@2 restores it",
            "endpoints/one.yaml:3",
        ),
    ),
    "recreated before our setting": (
        lambda: results.verified(SETTING, remote(1, 1, "new", id="B")),
        "updated, landed, settled: description/, now 1",
        (
            "push.came_between",
            6,
            "one was deleted and recreated on the server while this push ran, and has our settings now",
            "endpoints-gitops diff one",
            "endpoints/one.yaml:3",
        ),
    ),
    "not materialised": (
        lambda: results.verified(BOTH, remote(2, 2, "new", why="no date")),
        "updated, landed: description,query/, now 2",
        (
            "push.materialization_error",
            5,
            "one was written, but could not be materialised: no date",
            (
                "endpoints-gitops resume tries again; or change what the server names, or set "
                "materialization.enabled to false, and push one again"
            ),
            "endpoints/one.yaml:3",
        ),
    ),
    "accepted and not done": (
        lambda: results.verified(BOTH, remote(2, 2)),
        "updated, landed: query/description, now 2",
        (
            "push.unverified",
            5,
            "one: the server accepted the write, but has something else for description",
            "endpoints-gitops diff one shows it; endpoints-gitops resume tries again",
            "endpoints/one.yaml:3",
        ),
    ),
    "lost, nothing landed": (
        lambda: results.not_landed(BOTH, LOST, remote()),
        "failed: /, now 1",
        (
            "api.lost_answer",
            4,
            "one did not land: the connection was cut",
            "endpoints-gitops resume tries again, when the server is well",
            "PATCH endpoints/one/",
        ),
    ),
    "lost, the query landed": (
        lambda: results.not_landed(BOTH, FAULT, remote(2, 2)),
        "failed, landed: query/, now 2",
        (
            "api.lost_answer",
            4,
            "one landed in part, without description: 502 Bad gateway",
            "endpoints-gitops resume tries again, when the server is well",
            "PATCH endpoints/one/",
        ),
    ),
    "lost, nothing created": (
        lambda: results.not_landed(CREATE, FAULT, None),
        "failed: /, now None",
        (
            "api.lost_answer",
            4,
            "one did not land: 502 Bad gateway",
            "endpoints-gitops resume tries again, when the server is well",
            "PATCH endpoints/one/",
        ),
    ),
    "stale": (
        lambda: results.stale_result(BOTH, remote(2, 7)),
        "conflict, settled: /, now 2",
        (
            "push.moved",
            6,
            "the plan for one is stale: it was made against version 1, the server has version 2; nothing was written",
            "endpoints-gitops diff one shows it; plan and push again to go on",
            "endpoints/one.yaml:3",
        ),
    ),
    "stale in a setting": (
        lambda: results.stale_result(BOTH, remote(1, 1, "theirs")),
        "conflict, settled: /, now 1",
        (
            "push.moved",
            6,
            "the plan for one is stale: settings of version 1 were changed on the server; nothing was written",
            "endpoints-gitops diff one shows it; plan and push again to go on",
            "endpoints/one.yaml:3",
        ),
    ),
    "deleted": (
        lambda: results.stale_result(BOTH, None),
        "conflict, settled: /, now None",
        (
            "push.moved",
            6,
            "one was deleted on the server, and version 1 with it; nothing was written",
            "endpoints-gitops push one creates it again, at version 1",
            "endpoints/one.yaml:3",
        ),
    ),
    "recreated": (
        lambda: results.stale_result(BOTH, remote(4, 7, id="B")),
        "conflict, settled: /, now 4",
        (
            "push.moved",
            6,
            "one was deleted and recreated on the server (version 4); nothing was written",
            "endpoints-gitops diff one shows it; plan and push again to go on",
            "endpoints/one.yaml:3",
        ),
    ),
    "created by another client": (
        lambda: results.stale_result(CREATE, remote(4, 7, id="B")),
        "conflict, settled: /, now 4",
        (
            "push.moved",
            6,
            "one was created by another client since the plan was made (version 4); nothing was written",
            "endpoints-gitops diff one shows it; plan and push again to go on",
            "endpoints/one.yaml:3",
        ),
    ),
    "overtaken": (
        lambda: results.overtaken(BOTH, remote(3, 7), 2),
        "conflict, landed, settled: /, now 3",
        (
            "push.came_between",
            6,
            "version 2 of one is ours, and another client made version 3 after it",
            (
                "endpoints-gitops pull one brings theirs into the file; "
                "endpoints-gitops rollback one@2 makes ours the newest"
            ),
            "endpoints/one.yaml:3",
        ),
    ),
}


@pytest.mark.parametrize(("make_result", "expected", "error"), SITUATIONS.values(), ids=SITUATIONS)
def test_what_became_of_a_change(make_result, expected, error):
    result = make_result()
    assert outline(result) == expected
    assert [told(one) for one in result.errors] == ([] if error is None else [error])
    assert (result.name, result.before) == ("one", result.change.precondition.version)


def test_a_setting_that_was_replaced_and_one_that_may_have_been():
    assert told(results.settings_replaced(BOTH, [Key.DESCRIPTION])) == (
        "push.came_between",
        6,
        "description of one was edited on the server while this push ran, and version 2 has ours",
        "endpoints-gitops get one --version 1 shows theirs",
        "endpoints/one.yaml:3",
    )
    assert told(results.unverified(BOTH, FAULT)) == (
        "push.unverified",
        5,
        "one was written; cannot tell whether its settings were edited meanwhile: server error",
        "endpoints-gitops versions one",
        "PATCH endpoints/one/",
    )


@pytest.mark.parametrize(
    ("path", "line", "where"), [("a.yaml", 3, "a.yaml:3"), ("a.yaml", None, "a.yaml"), (None, 3, None)]
)
def test_the_place_of_an_error(path, line, where):
    (error,) = results.stale_result(replace(BOTH, path=path, line=line), None).errors
    assert error.where == where


PLAN = Plan(host="https://example.com", project_id=1, environment="test")
VARIABLE = VariableChange(action=VariableAction.CREATE, code_name="plan", type=VariableType.STRING, label="plan")
DONE, UNCERTAIN = SITUATIONS["updated"][0](), SITUATIONS["no answer"][0]()
STALE, FAILED = SITUATIONS["stale"][0](), SITUATIONS["refused"][0]()
CODES = {
    "nothing": ({}, 0),
    "all written": ({"written": (DONE,)}, 0),
    "refused, and nothing landed": ({"written": (FAILED,)}, 2),
    "refused beside one that landed": ({"written": (DONE, FAILED)}, 5),
    "stale beside one that landed": ({"written": (DONE, STALE)}, 6),
    "no answer": ({"written": (UNCERTAIN,)}, 5),
    "a variable refused, and nothing landed": ({"variables": (VariableResult(change=VARIABLE, error=REFUSED),)}, 2),
    "a variable without an answer": (
        {"variables": (VariableResult(change=VARIABLE, error=LOST, is_uncertain=True),)},
        5,
    ),
    "a variable refused after it was created": (
        {"variables": (VariableResult(change=VARIABLE, error=REFUSED, landed=True),)},
        5,
    ),
    "refused beside a variable that landed": (
        {"variables": (VariableResult(change=VARIABLE, landed=True),), "written": (FAILED,)},
        5,
    ),
    "not materialised in time": ({"written": (DONE,), "waited": (Waited(name="one", error=LOST),)}, 4),
}


@pytest.mark.parametrize(("parts", "code"), CODES.values(), ids=CODES)
def test_the_exit_code(parts, code):
    result = PushResult(plan=PLAN, **parts)
    assert result.exit_code().value == code
    assert all(isinstance(error, EndpointsError) for error in result.errors)
    count = sum(one.error is not None for one in (*result.variables, *result.waited))
    assert len(result.errors) == count + sum(len(one.errors) for one in result.written)
