"""`ci`: the result of a command in a comment, the job summary and annotations, whatever GitHub permits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ci.github import BOT, TOKEN, FakeGitHub, running_github
from tests.conftest import KEY_VARIABLE, Ran

ONE = "name: one\nquery: SELECT count() AS n FROM events\n"
TWO = "name: two\nquery: SELECT count() AS n FROM events\n"
SAFE, BREAK = ONE + "description: Events.\n", ONE.replace("AS n", "AS m")


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with running_github() as github:
        yield github


@dataclass(frozen=True, slots=True)
class PullRequestRun:
    """Runs commands as a job of pull request 7 does, on a branch that is to be merged into main."""

    cli: Callable[..., Ran]
    env: dict[str, str]
    summary: Path

    def ci(self, *words: str, **env: str) -> Ran:
        return self.cli("ci", *words, env={**self.env, **env})


@pytest.fixture
def job(cli, checkout, github, tmp_path) -> PullRequestRun:
    event, summary = tmp_path / "event.json", tmp_path / "summary.md"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    checkout.commit({"one.yaml": ONE})
    checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"one.yaml": SAFE})
    env = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": "team/app",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_TOKEN": TOKEN,
    }
    return PullRequestRun(cli, env, summary)


def test_one_comment_is_created_and_then_updated(job, github, checkout, create):
    create("one", "SELECT count() AS n FROM events")
    ran = job.ci("review")
    assert ran.code == 0, ran.err
    ((number, comment),) = github.comments.items()
    assert comment["body"].startswith("<!-- endpoints-gitops review -->\n")
    assert "comment created: https://github.example/team/app/pull/7" in ran.err
    checkout.commit({"one.yaml": BREAK})
    ran = job.ci("review")
    assert ran.code == 1
    assert list(github.comments) == [number]
    assert "C102" in github.comments[number]["body"]
    assert job.summary.read_text().count("<!-- endpoints-gitops review -->") == 2
    assert "\n::error file=endpoints/one.yaml," in ran.out
    assert TOKEN not in ran.out + ran.err


def test_only_the_own_comment_of_the_same_kind_is_touched(job, github):
    marker = "<!-- endpoints-gitops review -->"
    foreign = [
        github.add(f"{marker}\n\nquoted by a person", "a-person"),
        github.add("<!-- endpoints-gitops gate -->\n\nof another command"),
        github.add(f"> {marker}\n\nan answer"),
        github.add("a comment"),
    ]
    before = {number: github.comments[number]["body"] for number in foreign}
    for number in range(150):
        github.add(f"comment {number}", "a-person")
    own = github.add(f"{marker}\r\n\r\nof an earlier run")
    assert job.ci("review", "--offline").code == 0
    assert {number: github.comments[number]["body"] for number in foreign} == before
    assert "of an earlier run" not in github.comments[own]["body"]
    assert len(github.comments) == 155
    assert {method for method, _ in github.requests} == {"GET", "PATCH"}


def test_another_account_has_a_comment_of_its_own(job, github):
    github.add("<!-- endpoints-gitops review -->\n\n", "team-app[bot]")
    assert job.ci("review", "--offline", "--comment-author", "team-app[bot]").code == 0
    assert len(github.comments) == 1
    assert job.ci("review", "--offline").code == 0
    assert [comment["user"]["login"] for comment in github.comments.values()] == ["team-app[bot]", BOT]


@pytest.mark.parametrize(
    ("statuses", "env", "reason"),
    [
        ({"GET": 403}, {}, "GitHub refused to read the comment (403); add `permissions: pull-requests: write`"),
        ({"POST": 403}, {}, "GitHub refused to write the comment (403); add `permissions: pull-requests: write`"),
        ({"GET": 404}, {}, "GitHub refused to read the comment (404)"),
        ({"POST": 500}, {}, "GitHub refused to write the comment (500)"),
        ({}, {"GITHUB_TOKEN": "wrong"}, "GitHub refused to read the comment (401)"),
        ({}, {"GITHUB_TOKEN": ""}, "there is no token; set GITHUB_TOKEN"),
        ({}, {"GITHUB_API_URL": "http://127.0.0.1:9"}, "GitHub cannot be reached"),
    ],
)
@pytest.mark.parametrize(("content", "code"), [(SAFE, 0), (BREAK, 1)], ids=["safe", "break"])
def test_without_permission_the_report_is_in_the_summary(job, github, checkout, statuses, env, reason, content, code):
    checkout.commit({"one.yaml": content})
    github.statuses |= statuses
    ran = job.ci("review", "--offline", **env)
    assert (ran.code, github.comments) == (code, {})
    assert f"::warning title=endpoints-gitops::no comment: {reason}" in ran.out
    assert job.summary.read_text().startswith("<!-- endpoints-gitops review -->")


def test_without_a_key_review_is_offline_and_says_so(job, github, server):
    server.requests.clear()
    ran = job.ci("review", **{KEY_VARIABLE: ""})
    assert ran.code == 0, ran.err
    assert "::warning title=endpoints-gitops::there is no key, so the server was not asked: judged offline" in ran.out
    (comment,) = github.comments.values()
    assert "offline" in comment["body"].lower()
    assert not server.requests.entries()
    assert job.ci("review", **{KEY_VARIABLE: "not-a-key"}).code == 3
    assert job.ci("diff", **{KEY_VARIABLE: ""}).code == 3


@pytest.mark.parametrize("command", ["push", "diff"])
def test_the_summary_says_why_a_command_failed(job, command):
    ran = job.ci(command, **{KEY_VARIABLE: ""})
    assert ran.code == 3
    assert f"reads its key from the environment variable {KEY_VARIABLE}, which is not set" in ran.err
    assert KEY_VARIABLE in job.summary.read_text()


def test_a_run_outside_of_a_pull_request_does_not_comment(job, github, tmp_path):
    push = tmp_path / "push.json"
    push.write_text(json.dumps({"ref": "refs/heads/main"}))
    for env in ({"GITHUB_EVENT_PATH": str(push)}, {"GITHUB_EVENT_PATH": ""}, {"GITHUB_EVENT_PATH": "/nowhere"}):
        assert job.ci("review", "--offline", **env).code == 0
    assert job.ci("review", "--offline", "--no-comment").code == 0
    assert github.requests == []


def test_push_applies_the_plan_that_it_shows(job, server, tmp_path):
    plan = tmp_path / "plan.json"
    ran = job.ci("push", "--plan-out", str(plan))
    assert ran.code == 0, ran.err
    assert json.loads(plan.read_text())
    assert any(entry.is_write for entry in server.requests.entries())
    summary = job.summary.read_text()
    assert "### plan\n\n```text\n" in summary
    assert "### push\n\n```text\n" in summary
    assert job.ci("diff").code == 0


def test_push_without_a_plan_writes_nothing(job, server, checkout, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    checkout.write({"two.yaml": "name: [\n"})
    ran = job.ci("push", "--plan-out", str(plan))
    assert (ran.code, plan.exists()) == (2, False), ran.err
    assert not any(entry.is_write for entry in server.requests.entries())


def test_a_conflict_ends_push_with_its_exit_code(job, create, checkout):
    create("two", "SELECT 2 AS other")
    checkout.commit({"two.yaml": TWO})
    ran = job.ci("push")
    assert ran.code == 6, ran.err
    assert job.ci("diff").code == 1
    assert "two" in job.summary.read_text()


def test_push_asks_outside_of_ci(job, server):
    ran = job.ci("push", CI="")
    assert (ran.code, "--yes" in ran.err) == (2, True), ran.err
    assert not any(entry.is_write for entry in server.requests.entries())


def test_output_is_no_workflow_command(job, checkout, create):
    create("one", "SELECT 1 AS n")
    checkout.commit({"one.yaml": ONE + 'description: "a\\n::error::injected\\n````\\nb"\n'})
    ran = job.ci("diff")
    assert ran.code == 1
    assert "injected" in ran.out
    assert not [line for line in ran.out.splitlines() if line.lstrip().startswith("::")]
    summary = job.summary.read_text()
    fence = summary.split("\n")[2].removesuffix("text")
    assert summary.split("\n").count(fence) == 1


def test_gate_needs_a_ref_and_passes_arguments_on(job, tmp_path):
    assert job.ci("gate", "--offline", GITHUB_BASE_REF="").code == 2
    assert job.ci("gate", "--offline", "--args", "--evidence 'a").code == 2
    report = tmp_path / "gate.sarif"
    ran = job.ci("gate", "--offline", "--against", "origin/main", "--", "--report", f"sarif={report}")
    assert ran.code == 0, ran.err
    assert json.loads(report.read_text())["version"] == "2.1.0"
    for command, option in (
        ("push", "--offline"),
        ("diff", "--against=main"),
        ("diff", "--offline"),
        ("review", "--plan-out=p"),
    ):
        ran = job.ci(command, option)
        assert (ran.code, option.partition("=")[0] in ran.err) == (2, True)


def test_json_is_one_document_with_the_exit_code_of_the_command(job, checkout):
    checkout.commit({"one.yaml": BREAK})
    ran = job.ci("review", "--offline", "--format", "json")
    assert (ran.code, ran.json["exit_code"]) == (1, 1)
    (item,) = ran.json["items"]
    assert (item["command"], item["exit_code"], item["comment"]) == ("review", 1, "created")
