"""run --file: a definition as it stands, whether the server knows it or not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import VariableType
from endpoints_gitops.operations.run import (
    Assignment,
    VariableShape,
    bound_node,
    inputs_of_document,
    parse_assignments,
    typed_values,
)

DEFINITION = """\
name: never_pushed
query: |
  SELECT {variables.n} AS n, {variables.word} AS word -- {variables.unused}
variables:
  - {name: n, type: Number, default: 1}
  - {name: word, type: String}
"""
TRENDS = """\
name: trend
query_definition:
  kind: TrendsQuery
  series: [{kind: EventsNode, event: $pageview}]
  breakdownFilter: {breakdown: $browser}
  dateRange: {date_from: -30d}
"""
NODE = """\
name: node
query_definition:
  kind: HogQLQuery
  query: SELECT {variables.a} AS a, {variables.b} AS b
  variables:
    0190-a: {variableId: 0190-a, code_name: a, value: 1}
    0190-b: {variableId: 0190-b, code_name: b, value: 2}
variables:
  - {name: b, type: Number, default: 3}
"""


def loaded(text: str):
    return read_definition("a.yaml", text.encode(), lambda _: b"")


@pytest.fixture
def run(cli, checkout):
    checkout.write({"a.yaml": DEFINITION})

    def ran(*words, file="endpoints/a.yaml"):
        return cli("run", "--file", file, *words)

    return ran


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["--var", "word=x"], {"n": 1, "word": "x"}),
        (["--var", "word=it's", "--var", "n=2"], {"n": 2, "word": "it's"}),
        (["--var", "word=\\'); DROP", "--var", "n:=null"], {"n": None, "word": "\\'); DROP"}),
        (["--var", 'word:=["a", 1]'], None),
        (["--var", "word:=[1, 2]"], {"n": 1, "word": [1, 2]}),
    ],
)
def test_values_are_bound(run, words, row):
    ran = run(*words, "--output", "json")
    if row is None:
        assert ran.code == 2
    else:
        assert (ran.code, json.loads(ran.out)) == (0, [row])


def test_run_file_sends_one_request_and_writes_nothing(run, server):
    run("--var", "word=x")
    assert [(entry.method, entry.path) for entry in server.requests.entries()] == [("POST", "/api/projects/1/query/")]
    assert server.requests.writes() == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "endpoints/a.yaml:4: variable word has no default"),
        (["--var", "wrod=x"], "the query has no variable 'wrod'; did you mean 'word'?"),
        (["--var", "unused=1", "--var", "word=x"], "the query has no variable 'unused'"),
        (["--var", 'word:={"a": 1}'], "not an object"),
        (["--version", "1"], "--version: only for an endpoint of the server"),
        (["--all"], "--all: only for an endpoint of the server"),
        (["--refresh"], "--refresh: only for an endpoint of the server"),
        (["--limit", "1", "--offset", "0"], "--offset: only for an endpoint of the server"),
    ],
)
def test_run_file_refuses_wrong_files(run, server, words, message):
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert server.requests.entries() == ()


@pytest.mark.parametrize(
    ("file", "content"), [("none.yaml", None), ("endpoints/b.yaml", "name: ["), ("endpoints", None)]
)
def test_a_file_that_cannot_be_read(run, checkout, file, content):
    if content:
        checkout.write({"b.yaml": content})
    ran = run(file=file)
    assert (ran.code, ran.out) == (2, "")
    assert file in ran.err


def test_run_file_reads_query_files_and_files_anywhere(run, checkout, tmp_path):
    checkout.write({"sub/b.yaml": "name: b\nquery_file: ../b.sql\n", "b.sql": "SELECT 1 AS n"})
    assert run(file="endpoints/sub/b.yaml").out == "n\n-\n1\n"
    (tmp_path / "c.yaml").write_text("name: c\nquery: SELECT 3 AS n\n")
    assert run(file=str(tmp_path / "c.yaml")).out == "n\n-\n3\n"


def test_limit_is_applied_to_a_file(run, checkout):
    checkout.write({"b.yaml": "name: b\nquery: SELECT number AS n FROM numbers(9) ORDER BY n\n"})
    ran = run("--limit", "2", file="endpoints/b.yaml")
    assert ran.out == "n\n-\n0\n1\n"
    assert re.fullmatch(r"2 rows in \d+ ms\n", ran.err)


@pytest.mark.parametrize(("words", "is_said"), [([], True), (["--limit", "500"], True), (["--limit", "100"], False)])
def test_rows_that_the_server_left_out_are_noted(run, checkout, words, is_said):
    checkout.write({"b.yaml": "name: b\nquery: SELECT number AS n FROM numbers(250) ORDER BY n\n"})
    ran = run(*words, "--format", "json", file="endpoints/b.yaml")
    assert ran.json["summary"] == {"rows": 100}
    assert ("the server stopped after 100 rows" in ran.err) is is_said


def test_an_offset_in_the_file_is_sent(run, checkout):
    checkout.write({"b.yaml": "name: b\nquery: SELECT number AS n FROM numbers(9) ORDER BY n LIMIT 2 OFFSET 1\n"})
    ran = run(file="endpoints/b.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "OFFSET is not supported on queries made with a personal API key" in ran.err


def test_a_key_without_the_scope(make_cli, checkout, server):
    checkout.write({"a.yaml": DEFINITION})
    ran = make_cli(checkout.top, key=server.issue_key("endpoint:read"))(
        "run", "--file", "endpoints/a.yaml", "--var", "word=x"
    )
    assert ran.code == 3
    assert "query:read" in ran.err


def test_a_query_node_has_its_own_values():
    assert bound_node(loaded(NODE), {}) == {"kind": "HogQLQuery", "query": "SELECT 1 AS a, 3 AS b"}


@pytest.mark.parametrize(
    ("given_values", "date_range"),
    [({}, {"date_from": "-30d"}), ({"date_from": "-7d", "date_to": "now"}, {"date_from": "-7d", "date_to": "now"})],
)
def test_dates_of_an_insight(given_values, date_range):
    node = bound_node(loaded(TRENDS), given_values)
    assert node["kind"] == "TrendsQuery"
    assert node["dateRange"] == date_range


@pytest.mark.parametrize(
    ("given_values", "message"),
    [({"$browser": "Chrome"}, "narrows a breakdown"), ({"date_form": "-7d"}, "no variable")],
)
def test_values_that_an_insight_does_not_take_are_refused(given_values, message):
    with pytest.raises(UsageError, match=message):
        bound_node(loaded(TRENDS), given_values)


@given(st.text(min_size=1).filter(lambda name: "=" not in name and not name.endswith(":")), st.text())
def test_text_values_stay_text(name, text):
    assert parse_assignments([f"{name}={text}"]) == (Assignment(name=name, text=text),)
    assert typed_values(parse_assignments([f"{name}={text}"]), {}) == ({name: text}, ())


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_they_are_written(number):
    typed, notes = typed_values(parse_assignments([f"n={number!r}"]), {"n": VariableShape(type=VariableType.NUMBER)})
    assert (typed, notes) == ({"n": number}, ())


@pytest.mark.parametrize("text", ["", "1_000", "0x10", "nan", "inf", "1e999", "٣", "1,5", "-"])
def test_a_value_that_is_not_a_number_stays_text(text):
    typed, notes = typed_values(parse_assignments([f"n={text}"]), {"n": VariableShape(type=VariableType.NUMBER)})
    assert typed == {"n": text}
    assert len(notes) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_read_as_json(value):
    assignments = parse_assignments([f"n:={json.dumps(value)}"])
    assert typed_values(assignments, {"n": VariableShape(type=VariableType.NUMBER)}) == ({"n": value}, ())


def test_repeated_assignments_make_a_list():
    inputs = {"tags": VariableShape(type=VariableType.LIST)}
    assert typed_values(parse_assignments(["tags=a,b", "tags=c", "tags:=1"]), inputs) == ({"tags": ["a,b", "c", 1]}, ())


@pytest.mark.parametrize(
    "document", [{}, {"components": []}, {"components": {"schemas": {"Variables": {"properties": 3}}}}]
)
def test_an_unknown_api_schema_gives_no_types(document):
    assert inputs_of_document(document) == {}


@pytest.mark.parametrize("words", [["--file", "q.sql"], ["q.sql"], ["./q.sql"]])
def test_a_file_of_sql_is_run(cli, checkout, server, words):
    (checkout.top / "q.sql").write_text("\ufeffSELECT {variables.a} AS a,\r\n  2 AS b\n")
    ran = cli("run", *words, "--var", "a:=1", "--output", "csv")
    assert (ran.code, ran.out) == (0, "a,b\r\n1,2\r\n"), ran.err
    assert [entry.path for entry in server.requests.entries()] == ["/api/projects/1/query/"]


@pytest.mark.parametrize("words", [["--file", "-"], ["-"]])
def test_sql_on_stdin_is_run(cli, words):
    ran = cli("run", *words, "--output", "csv", input="SELECT 1 AS a\n")
    assert (ran.code, ran.out) == (0, "a\r\n1\r\n"), ran.err


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (["-"], "", "stdin: there is no query to run"),
        (["-"], "SELEC 1", "stdin:1: "),
        (["-"], "SELECT {variables.x} AS x", "stdin: variable x has no default\n  fix: add --var x=…"),
        (["nowhere.sql"], "", "nowhere.sql: cannot be read: No such file or directory"),
        (["endpoints"], "", "there is no endpoint 'endpoints'"),
        (["-", "--all"], "", "--all: only for an endpoint of the server"),
    ],
)
def test_a_file_without_a_query_is_refused(cli, words, text, message):
    ran = cli("run", *words, input=text)
    assert (ran.code, ran.out, message in ran.err) == (2, "", True), ran.err


def test_a_definition_that_was_never_pushed_gets_the_run_file_command(cli, checkout):
    checkout.write({"sub/never.yaml": DEFINITION})
    for command in ("run", "get"):
        ran = cli(command, "never_pushed")
        assert ran.code == 2
        assert "endpoints/sub/never.yaml defines never_pushed, but the server does not have it" in ran.err
        assert "fix: endpoints-gitops run --file endpoints/sub/never.yaml runs the file as it is" in ran.err


def test_the_number_of_rows_and_the_time_are_on_stderr(cli, checkout):
    checkout.write({"never.yaml": DEFINITION})
    ran = cli("run", "--file", "endpoints/never.yaml", "--var", "word=a")
    assert re.search(r"^1 row in \d+ ms$", ran.err, flags=re.MULTILINE)
    assert "ms" not in ran.out
    assert cli("run", "--file", "endpoints/never.yaml", "--var", "word=a", "--quiet").err == ""
