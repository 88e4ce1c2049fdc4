"""What `pull` does to files: only what changed, only inside of the folder, and nothing at all when something fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.codecs.schema import SCHEMA_FILE, SCHEMA_URL, SHIPPED
from endpoints_gitops.local.faults import Effect, Fault


def hogql(sql, **more):
    return {"kind": "HogQLQuery", "query": sql, **more}


EVENT = {"kind": "EventsNode", "event": "$pageview"}
TRENDS = {"kind": "TrendsQuery", "series": [EVENT], "breakdownFilter": {"breakdowns": [{"property": "$browser"}]}}
RETENTION = {
    "kind": "RetentionQuery",
    "retentionFilter": {"period": "Week", "totalIntervals": 8, "targetEntity": {"id": "$pageview", "type": "events"}},
}
EVERYTHING = {
    "plain": {"query": hogql("SELECT 1 AS one")},
    "blanks": {"query": hogql("SELECT 1 AS one,   \n\t2 AS two -- \U0001f600\n")},
    "web": {"query": hogql("SELECT 1 AS one\r\nFROM events\r\n")},
    "quoted": {"query": hogql("SELECT 'a\r\nb' AS text")},
    "filtered": {"query": hogql("SELECT 1 AS one FROM events", filters={"dateRange": {"date_from": "-7d"}})},
    "modified": {"query": hogql("SELECT 1 AS one", modifiers={"personsOnEventsMode": "disabled"})},
    "valued": {"query": hogql("SELECT 1 AS one", values={"x": [1, None]})},
    "described": {"query": hogql("SELECT 1"), "description": "yes: no\n- # 'it' \"is\"", "tags": ["b", "a", "1"]},
    "inactive": {"query": hogql("SELECT 1"), "is_active": False, "data_freshness_seconds": 604800},
    "trends": {"query": TRENDS, "optional_breakdown_properties": ["$browser"], "data_freshness_seconds": 900},
    "funnels": {"query": {"kind": "FunnelsQuery", "series": [EVENT, EVENT], "funnelsFilter": {"layout": "vertical"}}},
    "retention": {"query": RETENTION},
    "lifecycle": {"query": {"kind": "LifecycleQuery", "series": [EVENT], "interval": "week"}},
    "stickiness": {"query": {"kind": "StickinessQuery", "series": [EVENT]}},
    "paths": {"query": {"kind": "PathsQuery", "pathsFilter": {"includeEventTypes": ["$pageview"]}}},
    "stats": {"query": {"kind": "WebStatsTableQuery", "breakdownBy": "Page", "properties": []}},
    "overview": {"query": {"kind": "WebOverviewQuery", "properties": []}},
    "table": {"query": hogql("SELECT count() AS c FROM events"), "is_materialized": True},
    "buckets": {
        "query": hogql("SELECT count() AS c FROM events WHERE timestamp >= {variables.a_date}"),
        "is_materialized": True, "bucket_overrides": {"timestamp": "hour"}, "data_freshness_seconds": 3600,
    },
    "variables": {
        "query": hogql(
            "SELECT {variables.a_text}, {variables.a_number}, {variables.a_flag}, {variables.a_list},"
            " {variables.a_date}, {variables.nothing}"
        ),
    },
}  # fmt: skip
VARIABLES = {
    "a_text": ("String", "x", {}),
    "a_number": ("Number", 0, {}),
    "a_flag": ("Boolean", False, {}),
    "a_list": ("List", "one", {"values": ["one", "2"]}),
    "a_date": ("Date", "2026-07-01", {}),
    "nothing": ("Number", None, {}),
}


@pytest.fixture
def everything(client):
    """An endpoint of every kind, with every setting; the label of one variable is not its name."""
    for name, (kind, default, more) in VARIABLES.items():
        client.create_variable({"name": name, "type": kind, "default_value": default} | more)
    client.update_variable(client.list_variables()[0].id, {"name": "A text, so to say"})
    for name, body in EVERYTHING.items():
        client.create_endpoint({"name": name, **body})


@pytest.mark.usefixtures("everything")
def test_pull_writes_every_kind_of_endpoint_completely(cli, checkout, server):
    ran = cli("pull", "--format", "json")
    assert (ran.code, ran.json["summary"]["created"]) == (0, len(EVERYTHING)), ran.err
    assert {path.name for path in checkout.folder.iterdir()} == {f"{name}.yaml" for name in EVERYTHING}
    diff = cli("diff")
    assert diff.code == 0, diff.out
    files = {path: path.read_bytes() for path in checkout.folder.iterdir()}
    assert cli("pull").code == 0
    assert {path: path.read_bytes() for path in checkout.folder.iterdir()} == files
    server.requests.clear()
    assert cli("push", "--yes").code == 0
    assert server.requests.writes() == ()


CHANGED = {
    "plain": {"query": hogql("SELECT 2 AS two")},
    "filtered": {"query": hogql("SELECT 2 AS two FROM events", filters={"filterTestAccounts": True})},
    "modified": {"query": hogql("SELECT 1 AS one")},
    "described": {"description": "short", "tags": ["c"]},
    "inactive": {"is_active": True},
    "trends": {"query": {**TRENDS, "interval": "week", "series": [EVENT, {**EVENT, "math": "dau"}]}},
    "retention": {"query": {**RETENTION, "filterTestAccounts": True}},
    "funnels": {"query": hogql("SELECT 1 AS now_hogql")},
    "lifecycle": {"query": {"kind": "LifecycleQuery", "series": [EVENT], "interval": "day"}},
    "table": {"is_materialized": False},
    "buckets": {"bucket_overrides": {"timestamp": "week"}, "data_freshness_seconds": 900},
    "variables": {"query": hogql("SELECT {variables.a_number}, {variables.a_date}")},
}


@pytest.mark.usefixtures("everything")
def test_pull_updates_every_kind_of_endpoint(cli, client):
    assert cli("pull").code == 0
    for name, body in CHANGED.items():
        client.update_endpoint(name, body)
    ran = cli("pull", "--format", "json")
    managed = CHANGED.keys() - {"lifecycle"}
    assert (ran.code, {one["name"] for one in ran.json["items"] if one["state"] == "updated"}) == (
        0,
        managed | {"lifecycle"},
    )
    diff = cli("diff")
    assert diff.code == 0, diff.out


INSIGHT = """\
name: visits
query_definition:
  kind: TrendsQuery   # by hand
  interval: day       # the server's default, said all the same
  series:
    - {event: $pageview, kind: EventsNode}   # all pages
  breakdownFilter: {breakdown: $browser, breakdown_type: event}
