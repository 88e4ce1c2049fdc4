"""A definition that is not on disk is not deleted: sparse checkouts, folders that are not mounted, submodules."""

from __future__ import annotations

import shutil

import pytest

SQL = "SELECT count() AS n FROM events"


def yaml(name: str, **keys: str) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {"name": name, "query": SQL, **keys}.items())


@pytest.fixture
def pushed(cli, checkout):
    """`a` at the top, and in a folder of its own `c`, which was renamed from `old`; both endpoints are active."""
    checkout.commit({"a.yaml": yaml("a"), "billing/old.yaml": yaml("old")})
    assert cli("push", "--yes").code == 0
    checkout.commit({"billing/old.yaml": None, "billing/c.yaml": yaml("c", renamed_from="old")})
    assert cli("push", "--yes").code == 0
    checkout.hours += 1


def sparse(checkout):
    checkout.git("sparse-checkout", "set", "--no-cone", "/*", "!/endpoints/billing/")


def skipped(checkout):
    checkout.git("update-index", "--skip-worktree", "endpoints/billing/c.yaml")
    checkout.write({"billing/c.yaml": None})


def empty(checkout):
    """As where a volume is not mounted."""
    checkout.write({"billing/c.yaml": None})


def missing(checkout):
    shutil.rmtree(checkout.folder / "billing")


@pytest.mark.parametrize("leave_out", [sparse, skipped, empty, missing])
def test_a_definition_outside_a_sparse_checkout_is_not_deleted(cli, checkout, client, pushed, leave_out):  # noqa: ARG001 - a start
    leave_out(checkout)
    assert cli("push", "--prune", "--yes").code == 0
    assert all(one.is_active for one in client.list_endpoints())
    assert cli("breaking", "--against", "HEAD", "--format", "json").json["items"] == []
    ran = cli("diff", "--format", "json")
    assert (ran.code, [item["name"] for item in ran.json["items"]]) == (1, ["old"]), "not c"
    assert "1 not compared: git tracks the definition, and the file is not on disk" in ran.err
    cli("pull", "c", "--yes")
    cli("pull", "--yes")
    assert not (checkout.folder / "c.yaml").exists()


@pytest.mark.parametrize("words", [("adopt", "c"), ("adopt", "a", "c"), ("rename", "c", "d"), ("rollback", "c@1")])
def test_commands_that_need_the_file_report_that_it_is_not_on_disk(cli, checkout, pushed, words):  # noqa: ARG001
    empty(checkout)
    ran = cli(*words, "--yes")
    assert ran.code == 2
    assert "git tracks the definition of c, and its file is not on disk" in ran.err
    assert "git restore" in ran.err


def test_an_uncommitted_deletion_is_not_pruned(cli, checkout, client, pushed):  # noqa: ARG001 - a start
    checkout.write({"a.yaml": None, "other.yaml": yaml("other", query="SELECT 2 AS two")})
    assert cli("push", "--prune", "--yes").code == 0
    checkout.git("add", "--all")
    assert cli("push", "--prune", "--yes").code == 0
    assert client.get_endpoint("a").is_active
    checkout.commit()
    assert cli("push", "--prune", "--yes").code == 0
    assert not client.get_endpoint("a").is_active


def test_a_deleted_file_is_a_breaking_change(cli, checkout, pushed):  # noqa: ARG001 - a start
    checkout.write({"a.yaml": None, "other.yaml": yaml("other", query="SELECT 2 AS two")})
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    assert "A101" in [item["code"] for item in ran.json["items"]]


def test_a_submodule_that_is_not_initialised_hides_what_it_defines(cli, checkout, client, pushed):  # noqa: ARG001 - a start
    """The definition moved into a submodule, which this clone does not have."""
    head = checkout.commit({"billing/c.yaml": None})
    checkout.git("update-index", "--add", "--cacheinfo", f"160000,{head},endpoints/billing")
    checkout.git("commit", "--quiet", "--message", "a submodule")
    (checkout.folder / "billing").mkdir(exist_ok=True)
    fix = "git submodule update --init endpoints/billing"
    for words, code in (
        (("push", "--prune", "--yes"), 2),
        (("pull", "--yes"), 2),
        (("breaking", "--against", "HEAD"), 4),
    ):
        ran = cli(*words)
        assert (ran.code, fix in ran.err) == (code, True), ran.err
    assert client.get_endpoint("c").is_active
    assert not (checkout.folder / "c.yaml").exists()


READERS = {
    "check": ("check",),
    "check changed:REF": ("check", "changed:HEAD"),
    "diff": ("diff",),
    "diff NAME": ("diff", "c"),
    "plan": ("plan", "--out", "plan.json"),
    "push": ("push", "--yes"),
    "push --prune": ("push", "--prune", "--yes"),
    "pull": ("pull", "--yes"),
    "pull NAME": ("pull", "c", "--yes"),
    "breaking": ("breaking", "--against", "live"),
    "breaking against a commit": ("breaking", "--against", "HEAD"),
    "adopt": ("adopt", "c", "--yes"),
    "rename": ("rename", "c", "d", "--yes"),
    "rename --finish": ("rename", "--finish", "old", "c", "--yes"),
    "rollback": ("rollback", "c@1", "--yes"),
    "retire": ("retire", "--yes"),
    "list changed:REF": ("list", "changed:HEAD"),
}
"""Every command that reads the definitions."""


def unmounted(checkout):
    shutil.rmtree(checkout.folder)
    checkout.folder.mkdir()


def removed(checkout):
    shutil.rmtree(checkout.folder)


@pytest.mark.parametrize("words", [("check",), ("push", "--prune", "--yes"), ("breaking", "--against", "HEAD")])
def test_a_clone_without_a_checkout_deletes_nothing(cli, checkout, client, pushed, words):  # noqa: ARG001 - a start
    removed(checkout)
    (checkout.top / ".git" / "index").unlink()  # as git clone --no-checkout leaves it
    ran = cli(*words, "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, "definitions.not-on-disk"), ran.err
    assert "endpoints has no definition on disk, but HEAD has 2 in it: git's index is empty" in ran.err
    assert "fix: git checkout HEAD -- ." in ran.err
    assert all(endpoint.is_active for endpoint in client.list_endpoints())


@pytest.mark.parametrize("lose", [unmounted, removed])
@pytest.mark.parametrize("words", READERS.values(), ids=READERS)
def test_every_command_refuses_a_folder_whose_definitions_are_all_not_on_disk(
    cli,
    checkout,
    client,
    pushed,  # noqa: ARG001 - a start
    lose,
    words,
):
    lose(checkout)
    ran = cli(*words, "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, "definitions.not-on-disk"), ran.err
    assert ran.json["errors"][0]["message"] == "endpoints has no definition on disk, but git tracks 2 in it"
    assert "git restore endpoints; after a deletion: git add --all endpoints" in ran.err
    assert all(endpoint.is_active for endpoint in client.list_endpoints())
    assert list(checkout.folder.glob("*")) == []


def test_a_deletion_of_every_definition_that_git_knows_is_compared(cli, checkout, client, pushed):  # noqa: ARG001 - a start
    unmounted(checkout)
    checkout.git("add", "--all")
    ran = cli("diff", "--format", "json")
    assert (ran.code, sorted(item["name"] for item in ran.json["items"])) == (1, ["a", "c", "old"])
    checkout.commit()
    assert cli("push", "--prune", "--yes").code == 0
    assert not any(endpoint.is_active for endpoint in client.list_endpoints())
