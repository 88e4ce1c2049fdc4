"""Why history is unavailable, and the advice that fits: no git, no repository, no commit, a broken HEAD, another owner,
a shallow clone, a partial clone. Nothing is fetched.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

ONE = "name: one\nquery: SELECT {} AS one\n"


def no_git(place):
    (place.top.parent / "empty").mkdir()
    place.env["PATH"] = str(place.top.parent / "empty")


def no_repository(place):
    shutil.rmtree(place.top / ".git")


def no_commit(place):
    shutil.rmtree(place.top / ".git")
    place.checkout.git("init", "--quiet")


def head_of_no_branch(place):
    (place.top / ".git" / "HEAD").write_text("ref: refs/heads/nowhere\n")


def head_is_garbage(place):
    (place.top / ".git" / "HEAD").write_text("garbage\n")


def other_owner(place):
    place.env["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"


def clone(place, *options):
    place.checkout.git("config", "uploadpack.allowFilter", "true")
    top = place.top.parent / "clone"
    place.checkout.git("clone", "--quiet", *options, f"file://{place.top}", str(top))
    place.top = top


def shallow(place):
    clone(place, "--depth", "1")


def partial(place):
    clone(place, "--filter=blob:none")


def treeless(place):
    clone(place, "--filter=tree:0")


def partial_without_remote(place):
    clone(place, "--filter=blob:none")
    place.checkout.top = place.top
    place.checkout.git("remote", "set-url", "origin", "/nonexistent")


CAUSES = {
    no_git: ("git is not installed", "install git", 6),
    no_repository: ("is not in a git repository", "work in a clone of the repository", 6),
    no_commit: ("has no commit yet", "git add --all && git commit", 6),
    head_of_no_branch: ("names no commit", "git switch BRANCH", 6),
    head_is_garbage: ("git cannot read the repository", "git fsck", 4),
    other_owner: ("dubious ownership", "git config --global --add safe.directory", 4),
    shallow: ("this clone is shallow", "git fetch --unshallow (in CI: fetch-depth: 0)", 6),
    partial: ("this clone is partial", "git fetch --refetch --no-filter origin", 6),
    treeless: ("this clone is partial", "git fetch --refetch --no-filter origin", 6),
    partial_without_remote: ("this clone is partial", "git fetch --refetch --no-filter origin", 6),
}


class Place:
    def __init__(self, checkout):
        self.checkout, self.top, self.env = checkout, checkout.top, {}


@pytest.fixture(params=CAUSES, ids=lambda cause: cause.__name__)
def unknown(request, checkout, create, make_cli):
    """A definition with three commits, whose server has what only the history could explain."""
    for number in range(3):
        checkout.commit({"one.yaml": ONE.format(number), "two.yaml": ONE.format(number).replace("one", "two")})
    create("one", "SELECT 7 AS one")
    place = Place(checkout)
    request.param(place)
    cli = make_cli(place.top)
    traced = Path(checkout.top.parent / "trace")

    def run(*words):
        ran = cli(*words, env=place.env | {"GIT_TRACE2_EVENT": str(traced)})
        events = [json.loads(line) for line in traced.read_text().splitlines()] if traced.exists() else []
        started = [event["argv"] for event in events if event["event"] in ("start", "child_start")]
        assert not any("fetch" in words for words in started), "nothing is fetched"
        return ran

    return run, *CAUSES[request.param]


@pytest.mark.parametrize("words", [("plan",), ("push", "--yes"), ("diff",)], ids=lambda words: words[0])
def test_the_advice_fits_the_cause(unknown, server, words):
    run, cause, fix, code = unknown
    server.requests.clear()
    ran = run(*words)
    text = ran.out + ran.err
    assert ran.code == (1 if (words, code) == (("diff",), 6) else code)
    assert cause in text
    assert words[0] == "diff" or fix in text
    assert ("unshallow" in text) <= ("unshallow" in fix)
    assert not any("one" in write.path for write in server.requests.writes())


def test_prune_and_changed_give_the_same_advice(unknown):
    run, cause, fix, code = unknown
    pruned = run("push", "--prune", "--yes")
    assert pruned.code == (2 if code == 6 else 4)
    assert cause in pruned.err
    assert fix in pruned.err
    if "shallow" not in cause:
        for words in (("check", "changed:HEAD~1"), ("breaking", "--against", "HEAD~1")):
            ran = run(*words)
            assert ran.code in (2, 4)
            assert cause in ran.err
            assert fix in ran.err


def test_the_advice_for_a_partial_clone_helps(checkout, create, make_cli):
    for number in range(3):
        checkout.commit({"one.yaml": ONE.format(number)})
    create("one", "SELECT 1 AS one")
    place = Place(checkout)
    partial(place)
    cli = make_cli(place.top)
    before = cli("plan")
    assert (before.code, "git fetch --refetch --no-filter" in before.err + before.out) == (6, True)
    checkout.top = place.top
    checkout.git("fetch", "--quiet", "--refetch", "--no-filter", "origin")
    after = cli("plan")
    assert (after.code, "1 to update" in after.out) == (0, True)
