"""`--against REF` and `changed:REF`: what this branch changed, and nothing that the other one did; never too little."""

from __future__ import annotations

import json

import pytest


def yaml(name: str, sql: str = "SELECT 1 AS n", **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


def found(ran) -> set[tuple[str, str]]:
    return {(item["endpoint"], item["code"]) for item in ran.json["items"]}


@pytest.fixture
def behind(cli, checkout):  # noqa: ARG001 - `cli` writes the configuration
    """main renamed a column of `theirs` after this branch was cut, which adds a column to `ours`."""
    checkout.commit({"ours.yaml": yaml("ours"), "theirs.yaml": yaml("theirs")})
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"ours.yaml": yaml("ours", "SELECT 1 AS n, 2 AS m")})
    checkout.git("checkout", "--quiet", "main")
    checkout.commit({"theirs.yaml": yaml("theirs", "SELECT 1 AS other")})
    checkout.git("checkout", "--quiet", "mine")


@pytest.mark.parametrize("what", ["main", "main...HEAD", "main..."])
@pytest.mark.usefixtures("behind")
def test_changes_of_the_base_branch_are_not_reported(cli, what):
    ran = cli("breaking", "--against", what, "--format", "json")
    assert (ran.code, found(ran)) == (0, {("ours", "C110")})
    assert "the merge base of main and HEAD" in cli("breaking", "--against", what).out
    diff = cli("diff", "--against", what, "--format", "json")
    assert [item["name"] for item in diff.json["items"]] == ["ours"]


@pytest.mark.usefixtures("behind")
def test_two_dots_compare_with_the_tip(cli):
    ran = cli("breaking", "--against", "main..HEAD", "--format", "json")
    assert (ran.code, found(ran)) == (1, {("ours", "C110"), ("theirs", "C102")})


@pytest.mark.usefixtures("behind")
def test_changed_selects_changes_of_this_branch(cli):
    def checked(what: str) -> int:
        return cli("check", what, "--format", "json").json["summary"]["definitions"]

    assert [checked(f"changed:{what}") for what in ("main", "main...HEAD", "main..HEAD")] == [1, 1, 2]


@pytest.mark.parametrize("words", [["--against", "main"], ["--against", "HEAD", "changed:main"]])
def test_a_missing_merge_base_exits_with_4(cli, checkout, words):
    checkout.commit({"one.yaml": yaml("one")})
    checkout.git("checkout", "--quiet", "--orphan", "other")
    checkout.commit({"one.yaml": yaml("one", "SELECT 1 AS other")})
    ran = cli("breaking", *words, "--format", "json")
    assert (ran.code, ran.json["ok"], [error["code"] for error in ran.json["errors"]]) == (4, False, ["G109"])
    assert f"{words[-1]}..HEAD" in f"{'--against '}{ran.json['errors'][0]['fix']}"


@pytest.fixture
def base(cli, checkout, server):
    """Pushed and committed as `base`: two definitions, one with a query file."""
    files = {"a.yaml": yaml("a"), "b.yaml": "name: b\nquery_file: sql/b.sql\n", "sql/b.sql": "SELECT 1 AS n\n"}
    checkout.commit(files)
    assert cli("push", "--yes").code == 0
    checkout.git("branch", "base")
    server.requests.clear()


