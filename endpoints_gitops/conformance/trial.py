"""Try facts on a server: create what each needs, send its request, compare the answer, and remove everything."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from endpoints_gitops.api.connection import escaped
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.conformance.comparison import differences
from endpoints_gitops.conformance.server import ConformanceProject, Reply
from endpoints_gitops.errors import EndpointsError, ExitCode
from endpoints_gitops.model.fact import MARK, WAIT, Fact, Step
from endpoints_gitops.model.json import Json

_ANY_TOKEN: Final = re.compile(r"conformance_[0-9a-f]{4}_")
_LIST: Final = "endpoints/?limit=10000"
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 20.0


class TrialVerdict(StrEnum):
    HOLDS = "holds"
    DIFFERS = "differs"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactResult:
    """The result of one fact. `reason` says why it was not tried; `expected` and `received` are what differs."""

    fact: Fact
    verdict: TrialVerdict
    reason: str | None = None
    differences: tuple[str, ...] = ()
    request: Mapping[str, Json] = field(default_factory=dict)
    expected: Mapping[str, Json] = field(default_factory=dict)
    received: Mapping[str, Json] = field(default_factory=dict)


class CannotPrepare(Exception):
    """A fact cannot be tried; the text says why."""


class KeyRefused(Exception):
    """The key lacks a permission that facts need."""

    def __init__(self, cause: EndpointsError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True, kw_only=True)
class Trial:
    """One run. `token` is in the name of everything that it creates, and it deletes nothing without it.

    `everything` includes facts about the local server only, and about features that not every project has.
    `build_seconds` is how long it waits for a table.
    """

    server: ConformanceProject
    token: str = field(default_factory=lambda: f"conformance_{secrets.token_hex(2)}_")
    everything: bool = False
    build_seconds: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    _ids: dict[str, Json] = field(default_factory=dict, init=False)
    _endpoints: dict[str, Json] = field(default_factory=dict, init=False)
    _variables: dict[str, tuple[str, Json]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._ids["<project>"] = str(self.server.project_id)

    def try_fact(self, fact: Fact) -> FactResult:
        """Try one fact. Raises KeyRefused, and ApiError if there is no answer."""
        if fact.needs is not None and not self.everything:
            return FactResult(fact=fact, verdict=TrialVerdict.NOT_TRIED, reason=f"needs {fact.needs}")
        try:
            for step in fact.given:
                self._prepare(step, fact)
            when = self._filled(fact.when)
            reply = self._ask(when)
        except CannotPrepare as why:
            return FactResult(fact=fact, verdict=TrialVerdict.NOT_TRIED, reason=str(why))
        finally:
            if not fact.shares_endpoints:
                self._remove_endpoints()
        return self._result(fact, when, reply)

    def leftovers(self) -> tuple[str, ...]:
        """The endpoints and shared variables of all runs. Raises ApiError and CannotPrepare."""
        return tuple(name for _, name in self._named(_ANY_TOKEN))

    def remove_leftovers(self) -> tuple[str, ...]:
        """Delete the leftovers of all runs; return what could not be deleted. Raises ApiError and CannotPrepare."""
        return self._remove(_ANY_TOKEN)

    def remove_all(self) -> tuple[str, ...]:
        """Delete everything that this run created; return what could not be deleted, or may still exist."""
        try:
            left = self._remove(re.compile(re.escape(self.token)))
        except (ApiError, CannotPrepare):
            return self.known()
        self._endpoints.clear()
        self._variables.clear()
        return left

    def _remove(self, token: re.Pattern[str]) -> tuple[str, ...]:
        named = list(self._named(token))
        for path, _ in named:
            self.server.ask("DELETE", path)
        return tuple(name for _, name in self._named(token)) if named else ()

    def known(self) -> tuple[str, ...]:
        """The names that this run created and did not delete, except those of lost answers."""
        return (*self._endpoints, *self._variables)

    def _named(self, token: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        """The paths and names of endpoints and shared variables with a token in their name."""
        for endpoint in _results(self.server.ask("GET", _LIST)):
            if token.search(str(endpoint.get("name"))):
                yield f"endpoints/{escaped(endpoint['name'])}/", endpoint["name"]
        page: int | None = 1
        while page is not None:
            reply = self.server.ask("GET", f"insight_variables/?page={page}")
            for variable in _results(reply):
                if token.search(str(variable.get("code_name"))):
                    yield f"insight_variables/{escaped(str(variable['id']))}/", variable["code_name"]
            page = page + 1 if isinstance(reply.body, Mapping) and reply.body.get("next") else None

    def _prepare(self, step: Step, fact: Fact) -> None:
        step = self._filled(step)
        if step.method == WAIT:
            self._wait_for_table(step.path)
        elif step.path == "insight_variables/":
            self._make_variable(step)
        elif not (fact.shares_endpoints and step.path == "endpoints/" and _name(step.body) in self._endpoints):
            self._check(step, self._ask(step))

    def _make_variable(self, step: Step) -> None:
        """Create a shared variable. It is kept for the following facts, until one needs a different one of the same
        name."""
        name = _name(step.body)
        id_, body = self._variables.get(name, ("", None))
        if not id_ or body != step.body:
            if id_:
                self.server.ask("DELETE", f"insight_variables/{id_}/")
                del self._variables[name]
            reply = self.server.ask(step.method, step.path, step.body)
            self._check(step, reply)
            assert isinstance(reply.body, Mapping)
            id_ = str(reply.body["id"])
            self._variables[name] = id_, step.body
        self._ids[f"<{name.removeprefix(self.token)}>"] = id_

    def _check(self, step: Step, reply: Reply) -> None:
        """Raise CannotPrepare if the answer is not the expected one, and KeyRefused if the key lacks permission."""
        expected = reply.refusal is None if step.status is None else reply.status == step.status
        if expected:
            return
        if reply.refusal is not None and reply.refusal.exit_code is ExitCode.CREDENTIALS:
            raise KeyRefused(reply.refusal)
        raise CannotPrepare(
            f"the preparing request {step.method} {step.path} was answered {reply.status}: {reply.body}"
        )

    def _wait_for_table(self, path: str) -> None:
        end, pause = self.now() + self.build_seconds, _FIRST_PAUSE
        while True:
            reply = self.server.ask("GET", path)
            self._check(Step(method="GET", path=path), reply)
            if isinstance(reply.body, Mapping) and reply.body.get("ready") is True:
                return
            if self.now() + pause > end:
                raise CannotPrepare(f"the table was not built within {self.build_seconds:.0f} s")
            self.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(self, step: Step) -> Reply:
        """Send a request, and remember what it created."""
        reply = self.server.ask(step.method, step.path, step.body)
        if (step.method, step.path) == ("POST", "endpoints/") and reply.refusal is None:
            answer = reply.body if isinstance(reply.body, Mapping) else {}
            self._endpoints[str(answer.get("name", _name(step.body)))] = step.body
            author = answer.get("created_by")
            if isinstance(author, Mapping):
                self._ids["<me>"] = author.get("id")
        return reply

    def _remove_endpoints(self) -> None:
        """Delete the endpoints of the last fact, unless they are already gone."""
        for name in [name for name in self._endpoints if self.token in name]:
            reply = self.server.ask("DELETE", f"endpoints/{escaped(name)}/")
            if reply.refusal is None or reply.status == 404:
                del self._endpoints[name]

    def _result(self, fact: Fact, when: Step, reply: Reply) -> FactResult:
        if fact.only_ours:
            reply = Reply(reply.status, _only(self.token, reply.body), reply.refusal)
        expected = Fact(
            id=fact.id, about=fact.about, given=(), when=when, status=fact.status, then=self._fill(fact.then),
            absent=tuple(self._fill(path) for path in fact.absent), first_key=fact.first_key,
        )  # fmt: skip
        lines = tuple(differences(expected, reply))
        return FactResult(
            fact=fact,
            verdict=TrialVerdict.DIFFERS if lines else TrialVerdict.HOLDS,
            differences=lines,
            request={"method": when.method, "path": when.path, "body": when.body},
            expected={"status": fact.status, "answer": expected.then, "absent": list(expected.absent)},
            received={"status": reply.status, "answer": reply.body},
        )

    def _filled(self, step: Step) -> Step:
        return Step(method=step.method, path=self._fill(step.path), body=self._fill(step.body), status=step.status)

    def _fill(self, value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
        """The value with placeholders replaced by the token and ids of this run, and SQL texts by query nodes."""
        if isinstance(value, str):
            return self._fill_text(value.replace(MARK, self.token))
        if isinstance(value, Mapping):
            full = {self._fill(key): self._fill(item) for key, item in value.items() if key != "sql"}
            query = {"kind": "HogQLQuery", "query": self._fill(value["sql"])} if "sql" in value else None
            return full | ({"query": query} if query else {})
        return [self._fill(item) for item in value] if isinstance(value, list) else value

    def _fill_text(self, text: str) -> Json:
        if text in self._ids:
            return self._ids[text]
        for mark, value in self._ids.items():
            text = text.replace(mark, str(value))
        return text


def _results(reply: Reply) -> Sequence[Mapping[str, Any]]:
    """The items of a list. Raises CannotPrepare if the answer is not a list."""
    items = reply.body.get("results") if isinstance(reply.body, Mapping) else None
    if reply.refusal is not None or not isinstance(items, list):
        raise CannotPrepare(f"the list was answered {reply.status}")
    return items


def _only(token: str, body: Json) -> Json:
    """A list with only the items that this run created."""
    if not isinstance(body, Mapping) or not isinstance(body.get("results"), list):
        return body
    items = body["results"]
    assert isinstance(items, list)
    ours = [item for item in items if isinstance(item, Mapping) and token in str(item.get("name"))]
    return {**body, "results": ours, "count": len(ours)}


def _name(body: Json) -> str:
    return str(body.get("name", "")) if isinstance(body, Mapping) else ""
