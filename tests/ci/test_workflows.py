"""Action and workflows: linted, and each of their scripts is run as its platform runs it, on a real repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from endpoints_gitops import __version__
from tests.ci.conftest import PROGRAMS, TOP, Ended
from tests.ci.github import TOKEN, FakeGitHub, running_github
from tests.conftest import Checkout

ONE = "name: one\nquery: SELECT count() AS n FROM events\n"
BREAK = ONE.replace("AS n", "AS m")
GITHUB = ("endpoints-drift.yml", "endpoints-gate.yml", "endpoints-push.yml", "endpoints-review.yml")
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
SHIM = """\
#!{bash}
# stands in for uv: the command that would be installed is the one of this environment
echo "$(basename "$0") $*" >> "$SHIM_LOG"
while [ "$#" -gt 0 ] && [[ "$1" != endpoints-gitops ]]; do shift; done
shift
exec {command} "$@"
"""


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="session")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The linter: from PATH, or built here with Go."""
    if found := shutil.which("actionlint"):
        return found
    if os.environ.get("ENDPOINTS_TEST_REQUIRE_ACTIONLINT"):
        pytest.fail("actionlint is not on PATH; .ci/run builds it")
    if shutil.which("go") is None:
        pytest.skip("actionlint is not on PATH, and there is no Go to build it with")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "endpoints-gitops-tests"
    if not (cache / "actionlint").exists():
        folder = tmp_path_factory.mktemp("go")
        subprocess.run(("go", "install", ACTIONLINT), env=os.environ | {"GOBIN": str(folder)}, check=True)
        cache.mkdir(parents=True, exist_ok=True)
        copy = Path(shutil.copy(folder / "actionlint", cache / f"actionlint.{os.getpid()}"))
        copy.replace(cache / "actionlint")
    return str(cache / "actionlint")


def lint(actionlint: str, folder: Path) -> str:
    files = sorted((folder / ".github" / "workflows").iterdir())
    assert files
    ended = subprocess.run((actionlint, "-no-color", *files), cwd=folder, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


@dataclass
class Runner:
    """Runs the `run` steps of a job as GitHub's runner does, in a checkout of branch `mine`, which main is behind."""

    checkout: Checkout
    run: Callable[..., Ended]
    env: dict[str, str]
    contexts: dict[str, str]
    folder: Path
    outputs: dict[str, str] = field(default_factory=dict)

    def expanded(self, text: str) -> str:
        """A text with the expressions that the workflows use; an unknown one is a KeyError."""
        values = self.contexts | {f"steps.run.outputs.{name}": value for name, value in self.outputs.items()}
        return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda match: values[match[1]], text)

    def step(self, step: Mapping[str, Any], where: str = ".") -> Ended:
        output = self.folder / "output"
        output.write_text("")
        env = self.env | {name: self.expanded(str(value)) for name, value in step.get("env", {}).items()}
        assert "${{" not in step["run"], "an expression in a script can inject code"
        bash = shutil.which("bash") or "bash"
        script = (bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        ended = self.run(self.checkout.top / where, *script, env=env | {"GITHUB_OUTPUT": str(output)})
        self.outputs |= dict(line.split("=", 1) for line in output.read_text().splitlines())
        return ended

    def job(self, path: Path) -> Ended:
        """The steps of the only job, until one fails."""
        workflow = load(path)
        where = workflow.get("defaults", {}).get("run", {}).get("working-directory", ".")
        (job,) = workflow["jobs"].values()
        steps = [step for step in job["steps"] if "run" in step]
        assert len(steps) == 1
        return self.step(steps[0], where)

    def summary(self) -> str:
        return (self.folder / "summary.md").read_text()


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with running_github() as github:
        yield github


@pytest.fixture
def runner(checkout, server, create, github, run, tmp_path) -> Runner:
    """A project that has the endpoint of the checkout; the branch adds a description."""
    folder = tmp_path / "runner"
    folder.mkdir()
    bash = shutil.which("bash")
    for name in ("uv", "uvx"):
        (folder / name).write_text(SHIM.format(bash=bash, command=PROGRAMS / "endpoints-gitops"))
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    create("one", "SELECT count() AS n FROM events")
    remote = tmp_path / "remote.git"
    remote.mkdir()
    checkout.git("init", "--quiet", "--bare", "--initial-branch", "main", str(remote))
    checkout.git("remote", "add", "origin", str(remote))
    (checkout.top / "endpoints.toml").write_text(
        f'dir = "endpoints"\n[environments.prod]\nhost = "{server.url}"\nproject_id = {server.project_id}\n'
        'key = "env:POSTHOG_API_KEY"\n[uses]\none = "*"\n'
    )
    checkout.commit({"one.yaml": ONE})
    locked = run(checkout.top, "endpoints-gitops", "lock", env={"POSTHOG_API_KEY": server.key})
    assert locked.code == 0, locked.out
    checkout.commit()
    checkout.git("push", "--quiet", "origin", "main")
    checkout.git("fetch", "--quiet", "origin")
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"one.yaml": ONE + "description: Events.\n"})
    path = run(checkout.top, "bash", "-c", "echo $PATH").out.strip()
    env = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_REPOSITORY": "team/app",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "PATH": f"{folder}{os.pathsep}{path}",
        "RUNNER_TEMP": str(folder),
        "SHIM_LOG": str(folder / "log"),
    }
    contexts = {"github.token": TOKEN, "runner.temp": str(folder), "secrets.POSTHOG_API_KEY": server.key}
    return Runner(checkout, run, env, contexts, folder)


