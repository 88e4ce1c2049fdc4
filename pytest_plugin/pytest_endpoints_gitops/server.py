"""`endpoints_server`: PostHog's run route on loopback, answered by the mode of the test that runs.

So the app's own HTTP code is under test, in whatever library it is written. Each process of a run has a server of its
own, because what a test rehearses with `fail` is meant for that test, and a failure belongs to the test that caused it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from endpoints_gitops.consumer.client_base import cache_scope
from endpoints_gitops.local.call import Incoming
from endpoints_gitops.local.errors import RequestRefused, broken, method_not_allowed, not_found, unauthenticated
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops import run_route
from pytest_endpoints_gitops.failures import EndpointRef, Failure, NotPinned
from pytest_endpoints_gitops.loopback import LoopbackReply, LoopbackRequest, LoopbackServer
from pytest_endpoints_gitops.names import KEY
from pytest_endpoints_gitops.rehearsal import rehearsed

if TYPE_CHECKING:
    from pytest_endpoints_gitops.calls import Page, SourceAnswer
    from pytest_endpoints_gitops.stubbing import EndpointStub, Rows

_FOREVER: Final = 3600.0
_PARENTS: Final = ("projects", "environments")


class AnsweringTest(Protocol):
    """Answers a request on behalf of the test that sent it."""

    @property
    def nodeid(self) -> str: ...
    def running(self) -> AbstractContextManager[None]: ...
    def pin(self, name: str) -> Pin: ...
    def answer(self, name: str, variables: Mapping[str, Any], page: Page) -> SourceAnswer: ...
    def stub(
        self,
        name: str,
        *,
        variables: Mapping[str, Any] | None,
        optional: bool,
        rows: Rows | None,
        status: int | None,
        retry_after: int | None,
    ) -> EndpointStub: ...
    def failed(self, failure: Failure) -> None: ...
    def unpinned(self, pin: Pin) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """One request of the app. `name` is None for anything but a run; `status` is None where the client got no answer.
    `version` is the one that the request names.
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
    reply: LoopbackReply
    left: int | None
    is_met: bool = False


