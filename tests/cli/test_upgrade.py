"""`outdated` and `upgrade`: what a move does to the app, and who lets it happen."""

from __future__ import annotations

from datetime import timedelta

import pytest

NEWEST = '"*"'
SAME = "SELECT 1 AS mrr"
APPENDED = "SELECT 1 AS mrr, 2 AS extra"
RENAMED = "SELECT 1 AS arr"
UNKNOWN = "SELECT NULL AS mrr"


@pytest.fixture
def pinned(cli, uses, create, edit, checkout):
    """`pinned({"name": [texts of version 1, 2 …]}, name=use)`: all is pinned in version 1 and has moved since."""

    def make(endpoints, **said):
        for name, (first, *_) in endpoints.items():
            create(name, first)
        uses(**dict.fromkeys(endpoints, NEWEST) | said)
        assert cli("lock").code == 0
        for name, (_, *later) in endpoints.items():
            for text in later:
                edit(name, text)
        return (checkout.top / "endpoints.lock").read_bytes()

    return make


@pytest.fixture
def lock_bytes(checkout):
    return lambda: (checkout.top / "endpoints.lock").read_bytes()


MOVES = {
    "compatible": (APPENDED, [], 0, 2, "moved", "P106"),
    "breaking": (RENAMED, [], 1, 1, "refused", "P107"),
    "breaking, compatible only": (RENAMED, ["--compatible-only"], 0, 1, "held", "P107"),
    "breaking, allowed": (RENAMED, ["--allow-breaking", "told them"], 0, 2, "moved", "P107"),
    "breaking is not unknown": (RENAMED, ["--allow-unknown"], 1, 1, "refused", "P107"),
}


@pytest.mark.parametrize(("text", "words", "code", "version", "result", "rule"), MOVES.values(), ids=MOVES)
def test_upgrade_moves_or_refuses_by_what_breaks(
    cli, pinned, pins, lock_bytes, text, words, code, version, result, rule
):
    before = pinned({"revenue": [SAME, text]})
    ran = cli("outdated", "--format", "json")
    (item,) = ran.json["items"]
    assert (ran.code, item["code"], item["before"], item["after"]) == (0, rule, 1, 2)
    ran = cli("upgrade", *words, "--format", "json")
    (item,) = ran.json["items"]
    assert (ran.code, item["result"], pins()["revenue"].version) == (code, result, version), ran.out
    assert (item["from"], item["newest"], item["environment"]) == (1, 2, "test")
    assert (lock_bytes() == before) is (version == 1)