@pytest.fixture
def workflows(runner) -> Path:
    """What `init --ci github` writes for that project."""
    ended = runner.run(runner.checkout.top, "endpoints-gitops", "init", "--ci", "github")
    assert ended.code == 0, ended.out
    folder = runner.checkout.top / ".github" / "workflows"
    assert sorted(path.name for path in folder.iterdir()) == list(GITHUB)
    assert "set POSTHOG_API_KEY in the settings of the project on GitHub" in ended.out
    return folder


def test_review_comments_on_the_pull_request(runner, workflows, github):
    ended = runner.job(workflows / "endpoints-review.yml")
    assert ended.code == 0, ended.out
    assert [comment["body"].splitlines()[0] for comment in github.comments.values()] == [
        "<!-- endpoints-gitops review -->"
    ]
    runner.checkout.commit({"one.yaml": ONE, "two.yaml": "name: two\nqery: SELECT 1\n"})
    ended = runner.job(workflows / "endpoints-review.yml")
    assert (ended.code, len(github.comments)) == (1, 1), ended.out
    (log, *_) = (runner.folder / "log").read_text().splitlines()
    assert log == f"uvx --python 3.12 --from endpoints-gitops[cli]=={__version__} endpoints-gitops ci review"


def test_review_of_a_fork_is_offline_and_in_the_summary(runner, workflows, github, server):
    server.requests.clear()
    github.statuses["POST"] = 403
    runner.contexts["secrets.POSTHOG_API_KEY"] = ""
    ended = runner.job(workflows / "endpoints-review.yml")
    assert ended.code == 0, ended.out
    assert "there is no key, so the server was not asked" in ended.out
    assert "no comment: GitHub refused to write the comment (403)" in ended.out
    assert runner.summary().startswith("<!-- endpoints-gitops review -->")
    assert (github.comments, server.requests.entries()) == ({}, ())


def test_push_applies_its_plan_and_drift_is_then_gone(runner, workflows, edit):
    assert runner.job(workflows / "endpoints-drift.yml").code == 1
    ended = runner.job(workflows / "endpoints-push.yml")
    assert ended.code == 0, ended.out
    assert json.loads((runner.folder / "endpoints-plan.json").read_text())
    assert (runner.folder / "endpoints-state").is_dir()
    assert runner.job(workflows / "endpoints-drift.yml").code == 0
    edit("one", "SELECT count() AS other FROM events")
    ended = runner.job(workflows / "endpoints-drift.yml")
    assert (ended.code, "one" in runner.summary()) == (1, True), ended.out


def test_gate_blocks_a_moved_pin_without_evidence(runner, workflows, edit, github, server):
    assert runner.job(workflows / "endpoints-gate.yml").code == 0
    edit("one", "SELECT count() AS n, 1 AS m FROM events")
    moved = runner.run(runner.checkout.top, "endpoints-gitops", "upgrade", "one", env={"POSTHOG_API_KEY": server.key})
    assert moved.code == 0, moved.out
    runner.checkout.commit()
    ended = runner.job(workflows / "endpoints-gate.yml")
    assert ended.code == 1, ended.out
    assert [comment["body"].splitlines()[0] for comment in github.comments.values()] == [
        "<!-- endpoints-gitops gate -->"
    ]


