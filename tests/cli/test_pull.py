"""`pull` at the command line, on real git, against a server that somebody else edits.

All clocks but git's run half an hour behind the last commit: what is done on the server falls between two commits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from endpoints_gitops.local.serve import running_server

FILE = """\
# who signs up
name: signups          # ours
description: People
query: |
  SELECT count() AS people   -- all of them
  FROM events
data_freshness: 6hour  # often enough
"""
SQL = "SELECT count() AS people   -- all of them\nFROM events"
MINE = "LIMIT 10"
THEIRS = "SELECT count() AS people\nFROM events\nLIMIT 5"


@pytest.fixture
def clock(checkout) -> Callable[[], datetime]:
    return lambda: checkout.date(checkout.hours) + timedelta(minutes=30)


@pytest.fixture
def server(engine, clock) -> Iterator:
    with running_server(engine=engine, clock=clock) as running:
        yield running


def hogql(sql, **more):
    return {"kind": "HogQLQuery", "query": sql, **more}


@pytest.fixture
def signups(client, checkout):
    """An endpoint whose definition is committed, both saying the same; the path of the file."""
    checkout.commit({"signups.yaml": FILE})
    body = {"name": "signups", "description": "People", "query": hogql(SQL), "data_freshness_seconds": 21600}
    client.create_endpoint(body)
    return checkout.folder / "signups.yaml"


def same_checkout(checkout, make_cli, _):
    run = make_cli(checkout.top)
    assert run("pull").code == 0, "what leaves the record"
    return run


def fresh_clone(checkout, make_cli, tmp_path):
    checkout.git("clone", "--quiet", checkout.top.as_uri(), str(tmp_path / "clone"))
    return make_cli(tmp_path / "clone")


def shallow_clone(checkout, make_cli, tmp_path):
    checkout.commit({"other.yaml": "name: other\nquery: SELECT 1\n"})
    checkout.git("clone", "--quiet", "--depth", "1", checkout.top.as_uri(), str(tmp_path / "clone"))
    (tmp_path / "clone/endpoints/other.yaml").unlink()
    return make_cli(tmp_path / "clone")


def no_git(checkout, make_cli, tmp_path):
    shutil.copytree(checkout.folder, tmp_path / "plain/endpoints")
    return make_cli(tmp_path / "plain")


@pytest.fixture
def place(request, signups, checkout, make_cli, tmp_path):
    """Where the command runs: its words, and the definition there."""
    run = request.param(checkout, make_cli, tmp_path)
    top = {same_checkout: checkout.top, no_git: tmp_path / "plain"}.get(request.param, tmp_path / "clone")
    return SimpleNamespace(run=run, path=top / "endpoints" / signups.name)


known = pytest.mark.parametrize("place", [same_checkout, fresh_clone], indirect=True)
unknown = pytest.mark.parametrize("place", [shallow_clone, no_git], indirect=True)
NEW_SQL = {"query": hogql(THEIRS)}
TAKEN_SQL = (
    "  SELECT count() AS people   -- all of them\n  FROM events\n",
    "  SELECT count() AS people\n  FROM events\n  LIMIT 5\n",
)
EDIT = ("  FROM events\n", f"  FROM events\n  {MINE}\n")


def edited(text: str, *edits: tuple[str, str]) -> str:
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


CASES = {
    "nothing happened": ([], {}, [], 0, "unchanged", []),
    "query edited in the UI": ([], NEW_SQL, [], 0, "updated", [TAKEN_SQL]),
    "only the form of the query": (
        [], {"query": hogql("select count() as people from events")}, [], 0, "unchanged", [],
    ),
    "CRLF from the web": ([], {"query": hogql(SQL.replace("\n", "\r\n"))}, [], 0, "unchanged", []),
    "description": ([], {"description": "All: of them"}, [], 0, "updated", [("People\n", '"All: of them"\n')]),
    "freshness": ([], {"data_freshness_seconds": 3600}, [], 0, "updated", [("6hour", "1hour")]),
    "a key that the file does not manage": ([], {"tags": ["web"], "is_active": False}, [], 0, "unchanged", []),
    "query edited here": ([EDIT], {}, [], 0, "ahead", [EDIT]),
    "another key edited here": (
        [EDIT], {"description": "Them"}, [], 0, "updated", [EDIT, ("People\n", "Them\n")],
    ),
    "both edited": ([EDIT], NEW_SQL, [], 6, "conflict", [EDIT]),
    "both edited, another key drifted": (
        [EDIT], {**NEW_SQL, "description": "Them"}, [], 6, "conflict", [EDIT, ("People\n", "Them\n")],
    ),
    "both edited, --yes decides nothing": ([EDIT], NEW_SQL, ["--yes"], 6, "conflict", [EDIT]),
    "both edited, --theirs": ([EDIT], NEW_SQL, ["--theirs"], 0, "updated", [TAKEN_SQL]),
    "both edited, --mine": ([EDIT], NEW_SQL, ["--mine"], 0, "kept", [EDIT]),
    "--theirs leaves what is ahead": ([EDIT], {}, ["--theirs"], 0, "ahead", [EDIT]),
    "--dry-run": ([], NEW_SQL, ["--dry-run"], 0, "updated", []),
    "--dry-run, both edited": ([EDIT], NEW_SQL, ["--dry-run", "--theirs"], 0, "updated", [EDIT]),
}  # fmt: skip


@known
@pytest.mark.parametrize("case", CASES)
def test_pull_merges_three_ways(place, client, case):
    here, there, words, code, state, after = CASES[case]
    place.path.write_text(edited(FILE, *here))
    if there:
        client.update_endpoint("signups", there)
    ran = place.run("pull", *words, "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"]) == (code, state), ran.err
    assert place.path.read_text() == edited(FILE, *after)


@unknown
@pytest.mark.parametrize(
    ("words", "typed", "code", "state", "takes"),
    [
        ([], None, 6, "undecided", False),
        (["--yes"], None, 0, "updated", True),
        (["--theirs"], None, 0, "updated", True),
        (["--mine"], None, 0, "kept", False),
        ([], "y\n", 0, "updated", True),
        ([], "n\n", 6, "undecided", False),
    ],
)
def test_pull_asks_where_the_attribution_is_unknown(place, client, words, typed, code, state, takes):
    client.update_endpoint("signups", NEW_SQL)
    ran = place.run("pull", *words, "--format", "json", input=typed)
    assert (ran.code, ran.json["items"][0]["state"]) == (code, state), ran.err
    assert place.path.read_text() == (edited(FILE, TAKEN_SQL) if takes else FILE)


@pytest.mark.parametrize("place", [same_checkout, no_git], indirect=True)
def test_pull_theirs_keeps_a_copy_of_uncommitted_edits(place, client, tmp_path):
    place.path.write_text(edited(FILE, EDIT))
    client.update_endpoint("signups", NEW_SQL)
    ran = place.run("pull", "--theirs")
    (copy,) = tmp_path.rglob("replaced/*")
    assert copy.read_text() == edited(FILE, EDIT)
    assert str(copy) in ran.out


@unknown
def test_pull_does_not_ask_where_nothing_differs(place):
    before = place.path.read_bytes()
    ran = place.run("pull")
    assert (ran.code, place.path.read_bytes()) == (0, before)


@known
def test_a_dry_run_leaves_no_record(place, client):
    client.update_endpoint("signups", NEW_SQL)
    place.run("pull", "--dry-run")
    assert place.run("pull", "--format", "json").json["items"][0]["state"] == "updated"


@pytest.mark.parametrize("place", [same_checkout], indirect=True)
def test_undoing_a_pull_is_not_an_edit(place, client):
    """`git checkout .` after a pull: whose word counts is asked, not guessed."""
    client.update_endpoint("signups", NEW_SQL)
    place.run("pull")
    place.path.write_text(FILE)
    assert place.run("pull", "--format", "json").json["items"][0]["state"] == "undecided"


@pytest.mark.parametrize("place", [same_checkout, no_git], indirect=True)
def test_push_after_pull_mine_overwrites_only_what_was_seen(place, client):
    place.path.write_text(edited(FILE, EDIT))
    client.update_endpoint("signups", NEW_SQL)
    assert place.run("push", "--yes").code == 6
    assert place.run("pull", "--mine").code == 0
    assert place.run("push", "--yes").code == 0
    assert MINE in client.get_endpoint("signups").sql


@pytest.mark.parametrize("place", [same_checkout], indirect=True)
def test_formatting_only_changes_are_noted(place, client):
    client.update_endpoint("signups", {"query": hogql("select count() as people from events")})
    assert "signups" in place.run("pull").err


@pytest.mark.parametrize("place", [same_checkout], indirect=True)
def test_an_interrupted_pull_is_finished_by_the_next_one(place, client, failing_stream):
    client.update_endpoint("signups", NEW_SQL)
    for name in ("aaa", "zzz"):
        client.create_endpoint({"name": name, "query": hogql("SELECT 1")})
    assert place.run("pull", stderr=failing_stream("] aaa: created", KeyboardInterrupt())).code == 130
    assert {path.name for path in place.path.parent.iterdir()} == {"aaa.yaml", "signups.yaml"}
    assert place.path.read_text() == FILE
    assert place.run("pull", "--format", "json").json["summary"] == {
        "unchanged": 1, "updated": 1, "created": 1, "outside": 0,
    }  # fmt: skip


@pytest.mark.parametrize("place", [same_checkout], indirect=True)
def test_a_server_change_after_pull_mine_is_a_conflict_again(place, client):
    place.path.write_text(edited(FILE, EDIT))
    client.update_endpoint("signups", NEW_SQL)
    assert place.run("pull", "--mine").code == 0
    assert place.run("pull", "--format", "json").json["items"][0]["state"] == "ahead"
    client.update_endpoint("signups", {"query": hogql("SELECT 2 AS people")})
    assert place.run("pull").code == 6


@pytest.mark.parametrize("place", [same_checkout], indirect=True)
def test_pull_reports_a_deleted_endpoint_and_keeps_its_file(place, client):
    client.delete_endpoint("signups")
    ran = place.run("pull", "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"], place.path.read_text()) == (0, "gone", FILE)
    assert place.run("pull", "--mine", "--format", "json").json["items"][0]["state"] == "kept"
    assert place.run("pull", "--format", "json").json["items"][0]["state"] == "only here"


def _pushed(scene, sql):
    scene.checkout.commit(
        {"signups.yaml": FILE.replace("  SELECT count() AS people   -- all of them\n  FROM events\n", f"  {sql}\n")}
    )
    assert scene.run("push", "--yes").code == 0


def reverted(scene):
    _pushed(scene, "SELECT 2 AS people")
    scene.checkout.hours += 1
    scene.checkout.git("revert", "--no-edit", "HEAD")


def put_back(scene):
    _pushed(scene, "SELECT 2 AS people")
    scene.checkout.hours += 1
    scene.client.update_endpoint("signups", {"query": hogql(SQL)})


def put_back_and_edited(scene):
    put_back(scene)
    scene.checkout.commit({"signups.yaml": edited(FILE, EDIT)})


def begun_over_a_default(scene):
    scene.checkout.commit({"signups.yaml": FILE + "tags: [web]\n"})


def begun_over_a_setting(scene):
    scene.client.update_endpoint("signups", {"tags": ["theirs"]})
    begun_over_a_default(scene)


def squashed(scene):
    _pushed(scene, "SELECT 2 AS people")
    scene.checkout.git("reset", "--quiet", "--hard", "HEAD~1")
    shutil.rmtree(scene.checkout.top.parent / "state")
    scene.checkout.commit({"signups.yaml": edited(FILE, EDIT)})


@pytest.mark.parametrize("is_clone", [False, True], ids=["same checkout", "fresh clone"])
@pytest.mark.parametrize(
    ("story", "code", "state"),
    [
        (reverted, 0, "ahead"),
        (put_back, 0, "updated"),
        (put_back_and_edited, 6, "conflict"),
        (begun_over_a_default, 0, "ahead"),
        (begun_over_a_setting, 6, "conflict"),
        (squashed, 6, "conflict"),
    ],
)
@pytest.mark.usefixtures("signups")
def test_pull_writes_or_skips_by_who_changed_what(
    cli, checkout, client, make_cli, tmp_path, story, code, state, is_clone
):
    checkout.commit()
    assert cli("pull").code == 0
    story(SimpleNamespace(run=cli, checkout=checkout, client=client))
    run, top = cli, checkout.top
    if is_clone:
        run, top = fresh_clone(checkout, make_cli, tmp_path), tmp_path / "clone"
    before = (top / "endpoints/signups.yaml").read_text()
    ran = run("pull", "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"]) == (code, state), ran.err
    assert ((top / "endpoints/signups.yaml").read_text() == before) is (state != "updated")
