"""What can come of a call, one class for each row of the error tables (docs/server.md#errors).

    ApiError
    ├── Refused                400  ├ BodyRefused ├ NameTaken ├ CannotMaterialize ├ VariablesRefused ├ VersionInactive
    │   └── InvalidQuery       400  ├ TableDenied ├ ClickHouseRefused ├ OffsetRefused ├ QueryTimeout, QueryMemory, …
    ├── Unauthenticated        401  └ KeyNotSeen
    ├── QuotaExceeded          402
    ├── Forbidden              403  ├ MissingScope ├ OtherProject ├ KeyKindRefused └ AccessDenied
    ├── NotFound               404  ├ EndpointNotFound (└ EndpointInactive) ├ VersionNotFound └ ProjectNotFound
    ├── MethodRefused, MediaTypeRefused  405, 415
    ├── Throttled              429  ├ TooManyAtOnce └ BudgetSpent (ours, before anything is sent)
    ├── ServerFault            5xx  ├ AtCapacity ├ DatabaseUnavailable └ GatewayFault
    └── Unreachable (└ HostWrong), BadAnswer, PagesBroken, Redirected, LostAnswer

Docstrings are for whoever asks `endpoints-gitops explain CODE`.
"""

from __future__ import annotations

from endpoints_gitops.advice import AGAIN, WAIT_LONGER, Advice, Command, about
from endpoints_gitops.errors import EndpointsError, ExitCode


class ApiError(EndpointsError):
    """The server answered with something that this tool does not know.

    `request` is the method and path, never the key; `endpoint` is the name of the endpoint that it is about.
    `status`, `server_code`, `attr` and `detail` are the server's own, None where it did not say; `code` is this tool's.
    `retry_after` is in seconds. `attempts` and `seconds` say how long it was tried.
    """

    code = "api"
    remedy: str | None = Advice(AGAIN, " with --verbose to see each request")

    def __init__(
        self,
        message: str,
        *,
        request: str = "",
        status: int | None = None,
        server_code: str | None = None,
        attr: str | None = None,
        detail: str | None = None,
        retry_after: float | None = None,
        endpoint: str | None = None,
        fix: str | None = None,
    ) -> None:
        remedy = about(self.remedy, endpoint) if self.remedy and endpoint else self.remedy
        super().__init__(message, where=request or None, fix=fix or remedy)
        self.request = request
        self.endpoint = endpoint
        self.status = status
        self.server_code = server_code
        self.attr = attr
        self.detail = detail
        self.retry_after = retry_after
        self.attempts = 1
        self.seconds = 0.0

    def tried(self, attempts: int, seconds: float) -> None:
        """Note, and say, how long it was tried."""
        self.attempts, self.seconds = attempts, seconds
        self.message = f"{self.message} (tried {attempts} times in {seconds:.0f} s)"


class Refused(ApiError):
    """The server checked the request and refused it (400). The message is its own; nothing was changed."""

    code = "api.refused"
    exit_code = ExitCode.USAGE
    remedy: str = Advice("change what the message names, and ", AGAIN)


class BodyRefused(Refused):
    """The request had not the shape that the server expects (400 `parse_error`): a key or value that it does not know.

    A query node with a key that is newer, or older, than the server is the usual reason.
    """

    code = "api.body_refused"
    remedy: str = Advice(
        "remove or correct the key that the message names; `", Command("check"), "` finds most of these offline"
    )


class NameTaken(Refused):
    """An endpoint with this name is there already (400, attr `name`), perhaps one that you may not see."""

    code = "api.name_taken"
    remedy: str = Advice(Command("pull", "NAME"), " brings the one that is there into a file; else choose another name")


class VariablesRefused(Refused):
    """A run was sent variables that the version does not know, or lacks some that it requires (400, attr `variables`).

    A materialised version requires all of its variables.
    """

    code = "api.variables"
    remedy: str = Advice(
        "pass each variable as --var VARIABLE=VALUE; ", Command("get", "NAME"), " shows which there are"
    )

    @property
    def is_missing(self) -> bool:
        """Whether a required variable was not sent; the server says that in its text alone."""
        return (self.detail or "").startswith("Required variable")


class VersionInactive(Refused):
    """The version that was asked for is switched off (400 `Version N is inactive and cannot be executed.`)."""

    code = "api.version_inactive"
    remedy: str = Advice(
        Command("upgrade", "NAME"),
        " moves the pin on; ",
        Command("activate", "NAME", "--version", "N"),
        " switches it on",
    )


class CannotMaterialize(Refused):
    """The query cannot be materialised (400 `Cannot materialize endpoint. Reason: …`). Nothing was changed."""

    code = "api.cannot_materialize"
    remedy = "change the query as the reason says, or set materialization.enabled to false"