@pytest.mark.parametrize("name", GITHUB)
def test_an_existing_workflow_is_kept(runner, name):
    path = runner.checkout.top / ".github" / "workflows" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    ended = runner.run(runner.checkout.top, "endpoints-gitops", "init", "--ci", "github")
    assert (ended.code, f"kept .github/workflows/{name}: it already exists" in ended.out) == (0, True), ended.out
    assert path.read_text() == "mine\n"
    assert len(list(path.parent.iterdir())) == 4


def test_the_workflows_pass_actionlint(workflows, actionlint, runner):
    assert lint(actionlint, runner.checkout.top) == ""
    path = workflows / "endpoints-push.yml"
    path.write_text(path.read_text().replace("runner.temp", "runner.tmp"))
    assert 'property "tmp" is not defined' in lint(actionlint, runner.checkout.top)


@pytest.mark.parametrize("place", [".", "an app"])
@pytest.mark.parametrize(
    ("line", "is_other"),
    [("", False), ('# Folder of the project: "{}"\n', False), ('# Folder of the project: "site"\n', True)],
)
def test_the_folder_that_a_file_names_says_whose_it_is(make_checkout, run, place, line, is_other):
    """Whatever its jobs do: anyone may edit them. A file that names no folder is that of the project."""
    top = make_checkout().top
    folder = top / place
    (folder / "endpoints").mkdir(parents=True, exist_ok=True)
    (folder / "endpoints.toml").write_text('[environments.prod]\nproject_id = 1\nkey = "env:K"\n')
    for path in (".github/workflows/endpoints-push.yml", ".gitlab/endpoints.yml"):
        top.joinpath(path).parent.mkdir(parents=True)
        top.joinpath(path).write_text(f"# mine\n{line.format(place)}jobs: {{}}\n")
    for platform in ("github", "gitlab"):
        assert run(folder, "endpoints-gitops", "init", "--ci", platform).code == 0
    suffix = "" if not is_other else "-top" if place == "." else "-an-app"
    names = {path.name for path in (top / ".github" / "workflows").iterdir()}
    assert names == {"endpoints-push.yml"} | {f"endpoints-{job}{suffix}.yml" for job in ("review", "push", "drift")}
    assert {path.name for path in (top / ".gitlab").iterdir()} == {"endpoints.yml", f"endpoints{suffix}.yml"}


