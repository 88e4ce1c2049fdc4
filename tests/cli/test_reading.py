"""list, get, versions and open: what the server has, on the screen and as JSON."""

from __future__ import annotations

import re
import webbrowser

import pytest

from endpoints_gitops.cli.console import Console
from endpoints_gitops.local.faults import Effect, Fault

pytestmark = pytest.mark.usefixtures("three")
NASTY = "clear\x1b[2J \u202eesrever"


@pytest.fixture
def three(create):
    create("revenue", tags=["billing"], description=NASTY)
    create("revenue_by_plan")
    create("signups", "SELECT {variables.n} AS n", variables={"n": ("Number", 3)})


def test_list_prints_a_table(cli):
    ran = cli("list")
    assert ran.code == 0
    names = [line.split()[0] for line in ran.out.splitlines()]
    assert names == ["name", "---------------", "revenue", "revenue_by_plan", "signups"]


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ([], ["revenue", "revenue_by_plan", "signups"]),
        (["signups"], ["signups"]),
        (["revenue*"], ["revenue", "revenue_by_plan"]),
        (["tag:billing", "signups"], ["revenue", "signups"]),
    ],
)
def test_list_takes_selectors(cli, selectors, names):
    listed = cli("list", *selectors, "--format", "json").json
    assert [item["name"] for item in listed["items"]] == names
    assert listed["summary"] == {"endpoints": len(names)}


def test_list_takes_selectors_by_file(cli, checkout):
    checkout.commit()
    checkout.write({"any.yaml": "name: signups\nquery: SELECT 1\ntags: [growth]\n"})
    for selector in ("endpoints/any.yaml", "endpoints", "tag:growth", "changed:HEAD"):
        listed = cli("list", selector, "--format", "json").json["items"]
        assert [item["name"] for item in listed] == ["signups"], selector


@pytest.mark.parametrize("selector", ["signup", "x*", "tag:biling", "endpoints/none.yaml"])
def test_a_selector_that_matches_nothing(cli, selector):
    ran = cli("list", "revenue", selector, "--format", "json")
    assert ran.code == 2
    assert ran.json["items"] == []


def test_list_counts_unmanaged_endpoints(cli, checkout):
    settings = checkout.top / "endpoints.toml"
    settings.write_text('manage = ["revenue*"]\n' + settings.read_text())
    ran = cli("list")
    assert "signups" not in ran.out
    assert "1 more outside of manage = [revenue*]" in ran.err
    refused = cli("list", "signups")
    assert refused.code == 2
    assert "signups is outside of what this configuration manages" in refused.err


def test_list_works_beside_a_broken_file(cli, checkout):
    before = cli("list").out
    assert "signups" in before
    checkout.write({"broken.yaml": "name: ["})
    ran = cli("list")
    assert (ran.code, ran.out) == (0, before)


def test_get_prints_settings_and_query(cli, server):
    ran = cli("get", "signups")
    assert ran.out.endswith("\n\nSELECT {variables.n} AS n\n")
    for words in ("version 1", "active yes", "kind HogQLQuery", "variables n = 3", "freshness 24hour"):
        assert words in " ".join(ran.out.split())
    assert f"{server.url}/project/1/endpoints/signups" in ran.out
    (item,) = cli("get", "signups", "--format", "json").json["items"]
    assert (item["name"], item["query"]["kind"]) == ("signups", "HogQLQuery")


def test_get_prints_the_query_of_an_insight(cli, client):
    client.create_endpoint({"name": "trend", "query": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]}})
    assert '"kind": "TrendsQuery"' in cli("get", "trend").out


def test_a_description_of_several_lines_stays_in_its_column(cli, create):
    create("noted", description="First line.\nSecond line.\n")
    assert "\n  description     First line.\n                  Second line.\n  version " in cli("get", "noted").out


def test_get_prints_one_version(cli, client):
    client.update_endpoint("revenue", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}})
    assert "SELECT 1 AS one" in cli("get", "revenue", "--version", "1").out
    assert "1 of 2" in cli("get", "revenue", "--version", "1").out
    assert "2, the newest" in cli("get", "revenue", "--version", "2").out
    assert cli("get", "revenue", "--version", "3").code == 2


def test_versions_prints_the_newest_first(cli, client):
    client.update_endpoint("revenue", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}})
    client.update_endpoint("revenue", {"is_active": False}, version=1)
    ran = cli("versions", "revenue")
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["2", "1"]
    items = cli("versions", "revenue", "--format", "json").json["items"]
    assert [(item["version"], item["current"], item["active"]) for item in items] == [
        (2, True, True),
        (1, False, False),
    ]
    assert {item["created_by"] for item in items} == {"author@example.com"}


