"""The comments of a pull request, through GitHub's REST API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from endpoints_gitops.errors import CouldNotFindOut
from endpoints_gitops.model.secret import Secret

_PER_PAGE: Final = 100
_MOST_PAGES: Final = 100
_SECONDS: Final = 30.0


class GitHubUnavailable(CouldNotFindOut):
    """GitHub refused a request or did not answer it; `status` is that of its answer."""

    code = "github.unavailable"

    def __init__(self, message: str, *, status: int | None = None, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueComment:
    """A comment on a pull request. `author` is the login of its account, `url` its page."""

    id: int
    author: str
    body: str
    url: str


class GitHubComments:
    """Reads and writes the comments of one pull request. Every method raises GitHubUnavailable."""

    def __init__(self, *, api_url: str, repository: str, number: int, token: Secret) -> None:
        self._base = f"{api_url.rstrip('/')}/repos/{quote(repository)}/issues"
        self._number = number
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token.reveal()}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def all(self) -> Iterator[IssueComment]:
        """Every comment, oldest first."""
        for page in range(1, _MOST_PAGES + 1):
            address = f"{self._base}/{self._number}/comments?per_page={_PER_PAGE}&page={page}"
            answer = self._send("GET", address)
            yield from map(_comment, self._json(answer, list))
            if 'rel="next"' not in answer.headers.get("link", ""):
                return

    def create(self, body: str) -> IssueComment:
        """Write a new comment."""
        answer = self._send("POST", f"{self._base}/{self._number}/comments", {"body": body})
        return _comment(self._json(answer, dict))

    def update(self, comment: IssueComment, body: str) -> IssueComment:
        """Replace the text of a comment."""
        return _comment(self._json(self._send("PATCH", f"{self._base}/comments/{comment.id}", {"body": body}), dict))

    def _send(self, method: str, address: str, body: dict[str, str] | None = None) -> httpx.Response:
        try:
            answer = httpx.request(method, address, headers=self._headers, json=body, timeout=_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GitHubUnavailable(f"GitHub cannot be reached: {error}") from error
        if not answer.is_success:
            fix = "add `permissions: pull-requests: write` to the job" if answer.status_code in (403, 404) else None
            message = f"GitHub refused to {'read' if method == 'GET' else 'write'} the comment ({answer.status_code})"
            raise GitHubUnavailable(message, status=answer.status_code, fix=fix)
        return answer

    @staticmethod
    def _json(answer: httpx.Response, kind: type) -> Any:  # noqa: ANN401 - a JSON value of this kind
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise GitHubUnavailable("the answer of GitHub is not what its API documents")
        return value


def _comment(value: Any) -> IssueComment:  # noqa: ANN401 - any JSON value
    """Raises GitHubUnavailable for a value that is not a comment."""
    try:
        user = value.get("user") or {}  # null for a deleted account
        return IssueComment(
            id=int(value["id"]),
            author=str(user.get("login", "")),
            body=str(value.get("body") or ""),
            url=str(value.get("html_url", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise GitHubUnavailable("the answer of GitHub is not what its API documents") from None
