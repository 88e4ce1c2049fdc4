"""Clients that know what they wrote, and compare each answer with it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.soak.process import Lost, ServerProcess, Wire

ENDPOINTS_OF_A_CLIENT: Final = 4
SHARED: Final = tuple(f"shared_{number}" for number in range(4))
_SETTLED_AFTER: Final = 60.0


def hogql(token: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    """A query that answers with its token."""
    names = [entry["code_name"] for entry in (variables or {}).values()]
    columns = [f"'{token}' AS token", *(f"{{variables.{name}}} AS {name}" for name in names)]
    return {"kind": "HogQLQuery", "query": f"SELECT {', '.join(columns)}", "variables": variables}


def token_of(query: dict[str, Any]) -> str:
    """The token of a stored query; asserts that the query is whole."""
    before, token, after = query["query"].split("'")
    assert (before, after[:9]) == ("SELECT ", " AS token"), query
    return str(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a client knows of an endpoint of its own: the token and description of each version, oldest first."""

    id: str
    versions: tuple[tuple[str, str], ...]
    tags: tuple[str, ...] = ()
    is_materialized: bool = False


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all clients know of the endpoints that they share: the tokens that were acknowledged, by version."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: dict[str, dict[int, str]] = field(default_factory=lambda: {name: {} for name in SHARED})
    unanswered: set[str] = field(default_factory=set)

    def acknowledge(self, name: str, version: int, token: str) -> None:
        with self.lock:
            already = self.acknowledged[name].setdefault(version, token)
        assert already == token, f"version {version} of {name} was acknowledged twice: {already}, {token}"


