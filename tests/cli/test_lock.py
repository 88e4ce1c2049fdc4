"""`lock` and `lock --check`: what is pinned, what is asked for it, and how manifest and lock are found to disagree."""

from __future__ import annotations

import subprocess
import sys

import pytest

from endpoints_gitops.contract.build import from_pin
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import PinnedColumn, PinnedExample, PinnedVariable

SQL = (
    "SELECT plan, sum(amount) AS mrr FROM (SELECT 'a' AS plan, 1 AS amount) WHERE plan = {variables.plan} GROUP BY plan"
)
NEWEST = '"*"'


@pytest.fixture
def asked(server):
    """The paths that were asked for since the last look, without what all have in common."""

    def look():
        paths = [one.path.partition("/api/projects/1/")[2] for one in server.requests.entries()]
        server.requests.clear()
        return sorted(paths)

    return look


def test_a_pin_records_the_state_of_the_server(cli, uses, pins, create):
    made = create("revenue", SQL, variables={"plan": ("String", "a")}, data_freshness_seconds=900)
    uses(revenue=NEWEST)
    assert cli("lock").code == 0
    (pin,) = pins().values()
    assert (pin.environment, pin.name, pin.endpoint_id, pin.version) == ("test", "revenue", made.id, 1)
    assert (pin.version_id, pin.created_at) == (made.current_version_id, made.created_at)
    assert (pin.kind, pin.query["query"], pin.materialized, pin.freshness_seconds) == ("HogQLQuery", SQL, False, 900)
    assert pin.variables == (PinnedVariable(name="plan", type="String", required=False, has_default=True, default="a"),)
    assert pin.columns == (
        PinnedColumn(name="plan", type="string", nullable=False),
        PinnedColumn(name="mrr", type="integer", nullable=False),
    )


def test_an_insight_is_pinned_with_its_breakdown_as_variable(cli, uses, pins, client):
    trends = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}]}
    broken_down = trends | {"breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"}}
    client.create_endpoint({"name": "views", "query": broken_down, "is_materialized": True})
    uses(views=NEWEST)
    assert cli("lock").code == 0
    pin = pins()["views"]
    assert (pin.kind, pin.columns, pin.materialized) == ("TrendsQuery", None, True)
    assert [(one.name, one.required) for one in pin.variables] == [("$browser", True)]
    assert cli("lock", "--verify").code == 0


def test_lock_keeps_adds_and_drops_pins_without_asking(cli, uses, pins, create, edit, checkout):
    for name in ("kept", "added", "dropped"):
        create(name)
    uses(kept=NEWEST, dropped=NEWEST)
    assert cli("lock").code == 0
    edit("kept", "SELECT 2 AS one")
    uses(kept=NEWEST, added=NEWEST)
    ran = cli("lock", "--format", "json", input="")
    actions = {item["name"]: (item["action"], item["version"]) for item in ran.json["items"]}
    assert actions == {"kept": ("kept", 1), "added": ("added", 1), "dropped": ("dropped", 1)}
    assert ran.json["summary"] == {"pins": 2, "added": 1, "dropped": 1, "kept": 1}
    assert pins().keys() == {"kept", "added"}
    before = (checkout.top / "endpoints.lock").stat().st_mtime_ns
    assert "endpoints.lock is unchanged" in cli("lock").err
    assert (checkout.top / "endpoints.lock").stat().st_mtime_ns == before, "what says the same is not written"


def test_lock_pins_the_exact_version_of_the_manifest(cli, uses, pins, create, edit):
    create("revenue", "SELECT 1 AS one")
    edit("revenue", "SELECT 2 AS two")
    uses(revenue="{ version = 1 }")
    assert cli("lock").code == 0
    assert (pins()["revenue"].version, pins()["revenue"].query["query"]) == (1, "SELECT 1 AS one")


REQUESTS = {
    "one newest": ({"a": NEWEST}, ["endpoints/a/"]),
    "several newest": ({"a": NEWEST, "b": NEWEST}, ["endpoints/?limit=500"]),
    "exact": ({"a": "{ version = 1 }"}, ["endpoints/a/?version=1"]),
    "with variables": (
        {"a": NEWEST, "b": NEWEST, "v": NEWEST, "w": NEWEST},
        ["endpoints/?limit=500", "insight_variables/"],
    ),
}