KEYS = {
    "posthog-cli": ('key = "posthog-cli"', {"POSTHOG_CLI_API_KEY", "POSTHOG_CLI_PROJECT_ID", "POSTHOG_CLI_HOST"}),
    "dotenv": ('key = "dotenv:.env:KEY"', {"ENDPOINTS_GITOPS_KEY", "POSTHOG_API_KEY"}),
    "another host": (
        'key = "env:K"\nhost = "https://ph.example.com"',
        {"K", "ENDPOINTS_GITOPS_ALLOWED_HOSTS"},
    ),
    "PostHog": ('key = "env:K"\nhost = "https://eu.posthog.com"', {"K"}),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_subfolder_with_any_key_source(make_checkout, run, actionlint, kind):
    checkout = make_checkout()
    settings, names = KEYS[kind]
    folder = checkout.top / "an app"
    (folder / "endpoints").mkdir(parents=True)
    (folder / "endpoints.toml").write_text(f"[environments.prod]\nproject_id = 1\n{settings}\n")
    checkout.commit()
    checkout.git("branch", "--move", "release/2.x")
    checkout.git("update-ref", "refs/remotes/origin/trunk", "HEAD")
    checkout.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    for platform in ("github", "gitlab"):
        assert run(folder, "endpoints-gitops", "init", "--ci", platform).code == 0
    assert lint(actionlint, checkout.top) == ""
    push = load(checkout.top / ".github" / "workflows" / "endpoints-push.yml")
    assert push["defaults"]["run"]["working-directory"] == "an app"
    assert push["on"]["push"]["branches"] == ["trunk"]
    (step,) = (step for step in push["jobs"]["push"]["steps"] if "run" in step)
    assert step["env"].keys() - {"ENDPOINTS_GITOPS_STATE"} == names
    jobs = load(checkout.top / ".gitlab" / "endpoints.yml")
    assert jobs["endpoints review"]["script"][1] == "cd 'an app'"
    assert jobs["endpoints review"]["artifacts"]["reports"]["codequality"] == "an app/endpoints-quality.json"


def test_each_project_of_a_repository_has_its_own_workflows(make_checkout, run, actionlint):
    """Names, groups and caches differ, so that the runs of two projects neither cancel nor replace each other."""
    checkout = make_checkout()
    for place in (".", "an app", "an app/in it"):
        folder = checkout.top / place
        (folder / "endpoints").mkdir(parents=True, exist_ok=True)
        (folder / "endpoints.toml").write_text(
            '[environments.prod]\nproject_id = 1\nkey = "env:K"\nuses = {one = "*"}\n'
        )
    for place in ("an app", ".", "an app/in it", "an app", ".", "an app/in it"):
        for platform in ("github", "gitlab"):
            assert run(checkout.top / place, "endpoints-gitops", "init", "--ci", platform).code == 0
    assert lint(actionlint, checkout.top) == ""
    workflows = {path.stem: load(path) for path in (checkout.top / ".github" / "workflows").iterdir()}
    folders = [flow.get("defaults", {}).get("run", {}).get("working-directory", ".") for flow in workflows.values()]
    assert {folder: folders.count(folder) for folder in folders} == {".": 4, "an app": 4, "an app/in it": 4}
    assert len({flow["name"] for flow in workflows.values()}) == 12
    groups = [flow["concurrency"]["group"] for flow in workflows.values() if "concurrency" in flow]
    assert len(set(groups)) == len(groups) == 9
    keys = [
        str(step["with"]["restore-keys"])
        for flow in workflows.values()
        for job in flow["jobs"].values()
        for step in job["steps"]
        if "restore-keys" in step.get("with", {})
    ]
    assert len(keys) == 3
    assert [(a, b) for a in keys for b in keys if a != b and a.startswith(b)] == [], "one cache is found as another's"
    files = sorted((checkout.top / ".gitlab").iterdir())
    jobs = [name for path in files for name in load(path)]
    assert len(files) == 3
    assert len(set(jobs)) == len(jobs) == 15


def test_gitlab_jobs(runner, server):
    top = runner.checkout.top
    ended = runner.run(top, "endpoints-gitops", "init", "--ci", "gitlab")
    assert ended.code == 0, ended.out
    assert load(top / ".gitlab-ci.yml") == {"include": [{"local": ".gitlab/endpoints.yml"}]}
    jobs = load(top / ".gitlab" / "endpoints.yml")
    assert {"endpoints review", "endpoints push", "endpoints drift", "endpoints gate"} < jobs.keys()
    runner.checkout.commit()
    gitlab = {name: runner.env[name] for name in ("PATH", "SHIM_LOG", "CI")}
    gitlab |= {"CI_PROJECT_DIR": str(top), "POSTHOG_API_KEY": server.key}
    request = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    runner.checkout.git("update-ref", "-d", "refs/remotes/origin/main")

    def job(name: str, **env: str) -> Ended:
        variables = {**jobs[name].get("variables", {}), **env}
        expanded = {key: value.replace("$CI_PROJECT_DIR", str(top)) for key, value in variables.items()}
        script = "\n".join(jobs[name]["script"])
        return runner.run(top, "bash", "-eo", "pipefail", "-c", script, env={**gitlab, **expanded})

    ended = job("endpoints review", **request)
    assert ended.code == 0, ended.out
    assert isinstance(json.loads((top / "endpoints-quality.json").read_text()), list)
    assert (top / "endpoints-junit.xml").read_text().startswith("<?xml")
    assert job("endpoints gate", **request).code == 0
    assert job("endpoints drift").code == 1
    assert job("endpoints push").code == 0
    assert json.loads((top / ".endpoints-state" / "plan.json").read_text())
    assert job("endpoints drift").code == 0


def test_an_existing_gitlab_configuration_is_kept(runner):
    path = runner.checkout.top / ".gitlab-ci.yml"
    path.write_text("mine: {}\n")
    ended = runner.run(runner.checkout.top, "endpoints-gitops", "init", "--ci", "gitlab")
    assert (ended.code, path.read_text()) == (0, "mine: {}\n")
    assert "add `include: [{local: .gitlab/endpoints.yml}]` to .gitlab-ci.yml" in ended.out


@pytest.fixture
def act(runner) -> Callable[..., list[Ended]]:
    """Runs the scripts of `action.yml` with inputs, in order."""
    action = load(TOP / "action.yml")

    def start(**inputs: str) -> list[Ended]:
        values = {name: str(entry.get("default", "")) for name, entry in action["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        runner.contexts |= {f"inputs.{name}": runner.expanded(value) for name, value in values.items()}
        runner.contexts["github.action_path"] = str(TOP)
        return [runner.step(step, values["working-directory"]) for step in action["runs"]["steps"] if "run" in step]

    return start


def test_the_action_reviews_comments_and_ends_with_the_exit_code(act, runner, github, server):
    runner.env["POSTHOG_API_KEY"] = server.key
    ran, end = act(command="review", sarif="true")
    assert (ran.code, end.code, len(github.comments)) == (0, 0, 1), ran.out
    assert json.loads(Path(runner.outputs["sarif"]).read_text())["version"] == "2.1.0"
    (log, *_) = (runner.folder / "log").read_text().splitlines()
    assert log.startswith(f"uv tool run --python 3.12 --from {TOP}[cli] endpoints-gitops ci review")
    runner.checkout.commit({"two.yaml": "name: two\nqery: SELECT 1\n"})
    ran, end = act(command="review", comment="false", version="9.9.9")
    assert (ran.code, end.code, runner.outputs["exit-code"]) == (0, 1, "1"), ran.out
    assert "--from endpoints-gitops[cli]==9.9.9 " in (runner.folder / "log").read_text()


def test_the_action_passes_arguments_on_as_one_word_each(act, runner):
    report = runner.folder / "a report.json"
    _, end = act(command="review", offline="true", environment="prod", against="main", args=f"--report 'json={report}'")
    assert end.code == 0
    assert json.loads(report.read_text())["command"] == "review"
    for args in ("--report 'x", "$(touch pwned) ; touch pwned"):
        _, end = act(command="review", offline="true", args=args)
        assert end.code == 2
    _, end = act(command="review; touch pwned")
    assert end.code == 2
    assert not list(runner.checkout.top.rglob("pwned"))


def test_the_action_pushes(act, runner, server):
    runner.env["POSTHOG_API_KEY"] = server.key
    assert act(command="diff")[1].code == 1
    assert act(command="push")[1].code == 0
    assert act(command="diff")[1].code == 0
    assert act(command="gate", against="main")[1].code == 0


def test_the_action_fails_without_an_exit_code(act, runner):
    runner.env["SHIM_LOG"] = "/nowhere/log"
    (runner.folder / "uv").write_text("#!/bin/sh\nexit 127\n")
    assert act(command="review")[1].code == 127
    runner.outputs["exit-code"] = ""
    assert runner.step(load(TOP / "action.yml")["runs"]["steps"][-1]).code == 1


USES = """\
on: pull_request
jobs:
  review:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: ./action
        with: {{command: review, sarif: true, {more}}}
"""


def test_actionlint_knows_the_action_and_the_examples_of_the_docs(make_checkout, actionlint):
    checkout = make_checkout()
    (checkout.top / "action").mkdir()
    shutil.copy(TOP / "action.yml", checkout.top / "action")
    folder = checkout.top / ".github" / "workflows"
    folder.mkdir(parents=True)
    examples = re.findall(r"```yaml\n(.*?)```", (TOP / "docs" / "ci.md").read_text(), re.DOTALL)
    workflows = [text for text in examples if "\njobs:" in text]
    assert workflows
    for number, text in enumerate([*workflows, USES.format(more="args: --quiet")]):
        (folder / f"{number}.yml").write_text(text)
    assert lint(actionlint, checkout.top) == ""
    (folder / "wrong.yml").write_text(USES.format(more="bogus: 1"))
    assert 'input "bogus" is not defined' in lint(actionlint, checkout.top)
