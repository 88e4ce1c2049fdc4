"""Walk the steps of a numbered fact over HTTP. `management.yaml` documents their notation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from ruamel.yaml import YAML

from endpoints_gitops.conformance.comparison import differences
from endpoints_gitops.conformance.server import Reply
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.local.store import View, new_id
from endpoints_gitops.model.fact import Fact, Step

FOLDER: Final = Path(__file__).parent
_ROW_KEYS: Final = frozenset(("says", "known", "facts", "steps", "except", "server", "slow"))
_ASKED: Final = frozenset(("ask", "each", "key", "project", "headers", "times"))
_ANSWERED: Final = frozenset(
    ("status", "then", "error", "keys", "absent", "header", "rows", "reordered", "count", "keep")
)
_ENVELOPES: Final = {
    400: ("validation_error", "invalid_input"),
    401: ("authentication_error", "not_authenticated"),
    403: ("authentication_error", "permission_denied"),
    404: ("invalid_request", "not_found"),
    405: ("invalid_request", "method_not_allowed"),
    429: ("throttled_error", "throttled"),
    500: ("server_error", "error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A numbered fact. `facts` are ids of conformance facts that show it, `steps` are requests that do.

    `exception` has steps that the local server does not answer as PostHog does, for the reason `because`.
    """

    id: str
    says: str
    known: str
    facts: tuple[str, ...]
    steps: tuple[Any, ...]
    because: str | None
    exception: tuple[Any, ...]
    server: Mapping[str, Any]
    is_slow: bool


def rows(document: str) -> tuple[Row, ...]:
    """The rows of one file, in its order."""
    read: dict[int, dict[str, Any]] = YAML(typ="safe").load(FOLDER / f"{document}.yaml")
    return tuple(_row(f"{document} {number}", value) for number, value in read.items())


def _row(id_: str, value: Mapping[str, Any]) -> Row:
    assert value.keys() <= _ROW_KEYS, f"{id_} has unknown keys: {sorted(value.keys() - _ROW_KEYS)}"
    exception: Mapping[str, Any] = value.get("except") or {"because": None, "steps": ()}
    return Row(
        id=id_,
        says=value["says"],
        known=value.get("known", "T"),
        facts=tuple(value.get("facts", ())),
        steps=tuple(value.get("steps", ())),
        because=exception["because"],
        exception=tuple(exception["steps"]),
        server=value.get("server", {}),
        is_slow=value.get("slow", False),
    )