def test_what_the_lock_records_of_breaking_moves(cli, pinned, pins, edit):
    pinned({"revenue": [SAME, RENAMED]})
    assert cli("upgrade", "--allow-breaking", "the report is adapted").code == 0
    assert pins()["revenue"].allowed == ("the report is adapted",)
    edit("revenue", RENAMED + ", 2 AS extra")
    assert cli("upgrade", "--allow-breaking", "not needed").code == 0
    assert pins()["revenue"].allowed == ("the report is adapted",), "nothing broke, so there was nothing to allow"
    assert cli("lock", "--check").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--allow-breaking", ""],
        ["--allow-breaking="],
        ["--allow-breaking", " "],
        ["--allow-breaking", "\t\n"],
        ["--allow-breaking", "x", "--compatible-only"],
    ],
)
def test_allow_breaking_needs_a_reason(cli, pinned, lock_bytes, words):
    before = pinned({"revenue": [SAME, RENAMED]})
    ran = cli("upgrade", *words, "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (2, ["usage.arguments"])
    assert lock_bytes() == before


READING = {
    "by name, another column": ('{ version = "*", columns = ["mrr"] }', "SELECT 1 AS mrr, 2 AS b", 0),
    "by name, a column that is read": ('{ version = "*", columns = ["c"] }', "SELECT 1 AS mrr, 2 AS b", 1),
    "by name, the order": (NEWEST, "SELECT 2 AS c, 1 AS b, 1 AS mrr", 0),
    "by position, the order": ('{ version = "*", reads = "position" }', "SELECT 2 AS c, 1 AS b, 1 AS mrr", 1),
    "only that it succeeds": ('{ version = "*", reads = "call" }', "SELECT 1 AS other", 0),
}


@pytest.mark.parametrize(("use", "text", "code"), READING.values(), ids=READING)
def test_the_way_of_reading_decides_what_breaks(cli, pinned, pins, use, text, code):
    pinned({"revenue": ["SELECT 1 AS mrr, 1 AS b, 2 AS c", text]}, revenue=use)
    ran = cli("upgrade")
    assert (ran.code, pins()["revenue"].version) == (code, 1 if code else 2), ran.out


def test_undecidable_changes_are_breaking_unless_allowed(cli, pinned, pins):
    pinned({"revenue": [UNKNOWN, SAME]})
    ran = cli("upgrade")
    assert (ran.code, "refused: cannot tell whether it breaks this app" in ran.out) == (1, True), ran.out
    assert "to move it anyway: endpoints-gitops upgrade revenue@2 --env test --allow-unknown" in ran.out
    assert cli("upgrade", "--allow-unknown").code == 0
    assert pins()["revenue"].version == 2


def test_upgrade_moves_compatible_pins_and_reports_the_others(cli, pinned, pins):
    pinned({"a": [SAME, APPENDED], "b": [SAME, RENAMED], "c": [SAME]})
    ran = cli("upgrade")
    assert ran.code == 1
    assert {name: pin.version for name, pin in pins().items()} == {"a": 2, "b": 1, "c": 1}
    assert "a@1 → 2 (test): nothing breaks" in ran.out
    assert "b@1 → 2 (test): refused: it breaks this app" in ran.out
    assert "C102 column 'mrr' was renamed to 'arr' [error]" in ran.out
    assert "endpoints-gitops upgrade b@2 --env test --allow-breaking 'the reason'" in ran.out
    assert "c@1 (test): as locked; there is no newer version" in ran.out


def test_the_suggested_command_moves_the_pin(cli, pinned, pins):
    pinned({"b": [SAME, RENAMED]})
    assert cli("upgrade", "b@2", "--env", "test", "--allow-breaking", "the reason").code == 0
    assert pins()["b"].version == 2


def test_compatible_only_stops_before_a_break(cli, pinned, pins):
    pinned({"revenue": [SAME, APPENDED, APPENDED + ", 3 AS more", RENAMED]})
    ran = cli("upgrade", "--compatible-only")
    assert (ran.code, pins()["revenue"].version) == (0, 3), ran.out
    assert cli("upgrade", "--compatible-only").code == 0
    assert pins()["revenue"].version == 3


def test_a_recreated_endpoint_is_never_compatible(cli, client, pinned, pins):
    pinned({"revenue": [SAME]})
    before = pins()["revenue"]
    client.delete_endpoint("revenue")
    query = {"kind": "HogQLQuery", "query": SAME}
    client.create_endpoint({"name": "revenue", "query": query})
    for text in (APPENDED, RENAMED):
        client.update_endpoint("revenue", {"query": query | {"query": text}})
    assert "A105" in cli("upgrade", "--compatible-only").out
    assert pins()["revenue"] == before


WHICH = {
    "all": ([], {"a": 3, "b": 3}),
    "one": (["a"], {"a": 3, "b": 1}),
    "several": (["b", "a"], {"a": 3, "b": 3}),
    "exact": (["a@2"], {"a": 2, "b": 1}),
    "exact and newest": (["a@2", "b"], {"a": 2, "b": 3}),
}


@pytest.mark.parametrize(("words", "versions"), WHICH.values(), ids=WHICH)
def test_upgrade_takes_one_several_or_all_pins(cli, pinned, pins, words, versions):
    texts = [SAME, APPENDED, APPENDED + ", 3 AS more"]
    pinned({"a": texts, "b": texts})
    assert cli("upgrade", *words).code == 0
    assert {name: pin.version for name, pin in pins().items()} == versions


def test_upgrade_moves_back_too(cli, pinned, pins):
    pinned({"a": [SAME, APPENDED]})
    assert cli("upgrade").code == 0
    ran = cli("upgrade", "a@1")
    assert (ran.code, pins()["a"].version) == (1, 2), "a column is lost"
    assert cli("upgrade", "a@1", "--allow-breaking", "it was wrong").code == 0
    assert pins()["a"].version == 1


def test_an_exact_use_moves_by_name_and_is_rewritten(cli, pinned, pins, checkout):
    texts = [SAME, APPENDED, APPENDED + ", 3 AS more"]
    pinned({"a": texts}, a='{version=1,reads="name"}  # stays')
    manifest = checkout.top / "endpoints.toml"
    before = manifest.read_bytes()
    ran = cli("upgrade")
    assert (ran.code, pins()["a"].version, manifest.read_bytes()) == (0, 1, before)
    stays = "stays, because the manifest names this version; 3 is available"
    assert f"a@1 (test): {stays}: endpoints-gitops upgrade a --env test" in ran.out
    for target, version in (("a@2", 2), ("a", 3)):
        assert cli("upgrade", target).code == 0
        assert pins()["a"].version == version
        assert manifest.read_bytes() == before.replace(b"version=1", f"version={version}".encode())
        assert cli("lock", "--check").code == 0


def test_upgrade_goes_to_a_version_changed_by_hand(cli, pinned, pins, uses):
    pinned({"a": [SAME, APPENDED, RENAMED]}, a="{ version = 1 }")
    uses(a="{ version = 2 }")
    assert cli("upgrade").code == 0
    assert (pins()["a"].version, cli("lock", "--check").code) == (2, 0)


def test_upgrade_to_the_pinned_version_reads_it_again(cli, pinned, pins, client, lock_bytes):
    before = pinned({"a": [SAME]})
    assert cli("upgrade", "a@1").code == 0
    assert lock_bytes() == before, "all is as locked"
    client.update_endpoint("a", {"data_freshness_seconds": 900})
    assert (cli("upgrade").code, lock_bytes() == before) == (0, True), "by itself nothing moves"
    assert cli("upgrade", "a@1").code == 0
    assert (pins()["a"].freshness_seconds, cli("lock", "--verify").code) == (900, 0)


def test_upgrade_never_takes_the_same_version_of_a_recreated_endpoint(cli, pinned, pins, client, lock_bytes):
    before = pinned({"a": [SAME]})
    client.delete_endpoint("a")
    made = client.create_endpoint({"name": "a", "query": {"kind": "HogQLQuery", "query": SAME}})
    outdated = cli("outdated")
    assert (outdated.code, "A105" in outdated.out) == (1, True)
    for words in ([], ["a"], ["a@1"], ["--allow-unknown"]):
        ran = cli("upgrade", *words)
        assert (ran.code, "a: endpoint: A105" in ran.out, lock_bytes() == before) == (1, True, True)
    assert cli("upgrade", "--compatible-only").code == 0
    assert lock_bytes() == before
    assert cli("upgrade", "a", "--allow-breaking", "made anew by us").code == 0
    assert (pins()["a"].endpoint_id, pins()["a"].allowed) == (made.id, ("made anew by us",))
    assert cli("lock", "--verify").code == 0


def test_variables_that_became_required_are_a_breaking_move(cli, create, uses, client, pins):
    create("a", "SELECT 1 AS one WHERE 'x' = {variables.v}", variables={"v": ("String", "x")})
    uses(a=NEWEST)
    assert cli("lock").code == 0
    client.update_endpoint("a", {"is_materialized": True})
    ran = cli("upgrade", "a@1")
    assert (ran.code, "S101" in ran.out) == (1, True), ran.out
    assert cli("upgrade", "a@1", "--allow-breaking", "we send it").code == 0
    assert pins()["a"].variables[0].required
    assert cli("lock", "--verify").code == 0


def test_upgrade_reports_a_deleted_endpoint(cli, pinned, client, lock_bytes):
    before = pinned({"a": [SAME], "b": [SAME, APPENDED]})
    client.delete_endpoint("a")
    ran = cli("outdated")
    assert (ran.code, "a@1 (test)  P102 environment test no longer has an endpoint a" in ran.out) == (1, True)
    ran = cli("upgrade", "a", "--allow-breaking", "any")
    assert (ran.code, "P102" in ran.out, lock_bytes() == before) == (1, True, True)
    ran = cli("upgrade", "a@1")
    assert (ran.code, "P102" in ran.out) == (1, True)


def test_upgrade_refuses_an_inactive_version(cli, pinned, client, lock_bytes):
    before = pinned({"a": [SAME, APPENDED]})
    client.update_endpoint("a", {"is_active": False}, version=2)
    ran = cli("upgrade")
    assert (ran.code, "P104 a@2 is inactive: the server refuses its calls (400)" in ran.out) == (1, True)
    assert lock_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["revenu"], "the manifest does not use revenu; did you mean 'revenue'?"),
        (
            ["revenue@9"],
            "environment test has no version 9 of revenue\n  fix: endpoints-gitops versions revenue --env test",
        ),
        (["revenue@0"], "is not NAME or NAME@VERSION"),
        (["revenue@x"], "is not NAME or NAME@VERSION"),
        (["revenue@1", "revenue"], "revenue is named twice"),
        (["unpinned"], "unpinned is used but not pinned yet"),
    ],
)
def test_upgrade_refuses_wrong_targets(cli, pinned, uses, lock_bytes, words, said):
    before = pinned({"revenue": [SAME]})
    uses(revenue=NEWEST, unpinned=NEWEST)
    ran = cli("upgrade", *words)
    assert (ran.code, said in ran.err, "fix:" in ran.err) == (2, True, True), ran.err
    assert lock_bytes() == before


