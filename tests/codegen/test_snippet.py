"""Which values a snippet sends, and that no value of a variable ends the literal that it is written in."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.codegen.snippet import Snippet, SnippetLanguage, snippet
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedExample, PinnedVariable

URL = "https://us.posthog.com/api/projects/7/endpoints/revenue/run?version=3"


def snippet_of(language: SnippetLanguage = SnippetLanguage.CURL, **settings: Any) -> Snippet:
    pin = Pin(
        environment="prod",
        name="revenue",
        endpoint_id="e",
        version=3,
        version_id="v",
        created_at=None,
        query={"kind": "HogQLQuery", "query": "SELECT 1"},
        **settings,
    )
    return snippet(interface_of(pin), host="https://us.posthog.com/", project_id=7, language=language)


def variable(name: str, type_: str = "String", *, required: bool = True, **default: Json) -> PinnedVariable:
    return PinnedVariable(
        name=name, type=type_, required=required, has_default=bool(default), default=default.get("default")
    )


MONTH = variable("month", "Date")
PLAN = variable("plan", required=False, default="pro")
DATE_FROM = variable("date_from", "Date", required=False)
EMPTY = variable("empty", required=False, default=None)


@pytest.mark.parametrize(
    ("settings", "values", "placeholders", "omitted"),
    [
        ({}, {}, (), ()),
        ({"variables": (MONTH, PLAN)}, {"month": "2000-01-01", "plan": "pro"}, ("month",), ()),
        ({"variables": (DATE_FROM, EMPTY)}, {}, (), ("date_from", "empty")),
        (
            {
                "variables": (
                    variable("text"),
                    variable("number", "Number"),
                    variable("flag", "Boolean"),
                    variable("items", "List"),
                    variable("other", "a type of next year"),
                )
            },
            {"text": "REPLACE_ME", "number": 0, "flag": False, "items": ["REPLACE_ME"], "other": "REPLACE_ME"},
            ("text", "number", "flag", "items", "other"),
            (),
        ),
        # an example is sent as it is, without the defaults that it leaves to the server
        (
            {
                "variables": (MONTH, PLAN),
                "examples": (PinnedExample(variables={"month": "2026-07"}), PinnedExample(variables={"plan": "free"})),
            },
            {"month": "2026-07"},
            (),
            ("plan",),
        ),
        # … but with what the version requires, and without what it does not know
        (
            {
                "variables": (MONTH, variable("plan", default="pro")),
                "examples": (PinnedExample(variables={"gone": 1}),),
            },
            {"month": "2000-01-01", "plan": "pro"},
            ("month",),
            (),
        ),
        # a null is a value for a computed query; a table takes it for a missing one
        (
            {"variables": (variable("plan", default="pro"),), "examples": (PinnedExample(variables={"plan": None}),)},
            {"plan": None},
            (),
            (),
        ),
        (
            {
                "variables": (variable("plan", default="pro"), variable("empty", default=None)),
                "examples": (PinnedExample(variables={"plan": None}),),
                "materialized": True,
            },
            {"plan": "pro", "empty": "REPLACE_ME"},
            ("empty",),
            (),
        ),
    ],
)
def test_values_come_from_the_example_else_defaults_else_placeholders(
    settings: dict[str, Any], values: dict[str, Json], placeholders: tuple[str, ...], omitted: tuple[str, ...]
) -> None:
    made = snippet_of(**settings)

    assert made.variables == values
    assert (made.placeholders, made.omitted) == (placeholders, omitted)
    assert payload_of_curl(made.text) == ({"variables": values} if values else {})


def payload_of_curl(text: str) -> Json:
    words = shlex.split(text.replace("\\\n", ""))
    assert words[-1] == URL
    payload: Json = json.loads(words[words.index("--data-binary") + 1])
    return payload


@pytest.mark.parametrize("language", SnippetLanguage)
def test_a_snippet_names_version_and_key_and_no_key_is_in_it(language: SnippetLanguage) -> None:
    text = snippet_of(language).text

    assert URL in text
    assert "POSTHOG_API_KEY" in text
    assert "phx_" not in text


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["'", "\\", "`", "$(id)", "`id`", "!!", "\u2028", "\U000e0001"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_any_value_arrives_as_it_is(value: Json) -> None:
    settings: dict[str, Any] = {
        "variables": (variable("value"),),
        "examples": (PinnedExample(variables={"value": value}),),
    }
    expected = {"variables": {"value": value}}

    assert payload_of_curl(snippet_of(**settings).text) == expected

    words = shlex.split(snippet_of(SnippetLanguage.HTTPIE, **settings).text.replace("\\\n", ""))
    assert json.loads(words[words.index("--raw") + 1]) == expected

    tree = ast.parse(snippet_of(SnippetLanguage.PYTHON, **settings).text)
    assigned = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(assigned.value) == {"value": value}

    raw = snippet_of(SnippetLanguage.GO, **settings).text.split("`")
    assert len(raw) == 3
    assert json.loads(raw[1]) == expected


@given(JSON)
def test_no_character_of_a_payload_is_special_between_single_quotes(value: Json) -> None:
    """fish takes two backslashes for one, and Go's raw strings end at a backquote. Only printable text is printed."""
    made = snippet_of(variables=(variable("value"),), examples=(PinnedExample(variables={"value": value}),))

    line = next(line for line in made.text.splitlines() if "--data-binary" in line)
    payload = line.removeprefix("  --data-binary '").removesuffix("' \\")
    assert "'" not in payload
    assert "`" not in payload
    assert "\\\\" not in payload
    assert payload.isprintable()
