"""The history of definitions, on real git: a history is a row of commits, and its result a row of letters."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.workspace.git import GitFailed, content_at, repository, resolved
from endpoints_gitops.workspace.history import PastState, history, names_ever_defined


def settings_of(loaded: LoadedDefinition) -> dict[str, str]:
    sql = (loaded.sql or "").removeprefix("select ").strip("'\n")
    return {"query": sql} | ({"description": loaded.definition.description} if loaded.definition.description else {})


def yaml(query: str, description: str = "", name: str = "x") -> str:
    return f"name: {name}\nquery: select '{query}'\n" + (f"description: {description}\n" if description else "")


def said(states: Sequence[PastState]) -> list[str]:
    """Oldest first: `Q1 D1`, `-` for absent, `?` for unreadable."""
    return [
        "?" if not state.readable else " ".join(state.settings.values()) if state.settings is not None else "-"
        for state in reversed(states)
    ]


def past(checkout, name="x") -> tuple[PastState, ...]:
    found = repository(checkout.folder)
    assert found is not None
    return history(found, checkout.folder, [name], settings_of)[name]


LINES = [
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"x.yaml": yaml("Q2")}, {"x.yaml": yaml("Q1")}], ["Q1", "Q2", "Q1"], id="edits"
    ),
    pytest.param([{"x.yaml": yaml("Q1")}, {"y.yaml": yaml("Q9", name="y")}], ["Q1"], id="another definition"),
    pytest.param([{"y.yaml": yaml("Q9", name="y")}], [], id="never there"),
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"x.yaml": None, "a/b.yml": yaml("Q1")}, {"a/b.yml": yaml("Q2")}],
        ["Q1", "Q1", "Q2"],
        id="moved",
    ),
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"b.yaml": yaml("Q2")}, {"x.yaml": None}, {"b.yaml": yaml("Q3")}],
        ["Q1", "Q2", "Q2", "Q3"],
        id="moved in two commits, doubled between",
    ),
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"x.yaml": None}, {"other.yaml": yaml("Q2")}],
        ["Q1", "-", "Q2"],
        id="deleted and made anew",
    ),
    pytest.param(
        [{"x.yaml": yaml("Q1", name="old")}, {"x.yaml": yaml("Q1")}, {"x.yaml": yaml("Q2", name="new")}],
        ["Q1", "-"],
        id="renamed in the file",
    ),
    pytest.param(
        [
            {"x.yaml": yaml("Q1"), "y.yaml": yaml("Q5", name="y")},
            {"x.yaml": yaml("Q5", name="y"), "y.yaml": yaml("Q2")},
        ],
        ["Q1", "Q2"],
        id="two files change places",
    ),
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"x.yaml": "name: x\nquery: [broken"}, {"x.yaml": yaml("Q2")}],
        ["Q1", "?", "Q2"],
        id="unreadable between",
    ),
    pytest.param(
        [{"x.yaml": yaml("Q1")}, {"x.yaml": "<<<<<<< HEAD\n"}, {"x.yaml": yaml("Q2")}],
        ["Q1", "?", "Q2"],
        id="not even a name between",
    ),
    pytest.param(
        [
            {"x.yaml": '{"name": "x", "query": "select \'Q1\'"}'},
            {"x.yaml": "'name': 'x'  # here\nquery: select 'Q2'\n"},
        ],
        ["Q1", "Q2"],
        id="other spellings of the name",
    ),
    pytest.param(
        [
            {"x.yaml": "name: x\nquery_file: sql/x.sql\n", "sql/x.sql": "select 'Q1'"},
            {"sql/x.sql": "select 'Q2'"},
            {"sql/other.sql": "select 'Q9'"},
            {"sql/x.sql": None},
            {"x.yaml": yaml("Q3")},
            {"sql/x.sql": "select 'Q4'"},
        ],
        ["Q1", "Q2", "?", "Q3", "Q3"],
        id="query_file",
    ),
    pytest.param([{".x.yaml": yaml("Q1"), ".git2/x.yaml": yaml("Q2")}, {"x.yaml": yaml("Q3")}], ["Q3"], id="dot files"),
]


@pytest.mark.parametrize(("commits", "expected"), LINES)
def test_a_line(checkout, commits, expected):
    for files in commits:
        checkout.commit(files)
    assert said(past(checkout)) == expected


def test_entries_name_commit_date_and_path(checkout):
    checkout.commit()
    first = checkout.commit({"x.yaml": yaml("Q1")})
    second = checkout.commit({"x.yaml": None, "y.yaml": yaml("Q2")})
    newest, oldest = past(checkout)
    assert (newest.commit, newest.committed_at, newest.path) == (second, checkout.date(3), "endpoints/y.yaml")
    assert (oldest.commit, oldest.committed_at, oldest.path) == (first, checkout.date(2), "endpoints/x.yaml")
    assert oldest.definition is not None
    assert oldest.definition.name == "x"


def _side(checkout, *commits) -> None:
    checkout.git("checkout", "--quiet", "-b", "side")
    for files in commits:
        checkout.commit(files)
    checkout.git("checkout", "--quiet", "main")


def test_what_a_merge_brought_landed_with_it(checkout):
    checkout.commit({"x.yaml": yaml("Q1")})
    _side(checkout, {"x.yaml": yaml("Q2a")}, {"x.yaml": yaml("Q2b")})
    checkout.commit({"y.yaml": yaml("Q9", name="y")})
    checkout.merge("side")
    states = past(checkout)
    assert said(states) == ["Q1", "Q2a", "Q2b", "Q2b"]
    assert {state.committed_at for state in states[:3]} == {checkout.date(5)}


def test_an_old_value_on_a_side_branch_is_not_a_revert(checkout):
    """The branch was cut before the query was edited: in a line by date it would seem to bring the old query back."""
    checkout.commit({"x.yaml": yaml("Q1", "D1")})
    _side(checkout, {"x.yaml": yaml("Q1", "D2")})
    checkout.commit({"x.yaml": yaml("Q2", "D1")})
    checkout.merge("side", {"x.yaml": yaml("Q2", "D2")})
    assert said(past(checkout)) == ["Q1 D1", "Q2 D1", "Q2 D2", "Q2 D2"]


def test_a_side_branch_that_merged_the_line_into_itself_brings_nothing_twice(checkout):
    checkout.commit({"x.yaml": yaml("Q1", "D1")})
    checkout.git("branch", "side")
    checkout.commit({"x.yaml": yaml("Q2", "D1")})
    checkout.git("checkout", "--quiet", "side")
    checkout.commit({"z.yaml": yaml("Q9", name="z")})
    checkout.merge("main")
    checkout.git("checkout", "--quiet", "main")
    checkout.commit({"x.yaml": yaml("Q3", "D1")})
    checkout.merge("side")
    assert said(past(checkout)) == ["Q1 D1", "Q2 D1", "Q3 D1"]


def test_what_a_merge_on_a_side_branch_was_resolved_to_is_known(checkout):
    checkout.commit({"x.yaml": yaml("Q1")})
    checkout.git("branch", "side")
    checkout.commit({"x.yaml": yaml("Q2")})
    checkout.git("checkout", "--quiet", "side")
    checkout.commit({"x.yaml": yaml("Q3")})
    checkout.merge("main", {"x.yaml": yaml("Q4")})
    checkout.git("checkout", "--quiet", "main")
    checkout.commit({"x.yaml": yaml("Q5")})
    checkout.merge("side", {"x.yaml": yaml("Q5")})
    assert said(past(checkout)) == ["Q1", "Q2", "Q5", "Q3", "Q4", "Q5"]


MERGES = [
    pytest.param([{"x.yaml": yaml("Q3")}], {"x.yaml": yaml("Q3")}, ["Q1", "Q3", "Q2", "Q3"], id="the line wins"),
    pytest.param([{"x.yaml": yaml("Q3")}], {"x.yaml": yaml("Q2")}, ["Q1", "Q3", "Q2", "Q2"], id="the branch wins"),
    pytest.param([{"x.yaml": yaml("Q3")}], {"x.yaml": yaml("Q4")}, ["Q1", "Q3", "Q2", "Q4"], id="neither wins"),
    pytest.param([{"x.yaml": None}], {"x.yaml": None}, ["Q1", "-", "Q2", "-"], id="deleted on the line"),
    pytest.param([], {"x.yaml": yaml("Q1")}, ["Q1", "Q2", "Q1"], id="the branch is dropped by the merge"),
]


@pytest.mark.parametrize(("on_line", "resolved", "expected"), MERGES)
def test_merges(checkout, on_line, resolved, expected):
    checkout.commit({"x.yaml": yaml("Q1")})
    _side(checkout, {"x.yaml": yaml("Q2")})
    for files in on_line:
        checkout.commit(files)
    if resolved == {"x.yaml": None}:
        checkout.merge("side", {}, "--strategy=ours")
    else:
        checkout.merge("side", resolved)
    assert said(past(checkout)) == expected


def test_a_definition_that_a_merge_brought_first(checkout):
    checkout.commit()
    _side(checkout, {"x.yaml": yaml("Q1")}, {"x.yaml": yaml("Q2")}, {"x.yaml": yaml("Q1")})
    checkout.commit()
    checkout.merge("side")
    assert said(past(checkout)) == ["Q1", "Q2", "Q1"]


def test_sql_beside_a_definition_on_a_side_branch(checkout):
    checkout.commit({"x.yaml": "name: x\nquery_file: x.sql\n", "x.sql": "select 'Q1'"})
    _side(checkout, {"x.sql": "select 'Q2'"}, {"x.sql": "select 'Q3'"})
    checkout.commit()
    checkout.merge("side")
    assert said(past(checkout)) == ["Q1", "Q2", "Q3", "Q3"]


def test_an_octopus_and_an_unrelated_history(checkout):
    checkout.commit({"x.yaml": yaml("Q1")})
    for branch in ("one", "two"):
        checkout.git("checkout", "--quiet", "-b", branch, "main")
        checkout.commit({f"{branch}.yaml": yaml("Q1", name=branch)})
    checkout.git("checkout", "--quiet", "--orphan", "other")
    checkout.git("rm", "-rfq", ".")
    checkout.commit({"z.yaml": yaml("Q1", name="z")})
    checkout.git("checkout", "--quiet", "main")
    checkout.git("merge", "--quiet", "--no-ff", "-m", "octopus", "one", "two")
    checkout.merge("other")
    for name in ("one", "two", "z"):
        assert set(said(past(checkout, name))) == {"Q1"}
    assert names_ever_defined(repository(checkout.folder), checkout.folder) == {"x", "one", "two", "z"}


def test_names_ever_defined(checkout):
    checkout.commit(
        {"a.yaml": yaml("Q1", name="a"), "b.yaml": "{name: b, query: select 1}", "c.txt": yaml("Q", name="c")}
    )
    checkout.commit({"a.yaml": yaml("Q1", name="a2"), "b.yaml": None, "broken.yaml": "a: ["})
    assert names_ever_defined(repository(checkout.folder), checkout.folder) == {"a", "a2", "b"}


def test_only_the_names_that_are_asked_are_read(checkout, monkeypatch):
    from endpoints_gitops.codecs import definition

    checkout.commit({f"d{number}.yaml": yaml(f"Q{number}", name=f"d{number}") for number in range(30)})
    checkout.commit({"d7.yaml": yaml("new", name="d7")})
    paths = []
    read = definition.read_definition

    def read_definition(path, *words, **options):
        paths.append(path)
        return read(path, *words, **options)

    monkeypatch.setattr(definition, "read_definition", read_definition)
    assert said(past(checkout, "d7")) == ["Q7", "new"]
    assert len(paths) == 2
    assert history(repository(checkout.folder), checkout.folder, [], settings_of) == {}


def test_the_line_ends_in_what_head_holds_whatever_happened(checkout):
    """A law over random histories: each state on the line is what git shows there, the last one is HEAD's."""
    chance = random.Random(7)
    checkout.commit({"x.yaml": yaml("Q0")})
    for turn in range(25):
        files = {chance.choice(["x.yaml", "a/x.yaml"]): yaml(f"Q{chance.randrange(4)}", f"D{chance.randrange(3)}")}
        if chance.random() < 0.3:
            checkout.git(
                "checkout", "--quiet", "-b", f"side{turn}", "HEAD" if turn < 3 else f"HEAD~{chance.randrange(2)}"
            )
            checkout.commit(files)
            checkout.git("checkout", "--quiet", "main")
            checkout.merge(f"side{turn}", files)
        else:
            checkout.commit(files)
    found = repository(checkout.folder)
    states = past(checkout)
    line = checkout.git("rev-list", "--first-parent", "HEAD").split()
    on_line = [state for state in states if state.commit in line]
    assert len(on_line) > 10
    for state in on_line:
        held = content_at(found, state.commit, checkout.top / state.path)
        assert settings_of(state.definition) == state.settings
        assert [value for value in state.settings.values() if value.encode() not in held] == []
    assert states[0].commit == line[0]


