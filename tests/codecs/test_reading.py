"""Reading files: those of posthog-cli, unusual YAML, and invalid bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.yaml.composer import compose
from endpoints_gitops.codecs.yaml.loader import LookCloser, ValueReader, quick_value
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.definition import LoadedDefinition


def read(text: str | bytes, beside: bytes = b"") -> LoadedDefinition:
    content = text if isinstance(text, bytes) else text.encode()
    return read_definition("f.yaml", content, lambda _: beside)


POSTHOG_CLI = {
    "block": (
        """\
# top_pages.yaml
name: top_pages
description: Pages people visit
query: |-
  SELECT properties.$pathname AS path, count() AS visits
  FROM events
  WHERE timestamp > now() - INTERVAL {variables.days} DAY AND event = {variables.what}
  GROUP BY path
variables:
- name: days
  type: integer
  default: 7
- name: what
  type: string
materialization:
  enabled: true
  schedule: 12hour
""",
        {
            "name": "top_pages",
            "description": "Pages people visit",
            "query": "SELECT properties.$pathname AS path, count() AS visits\nFROM events\n"
            "WHERE timestamp > now() - INTERVAL {variables.days} DAY AND event = {variables.what}\nGROUP BY path",
            "variables": [{"name": "days", "type": "Number", "default": 7}, {"name": "what", "type": "String"}],
            "materialization": {"enabled": True, "schedule": "12hour"},
        },
    ),
    "one long quoted line": (
        "# a.yaml\nname: a\nquery: \"SELECT 1,  \\n\\t'\\U0001F600'\\nFROM events\\n\"\n",
        {"name": "a", "query": "SELECT 1,  \n\t'😀'\nFROM events\n"},
    ),
    "guessed types": (
        """\
# b.yaml
name: b
query: SELECT {variables.a}, {variables.b}, {variables.c}, {variables.d}, {variables.e}
variables:
- {name: a, type: number, default: 1.5}
- {name: b, type: boolean, default: false}
- {name: c, type: array, default: [x, y]}
- {name: d, type: object, default: {x: 1}}
- {name: e, type: string, default: null}
""",
        {
            "name": "b",
            "query": "SELECT {variables.a}, {variables.b}, {variables.c}, {variables.d}, {variables.e}",
            "variables": [
                {"name": "a", "type": "Number", "default": 1.5},
                {"name": "b", "type": "Boolean", "default": False},
                {"name": "c", "type": "List", "default": ["x", "y"]},
                {"name": "d", "type": "String", "default": {"x": 1}},
                {"name": "e", "type": "String", "default": None},
            ],
        },
    ),
    "an insight with every null": (
        """\
# c.yaml
name: c
query_definition:
  aggregation_group_type_index: null
  breakdownFilter: null
  dateRange:
    date_from: -7d
    date_to: null
    explicitDate: false
  filterTestAccounts: false
  interval: day
  kind: TrendsQuery
  properties: []
  series:
  - custom_name: null
    event: $pageview
    kind: EventsNode
    math: null
materialization:
  schedule: 24hour
