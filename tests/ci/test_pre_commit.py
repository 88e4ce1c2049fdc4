"""Our hooks under the real pre-commit and prek, in commits and pushes of real repositories."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.ci.conftest import TOP, Ended
from tests.conftest import KEY_VARIABLE, Checkout

HOOKS = TOP / ".pre-commit-hooks.yaml"
GOOD = "name: {name}\nquery: SELECT count() AS n FROM events\n"
ONE, TWO, SQL = GOOD.format(name="one"), "name: two\nquery_file: two.sql\n", "SELECT count() AS n FROM events\n"
NOBODY = "http://127.0.0.1:9"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=name", "-c", "user.email=name@example.com")
    return subprocess.run(("git", *who, *words), cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path) -> str:
    """Commit a folder, and return the commit."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Hooks")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="session")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with our hooks, and its commit."""
    folder = tmp_path_factory.mktemp("hooks")
    shutil.copy(HOOKS, folder)
    return folder, repository(folder)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runners keep the repositories of hooks."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(params=["pre-commit", "prek"])
def runner(request: pytest.FixtureRequest, environment: dict[str, str], store: Path) -> str:
    environment |= {"PRE_COMMIT_HOME": str(store / "pre-commit"), "PREK_HOME": str(store / "prek")}
    return str(request.param)


@dataclass(frozen=True, slots=True)
class HookedCheckout:
    """A checkout with two definitions, a lock, and our hooks for commits and pushes; the server is not reachable."""

    checkout: Checkout
    runner: str
    run: Callable[..., Ended]

    @property
    def top(self) -> Path:
        return self.checkout.top

    def write(self, files: dict[str, str | None], *, staged: bool = True) -> None:
        """Write or remove (None) files below the definitions folder."""
        self.checkout.write(files)
        if staged:
            self.checkout.git("add", "--all")

    def commit(self, folder: Path | None = None, **env: str) -> Ended:
        return self.run(folder or self.top, "git", "commit", "--message", "Change", env=env)

    def hook(self, name: str, *words: str, **env: str) -> Ended:
        return self.run(self.top, self.runner, "run", *words, name, env=env)


CONFIGURATION = """\
repos:
  - repo: {hooks}
    rev: {rev}
    hooks: # the command is on PATH: nothing is to be installed
      - {{id: endpoints-check, language: system, additional_dependencies: []}}
      - {{id: endpoints-lock-check, language: system, additional_dependencies: []}}
      - {{id: endpoints-breaking, language: system, additional_dependencies: []}}
      - {{id: endpoints-diff, language: system, additional_dependencies: []}}