PLACES = ["a bigger repository", "the top", "a worktree", "a submodule", "a linked folder", "a path with odd letters"]


@pytest.mark.parametrize("place", PLACES)
def test_wherever_the_folder_is(make_checkout, tmp_path, place):
    name = "odd 'é\"*?\\ [x]" if place == "a path with odd letters" else "checkout"
    checkout = make_checkout(name)
    if place == "a bigger repository":
        checkout.folder = checkout.top / "services" / "api" / "endpoints"
    if place == "the top":
        checkout.folder = checkout.top
    if place == "a path with odd letters":
        checkout.folder = checkout.top / ":(top) [x]*?"
    checkout.commit({"x.yaml": yaml("Q1"), "ü/y*.yaml": yaml("Q5", name="y")})
    checkout.commit({"x.yaml": yaml("Q2")})
    folder = checkout.folder
    if place == "a worktree":
        checkout.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
        folder = tmp_path / "tree" / "endpoints"
    if place == "a submodule":
        outer = make_checkout("outer")
        outer.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(checkout.top), "inner")
        outer.commit()
        folder = outer.top / "inner" / "endpoints"
    if place == "a linked folder":
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    found = repository(folder)
    states = history(found, folder, ["x", "y"], settings_of)
    assert (said(states["x"]), said(states["y"])) == (["Q1", "Q2"], ["Q5"])


def test_a_shallow_clone_is_known_as_one(checkout, tmp_path):
    checkout.commit({"x.yaml": yaml("Q1")})
    checkout.commit({"x.yaml": yaml("Q2")})
    checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.top}", str(tmp_path / "shallow"))
    found = repository(tmp_path / "shallow" / "endpoints")
    assert found.is_shallow
    assert not repository(checkout.folder).is_shallow
    assert said(history(found, tmp_path / "shallow" / "endpoints", ["x"], settings_of)["x"]) == ["Q2"]


def test_content_at_a_commit(checkout):
    checkout.commit({"x.yaml": "old"})
    checkout.git("tag", "before")
    checkout.commit({"x.yaml": "new"})
    found = repository(checkout.folder)
    before = resolved(found.top, "before")
    assert content_at(found, before, checkout.folder / "x.yaml") == b"old"
    assert content_at(found, before, checkout.folder / "y.yaml") is None
    with pytest.raises(GitFailed, match="git ls-tree failed: fatal: not a tree object"):
        content_at(found, "0" * len(before), checkout.folder / "x.yaml")