def test_upgrade_needs_a_lock(cli, uses):
    uses(revenue=NEWEST)
    for command in ("outdated", "upgrade"):
        ran = cli(command)
        assert (ran.code, "endpoints.lock does not exist\n  fix: endpoints-gitops lock" in ran.err) == (2, True)


@pytest.mark.parametrize(("answer", "code", "version"), [("y\n", 0, 2), ("n\n", 2, 1), ("", 2, 1)])
def test_upgrade_asks_at_a_terminal(cli, pinned, pins, answer, code, version):
    pinned({"a": [SAME, APPENDED]})
    ran = cli("upgrade", input=answer)
    assert (ran.code, "Move 1 pin? [y/N]" in ran.err, pins()["a"].version) == (code, True, version)
    assert cli("upgrade", "--yes", input="").code == 0
    assert pins()["a"].version == 2


def test_upgrade_sends_few_requests(cli, pinned, server):
    pinned({"a": [SAME, APPENDED], "b": [SAME], "c": [SAME]})
    for command, paths in (
        ("outdated", [*(f"endpoints/{name}/?version=1" for name in "abc"), "endpoints/a/"]),
        ("upgrade", [*(f"endpoints/{name}/?version=1" for name in "abc"), "endpoints/a/?version=2"]),
    ):
        server.requests.clear()
        assert cli(command).code == 0
        asked = [one.path.partition("/api/projects/1/")[2] for one in server.requests.entries()]
        assert (sorted(asked[:3]), asked[3:]) == (paths[:3], paths[3:])