@pytest.mark.parametrize(("said", "paths"), REQUESTS.values(), ids=REQUESTS)
def test_lock_sends_few_requests(cli, uses, create, asked, said, paths):
    for name in "ab":
        create(name)
    for name in "vw":
        create(name, f"SELECT {{variables.{name}}} AS one", variables={name: ("Date", "2026-07-01")})
    uses(**said)
    assert cli("lock").code == 0
    assert asked() == paths
    assert cli("lock").code == 0
    assert asked() == [], "what is pinned is not asked for again"


def test_lock_works_with_a_key_that_can_only_read(cli, make_cli, uses, pins, create, server, checkout):
    kinds = {"word": "String", "day": "Date", "flag": "Boolean", "number": "Number", "words": "List"}
    defaults = {"word": "a", "day": "2026-07-01", "flag": True, "number": 3, "words": "a"}
    named = ", ".join(f"{{variables.{name}}} AS {name}" for name in kinds)
    create("all_kinds", f"SELECT {named}", variables={name: (kind, defaults[name]) for name, kind in kinds.items()})
    uses(all_kinds=NEWEST)
    assert cli("lock").code == 0
    whole = (checkout.top / "endpoints.lock").read_bytes()
    (checkout.top / "endpoints.lock").unlink()
    ran = make_cli(checkout.top, key=server.issue_key("endpoint:read"))
    uses(all_kinds=NEWEST)
    assert ran("lock").code == 0
    assert {one.name: one.type for one in pins()["all_kinds"].variables} == kinds
    assert (checkout.top / "endpoints.lock").read_bytes() == whole
    assert ran("lock", "--verify").code == 0


def test_a_project_secret_key_cannot_lock(make_cli, uses, create, server, checkout, asked):
    create("revenue")
    ran = make_cli(checkout.top, key=server.project_secret_key)
    uses(revenue=NEWEST)
    assert ran("lock").code == 3
    assert asked() == []
    assert not (checkout.top / "endpoints.lock").exists()


def test_a_name_that_the_server_lacks_leaves_the_lock_untouched(cli, uses, create, checkout):
    create("revenue")
    create("signups")
    uses(signups=NEWEST)
    assert cli("lock").code == 0
    before = (checkout.top / "endpoints.lock").read_bytes()
    for said in ({"revenu": NEWEST}, {"revenu": "{ version = 1 }"}, {"revenu": NEWEST, "revenue": NEWEST}):
        uses(signups=NEWEST, **said)
        ran = cli("lock", "--format", "json")
        (error,) = ran.json["errors"]
        assert ran.code == 1
        assert "environment test has no endpoint 'revenu'; did you mean 'revenue'?" in error["message"]
        assert error["where"] == "endpoints.toml:8"
    uses(signups=NEWEST, revenue="{ version = 7 }")
    ran = cli("lock")
    assert (ran.code, "environment test has no version 7 of revenue; its newest is 1" in ran.err) == (1, True)
    assert (checkout.top / "endpoints.lock").read_bytes() == before


def test_lock_refuses_a_version_changed_by_hand(cli, uses, pins, create, edit, asked):
    create("revenue")
    uses(revenue="{ version = 1 }")
    assert cli("lock").code == 0
    edit("revenue", "SELECT 2 AS one")
    uses(revenue="{ version = 2 }")
    asked()
    for words in (["lock"], ["lock", "--check"]):
        ran = cli(*words)
        assert ran.code == 1
        assert "endpoints.toml:7:1: P108 revenue is pinned to version 1 in environment test" in ran.out
        assert "fix: endpoints-gitops upgrade revenue@2 --env test" in ran.out
    assert (asked(), pins()["revenue"].version) == ([], 1)
    assert cli("upgrade", "revenue@2", "--env", "test").code == 0
    assert (pins()["revenue"].version, cli("lock", "--check").code) == (2, 0)


def test_lock_pins_and_reports_inactive_endpoints(cli, uses, create):
    create("revenue", is_active=False)
    uses(revenue=NEWEST)
    ran = cli("lock")
    assert (ran.code, "revenue is inactive: calls of it are a 404" in ran.out) == (0, True)


DEFINED = "name: revenue\nquery: SELECT 1 AS one\nexamples:\n- {name: all, variables: {plan: pro}, rows: [[1]]}\n"


