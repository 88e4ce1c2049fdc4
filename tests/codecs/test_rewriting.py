"""The text of a file after a change: cases as texts. The laws for all files are in `test_rewriting_laws`."""

from __future__ import annotations

from difflib import ndiff

import pytest

from endpoints_gitops import __version__
from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.rewriting import REMOVED, CannotRewrite, new_file, rewrite
from endpoints_gitops.codecs.schema import SCHEMA_URL
from endpoints_gitops.errors import ExitCode, InvalidInput

FILE = """\
# signups.yaml
name: signups   # found by this
description: 'it''s'
tags: [a, b]  # tags

query: |-   # the text
    SELECT 1
    FROM x

    -- done

# the inputs
variables:
  # first
  - name: x
    type: String
    # inner
    default: &d 5
  # second
  - name: y   # why
    type: Number
    default: *d
materialization: {enabled: true}
examples:
- variables: {a: 1}
  rows:
  - [1, 2]
# the end
"""

TEXT_GONE = "- query: |-   # the text\n-     SELECT 1\n-     FROM x\n- \n-     -- done\n"
CASES = {
    "nothing": ({("name",): "signups", ("tags",): ["a", "b"], ("owner",): REMOVED}, ""),
    "plain": ({("name",): "b"}, "- name: signups   # found by this\n+ name: b   # found by this\n"),
    "quotes stay": ({("description",): "that's"}, "- description: 'it''s'\n+ description: 'that''s'\n"),
    "an item in brackets": ({("tags", 1): "yes"}, '- tags: [a, b]  # tags\n+ tags: [a, "yes"]  # tags\n'),
    "items in brackets": ({("tags",): ["a", "c", "b"]}, "- tags: [a, b]  # tags\n+ tags: [a, c, b]  # tags\n"),
    "gone from brackets": ({("tags", 0): REMOVED}, "- tags: [a, b]  # tags\n+ tags: [b]  # tags\n"),
    "a line of SQL stays a block": (
        {("query",): "SELECT 2"},
        "-     SELECT 1\n-     FROM x\n- \n-     -- done\n+     SELECT 2\n",
    ),
    "SQL with what other writers put into quotes": (
        {("query",): "SELECT 1 \n\tFROM 😀\n"},
        f"{TEXT_GONE}+ query: |   # the text\n+     SELECT 1 \n+     \tFROM 😀\n",
    ),
    "SQL that begins with blanks": (
        {("query",): "  SELECT 1\n\n"},
        f"{TEXT_GONE}+ query: |4+   # the text\n+       SELECT 1\n",
    ),
    "SQL that no block can hold": (
        {("query",): "SELECT 1\r\n"},
        f'{TEXT_GONE}+ query: "SELECT 1\\r\\n"   # the text\n',
    ),
    "one line becomes several": (
        {("description",): "one\ntwo: 2"},
        "- description: 'it''s'\n+ description: |-\n+   one\n+   two: 2\n",
    ),
    "a key at its place in the model": (
        {("active",): False, ("owner",): "me"},
        "+ active: false\n+ owner: me\n",
    ),
    "a key in braces": (
        {("materialization", "schedule"): "1hour"},
        "- materialization: {enabled: true}\n+ materialization: {enabled: true, schedule: 1hour}\n",
    ),
    "a shared value": (
        {("variables", 0, "default"): 6},
        "-     default: &d 5\n-     default: *d\n+     default: &d 6\n+     default: 5\n",
    ),
    "an alias": ({("variables", 1, "default"): 6}, "-     default: *d\n+     default: 6\n"),
    "a list item with its comment": (
        {("variables", 1): REMOVED},
        "-   # second\n-   - name: y   # why\n-     type: Number\n-     default: *d\n",
    ),
    "one more item": (
        {("variables", 2): {"name": "z", "type": "List", "values": ["on", "2026-01-01"]}},
        '+   - name: z\n+     type: List\n+     values: ["on", "2026-01-01"]\n',
    ),
    "a key with its comments": (
        {("variables",): REMOVED},
        """\
- # the inputs
- variables:
-   # first
-   - name: x
-     type: String
-     # inner
-     default: &d 5
-   # second
-   - name: y   # why
-     type: Number
-     default: *d
""",
    ),
    "one item goes, the next one changes": (
        {("variables", 0): REMOVED, ("variables", 1, "type"): "Date"},
        """\
-   # first
-   - name: x
-     type: String
-     # inner
-     default: &d 5
-     type: Number
-     default: *d
+     type: Date
+     default: 5
""",
    ),
    "deep in a list without indent": (
        {("examples", 0, "rows", 0, 1): None, ("examples", 0, "rows", 1): ["a", None]},
        "-   - [1, 2]\n+   - [1, null]\n+   - [a, null]\n",
    ),
    "a mapping that was not there": (
        {("environments", "staging", "materialization", "enabled"): False},
        "+ environments:\n+   staging:\n+     materialization:\n+       enabled: false\n",
    ),
    "a scalar for a block": (
        {("examples",): []},
        "- examples:\n- - variables: {a: 1}\n-   rows:\n-   - [1, 2]\n+ examples: []\n",
    ),
}