IN_PLACE = {
    "materialised": ({"is_materialized": True}, {"S101"}, 1),
    "deactivated": ({"is_active": False}, {"A103"}, 1),
    "the version deactivated": ({"is_active": False, "version": 1}, {"P104"}, 1),
    "fresher": ({"data_freshness_seconds": 900}, {"S107"}, 0),
}


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize(("change", "codes", "code"), IN_PLACE.values(), ids=IN_PLACE)
def test_changes_in_place_are_reported_with_their_rule(
    cli, create, uses, client, edit, lock_bytes, change, codes, code, is_behind
):
    text = "SELECT 1 AS mrr WHERE 'x' = {variables.v}"
    create("a", text, variables={"v": ("String", "x")})
    uses(a=NEWEST)
    assert cli("lock").code == 0
    before = lock_bytes()
    client.update_endpoint("a", {key: value for key, value in change.items() if key != "version"}, version=1)
    if "is_active" in change and "version" not in change:
        client.update_endpoint("a", {"is_active": True}, version=1)
        client.update_endpoint("a", {"is_active": False})
    if is_behind:
        edit("a", text.replace("mrr", "arr"))
    told = {item["code"] for item in cli("outdated", "--format", "json").json["items"]}
    assert codes <= told
    ran = cli("upgrade", "--format", "json")
    (item,) = ran.json["items"]
    told = {one["code"] for one in (*item["findings"], *item["in_place"])}
    assert codes <= told, ran.out
    assert lock_bytes() == before, "by itself nothing moves"
    shown = cli("upgrade")
    assert "as locked" not in shown.out
    assert "changed in place" in shown.out
    if not is_behind:
        assert (ran.code, item["result"]) == (code, "changed"), ran.out


