"""Every call of the API that this tool makes, as a flow: what is asked, and what the answer is read as.

`Client` and `AsyncClient` offer these same calls, driven to their end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.api.answers import RunAnswer, Unexpected, read, run_answer
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.api.flow import ClientContext, exchange, exchange_for_any_answer, lost
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
    """Raises ApiError (its docstring names the cases), and CredentialsError before anything is sent where a key of this
    kind cannot make the call.
    """

    context: ClientContext

    def list_endpoints(self) -> Flow[tuple[Endpoint, ...]]:
        """Every endpoint of the project, inactive ones too, in the server's order."""
        request = Request(
            method="GET", path=self._path("endpoints"), query={"limit": PAGE}, expects="a page of endpoints"
        )
        return whole_list(self.context, request, _endpoint, attrgetter("id"))

    def get_endpoint(self, name: str) -> Flow[Endpoint]:
        """The endpoint with the settings of its current version."""
        request = self._about(name, expects=_ENDPOINT)
        return self._ask(request, _endpoint)

    def get_version(self, name: str, version: int) -> Flow[EndpointVersion]:
        """One version. Raises VersionNotFound."""
        request = self._about(name, version=version, expects=_VERSION)
        return self._ask(request, _version)

    def list_versions(self, name: str) -> Flow[tuple[EndpointVersion, ...]]:
        """Every version, newest first, inactive ones too."""
        request = Request(
            method="GET",
            path=self._path("endpoints", name, "versions"),
            query={"limit": PAGE},
            names=name,
            expects="a page of versions",
        )
        return whole_list(self.context, request, _version, attrgetter("version"))

    def create_endpoint(self, body: JsonObject) -> Flow[Endpoint]:
        """Create it. Raises NameTaken; and LostAnswer where it is not known whether it was created."""
        path = self._path("endpoints")
        request = Request(method="POST", path=path, body=body, repeatable=False, expects=_ENDPOINT)
        return self._ask(request, _endpoint)

    def update_endpoint(
        self, name: str, body: JsonObject, *, version: int | None = None
    ) -> Flow[Endpoint | EndpointVersion]:
        """Change it, or the settings of one version. The answer may hold `materialization_error`. Raises LostAnswer."""
        reader: Reader[Endpoint] = _endpoint if version is None else _version
        request = self._about(name, method="PATCH", version=version, body=body, repeatable=False, expects=_ENDPOINT)
        return self._ask(request, reader)

    def delete_endpoint(self, name: str) -> Flow[None]:
        """Delete it for good. Raises LostAnswer, also for an answer other than 204 that says it went well, and is not
        repeated: the name is free at once, for anybody.
        """
        request = self._about(name, method="DELETE", repeatable=False)
        answer = yield from exchange(self.context, request)
        if answer.status != 204:
            raise lost(request, f"the answer is {answer.status}, where the server says 204")

    def materialization_status(self, name: str, *, version: int | None = None) -> Flow[MaterializationState]:
        """How far the table of a version is."""
        request = self._about(name, "materialization_status", version=version, expects="the state of materialisation")
        return self._ask(request, _materialization)

    def materialization_preview(self, name: str, body: JsonObject) -> Flow[JsonObject]:
        """Whether it could be materialised, and what the table would be made of."""
        return self._ask(self._about(name, "materialization_preview", method="POST", body=body), _as_it_is)

    def list_variables(self) -> Flow[tuple[InsightVariable, ...]]:
        """Every shared variable of the project."""
        path = self._path("insight_variables")
        request = Request(method="GET", path=path, expects="a page of shared variables")
        return whole_list(self.context, request, _variable, attrgetter("id"))

    def get_variable(self, id: str) -> Flow[InsightVariable]:  # noqa: A002 - the server's word
        """One shared variable. Raises NotFound."""
        request = Request(method="GET", path=self._path("insight_variables", id), expects=_VARIABLE)
        return self._ask(request, _variable)

    def create_variable(self, body: JsonObject) -> Flow[InsightVariable]:
        """Create a shared variable; the server makes its code name from `name`. Raises LostAnswer."""
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
        draws_materialized: bool = False,
    ) -> Flow[RunAnswer]:
        """Run it; the only call that a project secret key may make.

        `draws_materialized`: a fresh table will answer, so the larger budget pays.
        """
        settings = {
            "variables": variables or None,
            "limit": limit,
            "offset": offset,
            "refresh": refresh,
            "debug": debug,
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
        answer = yield from exchange(self.context, request)
        return read(self.context, request, answer, run_answer)

    def query(self, node: JsonObject) -> Flow[JsonObject]:
        """Run a query that is no endpoint (scope `query:read`)."""
        body: JsonObject = {"query": node}
        request = Request(method="POST", path=self._path("query"), body=body, expects="the results of a query")
        return self._ask(request, _as_it_is)

    def openapi(self, name: str, *, version: int | None = None) -> Flow[JsonObject]:
        """The OpenAPI document of one version."""
        path = f"{self._path('endpoints', name)}openapi.json"
        request = Request(
            method="GET", path=path, query=_without_none(version=version), names=name, expects="an OpenAPI document"
        )
        return self._ask(request, _as_it_is)

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
        """Entries of the execution log, newest first; `limit` is at most 500."""
        query = _without_none(
            limit=limit, after=after, before=before, level=level, search=search, instance_id=instance_id
        )
        path = self._path("endpoints", name, "logs")
        request = Request(method="GET", path=path, query=query, names=name, expects="a page of log entries")
        return self._ask(request, partial(_objects, key="results"))

    def last_execution_times(self, names: Sequence[str]) -> Flow[Mapping[str, str]]:
        """When each was last run by a key, ISO; those that never were are left out."""
        path = self._path("endpoints", "last_execution_times")
        request = Request(method="POST", path=path, body={"names": list(names)}, expects="times by name")
        return self._ask(request, _times)

    def reach(self) -> Flow[None]:
        """Ask for as little as shows that the key may read endpoints in this project. Raises what keeps it from it."""
        path = self._path("endpoints")
        yield from self._ask(
            Request(method="GET", path=path, query={"limit": 1}, expects="a page of endpoints"), _as_it_is
        )

    def current_key(self) -> Flow[JsonObject]:
        """The key itself: label, scopes, what it is restricted to."""
        return self._ask(Request(method="GET", path="/api/personal_api_keys/@current/"), _as_it_is)

    def me(self) -> Flow[JsonObject]:
        """Whose key it is (scope `user:read`)."""
        return self._ask(Request(method="GET", path="/api/users/@me/"), _as_it_is)

    def organization(self) -> Flow[JsonObject]:
        """The present organization of the key's owner, with its projects (scope `organization:read`)."""
        return self._ask(Request(method="GET", path="/api/organizations/@current/"), _as_it_is)

    def projects(self) -> Flow[tuple[JsonObject, ...]]:
        """Every project that the key reaches (scope `project:read`)."""
        request = Request(method="GET", path="/api/projects/", query={"limit": PAGE}, expects="a page of projects")
        return whole_list(self.context, request, _as_it_is, lambda project: project.get("id"))

    def ask_for_any_answer(self, request: Request) -> Flow[tuple[Answer, ApiError | None]]:
        """The answer to a request, whatever its status, with the error that it would be, None for a success.

        Only 429 is waited out.
        """
        return exchange_for_any_answer(self.context, request)

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

    def _ask[T](self, request: Request, reader: Reader[T]) -> Flow[T]:
        answer = yield from exchange(self.context, request)
        return read(self.context, request, answer, reader)


def _without_none(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _endpoint(body: Mapping[str, Any]) -> Endpoint:
    from endpoints_gitops.model.endpoint import Endpoint

    return _validated(Endpoint, body)


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


def _as_it_is(body: Mapping[str, Any]) -> JsonObject:
    return body


def _objects(body: Mapping[str, Any], key: str) -> tuple[JsonObject, ...]:
    items = body.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Unexpected(f"there is no list of objects under {key}")
    return tuple(items)


def _times(body: Mapping[str, Any]) -> Mapping[str, str]:
    status = body.get("query_status")
    pairs = status.get("results") if isinstance(status, dict) else None
    if pairs is None and isinstance(status, dict):
        return {}
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Unexpected("there are no pairs of name and time under query_status.results")
    return {str(name): str(moment) for name, moment in pairs}
