"""Insight variables: code names, the forms of Lists, Django's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

type Ask = Callable[..., httpx.Response]


def made(ask: Ask, **fields: Any) -> dict[str, Any]:
    answer = ask("POST", "insight_variables/", {"name": "v", "type": "String", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("name", "code_name"),
    [
        ("Test 1", "test_1"),
        ("Test @#$ Var!", "test__var"),
        ("foo  bar", "foo__bar"),
        (" spaced ", "spaced"),
        ("my_var", "my_var"),
        ("a-b", "ab"),
        ("Größe", "größe"),
    ],
)
def test_code_name(ask: Ask, name: str, code_name: str) -> None:
    variable = made(ask, name=name)
    assert (variable["name"], variable["code_name"]) == (name.strip(), code_name)
    again = ask("POST", "insight_variables/", {"name": name, "type": "String"})
    assert (again.status_code, again.json()["detail"], again.json()["attr"]) == (
        400,
        "Variable with this code name already exists",
        None,
    )


@pytest.mark.parametrize(
    ("fields", "settled"),
    [
        ({"type": "Number", "default_value": 5, "is_multi": True}, {"default_value": 5, "is_multi": False}),
        ({"type": "Date", "values": [1], "values_query": "q"}, {"values": [1], "values_query": None}),
        ({"type": "List"}, {"values": [], "default_value": "", "is_multi": False}),
        ({"type": "List", "values": [1, 2.5, True, None, "x"]}, {"values": ["1", "2.5", "true", "x"]}),
        ({"type": "List", "values": "no list"}, {"values": []}),
        ({"type": "List", "default_value": ["a", "b"]}, {"default_value": "a"}),
        ({"type": "List", "is_multi": True}, {"default_value": []}),
        ({"type": "List", "is_multi": "true", "default_value": "a"}, {"default_value": ["a"], "is_multi": True}),
        ({"type": "List", "values_query": " "}, {"values_query": None}),
        ({"type": "List", "values_query_connection_id": "c"}, {"values_query_connection_id": None}),
        ({"type": "List", "values_query": "q", "values_query_connection_id": "c"}, {"values_query_connection_id": "c"}),
        ({"id": "mine", "code_name": "mine", "created_by": 9}, {"code_name": "v", "created_by": 1}),
    ],
)  # fmt: skip
def test_fields_are_settled(ask: Ask, fields: dict[str, Any], settled: dict[str, Any]) -> None:
    variable = made(ask, **fields)
    assert {key: variable[key] for key in settled} == settled


@pytest.mark.parametrize(
    ("fields", "attr", "code", "detail"),
    [
        ({"type": "String"}, "name", "required", "This field is required."),
        ({"name": "v"}, "type", "required", "This field is required."),
        ({"name": None, "type": "String"}, "name", "null", "This field may not be null."),
        ({"name": " ", "type": "String"}, "name", "blank", "This field may not be blank."),
        ({"name": ["x"], "type": "String"}, "name", "invalid_input", "Not a valid string."),
        (
            {"name": "x" * 401, "type": "String"}, "name", "max_length",
            "Ensure this field has no more than 400 characters.",
        ),
        ({"name": "v", "type": "Text"}, "type", "invalid_choice", '"Text" is not a valid choice.'),
        ({"name": "v", "type": {}}, "type", "invalid_choice", '"{}" is not a valid choice.'),
        ({"name": "v", "type": "List", "is_multi": "perhaps"}, "is_multi", "invalid_input", "Must be a valid boolean."),
        ({"name": "v", "type": "List", "is_multi": []}, "is_multi", "invalid_input", "Must be a valid boolean."),
        ({"name": "v", "type": "List", "values_query": 5}, "values_query", "invalid_input", "Not a valid string."),
        (
            {"name": "v", "type": "List", "values": [{"a": 1}]}, "values", "invalid_input",
            (
                "List variable values must be strings or numbers (got an object at index 0). "
                "Enter each value as plain text or a number."
            ),
        ),
        (
            {"name": "v", "type": "List", "values": ["a", []]}, "values", "invalid_input",
            (
                "List variable values must be strings or numbers (got an array at index 1). "
                "Enter each value as plain text or a number."
            ),
        ),
        ([1], None, "invalid_input", "Invalid data. Expected a dictionary, but got list."),
    ],
)  # fmt: skip
def test_refused(ask: Ask, fields: Any, attr: str | None, code: str, detail: str) -> None:
    answer = ask("POST", "insight_variables/", fields)
    assert answer.status_code == 400
    assert answer.json() == {"type": "validation_error", "code": code, "detail": detail, "attr": attr}


def test_renaming_keeps_the_code_name(ask: Ask) -> None:
    path = f"insight_variables/{made(ask, name='Old name', default_value='x')['id']}/"
    renamed = ask("PATCH", path, {"name": "New name"}).json()
    assert (renamed["name"], renamed["code_name"], renamed["default_value"]) == ("New name", "old_name", "x")
    assert ask("PUT", path, {"name": "New name"}).json()["attr"] == "type"
    assert ask("PATCH", path, {"type": "List"}).json()["values"] == []


def test_deleting_is_for_good(ask: Ask) -> None:
    path = f"insight_variables/{made(ask)['id']}/"
    assert ask("GET", path).json()["code_name"] == "v"
    assert ask("DELETE", path).status_code == 204
    assert [ask(method, path, {}).status_code for method in ("GET", "PATCH", "DELETE")] == [404, 404, 404]
    assert made(ask)["code_name"] == "v"


def test_of_another_project(server: RunningServer, ask: Ask, connect: Callable[..., httpx.Client]) -> None:
    there = connect(server, project=server.add_project("Another"))
    theirs = there.post("insight_variables/", json={"name": "v", "type": "String"}).json()
    assert ask("GET", f"insight_variables/{theirs['id']}/").status_code == 404
    assert ask("GET", "insight_variables/").json()["count"] == 0
    assert made(ask)["code_name"] == "v"