def test_examples_come_from_the_definition_else_from_the_manifest(cli, uses, pins, create, checkout):
    create("revenue")
    uses(revenue='{ version = "*", examples = [{ day = 2026-07-01, plans = ["a"] }] }')
    assert cli("lock").code == 0
    assert pins()["revenue"].examples == (PinnedExample(variables={"day": "2026-07-01", "plans": ["a"]}),)
    checkout.write({"revenue.yaml": DEFINED})
    ran = cli("lock")
    assert "changed  revenue@1 (test)  other examples" in ran.out
    assert pins()["revenue"].examples == (PinnedExample(name="all", variables={"plan": "pro"}, rows=([1],)),)
    assert cli("lock", "--check").code == 0
    checkout.write({"revenue.yaml": DEFINED.replace("query:", "qery:")})
    assert (cli("lock").code, cli("lock", "--check").code) == (2, 0), (
        "examples need the files right, comparing does not"
    )


def test_examples_in_the_manifest_are_compared_where_there_are_no_definitions(cli, uses, create, checkout):
    create("revenue")
    (checkout.top / "endpoints").rmdir()
    uses(revenue='{ version = "*", examples = [{ plan = "a" }] }')
    assert cli("lock").code == 0
    uses(revenue='{ version = "*", examples = [{ plan = "b" }] }')
    assert (cli("lock", "--check").code, cli("lock").code, cli("lock", "--check").code) == (1, 0, 0)


CHECKS = {
    "agreeing": ({"a": NEWEST, "b": '{ version = 1, reads = "position" }'}, 0, []),
    "a new use": ({"a": NEWEST, "b": NEWEST, "c": NEWEST}, 1, ["c is used in environment test and not pinned"]),
    "an old pin": ({"a": NEWEST}, 1, ["b@1 is pinned in environment test and no longer used"]),
    "another version": ({"a": NEWEST, "b": "{ version = 2 }"}, 1, ["b is pinned to version 1 in environment test"]),
    "nothing used": ({}, 1, ["a@1 is pinned", "b@1 is pinned"]),
}


@pytest.mark.parametrize(("said", "code", "messages"), CHECKS.values(), ids=CHECKS)
def test_lock_check_compares_manifest_and_lock(cli, uses, create, asked, said, code, messages):
    create("a")
    create("b")
    uses(a=NEWEST, b=NEWEST)
    assert cli("lock").code == 0
    asked()
    uses(**said)
    ran = cli("lock", "--check", "--format", "json", env={"ENDPOINTS_TEST_KEY": ""})
    found = ran.json["items"]
    assert (ran.code, ran.json["summary"]["errors"]) == (code, len(messages))
    assert all(message in item["message"] for message, item in zip(messages, found, strict=True))
    assert {(item["code"], item["severity"], item["environment"]) for item in found} <= {("P108", "error", "test")}
    assert asked() == [], "offline"


def test_lock_check_without_lock_or_uses(cli, uses):
    assert (cli("lock", "--check").code, cli("lock").code) == (0, 0), "nothing is used, nothing is locked"
    uses(a=NEWEST)
    ran = cli("lock", "--check")
    assert (ran.code, "endpoints.lock does not exist" in ran.err) == (1, True)


@pytest.mark.parametrize("command", ["lock", "outdated", "upgrade"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text.replace("\nversion = 1", "\n<<<<<<< HEAD\nversion = 1"),
            "the file has conflict markers",
        ),
        (
            lambda text: text.replace("schema_version = 2", "schema_version = 9"),
            "schema_version is 9, but",
        ),
        (lambda text: text + text[text.index("[[pins]]") :], "a is pinned twice in environment test"),
        (lambda text: text.replace("materialized", "materialised"), "unknown key 'materialised'"),
        (lambda text: text[:-20], "not valid TOML"),
    ],
)
def test_a_damaged_lock_is_refused(cli, uses, create, checkout, asked, command, change, said):
    create("a")
    uses(a=NEWEST)
    assert cli("lock").code == 0
    path = checkout.top / "endpoints.lock"
    path.write_text(change(path.read_text()))
    before = path.read_bytes()
    asked()
    for words in [[command], ["lock", "--check"]]:
        ran = cli(*words)
        assert (ran.code, said in ran.err) == (2, True), ran.err
    assert (asked(), path.read_bytes()) == ([], before)


