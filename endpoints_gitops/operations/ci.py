"""What a run in GitHub Actions knows of itself, and the one comment that it keeps on its pull request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.files import read_regular_file

BOT: Final = "github-actions[bot]"
"""The account of the token that GitHub gives to each job."""
_API: Final = "https://api.github.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """The pull request of a run, and the token to comment on it; None where the job has none."""

    api_url: str
    repository: str
    number: int
    token: Secret | None


class CommentState(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentResult:
    """What became of the comment. `reason` and `fix` are of one that could not be written."""

    state: CommentState
    url: str = ""
    reason: str = ""
    fix: str | None = None


def is_github(env: Mapping[str, str]) -> bool:
    return env.get("GITHUB_ACTIONS") == "true"


def pull_request(env: Mapping[str, str]) -> PullRequest | None:
    """The pull request that the event of this run is about; None for other events, and outside of GitHub Actions."""
    event, repository = env.get("GITHUB_EVENT_PATH"), env.get("GITHUB_REPOSITORY")
    if not event or not repository:
        return None
    try:
        value = json.loads(read_regular_file(Path(event)))
        number = value["pull_request"]["number"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(number, int):
        return None
    token = env.get("GITHUB_TOKEN", "").strip()
    return PullRequest(
        api_url=env.get("GITHUB_API_URL") or _API,
        repository=repository,
        number=number,
        token=Secret(token) if token else None,
    )


def merged_into(env: Mapping[str, str]) -> str | None:
    """The ref that the pull or merge request of this run is to be merged into; None if it is about none."""
    branch = env.get("GITHUB_BASE_REF") or env.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    return f"origin/{branch}" if branch else None


def keep_comment(request: PullRequest, body: str, *, author: str = BOT) -> CommentResult:
    """Write a report as the comment of its kind: update that of an earlier run, else create it.

    That comment has the same first line, which is the report's marker, and the account `author` wrote it; no other one
    is touched. Where GitHub refuses, the result says why.
    """
    from endpoints_gitops.api.github import GitHubComments, GitHubUnavailable

    if request.token is None:
        return CommentResult(
            state=CommentState.REFUSED,
            reason="there is no token",
            fix="set GITHUB_TOKEN to ${{ github.token }} in the env of the step",
        )
    comments = GitHubComments(
        api_url=request.api_url, repository=request.repository, number=request.number, token=request.token
    )
    marker = _first_line(body)
    try:
        own = (comment for comment in comments.all() if comment.author == author)
        before = next((comment for comment in own if _first_line(comment.body) == marker), None)
        if before is None:
            return CommentResult(state=CommentState.CREATED, url=comments.create(body).url)
        return CommentResult(state=CommentState.UPDATED, url=comments.update(before, body).url)
    except GitHubUnavailable as error:
        return CommentResult(state=CommentState.REFUSED, reason=error.message, fix=error.fix)


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0].strip()