""",
        {
            "name": "c",
            "query_definition": {
                "aggregation_group_type_index": None,
                "breakdownFilter": None,
                "dateRange": {"date_from": "-7d", "date_to": None, "explicitDate": False},
                "filterTestAccounts": False,
                "interval": "day",
                "kind": "TrendsQuery",
                "properties": [],
                "series": [{"custom_name": None, "event": "$pageview", "kind": "EventsNode", "math": None}],
            },
            "materialization": {"schedule": "24hour"},
        },
    ),
}


@pytest.mark.parametrize(("text", "stated"), POSTHOG_CLI.values(), ids=POSTHOG_CLI)
def test_files_of_posthog_cli(text, stated):
    loaded = read(text)
    assert loaded.definition.model_dump(mode="json", exclude_unset=True) == stated
    assert loaded.sql == stated.get("query")
    assert loaded.unchecked is None


PLAIN = {
    "yes": "yes", "on": "on", "n": "n", "1_000": "1_000", "2026-01-01": "2026-01-01", "007": "007", "12:30": "12:30",
    "0x1f": 31, "0o17": 15, "0b11": 3, "-0": 0, "1e3": 1000.0, ".5": 0.5, "1.": 1.0, "+12": 12,
    "~": None, "null": None, "NULL": None, "": None, "True": True, "FALSE": False, "tRUE": "tRUE",
    "'1'": "1", '"null"': "null", "!!str 1": "1", "!!float 1": 1.0, "! 1": "1", "18446744073709551615": 2**64 - 1,
}  # fmt: skip


@pytest.mark.parametrize(("written", "value"), PLAIN.items())
def test_plain_scalars_mean_what_serde_yaml_takes_them_for(written, value):
    loaded = read(f"name: x\nquery: select 1\nexamples: [{{rows: [{written or 'null'}]}}]\n")
    (example,) = loaded.definition.examples
    assert (example.rows, [type(one) for one in example.rows]) == ((value,), [type(value)])


def test_anchors_merges_and_tags_are_written_out():
    loaded = read(
        "name: x\nquery: select 1\n"
        "environments:\n  a: &a\n    materialization: &m {enabled: true, schedule: 1hour}\n    tags: [x]\n"
        "  b:\n    <<: *a\n    tags: !!seq [y]\n  c: {materialization: {<<: *m, enabled: false}}\n"
    )
    dumped = loaded.definition.model_dump(mode="json", exclude_unset=True)["environments"]
    on = {"enabled": True, "schedule": "1hour"}
    assert dumped == {
        "a": {"materialization": on, "tags": ["x"]},
        "b": {"materialization": on, "tags": ["y"]},
        "c": {"materialization": {"enabled": False, "schedule": "1hour"}},
    }


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("name", 3),
        ("variables", 5),
        ("variables.1", 8),
        ("variables.1.type", 9),
        ("variables.0.default", 6),
        ("variables.0.label", 6),
        ("materialization.enabled", 10),
        ("tests.0", None),
    ],
)
def test_the_position_of_a_key(key, line):
    loaded = read(
        "\ufeff# c\r\n---\r\nname: x\r\nquery: select {variables.a}, {variables.b}\r\nvariables:\r\n"
        "- {name: a, type: Date, default: 1}\r\n# c\r\n- name: b\r\n  type: List\r\n"
        "materialization: {enabled: true}\r\n"
    )
    assert loaded.where(key) == (f"f.yaml:{line}" if line else "f.yaml")


def test_a_query_file_is_read_as_a_block_would_be():
    assert read("name: x\nquery_file: a.sql\n", b"\xef\xbb\xbfselect 1,\r\n  2\r\n\r\n").sql == "select 1,\n  2"


def outcome(content: bytes) -> Any:
    """The definition or the problems; whatever else is raised fails the test."""
    try:
        return read(content)
    except InvalidInput as error:
        problems = error.problems
    assert problems
    assert all(problem.message and "\n" not in str(problem) for problem in problems)
    return problems


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_a_traceback(content):
    outcome(content)


@settings(deadline=None)
@given(st.text(" \n\t:-?[]{}#&*!|>'\"%@`,ab1\r\ufeff\x85\u2028é😀\x00\x1b~<=", max_size=80))
def test_no_punctuation_makes_a_traceback(text):
    outcome(text.encode())


@settings(deadline=None)
@given(
    st.sampled_from([text for text, _ in POSTHOG_CLI.values()]), st.randoms(use_true_random=False), st.integers(1, 6)
)
def test_no_damage_to_a_good_file_makes_a_traceback(text, chance: random.Random, times):
    content = bytearray(text.encode())
    for _ in range(times):
        at = chance.randrange(len(content) + 1)
        content[at : at + chance.randrange(4)] = bytes(
            chance.choice(b"\n\t :-{}[]'\"&*!#\xff\x00a") for _ in range(chance.randrange(3))
        )
    outcome(bytes(content))


@settings(deadline=None)
@given(st.text(" \n:-[]{}#'\"|>,ab1~.tn", max_size=60))
def test_the_quick_way_is_the_same_as_the_long_one(text):
    try:
        quick = quick_value(text)
    except LookCloser:
        return
    reading = ValueReader(path="f.yaml")
    value = reading.value(compose("f.yaml", text))
    assert (repr(quick), reading.problems) == (repr(value), ())
