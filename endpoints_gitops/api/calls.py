"""Every call of the API that this tool makes, as a flow: the request, and how to decode the answer.

`Client` and `AsyncClient` have the same calls as methods, and execute their flows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.api.answers import RunAnswer, Unexpected, read, run_answer
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.api.flow import ClientContext, Deadline, exchange, exchange_for_any_status, lost, open_connection
from endpoints_gitops.api.paging import PAGE, whole_list
from endpoints_gitops.api.wire import Answer, Flow, Request
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel

    from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable, MaterializationState

type Reader[T] = Callable[[Mapping[str, Any]], T]

_ENDPOINT: Final = "an endpoint"
_VERSION: Final = "a version of an endpoint"
_VARIABLE: Final = "a shared variable"


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one connection. Each raises ApiError, and CredentialsError before anything is sent if the kind of
    the key does not allow the call.
    """

    context: ClientContext

    def list_endpoints(self) -> Flow[tuple[Endpoint, ...]]:
        """Return every endpoint of the project, including inactive ones, in the server's order."""
        request = Request(
            method="GET", path=self._path("endpoints"), query={"limit": PAGE}, expects="a page of endpoints"
        )
        return whole_list(self.context, request, _endpoint, attrgetter("id"))

    def get_endpoint(self, name: str) -> Flow[Endpoint]:
        """Return the endpoint with the settings of its current version. Raises EndpointNotFound."""
        return self._ask(self._about(name, expects=_ENDPOINT), _endpoint)

    def is_active(self, name: str, *, deadline: Deadline | None = None) -> Flow[bool]:
        """Return whether an endpoint is active. Needs no package of an extra. Raises EndpointNotFound."""
        return self._ask(self._about(name, expects=_ENDPOINT), _is_active, deadline)

    def get_version(self, name: str, version: int) -> Flow[EndpointVersion]:
        """Return one version of an endpoint. Raises EndpointNotFound, VersionNotFound."""
        request = self._about(name, version=version, expects=_VERSION)
        return self._ask(request, _version)

    def list_versions(self, name: str) -> Flow[tuple[EndpointVersion, ...]]:
        """Return every version of an endpoint, newest first, including inactive ones. Raises EndpointNotFound."""
        request = Request(
            method="GET",
            path=self._path("endpoints", name, "versions"),
            query={"limit": PAGE},
            names=name,
            expects="a page of versions",
        )
        return whole_list(self.context, request, _version, attrgetter("version"))

    def create_endpoint(self, body: JsonObject) -> Flow[Endpoint]:
        """Create an endpoint. Raises NameTaken, and LostAnswer if it is unknown whether the endpoint was created."""
        path = self._path("endpoints")
        request = Request(method="POST", path=path, body=body, repeatable=False, expects=_ENDPOINT)
        return self._ask(request, _endpoint)

    def update_endpoint(
        self, name: str, body: JsonObject, *, version: int | None = None
    ) -> Flow[Endpoint | EndpointVersion]:
        """Change an endpoint, or the settings of one version. The answer can have a `materialization_error`.

        Raises EndpointNotFound, VersionNotFound, and LostAnswer if it is unknown whether the change was made.
        """
        reader: Reader[Endpoint] = _endpoint if version is None else _version
        request = self._about(name, method="PATCH", version=version, body=body, repeatable=False, expects=_ENDPOINT)
        return self._ask(request, reader)

    def delete_endpoint(self, name: str) -> Flow[None]:
        """Delete an endpoint permanently. It is never repeated, because another user can reuse the name at once.

        Raises EndpointNotFound, and LostAnswer if it is unknown whether the endpoint was deleted, which includes any
        2xx answer but 204.
        """
        request = self._about(name, method="DELETE", repeatable=False)
        answer = yield from exchange(self.context, request)
        if answer.status != 204:
            raise lost(request, f"the answer is {answer.status} instead of 204")

    def materialization_status(self, name: str, *, version: int | None = None) -> Flow[MaterializationState]:
        """Return the state of the table of a version."""
        request = self._about(
            name, "materialization_status", version=version, expects="the state of the materialization"
        )
        return self._ask(request, _materialization)

    def materialization_preview(self, name: str, body: JsonObject) -> Flow[JsonObject]:
        """Return whether an endpoint could be materialized, and the queries of its table."""
        return self._ask(self._about(name, "materialization_preview", method="POST", body=body), _unchanged)

    def list_variables(self) -> Flow[tuple[InsightVariable, ...]]:
        """Return every shared variable of the project."""
        path = self._path("insight_variables")
        request = Request(method="GET", path=path, expects="a page of shared variables")
        return whole_list(self.context, request, _variable, attrgetter("id"))

    def get_variable(self, id: str) -> Flow[InsightVariable]:  # noqa: A002 - the server's word
        """Return one shared variable. Raises NotFound."""
        request = Request(method="GET", path=self._path("insight_variables", id), expects=_VARIABLE)
        return self._ask(request, _variable)

    def create_variable(self, body: JsonObject) -> Flow[InsightVariable]:
        """Create a shared variable; the server derives its code name from `name`. Raises LostAnswer."""
        path = self._path("insight_variables")
        request = Request(method="POST", path=path, body=body, repeatable=False, expects=_VARIABLE)
        return self._ask(request, _variable)

    def update_variable(self, id: str, body: JsonObject) -> Flow[InsightVariable]:  # noqa: A002 - the server's word
        """Change a shared variable. Raises LostAnswer."""
        path = self._path("insight_variables", id)
        request = Request(method="PATCH", path=path, body=body, repeatable=False, expects=_VARIABLE)
        return self._ask(request, _variable)

    def run(
        self,
        name: str,
        *,
        variables: Mapping[str, Json] | None = None,
        version: int | None = None,
        limit: int | None = None,
        offset: int | None = None,
        refresh: str | None = None,
        debug: bool | None = None,
        client_query_id: str | None = None,
        draws_materialized: bool = False,
        deadline: Deadline | None = None,
    ) -> Flow[RunAnswer]:
        """Run an endpoint. This is the only call that a project secret key can make.

        `client_query_id` identifies the call in the server's `query_log` (docs/server.md#running).
        `draws_materialized`: the call counts against the higher rate limit of materialized runs. Raises
        EndpointNotFound, VersionNotFound, VersionInactive, VariablesRefused, InvalidQuery.
        """
        settings = {
            "variables": variables or None,
            "limit": limit,
            "offset": offset,
            "refresh": refresh,
            "debug": debug,
            "client_query_id": client_query_id,
        }
        request = Request(
            method="POST",
            path=self.context.connection.project_path("endpoints", name, "run"),
            query={} if version is None else {"version": version},
            body={key: value for key, value in settings.items() if value is not None},
            names=name,
            draws_materialized=draws_materialized,
            with_project_secret=True,
            expects="the results of a run",
        )
        answer = yield from exchange(self.context, request, deadline)
        return read(self.context, request, answer, run_answer)

    def query(self, node: JsonObject) -> Flow[JsonObject]:
        """Run a query node without an endpoint (scope `query:read`). Raises InvalidQuery."""
        body: JsonObject = {"query": node}
        request = Request(method="POST", path=self._path("query"), body=body, expects="the results of a query")
        return self._ask(request, _unchanged)

    def openapi(self, name: str, *, version: int | None = None) -> Flow[JsonObject]:
        """Return the OpenAPI document of one version."""
        path = f"{self._path('endpoints', name)}openapi.json"
        request = Request(
            method="GET", path=path, query=_without_none(version=version), names=name, expects="an OpenAPI document"
        )
        return self._ask(request, _unchanged)

    def logs(
        self,
        name: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        level: str | None = None,
        search: str | None = None,
        instance_id: str | None = None,
    ) -> Flow[tuple[JsonObject, ...]]:
        """Return entries of the execution log, newest first; `limit` is at most 500."""
        query = _without_none(
            limit=limit, after=after, before=before, level=level, search=search, instance_id=instance_id
        )
        path = self._path("endpoints", name, "logs")
        request = Request(method="GET", path=path, query=query, names=name, expects="a page of log entries")
        return self._ask(request, partial(_objects, key="results"))

    def last_execution_times(self, names: Sequence[str]) -> Flow[Mapping[str, str]]:
        """Return when an API key last ran each endpoint, as ISO text by name, without those that were never run."""
        path = self._path("endpoints", "last_execution_times")
        request = Request(method="POST", path=path, body={"names": list(names)}, expects="times by name")
        return self._ask(request, _times)

    def open_connection(self, max_wait: float | None = None) -> Flow[None]:
        """Open a connection that the next request uses. Raises Unreachable."""
        return open_connection(self.context, Deadline(self.context, max_wait))

    def check_access(self) -> Flow[None]:
        """Check that the key can read endpoints in this project, with the smallest request. Raises ApiError if not."""
        path = self._path("endpoints")
        yield from self._ask(
            Request(method="GET", path=path, query={"limit": 1}, expects="a page of endpoints"), _unchanged
        )

    def current_key(self) -> Flow[JsonObject]:
        """Return the key itself: label, scopes, restrictions."""
        return self._ask(Request(method="GET", path="/api/personal_api_keys/@current/"), _unchanged)

    def me(self) -> Flow[JsonObject]:
        """Return the owner of the key (scope `user:read`)."""
        return self._ask(Request(method="GET", path="/api/users/@me/"), _unchanged)

    def organization(self) -> Flow[JsonObject]:
        """Return the current organization of the key's owner, with its projects (scope `organization:read`)."""
        return self._ask(Request(method="GET", path="/api/organizations/@current/"), _unchanged)

    def projects(self) -> Flow[tuple[JsonObject, ...]]:
        """Return every project that the key can access (scope `project:read`)."""
        request = Request(method="GET", path="/api/projects/", query={"limit": PAGE}, expects="a page of projects")
        return whole_list(self.context, request, _unchanged, lambda project: project.get("id"))

    def send_for_any_status(self, request: Request) -> Flow[tuple[Answer, ApiError | None]]:
        """Return the answer to a request with any status except 429, and the ApiError for it, or None for a 2xx.

        A 429 is retried.
        """
        return exchange_for_any_status(self.context, request)

    def _path(self, *names: str) -> str:
        return self.context.connection.project_path(*names)

    def _about(
        self,
        name: str,
        *further: str,
        method: str = "GET",
        version: int | None = None,
        body: JsonObject | None = None,
        repeatable: bool = True,
        expects: str = "a JSON object",
    ) -> Request:
        return Request(
            method=method,
            path=self._path("endpoints", name, *further),
            query=_without_none(version=version),
            body=body,
            repeatable=repeatable,
            names=name,
            expects=expects,
        )

    def _ask[T](self, request: Request, reader: Reader[T], deadline: Deadline | None = None) -> Flow[T]:
        answer = yield from exchange(self.context, request, deadline)
        return read(self.context, request, answer, reader)