class InvalidQuery(Refused):
    """The query cannot be run: syntax, names, types (400 `hogql_…`, or about `query`). The message is the engine's."""

    code = "api.invalid_query"
    remedy: str = Advice("correct the query; ", Command("check"), " shows the place of what can be found offline")


class TableDenied(InvalidQuery):
    """The query reads a table that the owner of the key may not read (400 `table_access_denied`)."""

    code = "api.table_denied"
    remedy = "use a key of somebody who may read the table, or another table"


class ClickHouseRefused(InvalidQuery):
    """ClickHouse refused the query while running it (400 with ClickHouse's name of the error as code)."""

    code = "api.clickhouse"
    remedy = "correct the query, or the value of a variable; the message is ClickHouse's"


class OffsetRefused(InvalidQuery):
    """This deployment does not let personal API keys page with `offset`."""

    code = "api.offset_refused"
    remedy = (
        "leave --offset and --all away and use --limit; or page by key: --all --key timestamp, of a query with "
        "WHERE timestamp > {variables.after} ORDER BY timestamp"
    )


class QueryTimeout(InvalidQuery):
    """The query took longer than runs by a key may, about ten seconds (400 `query_timeout`). Never tried again."""

    code = "api.query_timeout"
    remedy = "narrow the query (a smaller date range), or materialise the endpoint"


class QueryMemory(InvalidQuery):
    """The query needs more memory than a run may have (400 `query_memory_limit`). Never tried again."""

    code = "api.query_memory"
    remedy = "narrow the query (a smaller date range, fewer groups), or materialise the endpoint"


class QueryTooLarge(InvalidQuery):
    """The text of the query is too long to be run (400 `query_too_large`)."""

    code = "api.query_too_large"
    remedy = "make the query shorter: long lists of constants belong into a table"


class QueryTooSlow(InvalidQuery):
    """The server thinks that the query would run too long, and did not start it (400 `query_estimated_too_slow`)."""

    code = "api.query_too_slow"
    remedy = "narrow the time range, or materialise the endpoint"


class Unauthenticated(ApiError):
    """The server does not know the key (401): mistyped, revoked, or of another PostHog (EU and US have their own)."""

    code = "api.unauthenticated"
    exit_code = ExitCode.CREDENTIALS
    remedy: str = Advice(Command("auth", "status"), " shows which key is used and where it comes from")


class KeyNotSeen(Unauthenticated):
    """The server saw no key at all (401 `not_authenticated`), although one was sent: a proxy on the way took it off."""

    code = "api.key_not_seen"
    remedy = "let the proxy pass the Authorization header on, or set the host to PostHog's own address"


class QuotaExceeded(ApiError):
    """The organization has used up its API queries (402 `api_queries_quota_exceeded`)."""

    code = "api.quota"
    remedy = "wait for the next billing period, or raise the limit in PostHog's billing settings"


class Forbidden(ApiError):
    """The key, or its owner, may not do this (403)."""

    code = "api.forbidden"
    exit_code = ExitCode.CREDENTIALS
    remedy: str = Advice(Command("auth", "status"), " shows what the key may do")


class MissingScope(Forbidden):
    """The key lacks a scope (403 `API key missing required scope …`); `scope` names it where the server did."""

    code = "api.missing_scope"
    remedy = "add the scope to the key in PostHog: Settings, Personal API keys"
    scope: str | None = None


class OtherProject(Forbidden):
    """The key is restricted to other projects or organizations (403)."""

    code = "api.other_project"
    remedy: str = Advice(
        "correct project_id, or use a key that reaches this project; ",
        Command("auth", "status"),
        " lists what it reaches",
    )


class KeyKindRefused(Forbidden):
    """This cannot be done with a key of this kind (403): project secret keys (`phs_`) may only run endpoints."""

    code = "api.key_kind"
    remedy = "use a personal API key (phx_…)"


class AccessDenied(Forbidden):
    """The owner of the key lacks access to this endpoint or to the project (403), whatever the key may do."""

    code = "api.access_denied"
    remedy = "ask an admin of the project for access: reading needs viewer, writing editor"


class NotFound(ApiError):
    """What was asked for is not there (404)."""

    code = "api.not_found"
    exit_code = ExitCode.USAGE
    remedy = "check the name"


class EndpointNotFound(NotFound):
    """There is no endpoint of this name in the project (404), or, for a run: it is inactive."""

    code = "api.endpoint_not_found"
    remedy: str = Advice(Command("list"), " shows the names, and which are inactive")


class EndpointInactive(EndpointNotFound):
    """The endpoint is there and switched off: runs of all its versions are a 404."""

    code = "api.endpoint_inactive"
    remedy: str = Advice(Command("activate", "NAME"), " switches it on")


class VersionNotFound(NotFound):
    """The endpoint has no version of this number."""

    code = "api.version_not_found"
    remedy: str = Advice(Command("versions", "NAME"), " shows which there are")


