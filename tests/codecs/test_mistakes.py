"""Every mistake in a definition, with its position and message: one table."""

from __future__ import annotations

import pytest

from endpoints_gitops.codecs.definition import LARGEST_FILE, read_definition
from endpoints_gitops.codecs.text import refuse_size
from endpoints_gitops.errors import InvalidInput

GOOD = "name: x\nquery: select 1\n"
QUERY_KEYS = "a definition must have exactly one of query, query_file, query_definition, not"
SCHEDULES = "15min, 30min, 1hour, 6hour, 12hour, 24hour, 7day"
BUCKETS = "minute, fifteen_minutes, hour, day, week, month"
NAME = "the name of an endpoint must be a letter, followed by up to 127 letters, digits, _ or -"
KINDS = {
    # keys
    "nmae: x\nquery: select 1\n": ["1:1: unknown key 'nmae'; did you mean 'name'?"],
    GOOD + "descripton: y\n": ["3:1: unknown key 'descripton'; did you mean 'description'?"],
    GOOD + "Tags: [a]\n": ["3:1: unknown key 'Tags'; did you mean 'tags'?"],
    GOOD + "is_active: true\n": ["3:1: unknown key 'is_active'; did you mean 'active'?"],
    GOOD + "materialized: true\n": ["3:1: unknown key 'materialized'; did you mean 'materialization'?"],
    GOOD + "schedule: 1hour\n": ["3:1: unknown key 'schedule'; it belongs under materialization"],
    GOOD + "zzz: 1\n": ["3:1: unknown key 'zzz'"],
    GOOD + "materialization: {schedul: 1hour}\n": ["3:19: unknown key 'schedul'; did you mean 'schedule'?"],
    GOOD + "variables: [{code_name: a, type: String}]\n": ["3:14: unknown key 'code_name'; did you mean 'name'?"],
    GOOD + "environments: {p: {query: a}}\n": ["3:20: unknown key 'query'"],
    "name: x\nsql: select 1\n": ["2:1: unknown key 'sql'; did you mean 'query'?"],
    "query: select 1\n": ["1:1: missing key 'name'"],
    GOOD + "variables:\n  - type: String\n": ["4:5: missing key 'variables.0.name'"],
    GOOD + "name: y\n": ["3:1: duplicate key 'name'"],
    GOOD + "materialization: {enabled: true, enabled: false}\n": ["3:34: duplicate key 'enabled'"],
    GOOD + "1: b\n": ["3:1: a key must be text, not 1"],
    GOOD + "? [a]\n: b\n": ["3:3: a key must be text, not a list or a mapping"],
    # exactly one query
    GOOD + "query_file: x.sql\n": [f"3:1: {QUERY_KEYS} query and query_file"],
    "name: x\nquery_definition: {kind: TrendsQuery}\nquery: a\n": [f"3:1: {QUERY_KEYS} query_definition and query"],
    "name: x\nquery:\n": [f"1:1: {QUERY_KEYS} none"],
    # values
    "name: 1x\nquery: select 1\n": [f"1:7: {NAME}"],
    f"name: {'x' * 129}\nquery: select 1\n": [f"1:7: {NAME}"],
    "name: 5\nquery: select 1\n": ["1:7: name must be text, not 5"],
    "name:\nquery: select 1\n": ["1:6: name must be text, not empty"],
    GOOD + "tags: a\n": ["3:7: tags must be a list, not 'a'"],
    GOOD + "tags: [a, 1]\n": ["3:11: tags.1 must be text, not 1"],
    GOOD + "active: yes\n": ["3:9: active must be true or false, not 'yes'"],
    GOOD + "active: 'true'\n": ["3:9: active must be true or false, not 'true'"],
    GOOD + "tests: []\n": ["3:1: unknown key 'tests': this release does not support it yet"],
    GOOD + "assertions: []\n": ["3:1: unknown key 'assertions': this release does not support it yet"],
    GOOD + "budget: 1\n": ["3:1: unknown key 'budget': this release does not support it yet"],
    GOOD + "key: a\n": ["3:1: unknown key 'key': this release does not support it yet"],
    GOOD + "examples: {}\n": ["3:11: examples must be a list, not a mapping"],
    GOOD + "description: {{ text }}\n": [
        "3:14: description must be text, not a mapping",
        "3:15: a key must be text, not a list or a mapping",
    ],
    GOOD + "supersedes: 0\n": ["3:13: supersedes must be at least 1, not 0"],
    GOOD + "supersedes: 1.5\n": ["3:13: supersedes must be a whole number, not 1.5"],
    GOOD + "deprecation: {since: 2026-1-1, sunset: 2026-02-30}\n": [
        "3:22: deprecation.since: a date must have the form 2026-01-31",
        "3:40: deprecation.sunset: 2026-02-30 is not a valid date",
    ],
    GOOD + "description: .inf\n": ["3:14: .inf is not a JSON number"],
    GOOD + "description: 99999999999999999999\n": ["3:14: this number has more than 64 bits"],
    GOOD + "description: !!binary aGk=\n": ["3:14: the tag !!binary is not allowed: a definition has only JSON values"],
    # words of a list
    GOOD + "materialization:\n  schedule: 1h\n": [
        f"4:13: materialization.schedule must be one of {SCHEDULES}, not '1h'; did you mean '1hour'?"
    ],
    GOOD + "data_freshness: 100\n": [f"3:17: data_freshness must be one of {SCHEDULES}, or its seconds, not 100"],
    GOOD + "stability: stabel\n": [
        "3:12: stability must be one of draft, beta, stable, not 'stabel'; did you mean 'stable'?"
    ],
    GOOD + "bucket_overrides: {timestamp: days}\n": [
        f"3:31: bucket_overrides.timestamp must be one of {BUCKETS}, not 'days'; did you mean 'day'?"
    ],
    "name: x\nquery: select {variables.v}\nvariables:\n- name: v\n  type: Strng\n": [
        "5:9: variables.0.type must be one of String, Number, Boolean, List, Date, not 'Strng'; did you mean 'String'?"
    ],
    # one setting in two words
    GOOD + "data_freshness: 1hour\nmaterialization: {schedule: 6hour}\n": [
        "3:1: data_freshness 1hour and materialization.schedule 6hour differ: they are the same setting"
    ],
    GOOD + "environments:\n  p:\n    data_freshness: 3600\n    materialization: {schedule: 6hour}\n": [
        "5:5: data_freshness 3600 and materialization.schedule 6hour differ: they are the same setting"
    ],
    # variables
    "name: x\nquery: select {variables.lookback}\nvariables:\n- {name: lookbak, type: String}\n": [
        "4:10: the query does not use the variable 'lookbak'; did you mean 'lookback'?"
    ],
    "name: x\nquery: select '{variables.v}' -- {variables.v}\nvariables: [{name: v, type: Date}]\n": [
        "3:20: the query does not use the variable 'v'"
    ],
    "name: x\nquery: select { variables.v }\nvariables: [{name: v, type: Date}, {name: v, type: Date}]\n": [
        "3:43: the variable 'v' is declared twice"
    ],
    "name: x\nquery: select {variables.v}\nvariables:\n- name: V\n  type: String\n- name: a-b\n  type: Number\n": [
        "4:9: variables.0.name: PostHog converts the names of variables to lower case: use 'v' here and in the query",
        "6:9: variables.1.name: the name of a variable must consist of letters, digits and underscores",
    ],
    # query nodes
    "name: x\nquery_definition: {kind: TrendQuery}\n": [
        "2:19: query_definition: unknown kind 'TrendQuery'; did you mean 'TrendsQuery'?"
    ],
    "name: x\nquery_definition: {series: []}\n": [
        "2:19: query_definition: a query node must have a kind, such as TrendsQuery"
    ],
    "name: x\nquery_definition: {kind: HogQLQuery}\n": [
        "2:19: query_definition: a HogQLQuery must have its text under query"
    ],
    # documents
    "": [" this file is empty; a definition needs a name and a query"],
    "# nothing\n": [" this file is empty; a definition needs a name and a query"],
    "- a\n": ["1:1: a definition must be a mapping of keys to values"],
    "text\n": ["1:1: a definition must be a mapping of keys to values"],
    GOOD + "---\n" + GOOD: ["3:1: a second document starts here; a file must have one definition"],
    # YAML
    "name: x\nquery:\n\tselect 1\n": ["3:1: this line is indented with a tab; YAML indents with spaces"],
    GOOD + "tags:\n  - a\n\t- b\n": ["5:1: this line is indented with a tab; YAML indents with spaces"],
    GOOD + "description: a: b\n": ["3:15: not valid YAML: a `: ` is not expected here"],
    GOOD + "description: 'a\nowner: b\n": ["3:14: not valid YAML: the quoted text that starts here is never closed"],
    GOOD + "description: @a\n": ["3:14: a value cannot start with `@`"],
    GOOD + "tags: [a, b\n": [
        "4:1: not valid YAML: the list or mapping in brackets is not closed, or a comma is missing"
    ],
    GOOD + "description: a\x07\n": ["3:15: the character U+0007 is not allowed in a YAML file"],
    # anchors
    GOOD + "description: *a\n": ["3:14: *a has no anchor &a before it"],
    GOOD + "environments: &a {x: *a}\n": ["3:22: *a is inside its own anchor"],
    GOOD + "<<: 5\n": ["3:5: `<<` must be a mapping or a list of mappings"],
    # all at once, in the order of the file
    "query: select 1 )\nnmae: x\nactive: 1\nvariables: [{name: v, type: Text}]\n": [
        "1:17: not valid HogQL: trailing tokens after expression: ')' (RParen)",
        "2:1: unknown key 'nmae'; did you mean 'name'?",
        "3:9: active must be true or false, not 1",
        "4:29: variables.0.type must be one of String, Number, Boolean, List, Date, not 'Text'",
    ],
    "\ufeffnmae: x\r\nquery: select 1\r\nactive: 1\r\n": [
        "1:1: unknown key 'nmae'; did you mean 'name'?",
        "3:9: active must be true or false, not 1",
    ],
}