CHANGES = {
    "deleted": ({"b.yaml": None, "sql/b.sql": None}, {"b"}),
    "only the file of the definition deleted": ({"b.yaml": None}, {"b"}),
    "renamed": ({"b.yaml": "name: c\nquery_file: sql/b.sql\n"}, {"b", "c"}),
    "renamed in another file": (
        {"b.yaml": None, "c.yaml": "name: c\nquery_file: sql/b.sql\n"},
        {"b", "c"},
    ),
    "the name given to another query": ({"b.yaml": None, "a.yaml": yaml("b", "SELECT 5 AS n")}, {"a", "b"}),
    "the SQL edited": ({"sql/b.sql": "SELECT 1 AS n, 2 AS m\n"}, {"b"}),
    "the SQL moved": ({"b.yaml": "name: b\nquery_file: c.sql\n", "c.sql": "SELECT 1 AS m\n", "sql/b.sql": None}, {"b"}),
    "the SQL put into the definition": ({"b.yaml": yaml("b", "SELECT 1 AS m"), "sql/b.sql": None}, {"b"}),
}


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "uncommitted"])
@pytest.mark.parametrize(("files", "names"), CHANGES.values(), ids=CHANGES)
@pytest.mark.usefixtures("base")
def test_changed_selects_deleted_and_renamed_definitions(cli, checkout, files, names, committed):
    checkout.commit(files) if committed else checkout.write(files)

    def shown(*words: str) -> set[str]:
        return {item["name"] for item in cli(*words, "changed:base", "--format", "json").json["items"]}

    assert shown("diff", "--against", "base") == names
    assert shown("diff") == names
    planned = cli("plan", "changed:base", "--prune", "--format", "json").json["items"]
    defined = {path.read_text().split()[1].strip('"') for path in checkout.folder.glob("*.yaml")}
    assert {item["name"] for item in planned} == (names if committed else names & defined), (
        "a deletion is committed first"
    )
    assert shown("list") == names & {"a", "b"}, "those that the server has"
    everything = cli("breaking", "--against", "base", "--format", "json")
    some = cli("breaking", "--against", "base", "changed:base", "--format", "json")
    assert (some.code, found(some)) == (everything.code, found(everything))


@pytest.mark.usefixtures("base")
def test_changed_selects_deleted_definitions_for_prune(cli, checkout, client):
    checkout.commit({"b.yaml": None, "sql/b.sql": None})
    assert cli("push", "--yes", "--prune", "changed:base").code == 0
    assert {one.name: one.is_active for one in client.list_endpoints()} == {"a": True, "b": False}


@pytest.mark.usefixtures("base")
def test_pull_of_changed_does_not_restore_deleted_files(cli, checkout):
    checkout.commit({"b.yaml": None, "sql/b.sql": None})
    ran = cli("pull", "--yes", "changed:base", "--format", "json")
    assert [(item["name"], item["state"]) for item in ran.json["items"]] == [("b", "deleted here")]
    assert "1 deleted here: pull NAME brings one back\n" in cli("pull", "--yes", "changed:base").out
    assert not (checkout.folder / "b.yaml").exists()
    assert cli("pull", "--yes", "b").code == 0
    assert (checkout.folder / "b.yaml").exists(), "named, it comes back"


@pytest.mark.parametrize("word", ["changed:base", "changed:base~0", "changed:base..HEAD"])
@pytest.mark.usefixtures("base")
def test_changed_without_changes_selects_nothing(cli, word):
    assert cli("breaking", "--against", "base", word, "--format", "json").json["summary"]["compared"] == 0
    assert cli("plan", word, "--format", "json").json["items"] == []