class ProjectNotFound(NotFound):
    """There is no project of this number on this host, or the key's owner is not a member."""

    code = "api.project_not_found"
    remedy: str = Advice(
        "correct project_id or host; ", Command("auth", "status"), " lists the projects that the key reaches"
    )


class MethodRefused(ApiError):
    """The server does not do this on this route (405): it is older or newer than what this tool knows."""

    code = "api.method"
    remedy = "check that the host is PostHog's address, with nothing behind it but a proxy's prefix"


class MediaTypeRefused(ApiError):
    """The server does not read JSON here (415): something on the way changed the request."""

    code = "api.media_type"
    remedy = "check that the host is PostHog's address; a proxy may be rewriting requests"


class Throttled(ApiError):
    """The key has made more requests than it may (429): 240 a minute and 2,400 an hour, 1,200 and 12,000 for
    materialised runs. Everything that uses the key counts, on any machine.
    """

    code = "api.throttled"
    remedy: str = Advice(AGAIN, " later, or wait for longer with ", WAIT_LONGER)


class TooManyAtOnce(Throttled):
    """Too many queries of the organization run at the same time (429 without `Retry-After`)."""

    code = "api.too_many_at_once"
    remedy: str = Advice("run fewer at once, or ", AGAIN, " later")


class BudgetSpent(Throttled):
    """This machine has used up what the key may ask in a minute or an hour, so nothing more was sent.

    `endpoints-gitops auth status` shows what is left. What this machine remembers can be wrong, after a mistake of a
    proxy or of a clock; `endpoints-gitops auth reset-budget` forgets it.
    """

    code = "api.budget_spent"
    remedy: str = Advice(AGAIN, " later, wait for longer with ", WAIT_LONGER, ", or ", Command("auth", "reset-budget"))


class ServerFault(ApiError):
    """The server failed (5xx)."""

    code = "api.server_fault"
    remedy: str = Advice(AGAIN, " later; https://status.posthog.com tells of known trouble")


class AtCapacity(ServerFault):
    """The server has no room for queries just now (503 `query_capacity`)."""

    code = "api.at_capacity"
    remedy: str = Advice(AGAIN, " later; endpoints that are used a lot are better materialised")


class DatabaseUnavailable(ServerFault):
    """The server could not reach its database for a moment (503 `database_unavailable`)."""

    code = "api.database_unavailable"
    remedy: str = Advice(AGAIN, " in a minute")


class GatewayFault(ServerFault):
    """Something between here and PostHog failed (502 or 504, or a 5xx that is no answer of the API)."""

    code = "api.gateway"
    remedy: str = Advice(AGAIN, " later; behind a proxy of your own, look at its log")


class Unreachable(ApiError):
    """No answer came: the host cannot be found or reached, the connection was cut, or it took too long."""

    code = "api.unreachable"
    remedy: str = Advice("check host and network; ", WAIT_LONGER, " waits for longer")


class HostWrong(Unreachable):
    """The host cannot be asked as it is configured: nobody knows its name, or it is not to be trusted (TLS)."""

    code = "api.host"
    remedy = "correct host; behind a proxy with a certificate of its own, name that in SSL_CERT_FILE"


class BadAnswer(ApiError):
    """What answered does not speak this API: a page of HTML, broken or cut JSON, JSON of another shape.

    A login page, a proxy's error page or a wrong host are the usual reasons.
    """

    code = "api.bad_answer"
    remedy = "check that the host is the address of PostHog itself, such as https://us.posthog.com"


class AnswerTooLarge(BadAnswer):
    """The answer is larger than may be kept in memory, so it was not read to its end.

    A few megabytes of gzip can be gigabytes of answer, by mistake or on purpose.
    """

    code = "api.answer_too_large"
    remedy = "ask for fewer rows (limit), or set ENDPOINTS_GITOPS_MAX_ANSWER_BYTES to a larger number"


class PagesBroken(ApiError):
    """Rows that are read page by key do not fit together: two rows have one key, a key is null, or a page does not
    continue the one before. Nothing is left out silently: what came before this error is right, and not all.
    """

    code = "api.pages_broken"
    remedy = "page by a column that differs from row to row, such as uuid, or read the rows in one request (limit)"


class Redirected(ApiError):
    """The server sent us elsewhere. That is not followed: the key goes to no other host than the configured one."""

    code = "api.redirected"
    remedy = "set host to the address that the message names, if you trust it"


class LostAnswer(ApiError):
    """A write was sent, and no answer came back that says what became of it: it may have landed, wholly or in part.

    It is never sent again blindly. `status` and `detail` are there where a server fault (5xx) was the answer; `reason`
    says why there is no better one.
    """

    code = "api.lost_answer"
    reason: str = ""
    remedy: str = Advice(Command("diff", "NAME"), " shows whether it landed; a push reads again and decides by itself")