def test_changes_in_place_are_locked_by_naming_the_version(cli, create, uses, client, pins):
    create("a", SAME)
    uses(a=NEWEST)
    assert cli("lock").code == 0
    client.update_endpoint("a", {"data_freshness_seconds": 900})
    ran = cli("outdated")
    assert "a@1 (test)  changed in place" in ran.out
    assert "to lock what changed in place as it is now: endpoints-gitops upgrade a@1" in ran.err
    assert "to lock it as it is now: endpoints-gitops upgrade a@1 --env test" in cli("upgrade").out
    assert cli("upgrade", "a@1", "--env", "test").code == 0
    assert (pins()["a"].freshness_seconds, cli("outdated").out) == (900, "")


def test_an_idle_table_is_reported_and_is_not_a_change(cli, create, uses, client, server, lock_bytes):
    create("a", SAME)
    client.update_endpoint("a", {"is_materialized": True})
    client.get_endpoint("a")
    uses(a=NEWEST)
    assert cli("lock").code == 0
    before = lock_bytes()
    client.run("a")
    server.age(timedelta(days=26))
    for days, words in (
        (0, "the server turns off the table of a@1 on"),
        (6, "the server turned off the table of"),
    ):
        server.age(timedelta(days=days))
        for command in (["outdated"], ["upgrade"], ["lock", "--verify"]):
            ran = cli(*command)
            assert (ran.code, f"S115 {words}" in ran.out, "P111" in ran.out) == (0, True, False), (command, ran.out)
    assert lock_bytes() == before


def test_upgrade_keeps_line_endings_and_writes_only_changes(cli, pinned, checkout, uses):
    pinned({"a": [SAME, APPENDED], "b": [SAME]})
    uses(a="{ version = 1 }", b=NEWEST)
    lock, manifest = checkout.top / "endpoints.lock", checkout.top / "endpoints.toml"
    for path in (lock, manifest):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in (lock, manifest)}
    assert cli("lock", "--check").code == 0
    assert cli("lock").code == 0
    assert cli("upgrade", "b").code == 0
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in (lock, manifest)} == before
    assert cli("upgrade", "a@2").code == 0
    for path in (lock, manifest):
        content = path.read_bytes()
        assert content != before[path][1]
        assert content.startswith(b"\xef\xbb\xbf")
        assert b"\n" not in content.replace(b"\r\n", b"")
    assert cli("lock", "--check").code == 0
