"""Plan files: readable, complete, and safe against additions."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.plan import read_plan, write_plan
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, LeftAlone, Plan, Precondition
from endpoints_gitops.plan.diff import Attribution
from endpoints_gitops.plan.settings import Key
from endpoints_gitops.plan.variables import VariableAction, VariableChange

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
QUERIES = st.builds(lambda sql: {"kind": "HogQLQuery", "query": sql}, st.text(alphabet="a\n\r\u2028 é", max_size=9))
NUMBERS = st.none() | st.integers(min_value=0)
TEXTS = st.none() | TEXT
LISTS = st.lists(TEXT, max_size=2).map(tuple)


def few(strategy):
    return st.lists(strategy, max_size=2).map(tuple)


KEY_CHANGES = st.builds(
    KeyChange,
    key=st.sampled_from(Key),
    before=JSON | QUERIES,
    after=JSON | QUERIES,
    overwrites=st.none() | st.sampled_from(Attribution),
)
PRECONDITIONS = st.builds(
    Precondition,
    endpoint_id=TEXTS,
    version=NUMBERS,
    version_id=TEXTS,
    settings=st.dictionaries(st.sampled_from(Key), JSON, max_size=2),
)
CHANGES = st.builds(
    EndpointChange,
    name=TEXT,
    action=st.sampled_from(ChangeAction),
    keys=few(KEY_CHANGES),
    precondition=PRECONDITIONS,
    path=TEXTS,
    line=NUMBERS,
    notes=LISTS,
)
VARIABLES = st.builds(
    VariableChange,
    code_name=TEXT,
    action=st.sampled_from(VariableAction),
    type=st.sampled_from(VariableType),
    label=TEXTS,
    default=JSON,
    values=st.none() | few(JSON),
    multi=st.none() | st.booleans(),
    id=TEXTS,
    before=st.none() | st.dictionaries(TEXT, JSON, max_size=2),
    declared_by=LISTS,
    used_by=LISTS,
    where=TEXT,
)
LEFT = st.builds(
    LeftAlone,
    name=TEXT,
    attribution=st.sampled_from(Attribution),
    key=st.none() | st.sampled_from(Key),
    reason=TEXT,
    version=NUMBERS,
    author=TEXTS,
    date=TEXTS,
    fix=TEXT,
)
PLANS = st.builds(
    Plan,
    host=TEXT,
    project_id=st.integers(min_value=1),
    environment=TEXT,
    variables=few(VARIABLES),
    changes=few(CHANGES),
    left_alone=few(LEFT),
    cosmetic=LISTS,
    notes=LISTS,
)
EXAMPLE = Plan(
    host="https://us.posthog.com",
    project_id=1,
    environment="prod",
    changes=(
        EndpointChange(
            name="signups",
            action=ChangeAction.UPDATE,
            keys=(
                KeyChange(
                    key=Key.QUERY,
                    before={"kind": "HogQLQuery", "query": "SELECT 1"},
                    after={"kind": "HogQLQuery", "query": "SELECT é\nFROM events\n"},
                ),
            ),
            precondition=Precondition(endpoint_id="a", version=3, version_id="b", settings={Key.ACTIVE: True}),
            path="endpoints/signups.yaml",
            line=4,
        ),
    ),
)


@given(PLANS)
@settings(deadline=None)
def test_what_is_written_is_read_back(plan):
    content = write_plan(plan)
    again = read_plan(content, "plan.json")
    assert again == plan
    assert write_plan(again) == content


def test_it_reads_like_a_text():
    value = json.loads(write_plan(EXAMPLE))
    assert list(value) == ["schema_version", *(one.name for one in fields(Plan)), "digest"]
    (change,) = value["changes"]
    assert change["keys"][0]["before"]["query"] == "SELECT 1"
    assert change["keys"][0]["after"]["query"] == ["SELECT é", "FROM events", ""]
    assert "é" in write_plan(EXAMPLE).decode()


def test_half_a_surrogate_pair_is_spelled_out():
    plan = Plan(host="\ud800", project_id=1, environment="prod")
    assert b'"\\ud800"' in write_plan(plan)


def damaged(**keys):
    return {**json.loads(write_plan(EXAMPLE)), **keys}


JUNK = [
    (b"", "not valid JSON"),
    (b"\xff", "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    ([], "no schema_version"),
    ({}, "no schema_version"),
    (damaged(schema_version=True), "no schema_version"),
    (damaged(schema_version=2), "newer release"),
    (damaged(schema_version=0), "schema_version"),
    (damaged(project_id="1"), "project_id"),
    (damaged(project_id=None), "project_id"),
    (damaged(changes={}), "changes"),
    (damaged(changes=[1]), "changes.0"),
    (damaged(changes=[{**damaged()["changes"][0], "action": "delete"}]), "changes.0.action"),
    (damaged(changes=[{**damaged()["changes"][0], "extra": 1}]), "changes.0.extra"),
    (damaged(changes=[{**damaged()["changes"][0], "keys": [{"key": "name", "before": 1, "after": 2}]}]), "keys.0.key"),
    (damaged(unheard_of=1), "unheard_of"),
    (damaged(host={"a": "\ud800"}), "host"),
    ({key: value for key, value in damaged().items() if key != "host"}, "host"),
    ({key: value for key, value in damaged().items() if key != "notes"}, "notes"),
    ({key: value for key, value in damaged().items() if key != "digest"}, "it has no digest"),
    (damaged(project_id=2), "its digest does not match"),
    (damaged(digest=1), "its digest does not match"),
]


@pytest.mark.parametrize(("content", "told"), JUNK)
def test_what_is_no_plan_is_refused_at_its_place(content, told):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(InvalidInput) as caught:
        read_plan(raw, "plan.json")
    assert all(problem.path == "plan.json" for problem in caught.value.problems)
    assert told in " ".join(problem.message for problem in caught.value.problems)
    assert all("endpoints-gitops plan -o FILE" in str(problem.fix) for problem in caught.value.problems)


@given(st.data())
@settings(deadline=None)
def test_a_flipped_bit_never_makes_another_plan(data):
    content = bytearray(write_plan(EXAMPLE))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InvalidInput):
        assert read_plan(bytes(content), "plan.json") == EXAMPLE


@given(st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None)
def test_junk_never_is_a_traceback(content):
    with pytest.raises(InvalidInput):
        read_plan(content, "plan.json")
