"""The commit that a name resolves to, and its definitions folder, on real git."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_gitops.workspace.base import BaseUnavailable, DefinitionsLocation, base_of

ONE = "name: one\nquery: SELECT 1 AS n\n"
TWO = "name: two\nquery: SELECT 2 AS n\n"
SETTINGS = 'dir = "{}"\n[environments.prod]\nhost = "https://us.posthog.com"\nproject_id = 1\nkey = "env:K"\n'


def base(checkout, what="main", *, folder=None, configuration=True, environment="prod"):
    here = DefinitionsLocation(
        folder=folder or checkout.folder,
        environment=environment,
        configuration=checkout.top if configuration else None,
    )
    return base_of(what, here, spelled="--against ")


@pytest.fixture
def forked(checkout):
    """main and the branch that is checked out have each a commit of their own."""
    fork = checkout.commit({"one.yaml": ONE})
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"two.yaml": TWO})
    checkout.git("checkout", "--quiet", "main")
    tip = checkout.commit({"main.yaml": "name: main\nquery: SELECT 3 AS n\n"})
    checkout.git("tag", "v1")
    checkout.git("checkout", "--quiet", "mine")
    return fork, tip


@pytest.mark.parametrize(
    ("what", "is_tip"),
    [
        ("main", False),
        ("main...HEAD", False),
        ("main...", False),
        ("v1", False),
        ("main..HEAD", True),
        ("main..", True),
        ("main:endpoints", False),
        ("main..HEAD:endpoints", True),
        ("main^{/hour}..", True),
    ],
)
def test_the_merge_base_is_the_default(checkout, forked, what, is_tip):
    found = base(checkout, what)
    assert found.commit == forked[is_tip]
    assert found.names() == ({"one", "main"} if is_tip else {"one"})
    assert is_tip or (found.what, found.label) == (
        f"{forked[0][:12]}, the merge base of {what.partition('.')[0].partition(':')[0]} and HEAD",
        forked[0][:12],
    )


@pytest.mark.parametrize("what", ["nowhere", "main..v1", "..", "", ":", ":endpoints", "main@{u}:x", "--output=x"])
@pytest.mark.usefixtures("forked")
def test_a_text_that_names_no_commit_has_no_base(checkout, what):
    assert base(checkout, what) is None


def test_a_ref_behind_head_is_its_own_merge_base(checkout, forked):
    assert (base(checkout, "HEAD~1").commit, base(checkout, "HEAD~1").what) == (forked[0], "HEAD~1")
    assert base(checkout, "HEAD").label == "HEAD"


def test_several_merge_bases_give_a_note(checkout, forked):
    checkout.git("checkout", "--quiet", "-b", "theirs", "main")
    checkout.merge("mine~0")
    checkout.git("checkout", "--quiet", "mine")
    checkout.merge("main")
    (note,) = base(checkout, "theirs").notes
    assert note.startswith("2 merge bases of theirs and HEAD are equally good; this compares with ")
    assert forked[1] in (base(checkout, "theirs").commit, checkout.git("rev-parse", "main"))


def test_unrelated_histories_have_no_base(checkout, forked):
    checkout.git("checkout", "--quiet", "--orphan", "other")
    checkout.commit({"one.yaml": ONE})
    with pytest.raises(BaseUnavailable, match="main and HEAD have no common ancestor") as caught:
        base(checkout, "main")
    assert caught.value.fix == "--against main..HEAD compares with the tip of main"
    assert base(checkout, "main..HEAD").commit == forked[1]


class TestShallow:
    def clone(self, checkout, depth: int) -> None:
        top = checkout.top.parent / f"shallow{depth}"
        words = ("--quiet", "--depth", str(depth), "--no-single-branch", "--branch", "mine", f"file://{checkout.top}")
        checkout.git("clone", *words, str(top))
        checkout.top, checkout.folder = top, top / "endpoints"

    @pytest.mark.usefixtures("forked")
    def test_a_base_that_is_cut_off_is_not_known(self, checkout):
        self.clone(checkout, 1)
        with pytest.raises(BaseUnavailable, match="this clone is shallow") as caught:
            base(checkout, "origin/main")
        assert caught.value.fix == "git fetch --unshallow (in CI: fetch-depth: 0)"
        assert base(checkout, "origin/main..HEAD").names() == {"one", "main"}

    def test_a_base_that_is_here_counts(self, checkout, forked):
        self.clone(checkout, 2)
        assert base(checkout, "origin/main").commit == forked[0]

    def test_a_better_base_may_be_hidden(self, checkout, forked):
        """Here `old` is a common ancestor, and the better one, the fork, lies behind a commit without parents."""
        checkout.git("checkout", "--quiet", "mine")
        for count in range(3):
            checkout.commit({"two.yaml": TWO + f"description: d{count}\n"})
        checkout.git("checkout", "--quiet", "--orphan", "root")
        old = checkout.commit()
        for branch in ("main", "mine"):
            checkout.git("checkout", "--quiet", branch)
            checkout.merge("root")
        assert base(checkout, "main").commit in (forked[0], old)
        self.clone(checkout, 2)
        with pytest.raises(BaseUnavailable, match="shallow"):
            base(checkout, "origin/main")


def moved(checkout, old: str, new: str, *, settings: tuple[str | None, str | None] = (SETTINGS, SETTINGS)) -> str:
    """Definitions in `old` at `main`, and in `new` now; both configurations, None where there is none."""
    path = checkout.top / "endpoints.toml"
    for folder, content in zip((old, new), settings, strict=True):
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(content.format(folder))
        if folder == old:
            (checkout.top / old).mkdir(parents=True)
            (checkout.top / old / "one.yaml").write_text(ONE)
        else:
            (checkout.top / new).parent.mkdir(parents=True, exist_ok=True)
            checkout.git("mv", old, new)
        commit = checkout.commit()
        if folder == old:
            first = commit
            checkout.git("branch", "base")
    return first


class TestFolder:
    @pytest.mark.parametrize(("old", "new"), [("endpoints", "defs"), ("a/b", "endpoints"), ("defs", "a/b/c")])
    def test_the_folder_is_what_the_configuration_of_then_says(self, checkout, old, new):
        moved(checkout, old, new)
        found = base(checkout, "base", folder=checkout.top / new)
        assert (found.prefix, found.names()) == (old, {"one"})

    def test_a_folder_that_is_named_now_is_the_same_then_where_it_was_there(self, checkout):
        (checkout.top / "endpoints.toml").write_text(SETTINGS.format("other"))
        (checkout.top / "other").mkdir()
        (checkout.top / "other/two.yaml").write_text(TWO)
        checkout.commit({"one.yaml": ONE})
        assert base(checkout, configuration=False).names() == {"one"}
        assert base(checkout).names() == {"two"}

    def test_a_folder_that_is_named_now_and_moved_is_where_the_configuration_of_then_says(self, checkout):
        moved(checkout, "old", "new")
        assert base(checkout, "base", folder=checkout.top / "new", configuration=False).prefix == "old"

    def test_without_a_configuration_then_it_is_called_as_now(self, checkout):
        moved(checkout, "defs", "defs2", settings=(None, SETTINGS))
        found = base(checkout, "base", folder=checkout.top / "defs")
        assert found.prefix == "defs"

    def test_a_move_that_no_configuration_tells_is_no_new_project(self, checkout):
        moved(checkout, "old", "new", settings=(None, None))
        found = base(checkout, "base", folder=checkout.top / "new")
        assert found.prefix is None
        with pytest.raises(BaseUnavailable, match="the definitions were in old at base") as caught:
            found.refuse_moved({"one"}, "--against ")
        assert caught.value.fix == f"--against {found.commit[:12]}:old"
        assert base(checkout, "base:old").names() == {"one"}
        found.refuse_moved({"other"}, "--against ")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ("dir = [\n", "the configuration of base cannot be read: not valid TOML"),
            ("dir = 3\n", "the configuration of base cannot be read: dir must be text"),
            ("\udcff", "the configuration of base cannot be read: not UTF-8"),
            ('dir = "../out"\n', "the definitions folder of base, ../out, is outside of the repository"),
            ('dir = "link"\n', "link is a link at base, not a folder"),
            ('dir = "link/sub"\n', "link is a link at base, not a folder"),
            ('dir = "file"\n', "file is a file at base, not a folder"),
        ],
    )
    def test_an_unknown_folder_of_the_base_commit(self, checkout, settings, message):
        path = checkout.top / "endpoints.toml"
        path.write_bytes(settings.encode("utf-8", "surrogateescape"))
        (checkout.top / "link").symlink_to("endpoints")
        (checkout.top / "file").write_text("")
        checkout.commit({"one.yaml": ONE})
        checkout.git("branch", "base")
        path.write_text(SETTINGS.format("endpoints"))
        checkout.commit()
        with pytest.raises(BaseUnavailable, match=message):
            base(checkout, "base")

    def test_each_environment_has_its_own(self, checkout):
        other = '[environments.dev]\ndir = "dev"\nhost = "https://us.posthog.com"\nproject_id = 2\nkey = "env:K"\n'
        (checkout.top / "endpoints.toml").write_text(SETTINGS.format("endpoints") + other)
        (checkout.top / "dev").mkdir()
        (checkout.top / "dev/two.yaml").write_text(TWO)
        checkout.commit({"one.yaml": ONE})
        assert base(checkout, environment="prod").prefix == "endpoints"
        assert base(checkout, environment="dev").prefix == "dev"
        with pytest.raises(BaseUnavailable, match="has no environment 'new'"):
            base(checkout, environment="new")

    def test_the_folder_at_the_top(self, checkout):
        (checkout.top / "endpoints.toml").write_text(SETTINGS.format("."))
        (checkout.top / "one.yaml").write_text(ONE)
        checkout.commit()
        found = base(checkout, folder=checkout.top)
        assert (found.prefix, found.names()) == (".", {"one"})

    @pytest.mark.parametrize("what", ["main:nowhere", "main:endpoints/one.yaml", "main:../x", "main:/etc"])
    def test_a_path_that_is_no_folder_then(self, checkout, what):
        checkout.commit({"one.yaml": ONE})
        with pytest.raises(BaseUnavailable):
            base(checkout, what)


def test_the_name_of_a_deleted_definition_is_known_or_an_error(checkout):
    checkout.commit({"one.yaml": "name: one\nquery: [\n", "flow.yaml": "{name: flow, query: SELECT 1 AS n}\n"})
    checkout.write({"one.yaml": None, "flow.yaml": None})
    assert base(checkout).names() == {"one", "flow"}, "a name is read from a broken file too"
    checkout.commit({"what.yaml": "- nothing\n"})
    assert base(checkout).names() == frozenset(), "it is still there"
    checkout.write({"what.yaml": None})
    with pytest.raises(BaseUnavailable, match="was deleted, and the name it defines cannot be read"):
        base(checkout).names()


def test_a_folder_outside_of_a_repository_has_no_base(tmp_path: Path):
    assert base_of("main", DefinitionsLocation(folder=tmp_path), spelled="--against ") is None
