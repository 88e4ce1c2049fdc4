"""`endpoints_server`: PostHog's run route on loopback, answered by the mode of the test that runs.

So the app's own HTTP code is under test, in whatever library it is written. Each process of a run has a server of its
own, because what a test rehearses with `fail` is meant for that test, and a failure is told to the test that caused it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

from endpoints_gitops.local.call import Incoming
from endpoints_gitops.local.errors import RequestRefused, broken, method_not_allowed, not_found, unauthenticated
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops import run_route
from pytest_endpoints_gitops.failures import Failure, NotPinned
from pytest_endpoints_gitops.loopback import LoopbackServer, Reply, Request
from pytest_endpoints_gitops.names import KEY

if TYPE_CHECKING:
    from pytest_endpoints_gitops.asking import Page
    from pytest_endpoints_gitops.values import Answer

_FOREVER: Final = 3600.0
_PARENTS: Final = ("projects", "environments")


class Desk(Protocol):
    """Who answers for the test that runs."""

    @property
    def test(self) -> str: ...
    def running(self) -> AbstractContextManager[None]: ...
    def pin(self, name: str) -> Pin: ...
    def answer(self, name: str, variables: Mapping[str, Any], page: Page) -> Answer: ...
    def failed(self, failure: Failure) -> None: ...
    def unpinned(self, pin: Pin) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of the app. `name` is None where it asked for something else than a run; `status` is None where it
    was left without an answer. `version` is what it said itself.
    """

    method: str
    path: str
    name: str | None = None
    version: int | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    test: str | None = None


@dataclass(slots=True)
class _Rehearsal:
    """`left` None: until the test ends."""

    name: str
    reply: Reply
    left: int | None
    is_met: bool = False


class EndpointsServer:
    """What the fixture `endpoints_server` gives. An app sends `key` and calls
    `{url}/api/projects/{project_id}/endpoints/NAME/run`, or the settings that `endpoints_env` sets do.
    """

    key: str = KEY

    def __init__(self, project_id: int, desk: Callable[[int], Desk | None]) -> None:
        self.project_id = project_id
        self._desk = desk
        self._lock = threading.Lock()
        self._requests: list[Asked] = []
        self._rehearsals: list[_Rehearsal] = []
        self._test = ""
        self._server = LoopbackServer(self._reply)
        self.url = self._server.url
        self.port: int = self._server.server_address[1]

    def __repr__(self) -> str:
        return f"<endpoints_server at {self.url}>"

    @property
    def requests(self) -> tuple[Asked, ...]:
        """What was asked of it since the test that runs began, in order."""
        with self._lock:
            return tuple(asked for asked in self._requests if asked.test in (None, self._test))

    def fail(
        self,
        name: str,
        *,
        status: int = 503,
        retry_after: int | None = None,
        timeout: bool = False,
        times: int | None = None,
    ) -> None:
        """Let calls of an endpoint fail until the test ends, or the next `times` of them.

        `retry_after` are the seconds of that header. With `timeout` no answer comes: the connection stays open until
        the client gives up. Of several rehearsals of one endpoint the last holds. Raises NotPinned for a name that is
        not pinned. A rehearsal that no call met fails the test at its end.
        """
        desk = self._desk(0)
        if desk is not None:
            with desk.running():
                desk.pin(name)
        reply = Reply(silence=_FOREVER) if timeout else _refused(run_route.rehearsed(status, retry_after))
        with self._lock:
            self._rehearsals.append(_Rehearsal(name, reply, times))

    def unmet(self) -> list[str]:
        """The endpoints whose rehearsed errors no call met."""
        with self._lock:
            return [rehearsal.name for rehearsal in self._rehearsals if not rehearsal.is_met]

    def begin_test(self, test: str) -> None:
        """Forget what the test before asked for and rehearsed."""
        with self._lock:
            self._test = test
            self._requests.clear()
            self._rehearsals.clear()

    def close(self) -> None:
        self._server.stop()

    def _reply(self, request: Request) -> Reply:
        incoming = _incoming(request, self.url)
        desk = self._desk(request.client)
        with desk.running() if desk else nullcontext():
            reply, asked = self._answered(incoming, desk)
        entry = Asked(
            method=request.method,
            path=request.path,
            status=None if reply.silence is not None else reply.status,
            test=desk.test if desk else None,
            **asked,
        )
        with self._lock:
            self._requests.append(entry)
        return reply

    def _answered(self, incoming: Incoming, desk: Desk | None) -> tuple[Reply, dict[str, Any]]:
        """The reply, and what was asked as far as it could be read."""
        asked: dict[str, Any] = {}
        try:
            self._admit(incoming)
            name = self._name(incoming)
            asked["name"] = name
            run = run_route.asked(incoming, name)
            asked |= {"version": run.version, "variables": dict(run.variables)}
            is_late = desk is not None and desk.test != self._test != ""
            rehearsed = None if is_late else self._rehearsed(name)
            return rehearsed or Reply(body=self._run(run, desk)), asked
        except RequestRefused as refusal:
            return _refused(refusal), asked
        except Exception as error:  # the app sees a 500, as from PostHog, and its test goes on
            return _refused(broken(f"endpoints_server: {type(error).__name__}: {error}")), asked

    def _admit(self, incoming: Incoming) -> None:
        scheme, _, text = incoming.authorization.partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else incoming.asked("personal_api_key") or ""
        if not given:
            raise unauthenticated("not_authenticated", "Authentication credentials were not provided.")
        if given != self.key:
            told = "Personal API key found in request Authorization header is invalid."
            raise unauthenticated("authentication_failed", f"{told} (Send endpoints_server.key: see endpoints_env.)")

    def _name(self, incoming: Incoming) -> str:
        """Of the endpoint whose run route this is."""
        parts = incoming.path.strip("/").split("/")
        if (
            len(parts) != 6
            or parts[0] != "api"
            or parts[1] not in _PARENTS
            or (parts[3], parts[5]) != ("endpoints", "run")
        ):
            raise not_found()
        if parts[2] not in (str(self.project_id), "@current"):
            raise not_found("Project not found.")
        if incoming.method not in ("GET", "POST"):
            raise method_not_allowed(incoming.method)
        return unquote(parts[4])

    def _rehearsed(self, name: str) -> Reply | None:
        with self._lock:
            rehearsal = next((one for one in reversed(self._rehearsals) if one.name == name), None)
            if rehearsal is None or rehearsal.left == 0:
                return None
            rehearsal.is_met = True
            if rehearsal.left is not None:
                rehearsal.left -= 1
            return rehearsal.reply

    def _run(self, run: run_route.Run, desk: Desk | None) -> dict[str, Any]:
        if desk is None:
            raise broken("endpoints_server answers while a test runs that uses it, and none does.")
        try:
            pin = desk.pin(run.name)
            run_route.check(run, pin)
            _of_version(run, pin)
            if run.version is None:
                desk.unpinned(pin)
            return run_route.answer_body(run, pin, desk.answer(run.name, run.variables, (run.limit, run.offset)))
        except Failure as failure:
            desk.failed(failure)
            raise _told(failure, run) from None


