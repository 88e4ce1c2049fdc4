"""A finding names the line of the file that causes it."""

from __future__ import annotations

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.lint import lint

BEFORE = """\
name: orders
tags: [billing]
query: |-
  SELECT count() AS n FROM events WHERE event = {variables.event}
variables:
  - name: event
    type: String
    default: a
materialization:
  enabled: false
  schedule: 1hour
columns:
  - name: n
    type: integer
environments:
  prod:
    active: true
"""


@pytest.mark.parametrize(
    ("old", "new", "environment", "expected"),
    [
        ("[billing]", "[finance]", None, ["A113 orders.yaml:2"]),
        ("AS n FROM", "AS m FROM", None, ["C102 orders.yaml:3"]),
        ("default: a", "default: b", None, ["V108 orders.yaml:8"]),
        ("type: String", "type: List", None, ["V109 orders.yaml:7"]),
        ("enabled: false", "enabled: true", None, ["S101 orders.yaml:10"]),
        ("schedule: 1hour", "schedule: 6hour", None, ["S106 orders.yaml:11"]),
        ("    active: true", "    active: false", "prod", ["A103 orders.yaml:17"]),
        ("    active: true", "    materialization: {enabled: true}", "prod", ["S101 orders.yaml:17"]),
    ],
)
def test_the_line_of_the_key(old: str, new: str, environment: str | None, expected: list[str]) -> None:
    assert old in BEFORE
    sides = [
        from_definition(read_definition("orders.yaml", text.encode(), lambda _: b""), environment)
        for text in (BEFORE, BEFORE.replace(old, new))
    ]
    assert [f"{one.code} {one.where}" for one in compare(*sides)] == expected


def test_the_line_of_a_declared_column() -> None:
    loaded = read_definition("orders.yaml", BEFORE.replace("integer", "float").encode(), lambda _: b"")
    assert [f"{one.code} {one.where}" for one in lint(loaded)] == ["G105 orders.yaml:13"]