@pytest.mark.parametrize(("changes", "difference"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("style", ["unix", "windows", "bare"])
def test_changes(changes, difference, style):
    """Also with CRLF and a byte order mark; also with a document marker and no newline at the end."""
    spelled = {
        "unix": lambda text: text.encode(),
        "windows": lambda text: ("\ufeff" + text.replace("\n", "\r\n")).encode(),
        "bare": lambda text: ("---\n" + text.removesuffix("\n")).encode(),
    }[style]
    after = rewrite(spelled(FILE), changes, path="f.yaml")
    lines = ndiff(FILE.splitlines(keepends=True), _plain(after).splitlines(keepends=True))
    gone_first = sorted((line for line in lines if line[0] in "+-"), key=lambda line: line[0] == "+")
    assert "".join(gone_first) == difference
    assert spelled(_plain(after)) == after


def _plain(content: bytes) -> str:
    text = content.decode().removeprefix("\ufeff").replace("\r\n", "\n").removeprefix("---\n")
    return text if text.endswith("\n") else text + "\n"


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("name: x\nquery: |+\n  a\n\n", {("query",): "b"}, "name: x\nquery: |-\n  b\n"),
        ("query: |-\n  a\n\nname: x\n", {("query",): "b\n\n"}, "query: |+\n  b\n\nname: x\n"),
        ("name: x\nquery: >-\n  a\n  b\n", {("query",): "c"}, "name: x\nquery: >-\n  c\n"),
        ("name: x\nquery: a", {("query",): "b\nc\n"}, "name: x\nquery: |\n  b\n  c\n"),
        ("name: x\ntags:  # none\n", {("tags",): ["a"]}, "name: x\ntags: [a]  # none\n"),
        ("name: x\ntags: []\n", {("tags", 0): "a"}, "name: x\ntags: [a]\n"),
        ("name: x\ntags: [a,]\n", {("tags", 1): "b"}, "name: x\ntags: [a, b,]\n"),
        ("name: x\n", {("tags", 0): "a"}, "name: x\ntags: [a]\n"),
        ("tags: [a, b, c, d]\n", {("tags", 0): REMOVED, ("tags", 2): REMOVED}, "tags: [b, d]\n"),
        ("tags:\n- a # a\n- b # b\n- c # c\n", {("tags",): ["b", "c", "x"]}, "tags:\n- b # b\n- c # c\n- x\n"),
        ("tags:\n    - a\n    # c\n    - b\n", {("tags", 0): REMOVED}, "tags:\n    # c\n    - b\n"),
        ("variables:\n- name: a\n  type: b\n", {("variables", 0, "name"): REMOVED}, "variables:\n- type: b\n"),
        ("a:\n    b: 1\n", {("c",): {"d": {"e": 1}}}, "a:\n    b: 1\nc:\n    d:\n        e: 1\n"),
        ("a: &a {x: 1}\nb: {<<: *a}\n", {("b", "x"): 2}, "a: &a {x: 1}\nb: {<<: *a, x: 2}\n"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", {("a", "x"): 2}, "a: &a {x: 2}\nb:\n  <<:\n    x: 1\n"),
        ("a: !!str 1\n", {("a",): "b"}, "a: b\n"),
        ("'a': 1\n? b\n: 2\n", {("b",): 3}, "'a': 1\n? b\n: 3\n"),
    ],
)
def test_corners(before, changes, after):
    assert rewrite(before.encode(), changes, path="f.yaml").decode() == after


@pytest.mark.parametrize(
    "changes",
    [
        {("b", "x"): REMOVED},
        {("a", "x", "z"): 1, ("c", "d"): 1},
        {("c",): "\ud800"},
        {("c",): 2**64},
        {("a",): REMOVED, ("b",): REMOVED, ("c",): REMOVED},
    ],
)
def test_an_impossible_change_is_an_error(changes):
    with pytest.raises(CannotRewrite) as caught:
        rewrite(b"a: &a {x: 1, y: 2}\nb: {<<: *a}\nc: 1\n", changes, path="f.yaml")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "nothing was written" in str(caught.value)
    assert caught.value.where == "f.yaml"


@pytest.mark.parametrize("content", [b"a: [", b"a: 1\na: 2\n", b"\xff", b""])
def test_a_file_that_cannot_be_read_is_not_rewritten(content):
    with pytest.raises(InvalidInput):
        rewrite(content, {("a",): 1}, path="f.yaml")


def test_a_new_file():
    values = {
        "query": "SELECT {variables.v}\nFROM events",
        "name": "x",
        "description": "what: it says",
        "tags": ["a", "on"],
        "variables": [{"name": "v", "type": "Date", "default": "2026-01-01"}],
        "materialization": {"enabled": True, "schedule": "1hour"},
    }
    content = new_file(values)
    schema, rest = content.decode().split("\n", 1)
    assert schema == f"# yaml-language-server: $schema={SCHEMA_URL}"
    assert f"/v{__version__}/" in SCHEMA_URL, "the schema of this release, whatever comes later"
    assert new_file(values, schema="a.json").startswith(b"# yaml-language-server: $schema=a.json\n")
    assert rest == (
        'name: x\ndescription: "what: it says"\ntags: [a, "on"]\nquery: |-\n  SELECT {variables.v}\n  FROM events\n'
        'variables:\n  - name: v\n    type: Date\n    default: "2026-01-01"\n'
        "materialization:\n  enabled: true\n  schedule: 1hour\n"
    )
    assert read_definition("x.yaml", content, lambda _: b"").sql == values["query"]


@pytest.mark.parametrize("value", [2**64, float("inf"), "\ud800"])
def test_values_without_yaml_text_are_an_error(value):
    with pytest.raises(CannotRewrite) as caught:
        new_file({"name": "x", "examples": [{"rows": [value]}]})
    assert str(caught.value).startswith("x cannot be written to a file")


def test_long_lists():
    """Each item is as far as its own text, however many come before it."""
    content = b"tags:\n" + b"-\n" * 3_000 + b"- a\nname: x\n"
    changes = {("tags", 2_999): "b", ("tags", 3_000): REMOVED}
    after = b"tags:\n" + b"-\n" * 2_999 + b"- b\nname: x\n"
    assert rewrite(content, changes, path="f.yaml") == after


ACCEPTED = {
    "a tab behind the colon": "name:\tone\nquery: SELECT 1 AS one\n",
    "a tab before the value that changes": "name: one\nquery: SELECT 1 AS one\ndescription:\told\n",
    "a tab before a comment": "name: one\t# x\nquery: SELECT 1 AS one\ndescription: old\t# why\n",
    "tabs at the ends of lines": "name: one\t\nquery: SELECT 1 AS one\t\ndescription: old\t\n",
    "tabs in a block": "name: one\nquery: |\n  SELECT\n  \t1 AS one\ndescription: old\n",
    "tabs in braces": "{\tname: one,\tquery: SELECT 1 AS one,\tdescription: old}\n",
    "tabs in quotes": 'name: one\nquery: "SELECT 1\n\tAS one"\ndescription: "old\tx"\n',
    "CRLF": "name: one\r\nquery: |\r\n  SELECT\r\n  1 AS one\r\ndescription: old\r\n",
    "CRLF and a tab": "name:\tone\r\nquery: SELECT 1 AS one\r\n",
    "CRLF and a mark": "\ufeffname: one\r\nquery: SELECT 1 AS one\r\ndescription: old\r\n",
    "CR": "name: one\rquery: SELECT 1 AS one\rdescription: old\r",
    "both ends of lines": "name: one\r\nquery: SELECT 1 AS one\ndescription: old\r\n",
    "no end of the last line": "name: one\r\nquery: SELECT 1 AS one\r\ndescription: old",
    "explicit keys": "? name\n: one\n? query\n: SELECT 1 AS one\n? description\n: old\n",
    "an anchor": "name: &n one\nquery: SELECT 1 AS one\ndescription: *n\n",
    "a tag": "name: !!str one\nquery: SELECT 1 AS one\ndescription: old\n",
    "a directive": "%YAML 1.2\n---\nname: one\nquery: SELECT 1 AS one\ndescription: old\n...\n",
    "kept blank lines": "name: one\nquery: |+\n  SELECT 1 AS one\n\n\ndescription: old\n",
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("description", "new"),
        ("query", "SELECT 2 AS one\nFROM events"),
        ("tags", ("x", "y")),
        ("data_freshness", "1hour"),
    ],
)
@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted_can_be_rewritten_and_keeps_its_line_ends(text, key, value):
    content = text.encode()
    before = read_definition("x.yaml", content, lambda _: b"")
    assert rewrite(content, {("name",): before.name}, path="x.yaml") == content
    after = rewrite(content, {(key,): list(value) if isinstance(value, tuple) else value}, path="x.yaml")
    read = read_definition("x.yaml", after, lambda _: b"")
    assert (read.sql if key == "query" else getattr(read.definition, key)) == value
    assert read.name == before.name
    assert "\n" in text or b"\n" not in after, "CR alone"
    if "\n" not in text.replace("\r\n", ""):
        assert b"\n" not in after.replace(b"\r\n", b"")
    assert after.startswith(b"\xef\xbb\xbf") == content.startswith(b"\xef\xbb\xbf")
