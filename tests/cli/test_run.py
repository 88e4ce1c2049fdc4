"""run NAME: typed variables, pages, and rows alone on stdout."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.local.faults import Edit, Effect, Fault
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.project import Silence
from endpoints_gitops.operations.run import RunOptions, run_all

EDITED = {"kind": "HogQLQuery", "query": "SELECT number + 1000 AS n FROM numbers(25) ORDER BY n"}


@pytest.fixture
def counting(create):
    create("counting", "SELECT number AS n FROM numbers(25) ORDER BY n")


def numbers(text: str) -> list[int]:
    return [int(row[0]) for row in list(csv.reader(io.StringIO(text)))[1:]]


def requests(server):
    return [
        (entry.method, entry.path.partition("?")[0].rstrip("/").rpartition("/")[2])
        for entry in server.requests.entries()
    ]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("table", "n  word\n-  ----\n1  a\\tb\n"),
        ("csv", "n,word\r\n1,a\tb\r\n"),
        ("json", '[\n  {"n": 1, "word": "a\\tb"}\n]\n'),
    ],
)
def test_stdout_has_only_the_rows(cli, create, output, text):
    create("one", "SELECT 1 AS n, 'a\\tb' AS word")
    ran = cli("run", "one", "--output", output)
    assert (ran.code, ran.out) == (0, text)
    assert re.fullmatch(r"1 row in \d+ ms\n", ran.err)


def test_rows_in_json_output(cli, create):
    create("one", "SELECT 1 AS n, 'a' AS word")
    ran = cli("run", "one", "--format", "json", "--output", "csv")
    assert ran.json["items"] == [{"n": 1, "word": "a"}]
    assert ran.json["summary"] == {"rows": 1}


@pytest.mark.parametrize(
    ("kind", "default", "word", "value"),
    [
        ("Number", 1, "v=42", 42),
        ("Number", 1, "v=-1.5", -1.5),
        ("Number", 1, "v:=7", 7),
        ("Boolean", False, "v=true", True),
        ("String", "x", "v=42", "42"),
        ("String", "x", "v=a=b", "a=b"),
        ("String", "x", "v=", ""),
        ("Date", "2026-01-01", "v=2026-07-01", "2026-07-01"),
        ("List", ["x"], "v=a,b", ["a", "b"]),
        ("List", ["x"], "v=a", ["a"]),
        ("List", "x", "v=a, or b", "a, or b"),
        ("List", ["x"], 'v=["a", "b,c"]', ["a", "b,c"]),
        ("String", "x", "v:=null", None),
    ],
)
def test_text_is_typed_by_the_variable(cli, create, server, kind, default, word, value):
    create("typed", "SELECT {variables.v} AS v", variables={"v": (kind, default)})
    ran = cli("run", "typed", "--var", word, "--output", "json")
    assert json.loads(ran.out) == [{"v": value}]
    asked = ["run"] if ":=" in word else ["openapi.json", "run"]
    assert [last for _, last in requests(server)] == asked


def test_types_in_the_definition_save_a_request(cli, create, server, checkout):
    create("typed", "SELECT {variables.v} AS v", variables={"v": ("Number", 1)})
    definition = "name: typed\nquery: SELECT {variables.v} AS v\nvariables:\n  - {name: v, type: Number, default: 1}\n"
    checkout.write({"typed.yaml": definition})
    assert cli("run", "typed", "--var", "v=2").out == "v\n-\n2\n"
    assert [last for _, last in requests(server)] == ["run"]
    checkout.write({"broken.yaml": "name: ["})
    assert cli("run", "typed", "--var", "v=2").out == "v\n-\n2\n"


def test_a_value_of_another_type_is_sent_as_text_with_a_note(cli, create):
    create("typed", "SELECT {variables.v} AS v", variables={"v": ("Number", 1)})
    ran = cli("run", "typed", "--var", "v=many")
    assert ran.out == "v\n----\nmany\n"
    assert "variable v is a Number, and 'many' is not: sent as text" in ran.err


def test_values_are_sent_as_text_if_the_key_cannot_read_types(make_cli, checkout, create, server):
    create("typed", "SELECT {variables.v} AS v", variables={"v": ("Number", 1)})
    ran = make_cli(checkout.top, key=server.project_secret_key)("run", "typed", "--var", "v=2", "--output", "json")
    assert json.loads(ran.out) == [{"v": "2"}]
    assert "values are sent as text" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--var", "v"], "'v' is not an assignment"),
        (["--var", "=1"], "is not an assignment"),
        (["--var", ":=1"], "is not an assignment"),
        (["--var", "v:=pro"], "is not valid JSON"),
        (["--var", "v:=NaN"], "NaN is not a JSON number"),
        (["--var", "v=1", "--var", "v=2"], "--var v is given 2 times, and does not take a list"),
        (["--offset", "1"], "--offset needs a --limit"),
        (["--key", "v"], "--key works only with --all"),
        (["--all", "--key", "v", "--offset", "1"], "--key and --offset cannot be combined"),
        (["--all", "--key", "v", "--limit", "1"], "--key needs at least 2 rows at a time"),
        (["--all", "--key", "v"], "typed cannot be paged by v: its ORDER BY is missing"),
        (["--limit", "0"], "'0' is not a number of rows"),
        (["--refresh=soon"], "invalid choice: 'soon'"),
        (["--var", "w=1"], "Unknown variable(s): w"),
        (["--version", "9"], "Version 9 not found"),
        (["--file", "x.yaml"], "not allowed with argument"),
    ],
)
def test_run_refuses_wrong_options(cli, create, words, message):
    create("typed", "SELECT {variables.v} AS v", variables={"v": ("Number", 1)})
    ran = cli("run", "typed", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_nothing_to_run(cli, server):
    ran = cli("run")
    assert (ran.code, ran.out, server.requests.entries()) == (2, "", ())
    assert "NAME" in ran.err


@pytest.mark.usefixtures("counting")
def test_run_takes_a_version(cli, client):
    client.update_endpoint("counting", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}})
    assert cli("run", "counting").out == "two\n---\n  2\n"
    assert cli("run", "counting", "--version", "1", "--limit", "1").out == "n\n-\n0\n"


@pytest.mark.usefixtures("counting")
def test_run_takes_limit_and_offset(cli):
    ran = cli("run", "counting", "--limit", "10", "--offset", "10", "--output", "csv")
    assert numbers(ran.out) == list(range(10, 20))
    assert "continue with --limit 10 --offset 20" in ran.err
    assert "note" not in cli("run", "counting", "--limit", "10", "--offset", "20").err
    assert cli("run", "counting", "--limit", "10", "--quiet").err == ""


@pytest.mark.parametrize(
    ("words", "want", "pages"),
    [
        ([], (0, 25), 1),
        (["--limit", "10"], (0, 25), 3),
        (["--limit", "25"], (0, 25), 1),
        (["--limit", "10", "--offset", "7"], (7, 25), 2),
    ],
)
@pytest.mark.usefixtures("counting")
def test_run_all_reads_every_page(cli, server, words, want, pages):
    ran = cli("run", "counting", "--all", *words, "--output", "csv")
    assert numbers(ran.out) == list(range(*want))
    assert [last for _, last in requests(server)] == ["counting", *["run"] * pages]
    assert "ORDER BY" not in ran.err


def test_run_all_stops_at_the_limit_of_the_query(cli, create):
    create("limited", "SELECT number AS n FROM numbers(100) ORDER BY n LIMIT 25")
    assert numbers(cli("run", "limited", "--all", "--limit", "10", "--output", "csv").out) == list(range(25))


AFTER = "SELECT number AS n FROM numbers(25) WHERE n > {variables.after} ORDER BY n LIMIT 12"


@pytest.mark.parametrize(
    ("words", "first", "pages"),
    [([], 5, 2), (["--limit", "4"], 5, 7), (["--var", "after=20"], 21, 1), (["--version", "1"], 5, 2)],
)
def test_run_all_pages_by_key(cli, create, server, words, first, pages):
    create("keyed", AFTER, variables={"after": ("Number", 4)})
    ran = cli("run", "keyed", "--all", "--key", "n", *words, "--output", "csv")
    assert numbers(ran.out) == list(range(first, 25))
    assert [last for _, last in requests(server)].count("run") == pages
    assert "several pages" not in ran.err


@pytest.mark.parametrize(
    ("variables", "more", "reason"),
    [
        ({"after": ("Number", None)}, {}, "the start is unknown: add --var after=…"),
        ({"after": ("Number", 1)}, {"is_materialized": True}, "it is materialized, and a table has no order"),
    ],
)
def test_paging_by_an_unusable_key_is_refused_without_a_request(cli, create, server, variables, more, reason):
    create("keyed", AFTER, variables=variables, **more)
    ran = cli("run", "keyed", "--all", "--key", "n")
    assert ran.code == 2
    assert reason in ran.err
    assert "run" not in [last for _, last in requests(server)]


def test_paging_by_key_needs_more_than_a_project_secret_key(make_cli, checkout, create, server):
    create("keyed", AFTER, variables={"after": ("Number", 4)})
    ran = make_cli(checkout.top, key=server.project_secret_key)("run", "keyed", "--all", "--key", "n")
    assert ran.code == 2
    assert "this key can run it, but cannot read its query" in ran.err


def test_paging_without_an_order_is_noted_once(cli, create):
    create("loose", "SELECT number AS n FROM numbers(25)")
    ran = cli("run", "loose", "--all", "--limit", "10")
    assert ran.err.count("has no ORDER BY") == 1
    assert "ORDER BY" not in cli("run", "loose", "--all").err


@pytest.mark.usefixtures("counting")
def test_all_pages_come_from_one_version(cli, server):
    edit = Edit(path="endpoints/counting/", body={"query": EDITED})
    server.faults.add(Fault(effect=Effect.EDIT, path="*/counting/run", nth=2, edit=edit))
    assert numbers(cli("run", "counting", "--all", "--limit", "10", "--output", "csv").out) == list(range(25))
    assert numbers(cli("run", "counting", "--output", "csv").out)[0] == 1000


def test_a_full_default_page_is_noted(cli, create):
    create("long", "SELECT number AS n FROM numbers(250) ORDER BY n")
    ran = cli("run", "long", "--output", "csv")
    assert len(numbers(ran.out)) == 100
    assert "get all with --all" in ran.err
    assert len(numbers(cli("run", "long", "--all", "--output", "csv").out)) == 250


@pytest.fixture
def sent_bodies(cli, checkout, server):  # noqa: ARG001 - cli writes the configuration
    """The bodies of the requests, as a proxy between the command and the server sees them."""
    bodies = []

    class Forward(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(json.loads(content))
            self._forward(content)

        def do_GET(self):
            self._forward(None)

        def _forward(self, content):
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            answer = httpx.request(self.command, f"{server.url}{self.path}", content=content, headers=headers)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        path = checkout.top / "endpoints.toml"
        path.write_text(path.read_text().replace(server.url, f"http://127.0.0.1:{proxy.server_port}"))
        yield bodies
        proxy.shutdown()


@pytest.mark.parametrize(
    ("words", "refresh"),
    [([], None), (["--refresh"], "force"), (["--refresh=cache"], "cache"), (["--refresh=force"], "force")],
)
@pytest.mark.usefixtures("counting")
def test_refresh_takes_its_value_after_an_equals_sign(cli, sent_bodies, words, refresh):
    ran = cli("run", *words, "counting", "--output", "csv")
    assert (ran.code, numbers(ran.out)) == (0, list(range(25)))
    (body,) = sent_bodies
    assert body.get("refresh") == refresh


@pytest.mark.usefixtures("counting")
def test_refresh_direct_without_a_table(cli):
    ran = cli("run", "counting", "--refresh=direct")
    assert ran.code == 2
    assert "only valid for materialized endpoints" in ran.err


def test_a_failing_query_is_reported(cli, create):
    create("failing", "SELECT intDiv(1, n) AS x FROM (SELECT arrayJoin([1, 0]) AS n)")
    ran = cli("run", "failing")
    assert (ran.code, ran.out) == (2, "")
    assert "division" in ran.err.lower()


class Replaying:
    """A server with the quirk of some: on the last page, the row that tells whether there are more is sent along."""

    def __init__(self, total: int, most: int) -> None:
        self.total, self.most = total, most

    def get_endpoint(self, name: str) -> Endpoint:
        sql = f"SELECT n FROM t ORDER BY n LIMIT {self.most}"
        return Endpoint(id="1", name=name, query={"kind": "HogQLQuery", "query": sql})

    def run(self, *_, limit, offset, **__):
        start = offset or 0
        fetched = list(range(self.total))[start : start + min(limit, self.most - start) + 1]
        partial = self.most - start < limit
        rows = fetched if partial else fetched[:limit]
        has_more = len(fetched) > limit and start + len(rows) < self.most
        return RunAnswer(
            columns=("n",), types=(), results=[[n] for n in rows], has_more=has_more, version=1,
            execution_id=None, materialized=False, raw={},
        )  # fmt: skip


@pytest.mark.parametrize("total", [0, 5, 24, 25, 26, 100])
@pytest.mark.parametrize("page", [1, 7, 10, 25, 40])
@pytest.mark.parametrize("start", [0, 3, 25, 30])
def test_the_row_that_probes_for_more_is_not_printed(total, page, start):
    rows = run_all(Replaying(total, most=25), "e", RunOptions(values={}, limit=page, offset=start), Silence()).rows
    assert [row[0] for row in rows] == list(range(total))[:25][start:]


def test_all_of_an_insight_is_one_run_without_a_limit():
    server = Replaying(0, most=25)
    server.get_endpoint = lambda name: Endpoint(id="1", name=name, query={"kind": "TrendsQuery"})
    server.run = lambda *_, limit, offset, **__: RunAnswer(
        columns=None, types=(), results=[{"label": "all", "data": [1]}], has_more=False, version=1, execution_id=None,
        materialized=False, raw={"asked": (limit, offset)},
    ) if (limit, offset) == (None, None) else pytest.fail("an insight is not paged")  # fmt: skip
    options = RunOptions(values={}, limit=5, offset=5)
    assert run_all(server, "e", options, Silence()).rows == ({"label": "all", "data": [1]},)


@pytest.mark.parametrize("results", [[[1]], [[1, 2, 3]], ["row"]])
def test_rows_of_unequal_length_are_refused(results):
    server = Replaying(0, most=25)
    server.run = lambda *_, **__: RunAnswer(
        columns=("a", "b"), types=(), results=results, has_more=False, version=1, execution_id=None,
        materialized=False, raw={},
    )  # fmt: skip
    with pytest.raises(EndpointsError, match="2 values, one per column"):
        run_all(server, "e", RunOptions(values={}), Silence())