@pytest.mark.usefixtures("base")
class TestMovedFolder:
    """The definitions folder of the base is the one that its configuration names."""

    def move(self, checkout, *, say_it: bool = True) -> None:
        checkout.git("mv", "endpoints", "defs")
        path = checkout.top / "endpoints.toml"
        path.write_text(path.read_text().replace('dir = "endpoints"', 'dir = "defs"' if say_it else "", 1))
        checkout.folder = checkout.top / "defs"
        checkout.commit({"a.yaml": yaml("a", "SELECT 1 AS renamed"), "b.yaml": None})

    @pytest.mark.parametrize("words", [[], ["changed:base"], ["--dir", "defs"], ["--dir", "defs", "changed:base"]])
    def test_a_folder_that_moved_hides_no_break(self, cli, checkout, words):
        self.move(checkout)
        ran = cli("breaking", "--against", "base", *words, "--format", "json")
        assert (ran.code, found(ran)) == (1, {("a", "C102"), ("b", "A101"), ("b", "A109")})

    def test_a_move_that_no_configuration_tells_is_not_found_out(self, cli, checkout):
        checkout.git("rm", "--quiet", "--cached", "endpoints.toml")
        (checkout.top / ".gitignore").write_text("endpoints.toml\n")
        checkout.git("mv", "endpoints", "old")
        checkout.folder = checkout.top / "old"
        checkout.commit()
        checkout.git("branch", "--force", "base")
        checkout.git("mv", "old", "new")
        checkout.folder = checkout.top / "new"
        checkout.commit({"a.yaml": yaml("a", "SELECT 1 AS renamed")})
        for words, fix in (
            (["--against", "base"], "--against "),
            (["--against", "base:old", "changed:base"], "changed:"),
        ):
            ran = cli("breaking", "--dir", "new", *words, "--format", "json")
            assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (4, ["G109"])
            assert ran.json["errors"][0]["fix"] == f"{fix}{checkout.git('rev-parse', 'base')[:12]}:old"
        ran = cli("breaking", "--dir", "new", "--against", "base:old", "changed:base:old", "--format", "json")
        assert (ran.code, found(ran)) == (1, {("a", "C102")})

    def test_a_configuration_of_the_base_that_is_broken_is_4(self, cli, checkout):
        path = checkout.top / "endpoints.toml"
        right = path.read_text()
        path.write_text("dir = [\n")
        checkout.commit()
        checkout.git("branch", "--force", "base")
        path.write_text(right)
        for words in (["breaking", "--against", "base"], ["diff", "--against", "base"], ["check", "changed:base"]):
            ran = cli(*words, "--format", "json")
            assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (4, ["G109"])


@pytest.mark.parametrize(
    ("refs", "base"),
    [
        ({"refs/heads/other": 0}, None),
        ({"refs/heads/master": 1}, "master"),
        ({"refs/heads/main": 1, "refs/heads/master": 0}, "main"),
        ({"refs/remotes/origin/master": 1, "refs/heads/main": 0}, "origin/master"),
        ({"refs/remotes/origin/main": 1, "refs/remotes/origin/master": 0}, "origin/main"),
        ({"refs/remotes/origin/HEAD": 1, "refs/remotes/origin/main": 0}, "origin/HEAD"),
        ({"refs/heads/default-branch": 1, "refs/remotes/origin/HEAD": 0}, "default-branch"),
    ],
)
def test_default_branch_is_the_branch_that_changes_are_merged_into(cli, checkout, refs, base):
    commits = [checkout.commit({"one.yaml": yaml("one", f"SELECT 1 AS n{number}")}) for number in range(3)]
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.git("branch", "--quiet", "-D", "main")
    for ref, number in refs.items():
        checkout.git("update-ref", ref, commits[number])
    ran = cli("breaking", "--against", "default-branch", "--format", "json")
    if base is None:
        assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (4, ["G109"])
        assert "git remote set-head origin --auto" in ran.json["errors"][0]["fix"]
        return
    assert (ran.code, [item["before"] for item in ran.json["items"]]) == (1, ["n1"])
    assert f"compared with {base}" in cli("breaking", "--against", "default-branch").out
    assert cli("check", "changed:default-branch", "--format", "json").json["summary"]["definitions"] == 1


def test_everything_is_new_before_the_first_commit(cli, checkout):
    checkout.write({"one.yaml": yaml("one")})
    ran = cli("breaking", "--against", "default-branch", "--format", "json")
    assert (ran.code, found(ran)) == (0, {("one", "A112")})
    assert cli("breaking", "--against", "main").code == 4


@pytest.mark.parametrize("selector", ["new", "old", "endpoints/new.yaml"])
def test_a_selector_does_not_hide_a_rename(cli, checkout, selector):
    checkout.commit({"old.yaml": yaml("old", "SELECT 1 AS n, 2 AS m"), "other.yaml": yaml("other")})
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"old.yaml": None, "new.yaml": yaml("new", "SELECT 1 AS n, 2 AS m")})
    ran = cli("breaking", "--against", "main", selector, "--format", "json")
    assert (ran.code, found(ran)) == (1, {("old", "A102")})
    assert found(cli("breaking", "--against", "main", "other", "--format", "json")) == set()
