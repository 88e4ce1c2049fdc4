"""The part of GitHub's API that writes comments, on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

TOKEN: Final = "ghs_token-of-the-job"
BOT: Final = "github-actions[bot]"
_LIST: Final = re.compile(r"/repos/team/app/issues/7/comments")
_COMMENT: Final = re.compile(r"/repos/team/app/issues/comments/([0-9]+)")


@dataclass
class FakeGitHub:
    """`comments` are those of pull request 7, by id. `statuses` answers a method with an error instead."""

    url: str = ""
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def add(self, body: str, author: str = BOT) -> int:
        number = 1000 + len(self.comments)
        address = f"https://github.example/team/app/pull/7#issuecomment-{number}"
        self.comments[number] = {"id": number, "user": {"login": author}, "body": body, "html_url": address}
        return number

    def answer(self, method: str, address: str, token: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(address)
        self.requests.append((method, parts.path))
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}, {}
        if status := self.statuses.get(method):
            return status, {"message": "Resource not accessible by integration"}, {}
        if method == "GET" and _LIST.fullmatch(parts.path):
            query = parse_qs(parts.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            values = list(self.comments.values())
            more = (
                {"Link": f'<{self.url}{parts.path}?page={page + 1}>; rel="next"'} if len(values) > page * size else {}
            )
            return 200, values[(page - 1) * size : page * size], more
        if method == "POST" and _LIST.fullmatch(parts.path):
            return 201, self.comments[self.add(json.loads(body)["body"])], {}
        match = _COMMENT.fullmatch(parts.path)
        if method == "PATCH" and match and (comment := self.comments.get(int(match[1]))):
            comment["body"] = json.loads(body)["body"]
            return 200, comment, {}
        return 404, {"message": "Not Found"}, {}


@contextmanager
def running_github() -> Iterator[FakeGitHub]:
    """The API at `url`, until the end."""
    github = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value, headers = github.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            content = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _respond  # noqa: N815 - the names that the base class calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield github
        finally:
            server.shutdown()
            thread.join()