optional_breakdown_properties: [$browser]
"""
WITH_FILE = "name: visits\nquery_file: visits.sql   # beside it\ndescription: Visits\n"
LISTED = """\
name: visits
query: SELECT {variables.n} AS n, {variables.plan} AS plan
variables:
  # how many
  - name: n
    type: integer   # posthog-cli's word
    default: 3      # enough
  - {name: plan, type: String, default: pro}
"""
OVERLAY = """\
name: visits
query: SELECT 1 AS n
tags: [all]
data_freshness: 24hour
materialization: {enabled: false}
environments:
  test:
    tags: [test]   # only here
    data_freshness: 3600
  prod: {active: false, tags: [prod]}
"""
CASES = {
    "one key of an insight": (
        {"visits.yaml": INSIGHT},
        {"query": {"kind": "TrendsQuery", "series": [EVENT], "breakdownFilter": {"breakdown": "$os"}},
         "optional_breakdown_properties": ["$os"]},
        {"visits.yaml": INSIGHT.replace("$browser", "$os")},
    ),
    "a .sql file": (
        {"visits.yaml": WITH_FILE, "visits.sql": "SELECT 1 AS n\nFROM events\n"},
        {"query": hogql("SELECT 2 AS n\nFROM events")},
        {"visits.yaml": WITH_FILE, "visits.sql": "SELECT 2 AS n\nFROM events\n"},
    ),
    "a .sql file of Windows": (
        {"visits.yaml": WITH_FILE, "visits.sql": "\ufeffSELECT 1 AS n\r\nFROM events"},
        {"query": hogql("SELECT 2 AS n\nFROM events")},
        {"visits.yaml": WITH_FILE, "visits.sql": "\ufeffSELECT 2 AS n\r\nFROM events"},
    ),
    "a .sql file that others use": (
        {
            "visits.yaml": WITH_FILE, "visits.sql": "SELECT 1 AS n",
            "others.yaml": "name: others\nquery_file: visits.sql\n",
        },
        {"query": hogql("SELECT 2 AS n")},
        {"visits.yaml": "name: visits\ndescription: Visits\nquery: SELECT 2 AS n\n", "visits.sql": "SELECT 1 AS n"},
    ),
    "a default": (
        {"visits.yaml": LISTED},
        {"query": hogql("SELECT {variables.n} AS n, {variables.plan} AS plan", variables={"plan": "free"})},
        {"visits.yaml": LISTED.replace("default: pro", "default: free")},
    ),
    "a variable less": (
        {"visits.yaml": LISTED},
        {"query": hogql("SELECT {variables.n} AS n")},
        {"visits.yaml": LISTED.replace(", {variables.plan} AS plan", "").replace(
            "  - {name: plan, type: String, default: pro}\n", "")},
    ),
    "overlay": (
        {"visits.yaml": OVERLAY},
        {"tags": ["mine"], "data_freshness_seconds": 900, "is_materialized": True},
        {"visits.yaml": OVERLAY.replace("[test]", "[mine]").replace("3600", "900").replace("false}", "true}", 1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_pull_changes_only_lines_that_changed(cli, client, checkout, case):
    before, change, after = CASES[case]
    for name, text in before.items():
        (checkout.folder / name).write_bytes(text.encode())
    checkout.commit()
    assert cli("push", "--yes").code == 0
    client.update_endpoint("visits", _with_ids(client, change))
    ran = cli("pull")
    assert ran.code == 0, ran.err
    assert {name: (checkout.folder / name).read_bytes().decode() for name in after} == after
    assert cli("diff").code == 0


def _with_ids(client, change):
    """The body with its variables under the ids of the project."""
    given = change.get("query", {}).get("variables")
    if not given:
        return change
    ids = {one.code_name: one.id for one in client.list_variables()}
    entries = {ids[name]: {"code_name": name, "variableId": ids[name], "value": value} for name, value in given.items()}
    return {**change, "query": {**change["query"], "variables": entries}}


def test_a_new_variable_is_pulled_with_its_type(cli, client, checkout):
    checkout.commit({"visits.yaml": "name: visits\nquery: SELECT 1 AS n  # ours\n"})
    assert cli("push", "--yes").code == 0
    client.create_variable({"name": "since", "type": "Date", "default_value": "2026-07-01"})
    client.update_endpoint("visits", {"query": hogql("SELECT {variables.since} AS n")})
    assert cli("pull").code == 0
    text = (checkout.folder / "visits.yaml").read_text()
    assert "type: Date" in text
    assert "# ours" in text
    assert cli("diff").code == 0


@pytest.mark.parametrize(
    ("is_committed", "words", "code", "kind"),
    [
        (True, [], 0, "Number"),
        (False, [], 6, "string"),
        (False, ["--yes"], 0, "Number"),
        (False, ["--theirs"], 0, "Number"),
        (False, ["--mine"], 0, "string"),
    ],
)
def test_pull_corrects_a_guessed_type(cli, create, checkout, is_committed, words, code, kind):
    create("visits", "SELECT {variables.n} AS n", variables={"n": ("Number", None)})
    text = "name: visits\nquery: SELECT {variables.n} AS n\nvariables:\n- name: n\n  type: string # guessed\n"
    checkout.write({"visits.yaml": text})
    if is_committed:
        checkout.commit()
    ran = cli("pull", *words)
    assert ran.code == code, ran.err
    assert (checkout.folder / "visits.yaml").read_text() == text.replace("string", kind)


FAULTS = [
    {"effect": Effect.HTML, "status": 502},
    {"effect": Effect.HTML, "status": 200},
    {"effect": Effect.HALF},
    {"effect": Effect.BROKEN_JSON},
    {"effect": Effect.WRONG_JSON},
    {"effect": Effect.DROP},
    {"effect": Effect.ERROR, "status": 429, "retry_after": 9},
    {"effect": Effect.ERROR, "status": 503},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['effect']}-{fault.get('status', 0)}")
@pytest.mark.parametrize("path", ["*/endpoints", "*/insight_variables", "*/versions"])
def test_a_fault_during_pull_changes_no_file(cli, client, create, checkout, server, tmp_path, path, fault):
    create("known", "SELECT 1 AS n")
    checkout.commit({"known.yaml": "name: known\nquery: SELECT 1 AS n\n"})
    create("new", "SELECT {variables.n} AS n", variables={"n": ("Number", 3)})
    client.update_endpoint("known", {"query": hogql("SELECT 2 AS n")})
    server.faults.add(Fault(**fault, path=path))
    ran = cli("pull", "--max-wait", "0.2")
    assert ran.code == 4, ran.err
    assert [path.name for path in checkout.folder.iterdir()] == ["known.yaml"]
    assert "SELECT 1" in (checkout.folder / "known.yaml").read_text()
    assert not list((tmp_path / "state").rglob("record.json"))


def test_pull_reports_endpoints_that_no_file_can_express(cli, create, checkout, server, tmp_path):
    create("good")
    for number, name in enumerate(("../../evil", "/tmp/evil", "a/b", "..", "nul\0", "end\n")):
        stored = server.store.endpoints.first("id = ?", (create(f"bad{number}").id,))
        server.store.endpoints.update(replace(stored, name=name))
    before = {path for path in tmp_path.rglob("*") if "endpoints" not in path.parts}
    ran = cli("pull", "--format", "json")
    assert (ran.code, ran.json["summary"]) == (2, {"failed": 6, "created": 1, "outside": 0}), ran.err
    assert [path.name for path in checkout.folder.rglob("*")] == ["good.yaml"]
    new = {path for path in tmp_path.rglob("*") if "endpoints" not in path.parts} - before
    assert all("state" in path.parts for path in new)


@pytest.mark.parametrize("is_there", [True, False])
def test_pull_follows_no_link_out_of_the_folder(cli, client, create, checkout, tmp_path, is_there):
    create("visits", "SELECT 1 AS n")
    outside = tmp_path / "outside.yaml"
    if is_there:
        outside.write_text("name: visits\nquery: SELECT 1 AS n\n")
    (checkout.folder / "visits.yaml").symlink_to(outside)
    if is_there:
        ran = cli("pull")
        assert (ran.code, "leads out of the repository" in ran.err) == (2, True)
        client.update_endpoint("visits", {"query": hogql("SELECT 2 AS n")})
    ran = cli("pull", "--theirs")
    assert ran.code == 2, ran.err
    assert (outside.exists(), is_there and "SELECT 1" in outside.read_text()) == (is_there, is_there)


@pytest.mark.parametrize(
    "text",
    ["name: visits\nquery: [", "name: other\nquery: SELECT 1\n", "- a list\n", "\ufffe", "name: visits\nqeury: x\n"],
)
def test_pull_never_overwrites_an_unrelated_file(cli, create, checkout, text):
    create("visits", "SELECT 1 AS n")
    path = checkout.folder / "visits.yaml"
    path.write_text(text)
    assert cli("pull", "--theirs", "--yes").code == 2
    assert path.read_text() == text


def test_manage_and_selectors_limit_pull(cli, create, checkout):
    for name, tags in (("ours", ["a"]), ("tagged", ["keep"]), ("stranger", [])):
        create(name, tags=tags)
    configuration = checkout.top / "endpoints.toml"
    configuration.write_text('manage = ["o*", "tag:keep"]\n' + configuration.read_text())
    assert cli("pull", "tag:keep").code == 0
    assert [path.name for path in checkout.folder.iterdir()] == ["tagged.yaml"]
    ran = cli("pull", "--format", "json")
    assert ran.json["summary"] == {"created": 1, "unchanged": 1, "outside": 1}
    assert {path.name for path in checkout.folder.iterdir()} == {"tagged.yaml", "ours.yaml"}
    assert cli("pull", "strange").code == 2


def test_the_first_pull_creates_the_folder(cli, create, checkout):
    create("visits")
    checkout.folder.rmdir()
    assert cli("pull").code == 0
    assert [path.name for path in checkout.folder.iterdir()] == ["visits.yaml"]


def test_a_new_file_points_editors_to_the_schema_of_this_release_or_to_the_one_beside_it(cli, create, checkout):
    create("signups")
    create("revenue")
    assert cli("pull", "signups", "--yes").code == 0
    first = (checkout.folder / "signups.yaml").read_text().partition("\n")[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_URL}"
    ran = cli("schema", "--out", "endpoints/endpoints.schema.json")
    assert (ran.code, ran.out, "wrote endpoints/endpoints.schema.json" in ran.err) == (0, "", True), ran.err
    written = (checkout.folder / SCHEMA_FILE).stat()
    ran = cli("schema", "--out", "endpoints/endpoints.schema.json")
    assert (ran.code, ran.err) == (0, "endpoints/endpoints.schema.json is up to date\n")
    kept = (checkout.folder / SCHEMA_FILE).stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (written.st_ino, written.st_mtime_ns), "the file was not written again"
    assert (checkout.folder / SCHEMA_FILE).read_bytes() == SHIPPED.read_bytes()
    assert cli("pull", "revenue", "--yes").code == 0
    assert (checkout.folder / "revenue.yaml").read_text().startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    assert cli("check").code == 0
    assert cli("pull", "--yes").code == 0
    assert (checkout.folder / "signups.yaml").read_text().startswith(first), "what is there is not touched"


@pytest.mark.parametrize("words", [("schema", "--out"), ("plan", "--out")])
def test_an_output_does_not_overwrite_a_definition(cli, checkout, words):
    text = "name: one\nquery: SELECT 1 AS a\n"
    checkout.write({"one.yaml": text, "empty.json": ""})
    ran = cli(*words, "endpoints/one.yaml")
    assert ran.code == 2
    assert "error: endpoints/one.yaml exists, and it is not a " in ran.err
    assert (checkout.folder / "one.yaml").read_text() == text
    for _ in range(2):
        assert cli(*words, "endpoints/empty.json").code == 0
    assert (checkout.folder / "empty.json").read_text().startswith("{")


def test_a_schema_that_cannot_be_written_is_reported(cli, checkout):
    (checkout.top / "folder").mkdir()
    ran = cli("schema", "--out", "folder")
    assert (ran.code, "folder" in ran.err) == (2, True), ran.err


@pytest.mark.parametrize("text", ["name:\tvisits\nquery:\tSELECT 1 AS n\n", "name: visits\r\nquery: SELECT 1 AS n\r\n"])
def test_what_check_accepts_pull_rewrites_and_writes_only_what_changes(cli, client, create, checkout, text):
    for name in ("visits", "still"):
        create(name, "SELECT 1 AS n")
        (checkout.folder / f"{name}.yaml").write_bytes(text.replace("visits", name).encode())
    assert cli("check").code == 0
    inode = (checkout.folder / "still.yaml").stat().st_ino
    client.update_endpoint("visits", {"query": hogql("SELECT 2 AS n")})
    ran = cli("pull", "--theirs")
    assert ran.code == 0, ran.err
    assert (checkout.folder / "visits.yaml").read_bytes() == text.replace("SELECT 1", "SELECT 2").encode()
    assert (checkout.folder / "still.yaml").stat().st_ino == inode
