"""`gate`: whether a commit may be released, by its pins, the server and the evidence of its tests."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.codecs.lock import read_lock, write_lock
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.model.pin import Lock, Pin
from endpoints_gitops.model.sunset import SunsetNotice

ONE = "SELECT 1 AS one"
TWO = "SELECT 1 AS one, 2 AS two"
NEWEST = '"*"'
FILE = "endpoints-evidence.json"
UNKNOWN_ID = "f" * 40


def exercised(pin: Pin, *outcomes: str, **other: Any) -> ExercisedPin:
    tests = tuple(ExercisedTest(test=f"t.py::test_{n}", outcome=word) for n, word in enumerate(outcomes))
    return replace(ExercisedPin.of(pin, tests), **other)


@pytest.fixture
def prove(checkout, pins) -> Callable[..., Path]:
    """Writes evidence of HEAD, as a run would have whose tests called every pin: `prove("passed", is_dirty=True)`.

    `pin` are values of every pin that differ, `omit` the names of pins that the file does not have.
    """

    def write(
        *outcomes: str,
        file: str = FILE,
        pin: dict[str, Any] | None = None,
        omit: tuple[str, ...] = (),
        at: str = "HEAD",
        **run: Any,
    ) -> Path:
        evidence = Evidence(
            commit=checkout.git("rev-parse", at),
            tree=checkout.git("rev-parse", f"{at}^{{tree}}"),
            is_dirty=False,
            mode="replay",
            contract="strict",
            outcome="passed",
            partial=None,
            pins=tuple(
                exercised(locked, *(outcomes or ("passed",)), **(pin or {}))
                for name, locked in pins().items()
                if name not in omit
            ),
        )
        path = checkout.top / file
        path.write_bytes(write_evidence(replace(evidence, **run)))
        return path

    return write


@pytest.fixture
def released(cli, checkout, uses, create):
    """`signups`, pinned in version 1 and released as v1."""
    create("signups", ONE)
    uses(signups=NEWEST)
    assert cli("lock").code == 0
    checkout.commit()
    checkout.git("tag", "v1")


@pytest.fixture
def bumped(released, cli, checkout, edit):  # noqa: ARG001 - works by being there
    """The pin of `signups` is moved to a version with one more column, and committed."""
    edit("signups", TWO)
    assert cli("upgrade", "--yes").code == 0
    checkout.commit()


@pytest.fixture
def gate(cli):
    """Runs the gate against v1, and returns exit code, the verdict of each subject, and the codes that led to it."""

    def run(*words: str, code: int | None = None, **options: Any) -> tuple[dict[str, str], set[str]]:
        ran = cli("gate", "--against", "v1", "--format", "json", *words, **options)
        items = ran.json["items"]
        verdicts = {item["name"]: item["verdict"] for item in items}
        counted = {word: ran.json["summary"][word] for word in ("released", "blocked", "unknown")}
        assert counted == {word: list(verdicts.values()).count(word) for word in counted}, "the counts disagree"
        expected = 4 if "unknown" in verdicts.values() else 1 if "blocked" in verdicts.values() else 0
        assert ran.code == (expected if code is None else code), ran.out + ran.err
        assert all(reason["fix"] for item in items for reason in item["reasons"]), "a reason without a way out"
        codes = {reason["code"] for item in items for reason in item["reasons"]}
        errors = {
            finding["code"]
            for item in items
            for finding in item["findings"]
            if finding["severity"] == "error" and not (finding["approved"] or finding["ignored"])
        }
        return verdicts, codes | errors

    return run


EVIDENCE: dict[str, tuple[tuple[str, ...], dict[str, Any], str | None]] = {
    "passed": (("passed",), {}, None),
    "passed, and skipped and xfailed beside it": (("passed", "skipped", "xfailed", "xpassed"), {}, None),
    "a partial run that called it": (("passed",), {"partial": "-k was given"}, None),
    "another commit with the same tree": (("passed",), {"commit": UNKNOWN_ID}, None),
    "live": (("passed",), {"mode": "live"}, None),
    "local": (("passed",), {"mode": "local"}, None),
    "failed": (("failed", "passed"), {"outcome": "failed"}, "evidence.failed"),
    "error at teardown": (("error",), {"outcome": "failed"}, "evidence.failed"),
    "a failure in a run that claims to have passed": (("passed", "failed"), {}, "evidence.failed"),
    "the run failed elsewhere": (("passed",), {"outcome": "failed"}, "evidence.failed"),
    "skipped": (("skipped",), {}, "evidence.not-passed"),
    "xfailed": (("xfailed",), {}, "evidence.not-passed"),
    "xpassed": (("xpassed",), {}, "evidence.not-passed"),
    "never finished": (("",), {}, "evidence.not-passed"),
    "not called": ((), {"pin": {"tests": ()}}, "evidence.not-called"),
    "not in the lock of the suite": ((), {"omit": ("signups",)}, "evidence.missing"),
    "of another version": ((), {"pin": {"version": 1}}, "evidence.other-pin"),
    "of another endpoint": ((), {"pin": {"endpoint_id": "other"}}, "evidence.other-pin"),
    "of another version id": ((), {"pin": {"version_id": "other"}}, "evidence.other-pin"),
    "of another query": ((), {"pin": {"query_hash": "0" * 32}}, "evidence.other-pin"),
    "of another contract": ((), {"pin": {"contract_hash": "0" * 32}}, "evidence.other-pin"),
    "of another environment": ((), {"pin": {"environment": "other"}}, "evidence.missing"),
    "of another commit": (("passed",), {"at": "v1"}, "evidence.other-tree"),
    "without git": (("passed",), {"commit": None, "tree": None}, "evidence.other-tree"),
    "dirty": (("passed",), {"is_dirty": True}, "evidence.dirty"),
    "contract off": (("passed",), {"contract": "off"}, "evidence.not-enforced"),
    "contract warn": (("passed",), {"contract": "warn"}, "evidence.not-enforced"),
}


@pytest.mark.parametrize(("outcomes", "changes", "reason"), EVIDENCE.values(), ids=EVIDENCE)
@pytest.mark.usefixtures("bumped")
def test_a_pin_is_released_with_evidence_of_exactly_this(gate, prove, outcomes, changes, reason):
    prove(*outcomes, **changes)
    verdict = "blocked" if reason else "released"
    assert gate() == ({"signups": verdict}, {reason} if reason else set())


@pytest.mark.usefixtures("bumped")
def test_a_bump_without_evidence_is_blocked_and_the_command_is_named(cli, gate):
    assert gate() == ({"signups": "blocked"}, {"evidence.missing"})
    ran = cli("gate", "--against", "v1")
    assert "fix: pytest --endpoints-evidence=endpoints-evidence.json" in ran.out
    assert "signups: moves from version 1 to 2 [blocked]  (endpoints.lock:" in ran.out


@pytest.mark.usefixtures("bumped")
def test_a_pin_that_no_test_called_names_the_fixtures(cli, prove):
    """A suite that calls the server around the plugin passes, and running it again changes nothing."""
    prove(pin={"tests": ()})
    fix = "call signups in a test with the fixture endpoints or endpoints_env: pytest --endpoints-evidence="
    assert fix in cli("gate", "--against", "v1").out


@pytest.mark.usefixtures("released")
def test_without_a_changed_pin_no_evidence_and_no_server_is_needed(cli, gate, checkout, server):
    checkout.commit({"../README": "more words"})
    server.requests.clear()
    assert gate() == ({}, set())
    assert not server.requests.entries()
    ran = cli("gate", "--against", "v1")
    assert (ran.code, "no pin changed since v1" in ran.out) == (0, True)


@pytest.mark.usefixtures("bumped")
def test_the_server_gets_one_request_for_a_changed_pin(gate, prove, server):
    prove()
    server.requests.clear()
    assert gate()[0] == {"signups": "released"}
    assert [entry.path.partition("/api/projects/1/")[2] for entry in server.requests.entries()] == [
        "endpoints/signups/?version=2"
    ]


@pytest.mark.usefixtures("released")
def test_a_refused_key_is_not_tried_for_every_pin(cli, gate, checkout, create, uses, server):
    names = [f"e{number}" for number in range(40)]
    for name in names:
        create(name, ONE)
    uses(signups=NEWEST, **dict.fromkeys(names, NEWEST))
    assert cli("lock").code == 0
    checkout.commit()
    server.requests.clear()
    verdicts, _ = gate(code=3, env={"ENDPOINTS_TEST_KEY": "phx_wrong"})
    assert verdicts == dict.fromkeys(names, "unknown")
    assert 1 <= len(server.requests.entries()) <= 16, "those that were on their way"
    ran = cli("gate", "--against", "v1", env={"ENDPOINTS_TEST_KEY": "phx_wrong"})
    assert ran.err.count("error: ") <= 16


@pytest.mark.usefixtures("bumped")
def test_a_pin_that_the_server_was_not_asked_for_is_not_released(gate, prove, checkout, uses):
    uses()
    config = checkout.top / "endpoints.toml"
    config.write_text(config.read_text() + '[rules]\nP108 = "off"\n')
    checkout.commit()
    prove()
    assert gate() == ({"signups": "blocked"}, {"gate.unasked"})
    assert gate("--offline") == ({"signups": "released"}, set())


@pytest.mark.usefixtures("bumped")
def test_offline_imports_nothing_heavy(prove, checkout):
    prove()
    program = (
        "import sys; from endpoints_gitops.cli.main import run; code = run(['gate', '--against', 'v1', '--offline']);"
        "heavy = {'httpx', 'pydantic', 'pydantic_core', 'ruamel.yaml', 'deepdiff', 'chdb'};"
        "print(code, sorted(heavy & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=checkout.top, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 []"


# several files


@pytest.mark.usefixtures("bumped")
def test_one_of_several_files_is_enough(gate, prove, checkout):
    prove(file="a.json", at="v1")
    prove("skipped", file="b.json")
    named = ("--evidence", "a.json", "--evidence", "b.json")
    assert gate(*named) == ({"signups": "blocked"}, {"evidence.not-passed"}), "the file that gets furthest counts"
    prove(file="c.json")
    assert gate(*named, "--evidence", "c.json") == ({"signups": "released"}, set())
    assert gate(*named, "--evidence", str(checkout.top / "c.json"))[0] == {"signups": "released"}


@pytest.mark.usefixtures("bumped")
def test_a_failure_on_this_tree_outweighs_a_proof(gate, prove):
    prove(file="a.json")
    prove("failed", file="b.json", outcome="failed")
    named = ("--evidence", "a.json", "--evidence", "b.json")
    assert gate(*named) == ({"signups": "blocked"}, {"evidence.failed"})
    prove("failed", file="b.json", outcome="failed", at="v1")
    assert gate(*named)[0] == {"signups": "released"}, "that failure was of another tree"


# what the other shard says of its run, and the codes that block `signups`, whose own shard passed
OTHER_SHARDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "passed": ({}, set()),
    "failed elsewhere": ({"outcome": "failed"}, {"evidence.failed"}),
    "failed without a test, as where a file cannot be imported": (
        {"outcome": "failed", "counts": {}},
        {"evidence.failed"},
    ),
    "failed in a lock without the pin": ({"outcome": "failed", "omit": ("signups",)}, {"evidence.failed"}),
    "failed with the contract off": ({"outcome": "failed", "contract": "off"}, {"evidence.failed"}),
    "failed on another tree": ({"outcome": "failed", "at": "v1"}, set()),
    "failed with changed files": ({"outcome": "failed", "is_dirty": True}, set()),
}


@pytest.mark.parametrize(("run", "codes"), OTHER_SHARDS.values(), ids=OTHER_SHARDS)
@pytest.mark.usefixtures("bumped")
def test_a_run_that_failed_on_this_tree_blocks_what_another_proves(gate, prove, run, codes):
    prove(file="a.json")
    prove(file="b.json", pin={"tests": ()}, **run)
    assert gate("--evidence", "a.json", "--evidence", "b.json") == (
        {"signups": "blocked" if codes else "released"},
        codes,
    )


CORRUPT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-20],
    "not JSON": lambda _: b"\xff\xfe",
    "edited": lambda content: content.replace(b'"failed"', b'"passed"'),
    "of a newer release": lambda content: content.replace(b'"schema_version": 1', b'"schema_version": 99'),
    "another object": lambda _: b"{}",
}


@pytest.mark.parametrize("damage", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.usefixtures("bumped")
def test_corrupt_evidence_is_exit_2_beside_good_evidence_too(cli, prove, damage):
    path = prove("failed", outcome="failed")
    path.write_bytes(damage(path.read_bytes()))
    prove(file="good.json")
    for words in ((), ("--evidence", "good.json", "--evidence", FILE)):
        ran = cli("gate", "--against", "v1", "--format", "json", *words)
        assert (ran.code, ran.json["errors"][0]["where"].partition(":")[0]) == (2, FILE), ran.out
        assert ran.json["errors"][0]["code"] == "evidence.invalid"


@pytest.mark.usefixtures("bumped")
def test_evidence_that_cannot_be_read_is_exit_2(cli, checkout):
    (checkout.top / FILE).mkdir()
    assert cli("gate", "--against", "v1").code == 2
    (checkout.top / FILE).rmdir()
    (checkout.top / FILE).symlink_to("nowhere.json")
    assert cli("gate", "--against", "v1").code == 2, "a link that leads nowhere is not the lack of evidence"
    ran = cli("gate", "--against", "v1", "--evidence", "nowhere.json", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, "evidence.unreadable")


# trees


@pytest.mark.usefixtures("bumped")
def test_a_squash_and_a_merge_with_the_same_tree_are_proven(gate, prove, checkout):
    checkout.git("switch", "--quiet", "-c", "branch")
    checkout.commit({"../app.py": "1"})
    path = prove()
    checkout.git("switch", "--quiet", "main")
    checkout.git("merge", "--quiet", "--squash", "branch")
    checkout.git("commit", "--quiet", "--message", "squashed")
    assert gate()[0] == {"signups": "released"}
    checkout.git("reset", "--quiet", "--hard", "HEAD^")
    assert gate()[1] == {"evidence.other-tree"}, "before the merge this was another tree"
    checkout.git("merge", "--quiet", "--no-ff", "--message", "merged", "branch")
    assert path.exists()
    assert gate()[0] == {"signups": "released"}


def paths_of_evidence(checkout, *paths: str) -> None:
    file = checkout.top / "endpoints.toml"
    file.write_text(f"evidence_paths = {json.dumps(paths)}\n{file.read_text()}")


AGREEING = {
    "outside of them": (("endpoints.lock", "app"), "README", None),
    "in a folder": (("endpoints.lock", "app"), "app/main.py", "evidence.other-tree"),
    "a new file in a folder": (("endpoints.lock", "app"), "app/other.py", "evidence.other-tree"),
    "a folder whose name begins alike": (("app",), "app2/main.py", None),
    "matched by a glob": (("**/*.py",), "app/main.py", "evidence.other-tree"),
    "not matched by a glob": (("app/*.py",), "README", None),
    "all of it": ((".",), "README", "evidence.other-tree"),
    "spelled with a dot": (("./app/",), "app/main.py", "evidence.other-tree"),
}


@pytest.mark.parametrize(("paths", "changed", "reason"), AGREEING.values(), ids=AGREEING)
@pytest.mark.usefixtures("bumped")
def test_a_tree_counts_that_agrees_on_evidence_paths(gate, prove, checkout, paths, changed, reason):
    paths_of_evidence(checkout, *paths)
    checkout.commit({"../README": "1", "../app/main.py": "1", "../app2/main.py": "1", "../.gitignore": FILE})
    path = prove()
    checkout.commit({f"../{changed}": "2"})
    assert path.exists()
    assert gate() == ({"signups": "blocked" if reason else "released"}, {reason} if reason else set())


@pytest.mark.parametrize("paths", [(), (".",)])
@pytest.mark.usefixtures("bumped")
def test_committed_evidence_says_that_it_changed_the_tree(cli, prove, checkout, paths):
    if paths:
        paths_of_evidence(checkout, *paths)
        checkout.commit()
    prove()
    checkout.commit()
    prove(at="HEAD^")  # the same file, as the run of the parent wrote it
    (item,) = cli("gate", "--against", "v1", "--format", "json").json["items"]
    (reason,) = item["reasons"]
    assert reason["code"] == "evidence.other-tree"
    assert f"HEAD differs because {FILE} is committed" in reason["message"]
    assert f"add {FILE} to .gitignore and git rm --cached {FILE}, commit both, and run pytest" in reason["fix"]
    assert f"pytest --endpoints-evidence={FILE}" in reason["fix"]
    checkout.commit({"../app.py": "1"})
    (item,) = cli("gate", "--against", "v1", "--format", "json").json["items"]
    assert "which differs in app.py and 1 more" in item["reasons"][0]["message"]


@pytest.mark.parametrize("order", [("a.json", "b.json"), ("b.json", "a.json")])
@pytest.mark.usefixtures("bumped")
def test_the_fix_names_the_file_that_gets_furthest(cli, prove, checkout, order):
    checkout.commit({"../.gitignore": "*.json"})
    prove(omit=("signups",), file="a.json")
    prove("skipped", file="b.json")
    words = [word for name in order for word in ("--evidence", name)]
    (item,) = cli("gate", "--against", "v1", *words, "--format", "json").json["items"]
    (reason,) = item["reasons"]
    assert (reason["code"], reason["fix"]) == ("evidence.not-passed", "pytest --endpoints-evidence=b.json")


@pytest.mark.usefixtures("bumped")
def test_evidence_without_a_tree_agrees_on_nothing(gate, prove, checkout):
    paths_of_evidence(checkout, "endpoints.lock")
    checkout.commit({"../.gitignore": FILE})
    prove(commit=None, tree=None)
    assert gate() == ({"signups": "blocked"}, {"evidence.other-tree"})


@pytest.mark.usefixtures("bumped")
def test_a_removed_file_of_evidence_paths_is_another_tree(gate, prove, checkout):
    paths_of_evidence(checkout, "app")
    checkout.commit({"../app/a.py": "1", "../app/b.py": "1", "../.gitignore": FILE})
    prove()
    checkout.commit({"../app/b.py": None})
    assert gate()[1] == {"evidence.other-tree"}


@pytest.mark.usefixtures("bumped")
def test_evidence_paths_that_match_nothing_are_refused(cli, prove, checkout):
    paths_of_evidence(checkout, "tsets")
    checkout.commit({"../.gitignore": FILE})
    prove()
    checkout.commit({"../README": "1"})
    ran = cli("gate", "--against", "v1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, "configuration.evidence-paths")
    assert "'tsets'" in ran.json["errors"][0]["message"]


@pytest.mark.parametrize("path", ["/etc", "../app", "app/../..", "a\\b", ""])
@pytest.mark.usefixtures("released")
def test_evidence_paths_stay_below_the_configuration(cli, checkout, path):
    paths_of_evidence(checkout, path)
    assert cli("gate", "--against", "v1").code == 2


@pytest.mark.usefixtures("bumped")
def test_evidence_of_a_tree_that_is_not_in_this_clone_is_unknown(gate, prove, checkout, cli):
    paths_of_evidence(checkout, "endpoints.lock")
    checkout.commit({"../.gitignore": FILE})
    prove(commit=UNKNOWN_ID, tree=UNKNOWN_ID)
    assert gate() == ({"signups": "unknown"}, {"evidence.unknown-tree"})
    assert f"git fetch origin {UNKNOWN_ID}" in cli("gate", "--against", "v1").out
    prove(commit=UNKNOWN_ID, tree="--help")
    assert gate() == ({"signups": "unknown"}, {"evidence.unknown-tree"}), "no text of a file is an option of git"


@pytest.mark.usefixtures("bumped")
def test_one_unknown_pin_outweighs_a_blocked_one(cli, gate, prove, checkout, create, uses):
    create("other", ONE)
    uses(signups=NEWEST, other=NEWEST)
    assert cli("lock").code == 0
    paths_of_evidence(checkout, "endpoints.lock")
    checkout.commit({"../.gitignore": FILE})
    prove(commit=UNKNOWN_ID, tree=UNKNOWN_ID, omit=("other",))
    verdicts = {"signups": "unknown", "other": "blocked"}
    assert gate(code=4) == (verdicts, {"evidence.unknown-tree", "evidence.missing"})


@pytest.mark.usefixtures("bumped")
def test_a_shallow_clone_without_the_released_commit_is_exit_4_with_the_cure(make_cli, checkout, tmp_path):
    clone = tmp_path / "clone"
    checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.top}", str(clone))
    configuration = (clone / "endpoints.toml").read_text()
    cli = make_cli(clone)
    (clone / "endpoints.toml").write_text(configuration)
    ran = cli("gate", "--against", "v1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "G109")
    assert "--unshallow" in ran.json["errors"][0]["fix"]
    assert "fetch-depth: 0" in ran.json["errors"][0]["fix"]


# the work tree


@pytest.mark.usefixtures("bumped")
def test_a_changed_tracked_file_blocks(gate, prove, checkout):
    checkout.commit({"../README": "1"})
    prove()
    assert gate()[0] == {"signups": "released"}, "untracked evidence is no change"
    (checkout.top / "README").write_text("2")
    assert gate() == ({"work tree": "blocked", "signups": "released"}, {"gate.uncommitted"})


@pytest.mark.usefixtures("bumped")
def test_tracked_evidence_that_a_run_has_just_written_is_no_change(gate, prove, checkout):
    (checkout.top / FILE).write_text("{}")
    checkout.commit()
    prove()
    assert gate()[0] == {"signups": "released"}


def test_a_lock_that_is_not_committed_blocks(cli, gate, prove, checkout, uses, create):
    create("signups", ONE)
    uses(signups=NEWEST)
    checkout.commit()
    checkout.git("tag", "v1")
    assert cli("lock").code == 0
    prove()
    assert gate() == ({"work tree": "blocked", "signups": "released"}, {"gate.uncommitted"})


def test_a_changed_file_beside_an_app_of_a_monorepo_blocks(make_cli, checkout, create, uses):
    top = checkout.top / "apps" / "shop"
    cli = make_cli(top)
    create("signups", ONE)
    uses(top, signups=NEWEST)
    assert cli("lock").code == 0
    checkout.commit({"../README": "1"})
    checkout.git("tag", "v1")
    assert cli("gate", "--against", "v1").code == 0
    (checkout.top / "README").write_text("2")
    ran = cli("gate", "--against", "v1", "--format", "json")
    assert (ran.code, [item["name"] for item in ran.json["items"]]) == (1, ["work tree"])


# added, removed, and what the manifest says


def test_every_pin_is_added_where_the_released_commit_has_no_lock(cli, gate, prove, checkout, uses, create):
    create("signups", ONE)
    uses(signups=NEWEST)
    checkout.commit()
    checkout.git("tag", "v1")
    assert cli("lock").code == 0
    checkout.commit()
    assert gate() == ({"signups": "blocked"}, {"evidence.missing"})
    prove()
    assert gate() == ({"signups": "released"}, set())
    ran = cli("gate", "--against", "v1")
    assert ("added at version 1" in ran.out, "has no endpoints.lock" in ran.out) == (True, True)


@pytest.mark.usefixtures("released")
def test_a_removed_pin_needs_no_evidence(cli, gate, checkout, uses):
    uses()
    assert cli("lock").code == 0
    checkout.commit()
    assert gate() == ({"signups": "released"}, set())
    assert "removed; it was version 1" in cli("gate", "--against", "v1").out


@pytest.mark.usefixtures("released")
def test_a_removed_pin_that_is_still_used_is_blocked(gate, checkout):
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock()))
    checkout.commit()
    assert gate() == ({"signups": "blocked"}, {"P108"})
    checkout.git("rm", "--quiet", "endpoints.lock")
    checkout.commit()
    assert gate() == ({"signups": "blocked"}, {"P108"}), "without a lock too"


@pytest.mark.usefixtures("released")
def test_a_use_that_was_never_pinned_is_blocked(gate, checkout, uses):
    uses(signups=NEWEST, other=NEWEST)
    checkout.commit()
    assert gate() == ({"other": "blocked"}, {"P108"})


@pytest.mark.usefixtures("released")
def test_a_pin_that_differs_in_examples_alone_is_the_same(gate, checkout, pins):
    changed = replace(pins()["signups"], allowed=("a reason",))
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(changed,))))
    checkout.commit()
    assert gate() == ({}, set())


# what a pin that has the same version may have instead
RELOCKED: dict[str, dict[str, Any]] = {
    "another endpoint": {"endpoint_id": "other"},
    "another version id": {"version_id": "other"},
    "another query": {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS one"}},
    "another serving": {"materialized": True},
    "other columns": {"columns": None},
}


@pytest.mark.parametrize("changes", RELOCKED.values(), ids=RELOCKED)
@pytest.mark.usefixtures("released")
def test_a_pin_of_the_same_version_that_is_another_needs_evidence(gate, checkout, pins, changes):
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(replace(pins()["signups"], **changes),))))
    checkout.commit()
    verdicts, codes = gate("--offline")
    assert (verdicts, "evidence.missing" in codes) == ({"signups": "blocked"}, True)


@pytest.mark.usefixtures("bumped")
def test_a_pin_that_moves_to_what_is_removed_soon_is_blocked(gate, prove, checkout, pins):
    notice = SunsetNotice(since=date(2020, 1, 1), sunset=date(2020, 6, 1))
    moved = replace(pins()["signups"], deprecation=notice)
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(moved,))))
    checkout.commit()
    prove()
    assert gate("--offline") == ({"signups": "blocked"}, {"P105"})


# what the move does to the app


@pytest.mark.parametrize(("reads", "codes"), [("name", set()), ("position", {"C109", "gate.breaking"})])
@pytest.mark.usefixtures("released")
def test_how_the_app_reads_rows_decides(cli, gate, prove, checkout, uses, edit, reads, codes):
    edit("signups", "SELECT 2 AS two, 1 AS one")
    uses(signups=f'{{ reads = "{reads}" }}')
    assert cli("upgrade", "signups@2", "--allow-breaking", "x", "--yes").code == 0
    without_reasons(checkout)
    prove()
    assert gate() == ({"signups": "blocked" if codes else "released"}, codes)


@pytest.mark.usefixtures("bumped")
def test_a_move_that_cannot_be_decided_is_blocked_unless_that_is_allowed(cli, gate, prove, checkout, pins):
    unknown = replace(pins()["signups"], columns=None, query={"kind": "HogQLQuery", "query": "SELECT * FROM a_view"})
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(unknown,))))
    checkout.commit()
    prove()
    verdicts, codes = gate("--offline")
    assert (verdicts, {"C112", "gate.undecided"} <= codes, "gate.breaking" in codes) == (
        {"signups": "blocked"},
        True,
        False,
    )
    ran = cli("gate", "--against", "v1", "--offline")
    assert "fix: endpoints-gitops gate --against v1 --offline --allow-unknown treats it as safe" in ran.out
    assert gate("--offline", "--allow-unknown") == ({"signups": "released"}, set())


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("breaking")
def test_a_reason_of_an_earlier_move_allows_no_other_one(gate, prove, checkout, cli, edit, pins, count):
    """The lock keeps reasons; one that is written again counts again."""
    checkout.git("tag", "-f", "v1")
    edit("signups", "SELECT 3 AS another")
    (reason,) = pins()["signups"].allowed
    assert cli("upgrade", "signups@3", "--allow-breaking", reason, "--yes").code == 0
    moved = replace(pins()["signups"], allowed=(reason,) * count)
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(moved,))))
    checkout.commit()
    prove()
    verdicts, codes = gate()
    assert (verdicts, "gate.breaking" in codes) == ({"signups": ("blocked", "released")[count - 1]}, count == 1)


def without_reasons(checkout) -> None:
    """Commit the lock without the reasons of breaking moves."""
    path = checkout.top / "endpoints.lock"
    lock = read_lock(path.read_bytes(), "endpoints.lock")
    path.write_bytes(write_lock(Lock(pins=tuple(replace(pin, allowed=()) for pin in lock.pins))))
    checkout.commit()


@pytest.fixture
def breaking(released, cli, checkout, edit):  # noqa: ARG001 - works by being there
    """The pin of `signups` is moved to a version without its column, for a reason that the lock records."""
    edit("signups", "SELECT 2 AS other")
    assert cli("upgrade", "signups@2", "--allow-breaking", "the report is adapted", "--yes").code == 0
    checkout.commit()


@pytest.mark.usefixtures("breaking")
def test_a_recorded_reason_clears_breaking_findings_and_is_shown(cli, gate, prove):
    prove()
    assert gate() == ({"signups": "released"}, set())
    ran = cli("gate", "--against", "v1")
    assert ("C10" in ran.out, "allowed: the report is adapted" in ran.out) == (True, True)


@pytest.mark.usefixtures("breaking")
def test_a_breaking_move_without_a_reason_is_blocked_until_it_is_approved(cli, gate, prove, checkout, pins):
    bare = replace(pins()["signups"], allowed=())
    (checkout.top / "endpoints.lock").write_bytes(write_lock(Lock(pins=(bare,))))
    checkout.commit({"../.gitignore": FILE})
    prove()
    verdicts, codes = gate()
    assert (verdicts, "gate.breaking" in codes, bool(codes & {"C101", "C102"})) == ({"signups": "blocked"}, True, True)
    ran = cli("gate", "--against", "v1", "--format", "json")
    (reason,) = ran.json["items"][0]["reasons"]
    program, *words = shlex.split(reason["fix"])
    assert (program, words[0], words[-2:]) == ("endpoints-gitops", "approve", ["--reason", "the reason"])
    assert cli(*words, "--by", "somebody").code == 0
    checkout.commit()
    prove()
    assert gate() == ({"signups": "released"}, set())
    assert "approved by somebody" in cli("gate", "--against", "v1").out


@pytest.mark.usefixtures("bumped")
def test_the_policy_decides_what_blocks(gate, prove, checkout):
    file = checkout.top / "endpoints.toml"
    text = file.read_text()
    file.write_text(f'fail_on = "info"\n{text}')
    checkout.commit({"../.gitignore": FILE})
    prove()
    assert gate() == ({"signups": "blocked"}, {"gate.breaking"}), "an appended column is an info"
    file.write_text(f'fail_on = "info"\n{text}\n[rules.C110]\nseverity = "off"\nreason = "we read by name"\n')
    checkout.commit()
    prove()
    assert gate() == ({"signups": "released"}, set())


@pytest.mark.usefixtures("released")
def test_the_columns_of_the_use_decide(cli, gate, prove, checkout, uses, edit):
    edit("signups", TWO)
    assert cli("upgrade", "--yes").code == 0
    checkout.commit()
    checkout.git("tag", "-f", "v1")
    edit("signups", ONE)
    uses(signups='{ columns = ["one"] }')
    assert cli("upgrade", "--yes").code == 0
    checkout.commit()
    prove()
    assert gate() == ({"signups": "released"}, set())
    uses(signups='{ columns = ["two"] }')
    checkout.commit({"../.gitignore": FILE})
    prove()
    assert gate()[0] == {"signups": "blocked"}


# the server


def deactivated_version(client):
    client.update_endpoint("signups", {"is_active": False}, version=2)


def deactivated(client):
    client.update_endpoint("signups", {"is_active": False})


def deleted(client):
    client.delete_endpoint("signups")


def recreated(client):
    client.delete_endpoint("signups")
    client.create_endpoint({"name": "signups", "query": {"kind": "HogQLQuery", "query": ONE}})


SERVED = {
    "version inactive": (deactivated_version, "P104"),
    "endpoint inactive": (deactivated, "A103"),
    "deleted": (deleted, "P102"),
    "recreated": (recreated, "A105"),
}


@pytest.mark.parametrize(("change", "code"), SERVED.values(), ids=SERVED)
@pytest.mark.usefixtures("bumped")
def test_what_the_server_no_longer_has_is_blocked(gate, prove, client, change, code):
    prove()
    change(client)
    verdicts, codes = gate()
    assert (verdicts, code in codes) == ({"signups": "blocked"}, True)
    assert gate("--offline")[0] == {"signups": "released"}


@pytest.mark.usefixtures("bumped")
def test_offline_asks_nothing_and_says_so(cli, prove, server):
    prove()
    server.requests.clear()
    ran = cli("gate", "--against", "v1", "--offline", env={"ENDPOINTS_TEST_KEY": ""})
    assert (ran.code, "the server was not asked (--offline)" in ran.out) == (0, True)
    assert not server.requests.entries()


@pytest.mark.usefixtures("bumped")
def test_without_a_key_offline_is_named(cli, gate, prove):
    prove()
    verdicts, codes = gate(code=3, env={"ENDPOINTS_TEST_KEY": ""})
    assert (verdicts, codes) == ({"signups": "unknown"}, {"credentials.missing"})
    ran = cli("gate", "--against", "v1", env={"ENDPOINTS_TEST_KEY": ""})
    assert (ran.code, "endpoints-gitops gate --against v1 --offline" in ran.err) == (3, True)


@pytest.mark.usefixtures("bumped")
def test_a_key_that_the_server_refuses_is_exit_3(gate, prove):
    prove()
    verdicts, _ = gate(code=3, env={"ENDPOINTS_TEST_KEY": "phx_wrong"})
    assert verdicts == {"signups": "unknown"}


@pytest.mark.usefixtures("bumped")
def test_a_server_that_fails_leaves_the_pin_unknown_even_if_it_is_blocked_too(gate, prove, server):
    server.faults.add(Fault(effect=Effect.ERROR, status=503))
    prove("failed", outcome="failed")
    verdicts, codes = gate("--max-wait", "0.1")
    assert (verdicts, "evidence.failed" in codes, len(codes)) == ({"signups": "unknown"}, True, 2)


@pytest.mark.usefixtures("bumped")
def test_a_server_that_is_not_there_is_exit_4(gate, prove):
    prove()
    verdicts, _ = gate("--max-wait", "0.1", env={"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"})
    assert verdicts == {"signups": "unknown"}


# what cannot be judged


@pytest.mark.parametrize("ref", ["nowhere", "", " ", "--help", "v1^9", "HEAD@{upstream}"])
@pytest.mark.usefixtures("released")
def test_a_released_commit_that_is_not_there_is_exit_4(cli, ref):
    ran = cli("gate", f"--against={ref}", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "G109")


@pytest.mark.usefixtures("released")
def test_a_corrupt_lock_is_exit_2_here_and_at_the_released_commit(cli, checkout):
    path = checkout.top / "endpoints.lock"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"version = 1", b"version = 2"))
    checkout.commit()
    ran = cli("gate", "--against", "v1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["where"].partition(":")[0]) == (2, "endpoints.lock")
    checkout.git("tag", "-f", "v1")
    path.write_bytes(whole)
    checkout.commit()
    ran = cli("gate", "--against", "v1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["where"].startswith("v1:endpoints.lock")) == (2, True)


def test_without_a_repository_it_is_exit_4(make_cli, tmp_path):
    top = tmp_path / "bare"
    ran = make_cli(top)("gate", "--against", "v1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "git.no-history")


WRONG = {
    "neither": ((), "--against REF or --plan FILE"),
    "evidence for a plan": (("--plan", "p.json", "--evidence", "e.json"), "--evidence has no effect"),
    "offline for a plan": (("--plan", "p.json", "--offline"), "--offline has no effect"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_options_without_effect_are_refused(cli, words, message):
    ran = cli("gate", *words)
    assert (ran.code, message in ran.err) == (2, True), ran.err


# environments


def test_each_environment_is_judged_by_its_own_pins(cli, gate, prove, checkout, create, pins):
    create("signups", ONE)
    file = checkout.top / "endpoints.toml"
    text = file.read_text().replace("[environments.test]", "[environments.live]")
    body = text.partition("[environments.live]")[2]
    file.write_text(
        f"{text}[environments.live.uses]\nsignups = '*'\n[environments.stage]{body}"
        "[environments.stage.uses]\nsignups = '*'\n"
    )
    checkout.commit()
    checkout.git("tag", "v1")
    assert cli("lock").code == 0
    checkout.commit()
    both = read_lock((checkout.top / "endpoints.lock").read_bytes(), "endpoints.lock").pins
    assert {pin.environment for pin in both} == {"live", "stage"}
    prove()
    known = pins()["signups"].environment
    other = ({"live", "stage"} - {known}).pop()
    assert gate() == ({f"signups ({known})": "released", f"signups ({other})": "blocked"}, {"evidence.missing"})
    assert gate("--env", known) == ({"signups": "released"}, set())


# plans


@pytest.fixture
def plan(cli, checkout):
    """Saves a plan of these files: `plan("SELECT 2 AS other")` changes the query of `signups`."""

    def make(sql: str | None = None, name: str = "signups", **keys: Any) -> str:
        query = {} if sql is None else {"query": sql}
        checkout.write({f"{name}.yaml": json.dumps({"name": name, "query": ONE} | query | keys)})
        ran = cli("plan", "--overwrite", "-o", "plan.json")
        assert (checkout.top / "plan.json").exists(), ran.err
        return "plan.json"

    return make


@pytest.fixture
def judge_plan(cli):
    def run(*words: str) -> tuple[int, dict[str, tuple[str, str]], set[str]]:
        ran = cli("gate", "--plan", "plan.json", "--format", "json", *words)
        items = ran.json["items"]
        errors = {f["code"] for item in items for f in item["findings"] if f["severity"] == "error"}
        return ran.code, {item["name"]: (item["verdict"], item["change"]) for item in items}, errors

    return run


@pytest.mark.usefixtures("released")
def test_a_plan_with_a_new_version_hurts_no_pinned_caller(plan, judge_plan, cli, server):
    plan("SELECT 2 AS other")
    server.requests.clear()
    assert judge_plan() == (0, {"signups": ("released", "new version 2")}, set())
    assert not server.requests.entries()
    assert "callers: endpoints.toml (pins 1)" in cli("gate", "--plan", "plan.json").out


def test_a_plan_with_a_breaking_version_hurts_an_unpinned_caller(plan, judge_plan, create, uses):
    create("signups", ONE)
    uses(signups=NEWEST)
    plan("SELECT 2 AS other")
    code, verdicts, errors = judge_plan()
    assert (code, verdicts) == (1, {"signups": ("blocked", "new version 2")})
    assert errors & {"C101", "C102"}


def test_callers_that_nobody_knows_count_as_unpinned(plan, judge_plan, create, cli):
    create("signups", ONE)
    plan("SELECT 2 AS other")
    assert judge_plan()[0] == 1
    assert "callers: none is known, and there may be some" in cli("gate", "--plan", "plan.json").out


def test_a_change_in_place_hurts_a_pinned_caller(plan, judge_plan, cli, create, uses):
    sql = "SELECT count() AS one FROM events WHERE event = {variables.e}"
    create("signups", sql, variables={"e": ("String", "a")})
    uses(signups=NEWEST)
    assert cli("lock").code == 0
    variables = [{"name": "e", "type": "String", "default": "a"}]
    plan(sql, variables=variables, materialization={"enabled": True})
    assert judge_plan() == (1, {"signups": ("blocked", "changes in place: materialization")}, {"S101"})


@pytest.mark.usefixtures("released")
def test_a_deactivation_hurts_a_pinned_caller(plan, judge_plan):
    plan(active=False)
    code, verdicts, errors = judge_plan()
    assert (code, verdicts["signups"][0], errors) == (1, "blocked", {"A103"})


def test_a_new_endpoint_and_an_empty_plan_hurt_nobody(plan, judge_plan, cli, client):
    plan()
    assert judge_plan() == (0, {"signups": ("released", "is created")}, set())
    client.create_endpoint({"name": "signups", "query": {"kind": "HogQLQuery", "query": ONE}})
    plan()
    assert judge_plan() == (0, {}, set())
    assert "plan.json changes nothing" in cli("gate", "--plan", "plan.json").out


@pytest.mark.usefixtures("released")
def test_the_policy_and_comments_decide_what_of_a_plan_blocks(plan, judge_plan, cli, checkout):
    plan(TWO)
    assert judge_plan()[0] == 0
    file = checkout.top / "endpoints.toml"
    text = file.read_text()
    file.write_text(f'fail_on = "info"\n{text}')
    assert judge_plan()[0] == 1, "an appended column is an info"
    file.write_text(text)
    ignored = '# endpoints-gitops: ignore A103 reason="all moved" owner=Ann until=2099-01-01'
    checkout.write({"signups.yaml": f"name: signups\nquery: {ONE}\nactive: false {ignored}\n"})
    assert cli("plan", "--overwrite", "-o", "plan.json").code == 0
    assert judge_plan() == (0, {"signups": ("released", "changes in place: active")}, {"A103"})


@pytest.mark.parametrize(("sunset", "code", "errors"), [("2020-06-01", 0, set()), ("2099-06-01", 1, {"A106"})])
def test_a_plan_is_judged_by_the_date(plan, judge_plan, create, sunset, code, errors):
    create("signups", ONE)
    plan(active=False, deprecation={"since": "2020-01-01", "sunset": sunset})
    assert (judge_plan()[0], judge_plan()[2]) == (code, errors)


@pytest.mark.usefixtures("released")
def test_an_approval_clears_a_finding_of_a_plan(plan, judge_plan, cli):
    plan(active=False)
    ran = cli("gate", "--plan", "plan.json", "--format", "json")
    fingerprints = [f["fingerprint"] for f in ran.json["items"][0]["findings"] if f["severity"] == "error"]
    assert cli("approve", *fingerprints, "--reason", "all moved", "--by", "somebody").code == 0
    assert judge_plan()[0] == 0


@pytest.mark.usefixtures("released")
def test_a_plan_that_cannot_be_used_is_exit_2(plan, cli, checkout):
    plan(active=False)
    path = checkout.top / "plan.json"
    whole = path.read_text()
    other = {"corrupt": whole.replace("signups", "signups2", 1), "not JSON": "{", "empty": ""}
    for text in other.values():
        path.write_text(text)
        ran = cli("gate", "--plan", "plan.json", "--format", "json")
        assert (ran.code, len(ran.json["errors"]) > 0) == (2, True), ran.out
    assert cli("gate", "--plan", "nowhere.json").code == 2
    path.write_text(whole)
    for variable in ({"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"}, {"ENDPOINTS_GITOPS_PROJECT_ID": "77"}):
        ran = cli("gate", "--plan", "plan.json", "--format", "json", env=variable)
        assert (ran.code, ran.json["errors"][0]["code"]) == (2, "plan.other_target")


@pytest.mark.usefixtures("bumped")
def test_pins_and_plan_are_judged_together(plan, cli, checkout, prove):
    checkout.commit({"../.gitignore": f"{FILE}\nplan.json\nendpoints"})
    plan(TWO, active=False)
    prove()
    ran = cli("gate", "--against", "v1", "--plan", "plan.json", "--format", "json")
    verdicts = [(item["name"], item["verdict"]) for item in ran.json["items"]]
    assert (ran.code, verdicts) == (1, [("signups", "released"), ("signups", "blocked")]), ran.out
    assert (ran.json["summary"]["released"], ran.json["summary"]["blocked"]) == (1, 1)


# every format


def as_released(prove, **_):
    prove()


def as_blocked(prove, **_):
    prove("failed", outcome="failed")


def as_unknown(prove, server, **_):
    prove()
    server.faults.add(Fault(effect=Effect.ERROR, status=503))


def as_broken(prove, **_):
    prove().write_text("{")


STATES = {
    "released": (as_released, 0),
    "blocked": (as_blocked, 1),
    "unknown": (as_unknown, 4),
    "corrupt": (as_broken, 2),
}


@pytest.mark.parametrize(("prepare", "code"), STATES.values(), ids=STATES)
@pytest.mark.usefixtures("bumped")
def test_every_report_agrees_with_the_exit_code(cli, prove, server, tmp_path, prepare, code):
    prepare(prove=prove, server=server)
    formats = ("text", "json", "markdown", "github", "sarif", "junit", "gitlab")
    files = {name: tmp_path / f"report.{name}" for name in formats}
    reports = [word for name, path in files.items() for word in ("--report", f"{name}={path}")]
    ran = cli("gate", "--against", "v1", "--max-wait", "0.1", *reports)
    texts = {name: path.read_text() for name, path in files.items()}
    junit = ElementTree.fromstring(texts["junit"])
    (run,) = json.loads(texts["sarif"])["runs"]
    levels = [result["level"] for result in run["results"]]
    is_executed = run["invocations"][0]["executionSuccessful"]
    failed = {
        "exit code": ran.code != 0,
        "text": "exit code 0" not in texts["text"],
        "json": json.loads(texts["json"])["exit_code"] != 0,
        "github": "::error" in texts["github"],
        "sarif": "error" in levels or not is_executed,
        "junit": junit.get("failures") != "0" or junit.get("errors") != "0",
        "gitlab": any(issue["severity"] in ("critical", "blocker", "major") for issue in json.loads(texts["gitlab"])),
        "markdown": "this commit may be released;" not in texts["markdown"] or "Unknown:" in texts["markdown"],
    }
    assert (ran.code, failed) == (code, dict.fromkeys(failed, code != 0)), texts["markdown"]
    assert is_executed is (code in (0, 1))
    assert json.loads(texts["json"])["exit_code"] == code