"""


@pytest.fixture
def hooked(checkout, cli, uses, create, hooks, runner, run) -> HookedCheckout:
    create("one", "SELECT count() AS n FROM events")
    uses(one='"*"')
    assert cli("lock").code == 0
    folder, rev = hooks
    (checkout.top / ".pre-commit-config.yaml").write_text(CONFIGURATION.format(hooks=folder, rev=rev))
    checkout.commit({"one.yaml": ONE, "two.yaml": TWO, "two.sql": SQL})
    configuration = checkout.top / "endpoints.toml"
    text = configuration.read_text()
    host = text.partition('host = "')[2].partition('"')[0]
    configuration.write_text(text.replace(host, NOBODY))
    checkout.commit()
    assert run(checkout.top, runner, "install", "--hook-type", "pre-commit", "--hook-type", "pre-push").code == 0
    return HookedCheckout(checkout, runner, run)


def test_a_clean_change_is_committed_without_key_and_network(hooked):
    hooked.write({"one.yaml": ONE + "description: Events.\n"})
    ended = hooked.commit()
    assert ended.code == 0, ended.out
    assert ended.out.count("Passed") == 3
    assert "endpoints diff" not in ended.out


def broken(content: str) -> str:
    return content + "bogus: 1\n"


REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "a mistake": ({"one.yaml": broken(ONE)}, "endpoints/one.yaml:3:1: G108 unknown key 'bogus'"),
    "a changed query file": ({"two.sql": "SELECT count( FROM events\n"}, "endpoints/two.sql:1:"),
    "a deleted query file": ({"two.sql": None}, "endpoints/two.yaml:2:"),
    "a renamed query file": ({"two.sql": None, "2.sql": SQL}, "endpoints/two.yaml:2:"),
    "a renamed definition": ({"one.yaml": None, "sub/1.yml": broken(ONE)}, "endpoints/sub/1.yml:3:1: G108"),
    "a name twice": ({"three.yaml": ONE}, "endpoints/three.yaml:1:1: G107 one is already defined"),
    "spaces and umlauts": ({"ü b/größe 1.yaml": broken(GOOD.format(name="x"))}, "endpoints/ü b/größe 1.yaml:3:1: G108"),
    "a renamed column": ({"two.sql": SQL.replace("AS n", "AS m")}, "C102"),
    "a deleted definition": ({"one.yaml": None}, "A101"),
    "a damaged lock": ({"../endpoints.lock": "[[pins]]\n"}, "endpoints.lock"),
    "a deleted lock": ({"../endpoints.lock": None}, "P108 one is used in environment test and not pinned"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_commit_is_refused(hooked, kind):
    files, message = REFUSED[kind]
    hooked.write(files)
    ended = hooked.commit()
    assert ended.code == 1, ended.out
    assert message in ended.out
    assert "Failed" in ended.out


def test_a_commit_with_a_stale_client_is_refused(hooked):
    top = hooked.top
    configuration = top / ".pre-commit-config.yaml"
    hook = "      - {id: endpoints-generate-check, language: system, additional_dependencies: []}\n"
    configuration.write_text(configuration.read_text() + hook)
    manifest = top / "endpoints.toml"
    manifest.write_text(manifest.read_text() + '[generate.app]\nlang = "python"\nnative = true\nout = "app"\n')
    hooked.write({})
    ended = hooked.commit()
    assert (ended.code, "missing       app/endpoints_client.py" in ended.out) == (1, True), ended.out
    assert hooked.run(top, "endpoints-gitops", "generate").code == 0
    hooked.write({})
    ended = hooked.commit()
    assert (ended.code, ended.out.count("Passed")) == (0, 4), ended.out


ACCEPTED: dict[str, dict[str, str | None]] = {
    "a renamed definition": {"one.yaml": None, "sub/1.yml": ONE},
    "a definition and its query file renamed": {"two.yaml": None, "two.sql": None, "b/2.yaml": TWO, "b/two.sql": SQL},
    "spaces and umlauts": {"ü b/größe 1.yaml": GOOD.format(name="x")},
    "other YAML and SQL": {"../workflow.yaml": "on: [\n", "../migrations/1.sql": "DROP TABLE x\n"},
    "a query file that no definition uses": {"three.sql": "SELECT\n"},
    "no definition": {"../README.md": "An app.\n"},
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_commit_is_accepted(hooked, kind):
    hooked.write(ACCEPTED[kind])
    ended = hooked.commit()
    assert (ended.code, ended.out.count("Passed")) == (0, 3), ended.out


def test_the_hooks_judge_what_is_staged(hooked):
    """What is not staged is put aside meanwhile, in the same file and in others."""
    staged = ONE + "description: Events.\n"
    hooked.write({"one.yaml": staged})
    hooked.write({"one.yaml": broken(staged), "two.yaml": broken(TWO)}, staged=False)
    ended = hooked.commit()
    assert ended.code == 0, ended.out
    assert (hooked.checkout.folder / "one.yaml").read_text() == broken(staged)

    hooked.checkout.git("add", "endpoints/one.yaml")
    hooked.write({"one.yaml": staged}, staged=False)
    ended = hooked.commit()
    assert (ended.code, "endpoints/one.yaml:4:1: G108" in ended.out) == (1, True), ended.out
    assert (hooked.checkout.folder / "one.yaml").read_text() == staged


def test_a_part_of_a_file_is_committed(hooked):
    """`git commit FILE` has an index of its own."""
    hooked.write({"one.yaml": broken(ONE), "two.yaml": TWO + "description: Two.\n"})
    assert hooked.run(hooked.top, "git", "commit", "-m", "Two", "endpoints/two.yaml").code == 0
    ended = hooked.run(hooked.top, "git", "commit", "-m", "One", "endpoints/one.yaml")
    assert (ended.code, "endpoints/one.yaml:3:1: G108" in ended.out) == (1, True), ended.out


def test_a_linked_worktree_is_judged_by_itself(hooked, tmp_path):
    linked = tmp_path / "linked"
    hooked.checkout.git("worktree", "add", "--quiet", "-b", "linked", str(linked))
    hooked.write({"one.yaml": broken(ONE)})
    (linked / "endpoints" / "two.yaml").write_text(TWO + "description: Two.\n")
    assert hooked.run(linked, "git", "add", "--all").code == 0
    assert hooked.commit(linked).code == 0
    (linked / "endpoints" / "two.yaml").write_text(broken(TWO))
    assert hooked.run(linked, "git", "add", "--all").code == 0
    ended = hooked.commit(linked)
    assert (ended.code, "endpoints/two.yaml:3:1: G108" in ended.out, "one.yaml" in ended.out) == (1, True, False)


def test_a_first_commit_has_nothing_to_break(make_checkout, hooks, runner, run):
    checkout = make_checkout("first")
    folder, rev = hooks
    (checkout.top / ".pre-commit-config.yaml").write_text(CONFIGURATION.format(hooks=folder, rev=rev))
    checkout.write({"one.yaml": ONE})
    checkout.git("add", "--all")
    ended = run(checkout.top, runner, "run", "--verbose", "endpoints-breaking")
    assert (ended.code, "this repository has no commit yet: everything is new" in ended.out) == (0, True), ended.out


def test_a_branch_is_compared_with_the_default_branch_of_the_remote(hooked, tmp_path):
    """A break of an earlier commit of the branch is still one, unless another base is named."""
    remote = tmp_path / "remote.git"
    hooked.checkout.git("clone", "--quiet", "--bare", ".", str(remote))
    hooked.checkout.git("remote", "add", "origin", str(remote))
    hooked.checkout.git("fetch", "--quiet", "origin")
    hooked.checkout.git("checkout", "--quiet", "-b", "mine")
    hooked.write({"two.sql": SQL.replace("AS n", "AS m")})
    hooked.checkout.git("commit", "--quiet", "--no-verify", "--message", "Break")
    hooked.write({"two.yaml": TWO + "description: Two.\n"})
    ended = hooked.commit()
    assert (ended.code, "C102" in ended.out) == (1, True), ended.out
    configuration = hooked.top / ".pre-commit-config.yaml"
    named = "{id: endpoints-breaking, language: system, additional_dependencies: [], args: [--against, HEAD]}"
    configuration.write_text(
        configuration.read_text().replace(
            "{id: endpoints-breaking, language: system, additional_dependencies: []}", named
        )
    )
    hooked.checkout.git("add", "--all")
    assert hooked.commit().code == 0


def test_a_push_is_stopped_by_what_differs_from_the_server(hooked, server, tmp_path):
    remote = tmp_path / "remote.git"
    hooked.checkout.git("clone", "--quiet", "--bare", ".", str(remote))
    hooked.checkout.git("remote", "add", "origin", str(remote))
    hooked.write({"one.yaml": ONE + "description: Events.\n"})
    assert hooked.commit().code == 0
    push = ("git", "push", "--quiet", "origin", "main")
    ended = hooked.run(hooked.top, *push)
    assert (ended.code, "exit code: 3" in ended.out) == (1, True), ended.out
    ended = hooked.run(hooked.top, *push, env={KEY_VARIABLE: server.key, "ENDPOINTS_GITOPS_HOST": server.url})
    assert (ended.code, "exit code: 1" in ended.out) == (1, True), ended.out
    assert server.requests.entries()
    assert git(remote, "rev-parse", "main") != hooked.checkout.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("reachable", "key", "code"), [(True, True, "1"), (True, False, "3"), (False, True, "4")], ids=str
)
def test_diff_is_a_manual_hook(hooked, server, reachable, key, code):
    env = {KEY_VARIABLE: server.key} if key else {}
    env |= {"ENDPOINTS_GITOPS_HOST": server.url} if reachable else {}
    configuration = hooked.top / ".pre-commit-config.yaml"
    wait = "{id: endpoints-diff, language: system, additional_dependencies: [], args: [--max-wait, '0.1']}"
    configuration.write_text(
        configuration.read_text().replace("{id: endpoints-diff, language: system, additional_dependencies: []}", wait)
    )
    hooked.checkout.git("add", "--all")
    ended = hooked.hook("endpoints-diff", "--hook-stage", "manual", **env)
    assert (ended.code, f"exit code: {code}" in ended.out) == (1, True), ended.out
    assert server.key not in ended.out


def project_copy(folder: Path) -> Path:
    """This project's files as they are now, committed."""
    listed = git(TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
    repository(folder)
    return folder


@pytest.mark.timeout(600)
def test_the_hooks_install_from_a_clone_of_this_repository(make_checkout, runner, run, tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    checkout = make_checkout("other")
    checkout.write({"one.yaml": broken(ONE)})
    checkout.git("add", "--all")
    words = (runner, "try-repo", project_copy(copy).as_uri(), "endpoints-check", "--files", "endpoints/one.yaml")
    ended = run(checkout.top, *words)
    assert (ended.code, "endpoints/one.yaml:3:1: G108 unknown key 'bogus'" in ended.out) == (1, True), ended.out


WITHOUT_EXTRA = """\
repos:
  - {{repo: {hooks}, rev: {rev}, hooks: [{{id: endpoints-check, additional_dependencies: []}}]}}
"""


@pytest.mark.timeout(600)
def test_a_hook_without_its_dependencies_names_the_extra(make_checkout, runner, run, tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    hooks = project_copy(copy)
    checkout = make_checkout("other")
    configuration = WITHOUT_EXTRA.format(hooks=hooks.as_uri(), rev=git(hooks, "rev-parse", "HEAD"))
    (checkout.top / ".pre-commit-config.yaml").write_text(configuration)
    checkout.write({"one.yaml": ONE})
    checkout.git("add", "--all")
    ended = run(checkout.top, runner, "run", "endpoints-check")
    assert (ended.code, "exit code: 2" in ended.out) == (1, True), ended.out
    assert "the command line needs deepdiff, " in ended.out
    assert 'add ".[cli]" to `additional_dependencies` of the hook in .pre-commit-config.yaml' in ended.out


def test_this_repository_uses_the_same_commands():
    """Its own hooks are local, so that a commit is judged by the code that it contains."""
    yaml = YAML(typ="safe")
    published = {hook["id"]: hook["entry"] for hook in yaml.load(HOOKS)}
    own = yaml.load(TOP / ".pre-commit-config.yaml")
    assert [entry["repo"] for entry in own["repos"]] == ["local"]
    entries = {hook["id"]: hook["entry"] for hook in own["repos"][0]["hooks"]}
    assert {name: f"uv run {entry}" for name, entry in published.items()}.items() <= entries.items()
