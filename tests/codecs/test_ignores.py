"""Ignore comments of definitions: what is a comment, which line it is about, and what stays text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.ignores import MARK
from endpoints_gitops.model.policy import LineRange

WHOLE = 'ignore C113 reason="x" owner=@data until=2027-01-31'
YAML = f"# {MARK} {WHOLE}"
SQL = f"-- {MARK} {WHOLE}"
SELECT = "SELECT * FROM events"
QUERY = "SELECT {variables.a} AS a"


def read(text: str, sql: str = "") -> list[str]:
    """`place of the comment > lines that it is about`, or what is wrong with it."""
    loaded = read_definition("orders.yaml", text.encode(), lambda _: sql.encode())
    return [
        f"{ignore.where} > {', '.join(map(lines_of, ignore.covered))}{ignore.mistake or ''}"
        for ignore in loaded.ignores
    ]


def lines_of(lines: LineRange) -> str:
    return f"{lines.path}:{lines.first}" + (f"-{lines.last}" if lines.last != lines.first else "")


# text of the file, and the ignores in it
FILES = {
    "beside a key": (f"name: orders {YAML}\nquery: {SELECT}\n", ["orders.yaml:1:14 > orders.yaml:1"]),
    "before a key": (f"name: orders\n{YAML}\nquery: {SELECT}\n", ["orders.yaml:2:1 > orders.yaml:3"]),
    "two before a key": (
        f"name: orders\n{YAML}\n# why\n{YAML}\nquery: {SELECT}\n",
        ["orders.yaml:2:1 > orders.yaml:5", "orders.yaml:4:1 > orders.yaml:5"],
    ),
    "at the end": (f"name: orders\nquery: {SELECT}\n{YAML}", ["orders.yaml:3:1 > orders.yaml:3"]),
    "after a block": (f"name: orders\nquery: |\n  {SELECT}\n{YAML}\ntags: [a]\n", ["orders.yaml:4:1 > orders.yaml:5"]),
    "at the head of a block": (f"name: orders\nquery: | {YAML}\n  {SELECT}\n", ["orders.yaml:2:10 > orders.yaml:2-3"]),
    "before a block": (
        f"name: orders\n{YAML}\nquery: |\n  SELECT *\n\n  FROM events\n\n# why\n",
        ["orders.yaml:2:1 > orders.yaml:3-6"],
    ),
    "before a plain text over lines": (
        f"name: orders\n{YAML}\nquery:\n  SELECT *\n  FROM events\ntags: [a]\n",
        ["orders.yaml:2:1 > orders.yaml:3-5"],
    ),
    "before a list": (
        f"name: orders\nquery: {QUERY}\n{YAML}\nvariables:\n  - name: a\n    type: String\n\n# why\nactive: true\n",
        ["orders.yaml:3:1 > orders.yaml:4-6"],
    ),
    "before an item": (
        f"name: orders\nquery: {QUERY}\nvariables:\n  {YAML}\n  - name: a\n    type: String\n",
        ["orders.yaml:4:3 > orders.yaml:5-6"],
    ),
    "in a flow list": (
        f"name: orders\nquery: {SELECT}\ntags: [a, {YAML}\n  b]\n",
        ["orders.yaml:3:11 > orders.yaml:3-4"],
    ),
    "carriage returns": (
        f"name: orders\r\nquery: {SELECT}\r\ntags: [a] {YAML}\r\n",
        ["orders.yaml:3:11 > orders.yaml:3"],
    ),
    "beside an item": (f"name: orders\nquery: {SELECT}\ntags:\n  - a {YAML}\n", ["orders.yaml:4:7 > orders.yaml:4"]),
    "in double quotes": (f'name: orders\nquery: {SELECT}\ndescription: "a {MARK} # {MARK} ignore C113"\n', []),
    "in single quotes over lines": (
        f"name: orders\nquery: {SELECT}\ndescription: 'a\n  # {MARK} ignore C113\n  b'\n",
        [],
    ),
    "in a block": (f"name: orders\nquery: {SELECT}\ndescription: |\n  # {MARK} ignore C113\n", []),
    "another word": (f"name: orders # {MARK} made by a script\nquery: {SELECT}\n", []),
    "beside SQL": (f"name: orders\nquery: |\n  SELECT * {SQL}\n  FROM events\n", ["orders.yaml:3:12 > orders.yaml:3"]),
    "before SQL": (f"name: orders\nquery: |\n  {SQL}\n  {SELECT}\n", ["orders.yaml:3:3 > orders.yaml:4"]),
    "two before SQL": (
        f"name: orders\nquery: |\n  {SQL}\n  {SQL}\n  -- why\n  {SELECT}\n",
        ["orders.yaml:3:3 > orders.yaml:6", "orders.yaml:4:3 > orders.yaml:6"],
    ),
    "after SQL": (f"name: orders\nquery: |\n  {SELECT}\n  {SQL}\n", ["orders.yaml:4:3 > orders.yaml:4"]),
    "in a string of SQL": (f"name: orders\nquery: |\n  SELECT '-- {MARK} ignore C113' AS a\n", []),
    "in a string over lines": (f"name: orders\nquery: |\n  SELECT '\n  -- {MARK} ignore C113\n  ' AS a\n", []),
    "in a comment of SQL": (f"name: orders\nquery: |\n  -- see {MARK} ignore C113\n  {SELECT}\n", []),
}


@pytest.mark.parametrize("case", FILES)
def test_which_comments_are_ignores(case):
    text, expected = FILES[case]
    assert read(text) == expected


def test_a_sql_file_has_its_own_lines():
    text = "name: orders\nquery_file: q.sql\n"
    assert read(text, f"{SQL}\n{SELECT}\n") == ["q.sql:1:1 > q.sql:2"]
    assert read(text, f"SELECT 1 AS a, * {SQL}\r\nFROM events\r\n") == ["q.sql:1:18 > q.sql:1"]


def test_a_comment_at_a_query_file_is_about_that_file():
    text = f"name: orders\n{YAML}\nquery_file: q.sql\n"
    assert read(text, f"{SELECT}\nLIMIT 1\n") == ["orders.yaml:2:1 > orders.yaml:3, q.sql:1-2"]


# a rule, the text with its ignore, and whether no finding of that rule can be there
MISPLACED = [
    ("C102", "name: orders\nquery: | {yaml}\n  SELECT 1 AS a\n", False),
    ("C102", "name: orders\n{yaml}\nquery_definition:\n  kind: HogQLQuery\n  query: SELECT 1 AS a\n", False),
    ("C102", "name: orders {yaml}\nquery: SELECT 1 AS a\n", True),
    ("C102", "name: orders\nquery: SELECT 1 AS a\n{yaml}\n", True),
    ("C102", "name: orders\nquery: SELECT 1 AS a\n{yaml}\n\ntags: [a]\n", True),
    ("C102", "name: orders\nquery: |\n  SELECT 1 AS a\n  {sql}\n", True),
    ("C102", "name: orders\nquery: |\n  {sql}\n\n  SELECT 1 AS a\n", True),
    ("C102", "name: orders\nquery: |\n  {sql}\n  SELECT 1 AS a\n", False),
    ("M102", "name: orders\nquery: SELECT 1 AS a\n# x\n{yaml}\ntags: [a]\n", True),
    ("A113", "name: orders\nquery: SELECT 1 AS a\n# x\n{yaml}\ntags: [a]\n", False),
    ("A113", "name: orders\nquery: |\n  {sql}\n  SELECT 1 AS a\n", True),
    ("S101", "name: orders\nquery: SELECT 1 AS a\nmaterialization:\n  enabled: true {yaml}\n", False),
    ("P102", "name: orders\n{yaml}\nquery: SELECT 1 AS a\n", True),
    ("C113", "name: orders {yaml}\nquery: SELECT 1 AS a\n", False),  # `check` finds that it matches nothing
]


@pytest.mark.parametrize(("rule", "text", "expected"), MISPLACED)
def test_which_ignores_can_match_nothing(rule, text, expected):
    words = WHOLE.replace("C113", rule)
    text = text.format(yaml=f"# {MARK} {words}", sql=f"-- {MARK} {words}")
    (ignore,) = read_definition("orders.yaml", text.encode(), lambda _: b"").ignores
    assert ignore.is_misplaced is expected


# what follows the mark, and what is wrong with it
WORDS = {
    "ignore c113 owner=@data": None,
    "ignore select-star": None,
    "ignore": "an ignore names one rule",
    "ignore C113 C112 reason=x": "an ignore names one rule",
    "ignor C113": "unknown word 'ignor'; did you mean ignore?",
    "ignore C1113": "there is no rule 'C1113'; did you mean 'C113'?",
    "ignore G108 reason=x": "G108 (unknown-key) cannot be ignored",
    "ignore C113 reson=x": "unknown key 'reson'; did you mean 'reason'?",
    "ignore C113 until=2027-13-01": "until=2027-13-01 is not a date such as 2027-01-31",
    "ignore C113 until=20270131": "until=20270131 is not a date such as 2027-01-31",
    'ignore C113 reason="x': "this ignore cannot be read: no closing quotation",
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("head", ["yaml", "sql"])
def test_what_is_wrong_with_a_comment(words, head):
    loaded = read_definition("orders.yaml", HEADS[head].format(f"{MARK} {words}").encode(), lambda _: b"")
    (ignore,) = loaded.ignores
    expected = WORDS[words]
    assert (ignore.mistake or "").startswith(expected or "")
    assert (ignore.mistake is None) == (expected is None)
    assert expected is not None or (ignore.rule, ignore.endpoint) == ("C113", "orders")


HEADS = {
    "yaml": "# {}\nname: orders\nquery: SELECT 1 AS a\n",
    "sql": "name: orders\nquery: |\n  -- {}\n  SELECT 1 AS a\n",
}


@given(st.text(alphabet=st.sampled_from("#'\"|>- :[]{},abC113=ignore")), st.sampled_from([*HEADS]))
def test_any_text_after_the_mark_is_read(text, head):
    """Whatever stands there, it is an ignore, a mistake or another word, and never an exception."""
    content = HEADS[head].format(f"{MARK} {text}")
    for ignore in read_definition("orders.yaml", content.encode(), lambda _: b"").ignores:
        assert ignore.where.path == "orders.yaml"