def settings(server: EndpointsServer, key_variable: str | None, names: Iterator[tuple[str, str]]) -> dict[str, str]:
    """The environment variables that point an app at the server.

    Those that PostHog's tools and this project's client read, the one that the configuration takes the key from, and
    `names`: the app's own, whose values may hold `{url}`, `{key}` and `{project_id}`.
    """
    project = str(server.project_id)
    common = {
        "POSTHOG_HOST": server.url,
        "POSTHOG_API_KEY": server.key,
        "POSTHOG_PROJECT_ID": project,
        "POSTHOG_CLI_HOST": server.url,
        "POSTHOG_CLI_API_KEY": server.key,
        "POSTHOG_CLI_PROJECT_ID": project,
        "ENDPOINTS_GITOPS_HOST": server.url,
        "ENDPOINTS_GITOPS_PROJECT_ID": project,
        "ENDPOINTS_GITOPS_KEY": "env:POSTHOG_API_KEY",
    }
    if key_variable is not None:
        common[key_variable] = server.key
    placed = {"{url}": server.url, "{key}": server.key, "{project_id}": project}
    return common | {name: _filled(value, placed) for name, value in names}


def _filled(text: str, placed: Mapping[str, str]) -> str:
    for mark, value in placed.items():
        text = text.replace(mark, value)
    return text


def _of_version(run: run_route.Run, pin: Pin) -> None:
    if run.version is None or run.version == pin.version:
        return
    raise NotPinned(
        f"{run.name}@{run.version}: not what the lock pins",
        ("called", f"version {run.version}, by the app's own code"),
        ("pinned", f"version {pin.version} in the environment {pin.environment}"),
        command=f"endpoints-gitops upgrade {run.name}@{run.version}",
    )


def _told(failure: Failure, run: run_route.Run) -> RequestRefused:
    if isinstance(failure, NotPinned) and run.version is not None and failure.verdict.startswith(f"{run.name}@"):
        return RequestRefused(404, {"error": f"Version {run.version} not found for endpoint '{run.name}'"})
    return run_route.refusal(failure, run.name)


def _refused(refusal: RequestRefused) -> Reply:
    return Reply(status=refusal.status, body=refusal.body, headers=refusal.headers)


def _incoming(request: Request, site: str) -> Incoming:
    return Incoming(
        method=request.method,
        site=site,
        path=request.path,
        query=tuple(parse_qsl(request.query, keep_blank_values=True)),
        authorization=request.headers.get("authorization", ""),
        content_type=request.headers.get("content-type", ""),
        body=request.body,
    )