@dataclass(slots=True, kw_only=True)
class Walk:
    """The steps of one row on one server; what they create is kept by name, and a client for each key and project."""

    server: RunningServer
    connect: Callable[..., httpx.Client]
    _kept: dict[str, Any] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _clients: dict[tuple[str | None, object], httpx.Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept |= {"project": self.server.project_id, "server": self.server.url, "key": self.server.key}

    def differences(self, steps: Sequence[Any]) -> list[str]:
        """Every difference between the answers and the steps, each with the place of its step."""
        return [f"step {place}: {line}" for place, step in enumerate(steps, 1) for line in self._step(step)]

    def _step(self, step: Any) -> Iterator[str]:
        if isinstance(step, list):
            yield from self._prepare(*step)
            return
        unknown = step.keys() - _ASKED - _ANSWERED
        assert not unknown, f"unknown keys: {sorted(unknown)}"
        for number in range(step.get("times", 1)):
            self._kept["number"] = number
            for words in step.get("each") or [step["ask"]]:
                answer = self._send(*words, key=step.get("key"), project=step.get("project"), sent=step.get("headers"))
                yield from (f"{' '.join(map(str, words[:2]))}: {line}" for line in self._compare(step, answer))

    def _prepare(self, method: str, path: str, body: Any = None) -> Iterator[str]:
        """A preparing step: a request that must succeed, or something that a request cannot do."""
        if method == "DATABASE":
            self.server.store.execute(path)
        elif method == "SAVED_QUERY":
            self.server.store.views.insert(View(id=new_id(), project_id=self.server.project_id, name=path))
        else:
            answer = self._send(method, path, body)
            if not answer.is_success:
                yield f"{method} {path} was answered {answer.status_code}: {answer.text}"

    def _send(
        self, method: str, path: str, body: Any = None, *, key: Any = None, project: Any = None, sent: Any = None
    ) -> httpx.Response:  # fmt: skip
        path, body = self._filled(path), self._filled(body)
        url = f"{self.server.url}{path}" if path.startswith("/") else path
        client = self._client(self._key(key), self._project(project))
        content: dict[str, Any] = {"content": body} if isinstance(body, str) else {} if body is None else {"json": body}
        request = client.build_request(method, url, headers=sent, **content)
        if key == "none":
            del request.headers["Authorization"]
        answer = client.send(request)
        if (method, path) == ("POST", "insight_variables/") and answer.status_code == 201:
            self._kept[answer.json()["code_name"]] = answer.json()["id"]
        return answer

    def _compare(self, step: Mapping[str, Any], answer: httpx.Response) -> Iterator[str]:
        """Lines of what differs. An answer with an error, or without a body, is compared whole."""
        body = answer.json() if answer.content else None
        then = self._filled(step.get("then", {}))
        if "error" in step:
            kind, code = _ENVELOPES[step["status"]]
            then = {"type": kind, "code": code, "attr": None} | self._filled(step["error"])
        fact = Fact(
            id="", about="", given=(), when=Step(method="", path=""), status=step["status"], then=then,
            absent=tuple(self._filled(path) for path in step.get("absent", ())),
        )  # fmt: skip
        yield from differences(fact, Reply(answer.status_code, body, None))
        if step["status"] != answer.status_code:
            yield f"the answer is {answer.text}"
            return
        is_whole = answer.status_code >= 400 or answer.status_code == 204
        if is_whole and sorted(body or {}) != sorted(then):
            yield f"the answer has the keys {sorted(body or {})}, not {sorted(then)}: {answer.text}"
        if "keys" in step and list(body) != step["keys"]:
            yield f"the answer has the keys {list(body)}"
        for name, expected in step.get("header", {}).items():
            received = answer.headers.get(name)
            header = Fact(id="", about="", given=(), when=fact.when, status=0, then={"header": self._filled(expected)})
            yield from (f"{name}: {line}" for line in differences(header, Reply(0, {"header": received}, None)))
        if "rows" in step and sorted(body["results"]) != step["rows"]:
            yield f"the rows are {body['results']}, not {step['rows']} in some order"
        if "count" in step and len(body["results"]) != step["count"]:
            yield f"there are {len(body['results'])} rows, not {step['count']}"
        if step.get("reordered") and body["results"] == step["rows"]:
            yield "the rows are in the order of the query"
        for name, path in step.get("keep", {}).items():
            self._kept[name] = _at(body, path)

    def _client(self, key: str | None, project: object) -> httpx.Client:
        if (key, project) not in self._clients:
            self._clients[key, project] = self.connect(self.server, key, project)
        return self._clients[key, project]

    def _key(self, key: Any) -> str | None:
        if key is None or key == "none":
            return None
        named = {
            "readonly": self.server.readonly_key,
            "secret": self.server.project_secret_key,
            "colleague": self.server.colleague_key,
        }
        if isinstance(key, str):
            return named.get(key, key)
        name = repr(sorted(key.items()))
        if name not in self._keys:
            project = self._project(key["project"]) if "project" in key else None
            self._keys[name] = self.server.issue_key(
                *key["scopes"],
                secret=key.get("secret", False),
                project_id=project,
                scoped_projects=tuple(self._project(item) for item in key.get("only", ())),
            )
        return self._keys[name]

    def _project(self, name: str | None) -> Any:
        if name != "other":
            return self.server.project_id if name is None else name
        if "other" not in self._kept:
            self._kept["other"] = self.server.add_project("Other")
        return self._kept["other"]

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._filled_text(value)
        if isinstance(value, Mapping):
            full = {str(self._filled(key)): self._filled(item) for key, item in value.items() if key != "sql"}
            query = {"kind": "HogQLQuery", "query": self._filled(value["sql"])} if "sql" in value else None
            return full | ({"query": query} if query else {})
        return [self._filled(item) for item in value] if isinstance(value, list) else value

    def _filled_text(self, text: str) -> Any:
        for name, value in self._kept.items():
            if text == f"<{name}>":
                return value
            text = text.replace(f"<{name}>", str(value))
        return text


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part) if isinstance(value, list) else part]
    return value