def mistakes(content: bytes, beside: bytes = b"") -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read_definition("f.yaml", content, lambda _: beside)
    assert all(problem.code.startswith("definition.") for problem in caught.value.problems)
    lines = [str(problem) for problem in caught.value.problems]
    assert not any("\n" in line for line in lines)
    return lines


@pytest.mark.parametrize(("text", "lines"), KINDS.items())
def test_mistakes(text, lines):
    assert mistakes(text.encode()) == [f"f.yaml:{line}" for line in lines]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("query: select 1 )", "2:17"),
        ("query: select 'é', '😀' )", "2:24"),
        ("query: select 1\n  , 2\n  )", "4:3"),
        ("query: 'select ''a'' )'", "2:22"),
        ("query: 'select 1\n\n  )'", "4:3"),
        (r'query: "select\n 1 )"', "2:20"),
        (r"""query: "select \"\u0061\", '\U0001F600' )" """, "2:41"),
        ('query: "select 1 \\\n    )"', "3:5"),
        ("query: |\n  select\n\n    1 )", "5:7"),
        ("query: |2\n    select\n  1 )", "4:5"),
        ("query: &q !!str |-  # a comment\n     select 1 )", "3:15"),
        ("query: |-\n  select 1 'a\n  b' 'c\n  d'", "3:12"),
        ("query: >\n  select\n  1,\n\n  2 )", "6:5"),
        ("query_definition:\n  kind: HogQLQuery\n  query: |-\n    select 1\n    )", "6:5"),
        ("query_definition: {query: 'select 1 )', kind: HogQLQuery}", "2:37"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_hogql_is_wrong_exactly_there(written, place, newline):
    content = f"name: x\n{written}\n".replace("\n", newline).encode()
    line = next(line for line in mistakes(content) if "HogQL" in line)
    assert line.startswith(f"f.yaml:{place}: not valid HogQL: ")


def test_a_query_node_under_query_is_told_where_it_belongs():
    with pytest.raises(InvalidInput) as caught:
        read_definition("f.yaml", b"name: x\nquery:\n  kind: TrendsQuery\n", lambda _: b"")
    (problem,) = caught.value.problems
    assert (str(problem), problem.fix) == (
        "f.yaml:3:3: query must be text, not a mapping",
        "write query_definition for a query node, such as one of an insight",
    )


def test_hogql_in_a_file_of_its_own_is_wrong_there():
    (line,) = mistakes(b"name: x\nquery_file: sql/x.sql\n", b"\xef\xbb\xbfselect 1,\r\n  2 )\r\n")
    assert line == "sql/x.sql:2:5: not valid HogQL: trailing tokens after expression: ')' (RParen)"


@pytest.mark.parametrize("name", ["/x.sql", "C:\\x.sql", "''"])
def test_a_query_file_is_beside_the_definition(name):
    assert mistakes(f"name: x\nquery_file: {name}\n".encode()) == ["f.yaml:2:13: query_file must be a relative path"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (GOOD.encode("utf-16"), "f.yaml: this file is UTF-16; a definition must be UTF-8"),
        (GOOD.encode("utf-32"), "f.yaml: this file is UTF-32; a definition must be UTF-8"),
        (GOOD.encode("utf-16-le"), "f.yaml: this file looks like UTF-16; a definition must be UTF-8"),
        (f"{GOOD}owner: Größe\n".encode("latin-1"), "f.yaml:3:10: the byte 0xf6 is not UTF-8"),
        (b"\xef\xbb\xbf\xff", "f.yaml:1:1: the byte 0xff is not UTF-8"),
        (b"a" * (LARGEST_FILE + 1), "f.yaml: this file has 1,048,577 bytes; a definition can have at most 1,048,576"),
        (b"a: " + b"[" * 99 + b"]" * 99, "f.yaml:1:1: unknown key 'a'"),
        (b"a: " + b"[" * 100 + b"]" * 100, "f.yaml:1:103: this is nested more than 100 levels deep"),
        (b"[" * 1_000_000, "f.yaml:1:101: this is nested more than 100 levels deep"),
        (b"{a: " * 250_000, "f.yaml:1:401: this is nested more than 100 levels deep"),
        (b"- " * 500_000, "f.yaml:1:201: this is nested more than 100 levels deep"),
    ],
)
def test_foreign_encodings_sizes_and_depths_are_refused(content, line):
    assert line in mistakes(content)


def test_an_alias_bomb_is_counted_not_written_out():
    lines = ["a0: &a0 [" + "lol, " * 20 + "]"]
    lines += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * 20 + "]" for n in range(1, 20)]
    (line,) = mistakes("\n".join(lines).encode())
    assert line.endswith(": with its aliases expanded, this file has more than 1,048,576 characters")


def test_fifty_megabytes_are_refused_by_their_size_alone():
    with pytest.raises(InvalidInput) as caught:
        refuse_size("f.yaml", 50 * 1024 * 1024)
    assert str(caught.value.problems[0]) == (
        "f.yaml: this file has 52,428,800 bytes; a definition can have at most 1,048,576"
    )