def test_a_pyproject_and_the_variables_of_posthog_cli(cli, create, pins, checkout, server):
    create("revenue")
    (checkout.top / "endpoints.toml").unlink()
    (checkout.top / "pyproject.toml").write_text('[tool.endpoints-gitops.uses]\nrevenue = "*"\n')
    env = {"POSTHOG_CLI_HOST": server.url, "POSTHOG_CLI_API_KEY": server.key, "POSTHOG_CLI_PROJECT_ID": "1"}
    assert cli("lock", env=env).code == 0
    assert pins()["revenue"].environment == "default"
    (checkout.top / "pyproject.toml").write_text("[tool.endpoints-gitops.uses]\nrevenue = { version = 2 }\n")
    ran = cli("lock", "--check")
    assert (ran.code, "pyproject.toml:2:1: P108" in ran.out) == (1, True), ran.err


def test_without_a_configuration_there_is_no_manifest(cli, checkout):
    (checkout.top / "endpoints.toml").unlink()
    for words in (["lock"], ["lock", "--check"], ["lock", "--verify"], ["outdated"], ["upgrade"]):
        ran = cli(*words)
        assert (ran.code, "no configuration here names the endpoints that are used" in ran.err) == (2, True)


HEAVY = {"pydantic", "httpx", "tomlkit", "hogql_parser_rs", "ruamel.yaml", "deepdiff", "rich", "endpoints_gitops.hogql"}
CHECK = """
import sys
from endpoints_gitops.cli.entry import main
assert main(["lock", "--check"]) == 0
print(*sys.modules)
"""


def test_lock_check_imports_little(cli, uses, create, checkout):
    create("revenue")
    uses(revenue=NEWEST)
    assert cli("lock").code == 0
    ran = subprocess.run([sys.executable, "-c", CHECK], cwd=checkout.top, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "endpoints_gitops.codecs.lock" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("words", [["lock"], ["outdated"], ["upgrade"], ["lock", "--verify"]])
def test_lock_exits_with_4_and_writes_nothing_if_the_server_does_not_answer(
    cli, uses, create, edit, server, checkout, words
):
    for name in ("a", "b", "new"):
        create(name)
    uses(a=NEWEST, b=NEWEST)
    assert cli("lock").code == 0
    edit("a", "SELECT 1 AS one, 2 AS two")
    uses(a=NEWEST, b=NEWEST, new=NEWEST)
    before = (checkout.top / "endpoints.lock").read_bytes()
    server.faults.add(Fault(effect=Effect.ERROR))
    ran = cli(*words, "--max-wait", "0.1", "--format", "json")
    assert (ran.code, bool(ran.json["errors"])) == (4, True)
    assert (checkout.top / "endpoints.lock").read_bytes() == before


EDITS = {
    "the version": ("\nversion = 1", "\nversion = 2"),
    "a type": ('type = "integer"', 'type = "string"'),
    "the contract hash": ('contract_hash = "', 'contract_hash = "0'),
}


@pytest.mark.parametrize(("old", "new"), EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("schema", [1, 2])
def test_lock_check_notices_edits(cli, uses, create, checkout, pins, old, new, schema):
    create("revenue", "SELECT 1 AS mrr")
    uses(revenue=NEWEST)
    assert cli("lock").code == 0
    path = checkout.top / "endpoints.lock"
    (pin,) = pins().values()
    text = path.read_text()
    if schema == 1:  # as an older release wrote it
        text = text.replace("schema_version = 2", "schema_version = 1").replace(pin.contract_hash, from_pin(pin).hash)
        path.write_text(text)
        ran = cli("lock", "--check")
        assert (ran.code, "was written by an older release" in ran.err) == (0, True), ran.err
        if old == "\nversion = 1":
            return  # what an older release wrote says nothing of it
    path.write_text(text.replace(old, new, 1))
    for words in (["lock", "--check"], ["check"], ["outdated"]):
        ran = cli(*words)
        assert (ran.code, "the lock was edited by hand" in ran.err) == (2, True), (words, ran.err)


def test_a_lock_of_an_older_release_is_rewritten_with_its_pins(cli, uses, create, edit, checkout, pins):
    create("revenue", "SELECT 1 AS mrr")
    uses(revenue=NEWEST)
    assert cli("lock").code == 0
    (pin,) = pins().values()
    edit("revenue", "SELECT 2 AS mrr")
    path = checkout.top / "endpoints.lock"
    text = path.read_text()
    path.write_text(
        text.replace("schema_version = 2", "schema_version = 1").replace(pin.contract_hash, from_pin(pin).hash)
    )
    assert "was written by an older release" in cli("lock", "--check").err
    assert cli("lock").code == 0
    assert path.read_text() == text, "the pins stay, and the file is of this release"
    assert "older release" not in cli("lock", "--check").err