class Client:
    """One client. Its operations are chosen by its own random generator."""

    def __init__(self, number: int, server: ServerProcess, shared: Shared, seed: str) -> None:
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        self.server = server
        self.shared = shared
        self.wire = Wire(server)
        self.known: dict[str, Known] = {}
        self.variables: dict[str, dict[str, Any]] = {}
        self.done = Counter[str]()
        self.statuses = Counter[int]()
        self.unanswered = 0
        self._count = 0
        self._operations: tuple[tuple[Callable[[], None], int], ...] = (
            (self._create, 6),
            (self._change_query, 14),
            (self._change_settings, 8),
            (self._run, 22),
            (self._retrieve, 12),
            (self._list_versions, 6),
            (self._list, 3),
            (self._materialize, 5),
            (self._delete, 2),
            (self._variable, 3),
            (self._run_with_variable, 3),
            (self._change_shared, 10),
            (self._read_shared, 4),
            (self._refused, 6),
            (self._hang_up, 1),
        )

    def step(self) -> None:
        """One operation. A request that is lost is settled before the next one."""
        (operation,) = self.random.choices(*zip(*self._operations, strict=True))
        try:
            operation()
            self.done[operation.__name__.strip("_")] += 1
        except Lost:
            self.done["lost"] += 1
            self.server.up.wait(_SETTLED_AFTER)

    def check(self) -> None:
        """Compare all that this client wrote with what the server has."""
        for name, known in self.known.items():
            self._compare(name, known)
        for variable in self.variables.values():
            _, kept = self._ask("GET", f"insight_variables/{variable['id']}/", 200)
            assert kept == variable, (kept, variable)

    def _ask(self, method: str, path: str, *expected: int, body: Any = None) -> tuple[int, Any]:
        status, answer = self.wire.ask(method, path, body)
        self.statuses[status] += 1
        assert status in expected, f"{method} {path} {body}: {status} {answer}"
        return status, answer

    def _token(self) -> str:
        self._count += 1
        return f"t{self.number}x{self._count}"

    def _some(self) -> str | None:
        return self.random.choice(sorted(self.known)) if self.known else None

    def _write(
        self, name: str, after: Known | None, method: str, path: str, *expected: int, body: Any = None
    ) -> tuple[int, Any] | None:
        """A write to an endpoint of this client. Without an answer, finds out whether it was applied, and returns
        None."""
        before = self.known.get(name)
        try:
            status, answer = self._ask(method, path, *expected, body=body)
        except Lost:
            self.unanswered += 1
            self._surely(lambda: self._settle(name, before, after))
            return None
        if after is not None:
            self.known[name] = after if after.id else replace(after, id=answer["id"])
        return status, answer

    def _surely[Result](self, read: Callable[[], Result]) -> Result:
        """What is read, again where the server is killed meanwhile."""
        while True:
            try:
                return read()
            except Lost:
                assert self.server.up.wait(_SETTLED_AFTER), "the server did not start again"

    def _settle(self, name: str, before: Known | None, after: Known | None) -> None:
        """After a lost answer, the server has the endpoint as before or as after the write, and nothing between."""
        status, answer = self._ask("GET", f"endpoints/{name}/", 200, 404)
        states = [state for state in (before, after) if state is not None]
        if status == 404:
            assert None in (before, after), f"{name} is gone: {before}"
            self.known.pop(name, None)
            return
        assert states, f"{name} is there: {answer}"
        for state in states:
            known = state if state.id else replace(state, id=answer["id"])
            try:
                self._compare(name, known)
            except AssertionError:
                if state is states[-1]:
                    raise
            else:
                self.known[name] = known
                return

    def _create(self) -> None:
        name = f"c{self.number}_{self.random.randrange(ENDPOINTS_OF_A_CLIENT)}"
        token = self._token()
        body = {"name": name, "query": hogql(token), "description": f"of {token}", "tags": [token]}
        if name in self.known:
            _, refusal = self._ask("POST", "endpoints/", 400, body=body)
            assert refusal["attr"] == "name", refusal
            return
        after = Known(id="", versions=((token, f"of {token}"),), tags=(token,))
        written = self._write(name, after, "POST", "endpoints/", 201, body=body)
        if written is not None:
            self._is(written[1], name, self.known[name], 1)

    def _change_query(self) -> None:
        name = self._some()
        if name is None:
            return
        known, token = self.known[name], self._token()
        after = replace(known, versions=(*known.versions, (token, known.versions[-1][1])))
        written = self._write(name, after, "PATCH", f"endpoints/{name}/", 200, body={"query": hogql(token)})
        if written is not None:
            self._is(written[1], name, after, len(after.versions))

    def _change_settings(self) -> None:
        """Several settings in one request: they are all there or none."""
        name = self._some()
        if name is None:
            return
        known, token = self.known[name], self._token()
        changed = (known.versions[-1][0], token)
        body: dict[str, Any] = {"description": token, "tags": [token]}
        versions = (*known.versions[:-1], changed)
        if self.random.random() < 0.5:
            body["query"] = hogql(token)
            versions = (*known.versions, (token, token))
        after = replace(known, versions=versions, tags=(token,))
        written = self._write(name, after, "PUT", f"endpoints/{name}/", 200, body=body)
        if written is not None:
            self._is(written[1], name, after, len(versions))

    def _run(self) -> None:
        name = self._some()
        if name is None:
            return
        known = self.known[name]
        number = self.random.randrange(len(known.versions)) + 1
        is_current = self.random.random() < 0.4
        number = len(known.versions) if is_current else number
        _, answer = self._ask(
            "POST", f"endpoints/{name}/run/", 200, body={} if is_current else {"version": number, "limit": 10}
        )
        token = known.versions[number - 1][0]
        assert answer["results"] == [[token]], (name, number, token, answer)
        assert (answer["name"], answer["endpoint_version"], answer["columns"]) == (name, number, ["token"]), answer

    def _retrieve(self) -> None:
        name = self._some()
        if name is None:
            return
        known = self.known[name]
        number = self.random.randrange(len(known.versions)) + 1
        _, answer = self._ask("GET", f"endpoints/{name}/?version={number}", 200)
        self._is(answer, name, known, number)

    def _list_versions(self) -> None:
        name = self._some()
        if name is not None:
            self._compare(name, self.known[name])

    def _list(self) -> None:
        """A page is whole, though other clients write meanwhile; endpoints of this client are as it wrote them."""
        path = f"endpoints/?limit=100&offset={self.random.randrange(3) * 100}"
        _, page = self._ask("GET", path, 200)
        names = [item["name"] for item in page["results"]]
        assert len(set(names)) == len(names), names
        for item in page["results"]:
            token_of(item["query"])
            assert item["versions_count"] == item["current_version"], item
            if item["name"] in self.known:
                known = self.known[item["name"]]
                self._is(item, item["name"], known, len(known.versions))

    def _materialize(self) -> None:
        name = self._some()
        if name is None:
            return
        known = self.known[name]
        after = replace(known, is_materialized=not known.is_materialized)
        body = {"is_materialized": after.is_materialized}
        self._write(name, after, "PATCH", f"endpoints/{name}/", 200, body=body)

    def _delete(self) -> None:
        name = self._some()
        if name is None:
            return
        if self._write(name, None, "DELETE", f"endpoints/{name}/", 204) is not None:
            del self.known[name]
            self._ask("GET", f"endpoints/{name}/", 404)

    def _variable(self) -> None:
        name = f"v{self.number}_{self.random.randrange(2)}"
        kept = self.variables.get(name)
        token = self._token()
        if kept is None:
            body = {"name": name, "type": "String", "default_value": token}
            status, answer = self._ask("POST", "insight_variables/", 201, 400, body=body)
            if status == 201:
                self.variables[name] = answer
            else:  # an answer was lost
                self._find_variable(name)
            return
        try:
            _, answer = self._ask("PATCH", f"insight_variables/{kept['id']}/", 200, body={"default_value": token})
        except Lost:
            self.unanswered += 1
            _, answer = self._surely(lambda: self._ask("GET", f"insight_variables/{kept['id']}/", 200))
            assert answer in (kept, {**kept, "default_value": token}), (answer, kept)
        else:
            assert answer == {**kept, "default_value": token}, (answer, kept)
        self.variables[name] = answer

    def _find_variable(self, name: str) -> None:
        _, page = self._ask("GET", "insight_variables/", 200)
        (self.variables[name],) = [item for item in page["results"] if item["code_name"] == name]

    def _run_with_variable(self) -> None:
        if not self.variables:
            return
        variable = self.variables[self.random.choice(sorted(self.variables))]
        token = self._token()
        entry = {"variableId": variable["id"], "code_name": variable["code_name"]}
        body = {"query": hogql(token, {variable["id"]: entry})}
        _, answer = self._ask("POST", "query/", 200, body=body)
        assert answer["results"] == [[token, variable["default_value"]]], (answer, variable)

    def _change_shared(self) -> None:
        name, token = self.random.choice(SHARED), self._token()
        try:
            _, answer = self._ask("PATCH", f"endpoints/{name}/", 200, body={"query": hogql(token)})
        except Lost:
            with self.shared.lock:
                self.shared.unanswered.add(token)
            raise
        assert token_of(answer["query"]) == token, answer
        self.shared.acknowledge(name, answer["current_version"], token)

    def _read_shared(self) -> None:
        name = self.random.choice(SHARED)
        with self.shared.lock:
            version, token = self.random.choice(sorted(self.shared.acknowledged[name].items()))
        _, answer = self._ask("POST", f"endpoints/{name}/run/", 200, body={"version": version})
        assert (answer["results"], answer["endpoint_version"]) == ([[token]], version), (answer, token)

    def _refused(self) -> None:
        name = self._some() or "none"
        path, body, expected = self.random.choice(
            (
                ("endpoints/", {"name": f"no {name}", "query": hogql("x")}, 400),
                ("endpoints/", {"name": "unknown_key", "query": hogql("x"), "quer": 1}, 400),
                ("endpoints/", {"name": "broken", "query": {"kind": "HogQLQuery", "query": "SELECT FROM"}}, 400),
                (f"endpoints/{name}_not/run/", {}, 404),
                (f"endpoints/{name}/run/", {"version": 10**6}, 404),
                ("query/", {"query": {"kind": "HogQLQuery", "query": "SELECT nothing FROM events"}}, 400),
                ("query/", {"query": {"kind": "HogQLQuery", "query": "SELECT throwIf(1)"}}, 400),
            )
        )
        self._ask("POST", path, expected, body=body)

    def _hang_up(self) -> None:
        """Half of a request is never applied. A request whose answer nobody reads to its end is."""
        name = self._some()
        if name is None:
            return
        known, token, half = self.known[name], self._token(), self.random.random() < 0.5
        after = replace(known, versions=(*known.versions, (token, known.versions[-1][1])))
        try:
            self.wire.hang_up("PATCH", f"endpoints/{name}/", {"query": hogql(token)}, half=half)
        except Lost:
            self.unanswered += 1
            self._surely(lambda: self._settle(name, known, known if half else after))
            return
        self.known[name] = known if half else after
        self._compare(name, self.known[name])

    def _compare(self, name: str, known: Known) -> None:
        """All versions of an endpoint, page by page: without gaps, and each as it was written."""
        count, newest = len(known.versions), len(known.versions)
        for offset in range(0, count, 100):
            _, page = self._ask("GET", f"endpoints/{name}/versions/?limit=100&offset={offset}", 200)
            assert page["count"] == count, (name, page["count"], count)
            for item in page["results"]:
                assert item["version"] == newest, (name, item["version"], newest)
                self._is(item, name, known, newest)
                newest -= 1
        assert newest == 0, (name, newest)

    @staticmethod
    def _is(answer: dict[str, Any], name: str, known: Known, number: int) -> None:
        """The answer is about this version, and about nothing else."""
        token, description = known.versions[number - 1]
        shown = (
            answer["name"],
            answer["id"],
            answer.get("version", answer["current_version"]),
            answer["current_version"],
            answer["versions_count"],
            token_of(answer["query"]),
            answer["description"],
            tuple(answer["tags"]),
            answer["columns"],
        )
        count = len(known.versions)
        columns = [{"name": "token", "type": "string"}]
        assert shown == (name, known.id, number, count, count, token, description, known.tags, columns), (shown, known)
        if number == count:
            assert answer["materialization"]["enabled"] is known.is_materialized, answer