def _without_none(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _endpoint(body: Mapping[str, Any]) -> Endpoint:
    from endpoints_gitops.model.endpoint import Endpoint

    return _validated(Endpoint, body)


def _is_active(body: Mapping[str, Any]) -> bool:
    is_active = body.get("is_active", True)
    if not isinstance(is_active, bool):
        raise Unexpected("its is_active is neither true nor false")
    return is_active


def _version(body: Mapping[str, Any]) -> EndpointVersion:
    from endpoints_gitops.model.endpoint import EndpointVersion

    return _validated(EndpointVersion, body)


def _variable(body: Mapping[str, Any]) -> InsightVariable:
    from endpoints_gitops.model.endpoint import InsightVariable

    return _validated(InsightVariable, body)


def _materialization(body: Mapping[str, Any]) -> MaterializationState:
    from endpoints_gitops.model.endpoint import MaterializationState

    return _validated(MaterializationState, body)


def _validated[Model: BaseModel](model: type[Model], body: Mapping[str, Any]) -> Model:
    """The object as a model. Models are imported with the first answer that needs one: apps only run endpoints."""
    from pydantic import ValidationError

    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unexpected(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None


def _unchanged(body: Mapping[str, Any]) -> JsonObject:
    return body


def _objects(body: Mapping[str, Any], key: str) -> tuple[JsonObject, ...]:
    items = body.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Unexpected(f"it has no list of objects under {key}")
    return tuple(items)


def _times(body: Mapping[str, Any]) -> Mapping[str, str]:
    status = body.get("query_status")
    pairs = status.get("results") if isinstance(status, dict) else None
    if pairs is None and isinstance(status, dict):
        return {}
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Unexpected("it has no pairs of name and time under query_status.results")
    return {str(name): str(time) for name, time in pairs}