@pytest.mark.parametrize("command", ["get", "versions", "open", "run"])
def test_a_missing_name_gets_a_suggestion(cli, command):
    ran = cli(command, "signup")
    assert ran.code == 2
    assert "there is no endpoint 'signup'; did you mean 'signups'?" in ran.err


def test_open_prints_the_address_without_a_terminal(cli, server, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("opened a browser without a terminal"))
    assert cli("open", "signups").out == f"{server.url}/project/1/endpoints/signups\n"


@pytest.mark.parametrize("opens", [True, False])
def test_open_starts_the_browser_at_a_terminal(cli, server, monkeypatch, opens):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or opens)
    ran = cli("open", "signups", input="")
    assert opened == [ran.out.strip()] == [f"{server.url}/project/1/endpoints/signups"]
    assert ("cannot open a browser" in ran.err) is not opens


@pytest.mark.parametrize(
    "words", [["list"], ["get", "revenue"], ["list", "--format", "json"], ["get", "revenue", "--format", "json"]]
)
def test_text_from_the_server_is_escaped(cli, words):
    ran = cli(*words)
    assert ran.code == 0
    assert not {"\x1b", "\u202e"} & set(ran.out + ran.err)
    assert "clear" in ran.out


def test_each_command_sends_one_request(cli, server):
    for words in (["list"], ["get", "signups"], ["versions", "signups"], ["open", "signups"], ["run", "signups"]):
        server.requests.clear()
        assert cli(*words).code == 0
        assert len(server.requests.entries()) == 1, words


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(effect=Effect.ERROR, status=503), 4),
        (Fault(effect=Effect.ERROR, status=429, retry_after=60), 4),
        (Fault(effect=Effect.HTML, status=200), 4),
        (Fault(effect=Effect.WRONG_JSON), 4),
        (Fault(effect=Effect.BROKEN_JSON), 4),
        (Fault(effect=Effect.HALF), 4),
        (Fault(effect=Effect.DROP), 4),
    ],
    ids=lambda value: value.effect.value if isinstance(value, Fault) else "",
)
def test_server_faults_exit_with_4(cli, server, fault, code):
    server.faults.add(fault)
    ran = cli("list", "--format", "json", "--max-wait", "0.1")
    (error,) = ran.json["errors"]
    assert (ran.code, ran.json["exit_code"], ran.json["items"]) == (code, code, [])
    assert error["code"].startswith("api.")
    assert error["where"].startswith("GET /api/projects/")
    assert f"error: {error['where']}: " in ran.err
    assert "Traceback" not in ran.err


def test_an_unreachable_host_is_named(cli, checkout):
    nobody = "http://127.0.0.1:1"
    path = checkout.top / "endpoints.toml"
    path.write_text(re.sub('host = ".*"', f'host = "{nobody}"', path.read_text()))
    ran = cli("list", "--max-wait", "0.1")
    assert ran.code == 4
    assert f"{nobody}: " in ran.err


def test_get_prints_why_it_cannot_be_materialised_and_the_run_url(cli, create, server):
    unfit = "SELECT count() AS n FROM events WHERE event IN {variables.kind}"
    create("unfit", unfit, variables={"kind": ("String", "a")})
    create("fit", "SELECT count() AS n FROM events")
    url = f"{server.url}/api/projects/1/endpoints/unfit/run"
    out = cli("get", "unfit").out
    assert "  materialised    no, and it cannot be: Variables not supported: " in out
    assert f"  run             POST {url}\n" in out
    assert f"  run             POST {url}?version=1\n" in cli("get", "unfit", "--version", "1").out
    assert "  materialised    no\n" in cli("get", "fit").out
    (item,) = cli("get", "unfit", "--format", "json").json["items"]
    assert (item["run_url"], item["materialization"]["can_materialize"]) == (url, False)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_list_fits_the_terminal(cli, create, monkeypatch, width):
    text = "every sign-up of the last month, and where it came from, with the plan that was chosen"
    create("a_name_of_some_length", description=text)
    assert text in cli("list").out, "a file or a pipe gets all of it"
    monkeypatch.setattr(Console, "width", lambda _: width)
    shown = cli("list").out
    assert max(map(len, shown.splitlines())) <= width
    assert "…" in shown
