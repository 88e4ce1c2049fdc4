"""`openapi pull` and `openapi combine`: files that reviews and generators read, and nothing of others is replaced."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import yaml
from openapi_spec_validator import validate

from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import Lock

SQL = "SELECT {variables.plan} AS plan, 1 AS n"
NEWEST = '"*"'


@pytest.fixture
def locked(cli, uses, create, checkout):
    """`revenue` with a variable, and `sign-ups`; both pinned in version 1."""
    create("revenue", SQL, variables={"plan": ("String", "pro")})
    create("sign-ups")
    uses(**{"revenue": NEWEST, "sign-ups": NEWEST})
    assert cli("lock").code == 0
    return checkout.top


@pytest.fixture
def pulled(locked, cli):
    assert cli("openapi", "pull").code == 0
    return locked / "openapi"


@pytest.fixture
def relock(checkout, pins):
    """Rewrites pins of the lock: `relock(revenue=lambda pin: replace(pin, …))`; None drops one."""

    def write(**changes):
        changed = {name.replace("_", "-"): change for name, change in changes.items()}
        kept = (
            changed.get(name, lambda same: same) and changed.get(name, lambda same: same)(pin)
            for name, pin in pins().items()
        )
        (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=tuple(filter(None, kept)))))

    return write


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_pull_writes_a_file_for_each_pin(locked, cli, server):
    server.requests.clear()
    ran = cli("openapi", "pull")
    assert (ran.code, ran.out) == (0, "added     openapi/revenue.json\nadded     openapi/sign-ups.json\n")
    asked = sorted(entry.path.partition("/api/projects/1/")[2] for entry in server.requests.entries())
    assert asked == [
        "endpoints/?limit=500", "endpoints/revenue/openapi.json?version=1", "endpoints/sign-ups/openapi.json?version=1",
    ]  # fmt: skip
    for name in ("revenue", "sign-ups"):
        text = (locked / "openapi" / f"{name}.json").read_text()
        document = json.loads(text)
        validate(document)
        assert document["info"]["title"] == name
        assert text == json.dumps(document, indent=2, sort_keys=True) + "\n", "stable bytes"
        assert server.key not in text
    variables = json.loads((locked / "openapi/revenue.json").read_text())["components"]["schemas"]["Variables"]
    assert variables["properties"]["plan"]["example"] == "pro"


SENTINEL = "phx_" + "0123456789abcdefABCDEF" * 2


@pytest.mark.parametrize(
    "words", [("pull",), ("pull", "--as-served"), ("combine",), ("combine", "--as-served", "--out", "all.yaml")]
)
def test_a_key_in_the_lock_does_not_get_into_a_document(cli, create, uses, checkout, words):
    create("revenue", "SELECT {variables.plan} AS plan", variables={"plan": ("String", SENTINEL)})
    uses(revenue='"*"')
    assert cli("lock").code == 0
    ran = cli("openapi", *words)
    assert (ran.code, "would contain text that looks like an API key" in ran.err) == (2, True), ran.err
    assert SENTINEL not in ran.out + ran.err
    assert not (checkout.top / "openapi").exists()
    assert not (checkout.top / "all.yaml").exists()


def test_pull_again_changes_no_file(pulled, cli):
    before = {path: path.stat().st_mtime_ns for path in pulled.iterdir()}
    ran = cli("openapi", "pull", "--format", "json")
    assert (ran.code, ran.json["summary"]) == (0, {"pins": 2, "unchanged": 2})
    assert {path: path.stat().st_mtime_ns for path in pulled.iterdir()} == before


def test_pull_follows_the_lock(pulled, cli, edit, uses):
    edit("revenue", "SELECT 1 AS one, 2 AS two")
    uses(revenue=NEWEST)
    assert (cli("upgrade").code, cli("lock").code) == (0, 0) or cli("upgrade", "--allow-breaking", "a test").code == 0
    assert cli("lock").code == 0
    ran = cli("openapi", "pull")
    assert (ran.code, ran.out) == (0, "changed   openapi/revenue.json\nremoved   openapi/sign-ups.json\n")
    assert list(contents(pulled)) == ["revenue.json"]
    assert json.loads((pulled / "revenue.json").read_text())["info"]["version"] == "2"


OTHERS = {
    "another document": '{"openapi": "3.0.3", "info": {"title": "sign-ups"}}',
    "not JSON": "<<<<<<< HEAD\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_pull_asks_before_it_replaces_a_file_of_others(locked, cli, text):
    folder = locked / "openapi"
    folder.mkdir()
    (folder / "sign-ups.json").write_text(text)
    (folder / "notes.json").write_text("{}")
    (folder / "readme.md").write_text("ours")
    before = contents(folder)
    ran = cli("openapi", "pull")
    assert (ran.code, contents(folder)) == (2, before)
    assert "openapi/sign-ups.json is not a document that this program wrote" in ran.err
    ran = cli("openapi", "pull", input="n\n")
    assert (ran.code, contents(folder)) == (2, before)
    assert cli("openapi", "pull", input="y\n").code == 0
    after = contents(folder)
    assert {name: after[name] for name in ("notes.json", "readme.md")} == {"notes.json": b"{}", "readme.md": b"ours"}
    assert json.loads(after["sign-ups.json"])["info"]["title"] == "sign-ups"
    assert cli("openapi", "pull", "--check").code == 0


def test_pull_replaces_with_yes(locked, cli):
    (locked / "openapi").mkdir()
    (locked / "openapi/sign-ups.json").write_text("{}")
    assert cli("openapi", "pull", "--yes").code == 0
    assert b"sign-ups" in contents(locked / "openapi")["sign-ups.json"]


def test_pull_follows_no_link_out_of_the_folder(locked, cli, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (locked / "openapi").mkdir()
    (locked / "openapi/sign-ups.json").symlink_to(outside)
    ran = cli("openapi", "pull", "--yes")
    assert (ran.code, outside.read_text()) == (2, "{}")
    assert "is outside" in ran.err


def recreated(client):
    client.delete_endpoint("sign-ups")
    client.create_endpoint({"name": "sign-ups", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})


GONE = {
    "recreated": (recreated, {"A105", "P103"}),
    "deleted": (lambda client: client.delete_endpoint("sign-ups"), {"P102"}),
}


@pytest.mark.parametrize(("change", "codes"), GONE.values(), ids=GONE)
@pytest.mark.parametrize("words", [("pull",), ("combine",)], ids=lambda words: words[0])
def test_a_pin_that_the_server_no_longer_has_is_refused(pulled, cli, client, words, change, codes):
    before = contents(pulled)
    change(client)
    ran = cli("openapi", *words, "--format", "json")
    assert (ran.code, {item["code"] for item in ran.json["items"]}, contents(pulled)) == (1, codes, before)


def test_other_identities_of_the_same_number_are_refused(locked, cli, relock):
    for change, code in (({"version_id": "5c1e0000-0000-4000-8000-000000000003"}, "P103"), ({"version": 9}, "P102")):
        relock(sign_ups=lambda pin, change=change: replace(pin, **change))
        ran = cli("openapi", "pull", "--format", "json")
        assert (ran.code, [item["code"] for item in ran.json["items"]]) == (1, [code]), change
    assert not (locked / "openapi").exists()


def test_the_key_that_may_read_endpoints_is_enough(locked, make_cli, server):
    text = (locked / "endpoints.toml").read_text()
    cli = make_cli(locked, key=server.issue_key("endpoint:read"))
    (locked / "endpoints.toml").write_text(text)
    assert cli("openapi", "pull").code == 0
    cli = make_cli(locked, key=server.project_secret_key)
    (locked / "endpoints.toml").write_text(text)
    assert cli("openapi", "pull").code == 3


def test_a_server_error_writes_nothing(pulled, cli, server):
    before = contents(pulled)
    server.faults.add(Fault(effect=Effect.ERROR, path="*/sign-ups/openapi.json", status=403))
    assert (cli("openapi", "pull").code, contents(pulled)) == (3, before)


def test_an_answer_that_is_no_document_is_a_failure(locked, cli, server, monkeypatch):
    server.faults.add(Fault(effect=Effect.WRONG_JSON, path="*/sign-ups/openapi.json", nth=1))
    ran = cli("openapi", "pull", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "api.bad_answer")
    monkeypatch.setattr("endpoints_gitops.local.openapi.document", lambda *_: {"openapi": "3.0.3"})
    ran = cli("openapi", "pull", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "openapi.answer")
    assert "the server's OpenAPI document of revenue@1 cannot be used: info is not an object" in ran.err
    assert not (locked / "openapi").exists()


def test_documents_of_another_environment_are_not_mixed(pulled, cli, checkout, pins):
    text = (checkout.top / "endpoints.toml").read_text()
    table = text.partition("[environments.test]")[2].partition("[uses]")[0]
    (checkout.top / "endpoints.toml").write_text(text.replace("[uses]", f"[environments.other]{table}[uses]"))
    both = [replace(pin, environment=name) for pin in pins().values() for name in ("test", "other")]
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=tuple(both))))
    before = contents(pulled)
    ran = cli("openapi", "pull", "--env", "other")
    assert (ran.code, contents(pulled)) == (2, before)
    assert "openapi has documents of environment test, not other" in ran.err
    assert cli("openapi", "pull", "--env", "other", "--out", "openapi/other").code == 0
    assert len(contents(pulled / "other")) == 2


def test_without_lock_or_pins(cli, checkout):
    ran = cli("openapi", "pull")
    assert (ran.code, "endpoints.lock does not exist" in ran.err) == (2, True)
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock()))
    ran = cli("openapi", "pull")
    assert (ran.code, "has no pins in environment test" in ran.err) == (2, True)


def changed_version(_, relock):
    relock(revenue=lambda pin: replace(pin, version=2))
    return "is of version 1, and the lock pins 2"


def changed_contract(_, relock):
    relock(revenue=lambda pin: replace(pin, materialized=True))
    return "is of another contract of version 1 than the lock's"


def missing(pulled, _):
    (pulled / "revenue.json").unlink()
    return "is missing"


def edited(pulled, _):
    document = json.loads((pulled / "revenue.json").read_text())
    document["components"]["schemas"]["RunAnswer"]["required"] = []
    (pulled / "revenue.json").write_text(json.dumps(document))
    return "was changed by hand, or written with other options"


def damaged(pulled, _):
    path = pulled / "revenue.json"
    path.write_bytes(path.read_bytes()[:-10])
    return "was not written by this program"


def another_pin(pulled, _):
    (pulled / "revenue.json").write_bytes((pulled / "sign-ups.json").read_bytes())
    return "is not the document of revenue"


def unusable(pulled, _):
    document = json.loads((pulled / "revenue.json").read_text())
    (pulled / "revenue.json").write_text(json.dumps(document | {"paths": {}}))
    return "cannot be used: it does not have exactly one path"


STALE = [changed_version, changed_contract, missing, edited, damaged, another_pin, unusable]


@pytest.mark.parametrize("change", STALE)
def test_check_finds_what_is_stale_offline(pulled, cli, relock, server, change):
    reason = change(pulled, relock)
    server.requests.clear()
    before = contents(pulled)
    ran = cli("openapi", "pull", "--check")
    assert (ran.code, contents(pulled), server.requests.entries()) == (1, before, ())
    assert ran.out.startswith(f"openapi/revenue.json {reason}"), ran.out
    assert "endpoints-gitops openapi pull" in ran.err
    summary = cli("openapi", "pull", "--check", "--format", "json").json["summary"]
    assert summary == {"pins": 2, "stale": 1}


@pytest.mark.usefixtures("pulled")
def test_check_finds_documents_of_pins_that_went(cli, relock):
    relock(sign_ups=None)
    ran = cli("openapi", "pull", "--check")
    assert (ran.code, ran.out) == (1, "openapi/sign-ups.json nothing of this name is pinned\n")


def test_check_compares_content_and_not_layout(pulled, cli):
    assert cli("openapi", "pull", "--check").code == 0
    path = pulled / "revenue.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert cli("openapi", "pull", "--check").code == 0


def test_check_without_a_folder_is_stale(locked, cli):
    ran = cli("openapi", "pull", "--check")
    assert (ran.code, ran.out) == (1, "openapi/revenue.json is missing\nopenapi/sign-ups.json is missing\n")
    assert not (locked / "openapi").exists()


def test_as_served_is_what_the_server_sent(locked, cli, client):
    assert cli("openapi", "pull", "--as-served").code == 0
    stored = json.loads((locked / "openapi/revenue.json").read_text())
    assert stored["info"].pop("x-endpoints-gitops")["form"] == "as-served"
    assert stored == client.openapi("revenue", version=1)
    assert cli("openapi", "pull", "--as-served", "--check").code == 0
    ran = cli("openapi", "pull", "--check")
    assert (ran.code, "openapi/revenue.json is as-served, not enriched" in ran.out) == (1, True)


def test_another_version_of_openapi(pulled, cli):
    assert cli("openapi", "pull", "--openapi", "3.1", "--check").code == 1
    assert cli("openapi", "pull", "--openapi", "3.1").code == 0
    document = json.loads((pulled / "revenue.json").read_text())
    validate(document)
    assert (document["openapi"], len(document["components"]["schemas"]["Row"]["prefixItems"])) == ("3.1.0", 2)
    assert cli("openapi", "pull", "--openapi", "3.1", "--check").code == 0


@pytest.mark.usefixtures("locked")
def test_combine_asks_for_the_pinned_documents(cli, server):
    server.requests.clear()
    ran = cli("openapi", "combine")
    assert (ran.code, len(server.requests.entries())) == (0, 3)
    document = json.loads(ran.out)
    validate(document)
    assert [path.rpartition("/endpoints/")[2] for path in document["paths"]] == ["revenue/run", "sign-ups/run"]
    assert {"RevenueVariables", "SignUpsRow", "Error"} <= document["components"]["schemas"].keys()
    as_item = cli("openapi", "combine", "--format", "json").json
    assert (as_item["items"], as_item["summary"]) == ([document], {"documents": 2})


@pytest.mark.parametrize("options", [(), ("--openapi", "3.1"), ("--as-served",)], ids=" ".join)
def test_combine_of_stored_documents_is_the_same_and_offline(locked, cli, server, options):
    asked = cli("openapi", "combine", *options).out
    stored = ("--as-served",) if "--as-served" in options else ()
    assert cli("openapi", "pull", *stored).code == 0
    server.requests.clear()
    assert cli("openapi", "combine", "openapi", *options).out == asked
    files = [str(path.relative_to(locked)) for path in (locked / "openapi").iterdir()]
    assert cli("openapi", "combine", *files, *options).out == asked
    assert server.requests.entries() == ()


@pytest.mark.usefixtures("locked")
def test_documents_as_served_can_be_enriched_later(cli):
    expected = cli("openapi", "combine").out
    assert cli("openapi", "pull", "--as-served").code == 0
    assert cli("openapi", "combine", "openapi").out == expected


def test_documents_without_a_mark_can_be_combined(locked, cli, client):
    """As curl stores them."""
    expected = cli("openapi", "combine").out
    for name in ("revenue", "sign-ups"):
        (locked / f"{name}.json").write_text(json.dumps(client.openapi(name, version=1)))
    assert cli("openapi", "combine", "revenue.json", "sign-ups.json").out == expected
    served = cli("openapi", "combine", "revenue.json", "sign-ups.json", "--as-served")
    assert (served.code, served.out == expected) == (0, False)


@pytest.mark.parametrize("name", ["all.json", "all.yaml", "all.yml"])
@pytest.mark.usefixtures("pulled")
def test_combine_into_a_file(cli, checkout, name):
    printed = json.loads(cli("openapi", "combine", "openapi").out)
    command = ("openapi", "combine", "openapi", "--out", name)
    assert (cli(*command, "--check").code, (checkout.top / name).exists()) == (1, False)
    ran = cli(*command)
    assert (ran.code, ran.out, ran.err) == (0, "", f"{name}: 2 pins, added\n")
    text = (checkout.top / name).read_text()
    assert (json.loads(text) if name.endswith("json") else yaml.safe_load(text)) == printed
    assert cli(*command).err == f"{name}: 2 pins, unchanged\n"
    assert cli(*command, "--check").code == 0
    (checkout.top / name).write_text(text.replace("Execute revenue", "changed"))
    ran = cli(*command, "--check")
    assert (ran.code, ran.out) == (1, f"{name} is stale\n")
    assert cli(*command).err == f"{name}: 2 pins, changed\n"


@pytest.mark.usefixtures("pulled")
def test_combine_asks_before_it_replaces_a_file_of_others(cli, checkout):
    for name, text in (("all.json", "{}"), ("all.yaml", "openapi: 3.0.3\n")):
        (checkout.top / name).write_text(text)
        ran = cli("openapi", "combine", "openapi", "--out", name)
        assert (ran.code, (checkout.top / name).read_text()) == (2, text)
        assert cli("openapi", "combine", "openapi", "--out", name, "--yes").code == 0


REFUSED = {
    "paths with pull": (("pull", "openapi"), "usage.arguments", "paths are for `openapi combine`"),
    "a version of OpenAPI as served": (("pull", "--as-served", "--openapi", "3.1"), "usage.arguments", "serves 3.0.3"),
    "another suffix": (("combine", "--out", "all.txt"), "usage.arguments", "must end in .json"),
    "check without a file": (("combine", "--check"), "usage.arguments", "needs --out FILE"),
    "a path that is not there": (("combine", "nowhere.json"), "openapi.unreadable", "cannot be read"),
    "a folder without documents": (("combine", "endpoints"), "openapi.missing", "no OpenAPI document of a pin"),
    "not JSON": (("combine", "endpoints.toml"), "openapi.invalid", "not valid JSON"),
    "an enriched document as served": (("combine", "openapi", "--as-served"), "openapi.invalid", "is enriched"),
    "one endpoint twice": (("combine", "openapi", "copy.json"), "openapi.combine", "two of them describe revenue"),
    "a combined document": (("combine", "all.json"), "openapi.invalid", "exactly one path"),
    "a file as folder": (("pull", "--out", "endpoints.toml"), "openapi.folder", "is not a folder"),
}


@pytest.mark.parametrize(("words", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused(pulled, cli, checkout, words, code, says):
    (checkout.top / "copy.json").write_bytes((pulled / "revenue.json").read_bytes())
    assert cli("openapi", "combine", "openapi", "--out", "all.json").code == 0
    ran = cli("openapi", *words, "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, code), ran.err
    assert says in ran.json["errors"][0]["message"]


def test_a_document_with_a_merge_conflict_is_not_left_out(pulled, cli):
    path = pulled / "revenue.json"
    path.write_text("<<<<<<< HEAD\n" + path.read_text())
    (pulled / "package.json").write_text("{}")
    ran = cli("openapi", "combine", "openapi")
    assert (ran.code, ran.out) == (2, "")
    assert "openapi/revenue.json:1:1: not valid JSON" in ran.err
    ran = cli("openapi", "pull", "--check")
    assert (ran.code, ran.out) == (1, "openapi/revenue.json was not written by this program\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("words", [("pull",), ("pull", "--check"), ("combine", "openapi")])
def test_a_file_that_cannot_be_read_is_not_taken_for_one_of_others(pulled, cli, words):
    (pulled / "revenue.json").unlink()
    os.mkfifo(pulled / "revenue.json")
    ran = cli("openapi", *words, "--format", "json")
    assert ran.code == 2
    assert [(error["code"], error["where"]) for error in ran.json["errors"]] == [
        ("openapi.unreadable", "openapi/revenue.json")
    ]


@pytest.mark.usefixtures("pulled")
def test_combine_refuses_documents_of_other_pins(cli, relock):
    relock(revenue=lambda pin: replace(pin, version=2), sign_ups=None)
    ran = cli("openapi", "combine", "openapi", "--format", "json")
    assert ran.code == 2
    assert [(error["where"], error["message"]) for error in ran.json["errors"]] == [
        ("openapi/revenue.json", "the document of revenue is not of the pin in the lock (revenue@2)"),
        ("openapi/sign-ups.json", "the lock has no pin of sign-ups"),
    ]


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        (None, "openapi", "the document of revenue is missing"),
        ('{"openapi": "3.0.3"}', "openapi", "the document of revenue is missing"),
        ("{", "openapi/revenue.json", "not valid JSON"),
    ],
)
def test_a_folder_without_the_document_of_a_pin_is_not_combined(pulled, cli, checkout, text, where, says):
    (pulled / "revenue.json").unlink()
    if text is not None:
        (pulled / "revenue.json").write_text(text)
    ran = cli("openapi", "combine", "openapi", "--out", "all.json", "--format", "json")
    assert (ran.code, (checkout.top / "all.json").exists()) == (2, False)
    (error,) = ran.json["errors"]
    assert (error["where"].partition(":")[0], says in error["message"]) == (where, True), error
    assert error["fix"].startswith("endpoints-gitops openapi pull")
    assert cli("openapi", "combine", "openapi/sign-ups.json", "--out", "all.json").code == 0  # files can be a part


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("words", [("openapi", "pull"), ("openapi", "combine", "--as-served"), ("snippet", "revenue")])
def test_config_says_which_host_is_meant(cli, checkout, server, words):
    """Also where another configuration is beside the lock."""
    text = (checkout.top / "endpoints.toml").read_text()
    (checkout.top / "other.toml").write_text(text.replace(server.url, "http://127.0.0.1:9"))
    ran = cli(*words, "--config", "other.toml", "--max-wait", "0.1")
    expected = (0, "'http://127.0.0.1:9/api" in ran.out) if words[0] == "snippet" else (4, "127.0.0.1:9" in ran.err)
    assert (ran.code, True) == expected, ran.out + ran.err


def test_names_that_differ_by_case_get_files_of_their_own(cli, create, uses, checkout):
    create("Mau")
    create("mau", "SELECT 2 AS two")
    uses(Mau=NEWEST, mau=NEWEST)
    assert (cli("lock").code, cli("openapi", "pull").code) == (0, 0)
    titles = {name: json.loads(text)["info"]["title"] for name, text in contents(checkout.top / "openapi").items()}
    assert titles == {"Mau.json": "Mau", "mau_2.json": "mau"}
    assert cli("openapi", "pull", "--check").code == 0


def test_the_default_folder_is_beside_the_configuration(locked, cli):
    (locked / "below").mkdir()
    assert cli("openapi", "pull", cwd=locked / "below").code == 0
    assert len(contents(locked / "openapi")) == 2
    assert cli("openapi", "pull", "--check", cwd=locked / "below").code == 0
    assert cli("openapi", "pull", "--out", "here", cwd=locked / "below").code == 0
    assert len(contents(locked / "below/here")) == 2


def test_a_folder_that_cannot_be_written(locked, cli):
    (locked / "openapi").mkdir()
    if os.geteuid() == 0:
        (locked / "openapi/sign-ups.json").mkdir()
        ran = cli("openapi", "pull", "--yes")
    else:
        (locked / "openapi").chmod(0o500)
        ran = cli("openapi", "pull")
    assert (ran.code, "Traceback" in ran.err) == (2, False)
