"""Text of the server, in every field of every answer: no command lets it move the cursor, break a line, or give a CI
system a command; and a key that the server repeats is masked everywhere.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from endpoints_gitops.local.serve import RunningServer

COMMAND = re.compile(r"##\w*\[")
ESCAPES = "\x1b[2J\x1b]8;;https://evil.test\x1b\\x\u202e\x9b31m\u2028\x85\x07\x00\ud800\u200b"


def nasty(key: str) -> str:
    return f"a{ESCAPES}\n::stop-commands::t\r\n  ::error::x\n##[add-matcher]/x\n##vso[task.x]y\nINJECTED {key}"


class Repeater:
    """In front of the local server: puts text into one field of each answer, or answers with errors."""

    def __init__(self, server: RunningServer) -> None:
        self.target = server.url
        self.field = ""
        self.status = 0
        self.text = nasty(server.key)
        repeater = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                status, body = repeater.answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = do  # noqa: N815 - the names of http.server

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        length = int(handler.headers.get("Content-Length") or 0)
        content = handler.rfile.read(length) if length else None
        if self.status:
            said = {"type": self.text, "code": self.text, "detail": self.text, "attr": self.text}
            if self.field in said:
                said = {**dict.fromkeys(said, "x"), self.field: self.text}
            return self.status, json.dumps(said if self.field != "page" else self.text).encode()
        headers = {name: handler.headers[name] for name in ("Authorization", "Content-Type") if handler.headers[name]}
        request = urllib.request.Request(self.target + handler.path, content, headers, method=handler.command)
        try:
            with urllib.request.urlopen(request) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return status, json.dumps(self.put(json.loads(body))).encode() if body else body

    def put(self, value, field=""):
        if isinstance(value, dict):
            return {key: self.put(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.put(item, field) for item in value]
        if field == self.field and (isinstance(value, str) or value is None):
            return self.text
        return value


@pytest.fixture
def repeater(server: RunningServer) -> Iterator[Repeater]:
    made = Repeater(server)
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    thread.join(timeout=5)
    made.http.server_close()


def faults(text: str, key: str) -> list[str]:
    """What of an output would be more than text."""
    found = [f"{char!r}" for char in set(text) if char not in "\n\t" and unicodedata.category(char) in _CATEGORIES]
    for line in text.split("\n"):
        if line.lstrip().startswith("::") or COMMAND.search(line):
            found.append(f"a command: {line!r}")
        if line.startswith("INJECTED"):
            found.append(f"a line of the server: {line!r}")
    return found + (["the key"] if key in text else [])


_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
FIELDS = [
    *("name", "description", "tags", "email", "first_name", "label", "scopes", "kind", "columns", "types", "results"),
    *("created_at", "updated_at", "last_executed_at", "version_created_at", "id", "code_name", "type", "value"),
    *("default_value", "status", "error", "materialization_error", "sync_frequency", "next", "detail", "url", "ui_url"),
    *("last_materialized_at", "execution_id", "endpoint_version_created_at", "organization", "derived_from_insight"),
]
COMMANDS = [
    *("list", "get one", "versions one", "run one", "run one --output json", "diff", "plan", "push --yes", "auth"),
    *(
        "pull --dry-run",
        "run --file endpoints/one.yaml",
        "lock",
        "activate one",
        "rename one two --yes",
        "check --live",
    ),
    *("outdated", "upgrade --yes", "rollback one@1 --yes", "delete one --yes", "run one --var nothing=1", "resume"),
]


@pytest.fixture
def scene(cli, checkout, create, repeater):
    """A definition that differs, an endpoint with everything, and a pin; asked through the repeater."""
    create("one", "SELECT {variables.n} AS one", variables={"n": ("Number", 3)}, tags=["a"], description="d")
    checkout.commit({"one.yaml": "name: one\ndescription: mine\nquery: SELECT 2 AS two\n"})
    path = checkout.top / "endpoints.toml"
    text = re.sub(r'host = ".*?"', f'host = "{repeater.url}"', path.read_text())
    path.write_text(text + '[uses]\none = "*"\n')
    assert cli("lock").code == 0
    return repeater


def run(cli, words):
    return cli(*words.split(), "--verbose", "--max-wait", "0.3")


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS)
def test_no_field_of_an_answer_is_more_than_text(cli, scene, server, words):
    wrong = {}
    for field in FIELDS:
        scene.field = field
        ran = run(cli, words)
        for stream in (ran.out, ran.err):
            if found := faults(stream, server.key):
                wrong[field] = found
    assert not wrong


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 302])
def test_no_field_of_an_error_is_more_than_text(cli, scene, server, status):
    wrong = {}
    scene.status = status
    for field in ("all", "type", "code", "detail", "attr", "page"):
        scene.field = field
        for words in ("list", "get one", "run one", "push --yes", "lock --verify", "auth", "check --live"):
            for more in ("", " --format json"):
                ran = run(cli, words + more)
                assert ran.code not in (0, 130), ran.out
                for stream in (ran.out, ran.err):
                    if found := faults(stream, server.key):
                        wrong[f"{field} {words}{more}"] = found
    assert not wrong