class EndpointsServer:
    """What the fixture `endpoints_server` gives. An app sends `key` and calls
    `{url}/api/projects/{project_id}/endpoints/NAME/run`, or the settings that `endpoints_env` sets do.
    """

    key: str = KEY

    def __init__(self, project_id: Callable[[], int], answering: Callable[[int], AnsweringTest | None]) -> None:
        self._project_id = project_id
        self._answering = answering
        self._lock = threading.Lock()
        self._requests: list[ServedRequest] = []
        self._rehearsals: list[_Rehearsal] = []
        self._test = ""
        self._scope = ExitStack()
        self._run_id = uuid4().hex
        self._server = LoopbackServer(self._reply)
        self.url = self._server.url
        self.port: int = self._server.server_address[1]

    def __repr__(self) -> str:
        return f"<endpoints_server at {self.url}>"

    @property
    def project_id(self) -> int:
        """That of the configuration that the running test calls with."""
        return self._project_id()

    @property
    def requests(self) -> tuple[ServedRequest, ...]:
        """The requests since the running test began, in order."""
        with self._lock:
            return tuple(request for request in self._requests if request.test in (None, self._test))

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
        not pinned, and ValueError for a status that is not that of an error. A rehearsal that no call met fails the
        test at its end.
        """
        answering = self._answering(0)
        if answering is not None:
            with answering.running():
                answering.pin(name)
        reply = LoopbackReply(silence=_FOREVER) if timeout else _refused(rehearsed(status, retry_after))
        with self._lock:
            self._rehearsals.append(_Rehearsal(name, reply, times))

    def answer(
        self,
        name: str,
        *,
        rows: Rows | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        variables: Mapping[str, Any] | None = None,
        optional: bool = False,
    ) -> EndpointStub:
        """Answer calls of an endpoint with rows by hand, or with an error, until the running test ends. The same as
        `endpoints.stub`; an error of `fail` goes first.

            endpoints_server.answer("revenue_by_plan", rows=[]).then(status=503)

        Raises RuntimeError where no test runs.
        """
        answering = self._answering(0)
        if answering is None:
            raise RuntimeError("endpoints_server.answer belongs to a test, and none runs")
        with answering.running():
            return answering.stub(
                name, variables=variables, optional=optional, rows=rows, status=status, retry_after=retry_after
            )

    def unmet(self) -> list[str]:
        """The endpoints whose rehearsed errors no call met."""
        with self._lock:
            return [rehearsal.name for rehearsal in self._rehearsals if not rehearsal.is_met]

    def begin_test(self, test: str) -> None:
        """Forget the requests and rehearsals of the test before, and let no cache of the app answer with its rows."""
        self._scope.close()
        self._scope.enter_context(cache_scope(f"{self._run_id} {test}"))
        with self._lock:
            self._test = test
            self._requests.clear()
            self._rehearsals.clear()

    def close(self) -> None:
        self._scope.close()
        self._server.stop()

    def _reply(self, request: LoopbackRequest) -> LoopbackReply:
        incoming = _incoming(request, self.url)
        answering = self._answering(request.client)
        with answering.running() if answering else nullcontext():
            reply, asked = self._answered(incoming, answering)
        entry = ServedRequest(
            method=request.method,
            path=request.path,
            status=None if reply.silence is not None else reply.status,
            test=answering.nodeid if answering else None,
            **asked,
        )
        with self._lock:
            self._requests.append(entry)
        return reply

    def _answered(self, incoming: Incoming, answering: AnsweringTest | None) -> tuple[LoopbackReply, dict[str, Any]]:
        """The reply, and the request as far as it could be read."""
        asked: dict[str, Any] = {}
        try:
            self._admit(incoming)
            name = self._name(incoming)
            asked["name"] = name
            run = run_route.requested_run(incoming, name)
            asked |= {"version": run.version, "variables": dict(run.variables)}
            is_late = answering is not None and answering.nodeid != self._test != ""
            rehearsed = None if is_late else self._rehearsed(name)
            return rehearsed or LoopbackReply(body=self._run(run, answering)), asked
        except RequestRefused as refusal:
            return _refused(refusal), asked
        except Exception as error:  # the app sees a 500, as from PostHog, and its test goes on
            return _refused(broken(f"endpoints_server: {type(error).__name__}: {error}")), asked

    def _admit(self, incoming: Incoming) -> None:
        scheme, _, text = incoming.authorization.partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else incoming.asked("personal_api_key") or ""
        if not given:
            raise unauthenticated("not_authenticated", "Authentication credentials were not provided.", incoming.site)
        if given != self.key:
            detail = "Personal API key found in request Authorization header is invalid."
            hint = "(Send endpoints_server.key: see endpoints_env.)"
            raise unauthenticated("authentication_failed", f"{detail} {hint}", incoming.site)

    def _name(self, incoming: Incoming) -> str:
        """The name of the endpoint whose run route this is. Raises RequestRefused for any other path."""
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

    def _rehearsed(self, name: str) -> LoopbackReply | None:
        with self._lock:
            rehearsal = next((known for known in reversed(self._rehearsals) if known.name == name), None)
            if rehearsal is None or rehearsal.left == 0:
                return None
            rehearsal.is_met = True
            if rehearsal.left is not None:
                rehearsal.left -= 1
            return rehearsal.reply

    def _run(self, run: run_route.RequestedRun, answering: AnsweringTest | None) -> dict[str, Any]:
        if answering is None:
            raise broken("endpoints_server answers only while a test that uses it runs.")
        try:
            pin = answering.pin(run.name)
            run_route.check(run, pin)
            _check_version(run, pin)
            if run.version is None:
                answering.unpinned(pin)
            return run_route.answer_body(run, pin, answering.answer(run.name, run.variables, (run.limit, run.offset)))
        except Failure as failure:
            answering.failed(failure)
            raise run_route.refusal(failure, run.name) from None


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
    values = {"{url}": server.url, "{key}": server.key, "{project_id}": project}
    return common | {name: _filled(value, values) for name, value in names}


def _filled(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _check_version(run: run_route.RequestedRun, pin: Pin) -> None:
    if run.version is None or run.version == pin.version:
        return
    raise NotPinned(
        EndpointRef(run.name, run.version),
        "the lock pins another version",
        ("called", f"version {run.version}, by the app's own code"),
        ("pinned", f"version {pin.version} in the environment {pin.environment}"),
        command=("endpoints-gitops", "upgrade", f"{run.name}@{run.version}"),
    )


def _refused(refusal: RequestRefused) -> LoopbackReply:
    return LoopbackReply(status=refusal.status, body=refusal.body, headers=refusal.headers)


def _incoming(request: LoopbackRequest, site: str) -> Incoming:
    return Incoming(
        method=request.method,
        site=site,
        path=request.path,
        query=tuple(parse_qsl(request.query, keep_blank_values=True)),
        authorization=request.headers.get("authorization", ""),
        content_type=request.headers.get("content-type", ""),
        body=request.body,
    )
