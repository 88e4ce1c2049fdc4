"""The errors of API calls, one class for each row of the error tables (docs/server.md#errors).

    ApiError
    ├── Refused                400  ├ BodyRefused ├ NameTaken ├ CannotMaterialize ├ VariablesRefused ├ VersionInactive
    │   └── InvalidQuery       400  ├ TableDenied ├ ClickHouseRefused ├ OffsetRefused ├ QueryTimeout, QueryMemory, …
    ├── Unauthenticated        401  └ KeyNotSeen
    ├── QuotaExceeded          402
    ├── Forbidden              403  ├ MissingScope ├ OtherProject ├ KeyKindRefused └ AccessDenied
    ├── NotFound               404  ├ EndpointNotFound (└ EndpointInactive) ├ VersionNotFound └ ProjectNotFound
    ├── MethodRefused, MediaTypeRefused  405, 415
    ├── Throttled              429  ├ TooManyAtOnce (└ NoFreeSlot) └ BudgetSpent; nothing was sent with the latter two
    ├── ServerFault            5xx  ├ AtCapacity ├ DatabaseUnavailable └ GatewayFault
    └── Unreachable (├ HostWrong └ WaitEnded), BadAnswer, PagesBroken, Redirected, LostAnswer

`endpoints-gitops explain CODE` prints the docstrings.
"""

from __future__ import annotations

from endpoints_gitops.advice import AGAIN, WAIT_LONGER, Advice, Command, about
from endpoints_gitops.errors import EndpointsError, ExitCode


class ApiError(EndpointsError):
    """The server answered with an error that this tool does not know.

    `request` is the method and path, never the key; `endpoint` is the name of the endpoint of the request. `status`,
    `server_code`, `attr` and `detail` come from the server, None where it sent none; `code` is this tool's code.
    `retry_after` is in seconds. `attempts` and `seconds` are the number of attempts and their total duration.
    `request_id` is the `client_query_id` that a pinned call sent; `error_event_id` is the server's id of a fault, which
    PostHog's support can look up. Tracebacks show both as notes.
    """

    code = "api"
    remedy: str | None = Advice(AGAIN, " with --verbose to see every request")

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
        error_event_id: str | None = None,
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
        self.error_event_id = error_event_id
        self.request_id: str | None = None
        self.attempts = 1
        self.seconds = 0.0
        if error_event_id is not None:
            self.add_note(f"error_event_id: {error_event_id}")

    def tried(self, attempts: int, seconds: float) -> None:
        """Store the number and duration of the attempts, and add them to the message."""
        self.attempts, self.seconds = attempts, seconds
        self.message = f"{self.message} (tried {attempts} times in {seconds:.0f} s)"

    def identify(self, request_id: str) -> None:
        """Store the `client_query_id` of the request, and show it in tracebacks."""
        self.request_id = request_id
        self.add_note(f"client_query_id: {request_id}")


class Refused(ApiError):
    """The server checked the request and refused it (400). The message is the server's; nothing was changed."""

    code = "api.refused"
    exit_code = ExitCode.USAGE
    remedy: str = Advice("change what the message names, and ", AGAIN)


class BodyRefused(Refused):
    """The request has a key or value that the server does not know (400 `parse_error`).

    The usual reason is a query node with a key that is newer or older than the server.
    """

    code = "api.body_refused"
    remedy: str = Advice(
        "remove or correct the key that the message names; `", Command("check"), "` finds most such keys offline"
    )


class NameTaken(Refused):
    """An endpoint of this name exists already (400, attr `name`), possibly one that you cannot see."""

    code = "api.name_taken"
    remedy: str = Advice(Command("pull", "NAME"), " writes the existing endpoint to a file; or choose a different name")


class VariablesRefused(Refused):
    """A run has unknown variables or lacks required ones (400, attr `variables`).

    A materialized version requires all of its variables.
    """

    code = "api.variables"
    remedy: str = Advice("pass each variable as --var VARIABLE=VALUE; ", Command("get", "NAME"), " lists the variables")

    @property
    def is_missing(self) -> bool:
        """Whether a required variable is missing; the server says so only in its text."""
        return (self.detail or "").startswith("Required variable")


class VersionInactive(Refused):
    """The requested version is inactive (400 `Version N is inactive and cannot be executed.`)."""

    code = "api.version_inactive"
    remedy: str = Advice(
        Command("upgrade", "NAME"),
        " moves the pin to a newer version; ",
        Command("activate", "NAME", "--version", "N"),
        " activates the version",
    )


class CannotMaterialize(Refused):
    """The query cannot be materialized (400 `Cannot materialize endpoint. Reason: …`). Nothing was changed."""

    code = "api.cannot_materialize"
    remedy = "change the query according to the reason, or set materialization.enabled to false"


class InvalidQuery(Refused):
    """The query has an error in syntax, names or types (400 `hogql_…`, or attr `query`). The message is the
    server's."""

    code = "api.invalid_query"
    remedy: str = Advice(
        "correct the query; ", Command("check"), " shows line and column of mistakes that can be found offline"
    )


class TableDenied(InvalidQuery):
    """The query reads a table that the owner of the key may not read (400 `table_access_denied`)."""

    code = "api.table_denied"
    remedy = "use the key of a user who may read the table, or read a different table"


class ClickHouseRefused(InvalidQuery):
    """ClickHouse failed to run the query (400 with ClickHouse's error name as code)."""

    code = "api.clickhouse"
    remedy = "correct the query, or the value of a variable; the message is ClickHouse's"


class OffsetRefused(InvalidQuery):
    """This deployment does not let personal API keys page with `offset`."""

    code = "api.offset_refused"
    remedy = (
        "use --limit without --offset and --all; or page by key: --all --key timestamp, with a query that has "
        "WHERE timestamp > {variables.after} ORDER BY timestamp"
    )


class QueryTimeout(InvalidQuery):
    """The query ran longer than the server allows, about ten seconds (400 `query_timeout`). It is not retried."""

    code = "api.query_timeout"
    remedy = "reduce the date range of the query, or materialize the endpoint"


class QueryMemory(InvalidQuery):
    """The query needs more memory than the server allows (400 `query_memory_limit`). It is not retried."""

    code = "api.query_memory"
    remedy = "reduce the date range or the number of groups of the query, or materialize the endpoint"


class QueryTooLarge(InvalidQuery):
    """The text of the query is too long (400 `query_too_large`)."""

    code = "api.query_too_large"
    remedy = "shorten the query; move long lists of constants into a table"


class QueryTooSlow(InvalidQuery):
    """The server estimated that the query would run too long and did not start it (400 `query_estimated_too_slow`)."""

    code = "api.query_too_slow"
    remedy = "reduce the date range of the query, or materialize the endpoint"


class Unauthenticated(ApiError):
    """The server does not know the key (401): it is mistyped, revoked, or from another PostHog (EU and US are
    separate)."""

    code = "api.unauthenticated"
    exit_code = ExitCode.CREDENTIALS
    remedy: str = Advice(Command("auth", "status"), " shows which key is used and where it is configured")


class KeyNotSeen(Unauthenticated):
    """The server received no key (401 `not_authenticated`), although one was sent: a proxy removed it."""

    code = "api.key_not_seen"
    remedy = "make the proxy forward the Authorization header, or set the host to PostHog's own address"


class QuotaExceeded(ApiError):
    """The organization used up its quota of API queries (402 `api_queries_quota_exceeded`)."""

    code = "api.quota"
    remedy = "wait for the next billing period, or raise the limit in PostHog's billing settings"


class Forbidden(ApiError):
    """The key or its owner lacks permission for the request (403)."""

    code = "api.forbidden"
    exit_code = ExitCode.CREDENTIALS
    remedy: str = Advice(Command("auth", "status"), " shows what the key may do")


class MissingScope(Forbidden):
    """The key lacks a scope (403 `API key missing required scope …`); `scope` is its name, if the server named it."""

    code = "api.missing_scope"
    remedy = "add the scope to the key in PostHog: Settings, Personal API keys"
    scope: str | None = None


class OtherProject(Forbidden):
    """The key is restricted to other projects or organizations (403)."""

    code = "api.other_project"
    remedy: str = Advice(
        "correct project_id, or use a key with access to this project; ",
        Command("auth", "status"),
        " lists the projects of the key",
    )


class KeyKindRefused(Forbidden):
    """The kind of the key does not allow the request (403): project secret keys (`phs_`) can only run endpoints."""

    code = "api.key_kind"
    remedy = "use a personal API key (phx_…)"


class AccessDenied(Forbidden):
    """The owner of the key lacks access to this endpoint or to the project (403), regardless of the key's scopes."""

    code = "api.access_denied"
    remedy = "ask an admin of the project for access: viewer to read, editor to write"


class NotFound(ApiError):
    """The server does not have the requested resource (404)."""

    code = "api.not_found"
    exit_code = ExitCode.USAGE
    remedy = "check the name"


class EndpointNotFound(NotFound):
    """The project has no endpoint of this name (404); for a run, none that is active."""

    code = "api.endpoint_not_found"
    remedy: str = Advice(Command("list"), " lists the names, including inactive endpoints")


class EndpointInactive(EndpointNotFound):
    """The endpoint is inactive: runs of all its versions return 404."""

    code = "api.endpoint_inactive"
    remedy: str = Advice(Command("activate", "NAME"), " activates the endpoint")


class VersionNotFound(NotFound):
    """The endpoint has no version of this number."""

    code = "api.version_not_found"
    remedy: str = Advice(Command("versions", "NAME"), " lists the versions")


class ProjectNotFound(NotFound):
    """The host has no project of this number, or the key's owner is not a member."""

    code = "api.project_not_found"
    remedy: str = Advice("correct project_id or host; ", Command("auth", "status"), " lists the projects of the key")


class MethodRefused(ApiError):
    """The server does not support this method on this route (405): it is older or newer than this tool supports."""

    code = "api.method"
    remedy = "check that the host is PostHog's address, followed at most by the path prefix of a proxy"


class MediaTypeRefused(ApiError):
    """The server does not accept JSON on this route (415): a proxy may have changed the request."""

    code = "api.media_type"
    remedy = "check that the host is PostHog's address; a proxy may be rewriting requests"


class Throttled(ApiError):
    """The key exceeded its rate limit (429): 240 requests a minute and 2,400 an hour, or 1,200 and 12,000 for
    materialized runs. All requests with the key count, on any machine.
    """

    code = "api.throttled"
    remedy: str = Advice(AGAIN, " later, or wait longer with ", WAIT_LONGER)


class TooManyAtOnce(Throttled):
    """Too many queries of the organization run at the same time (429 without `Retry-After`)."""

    code = "api.too_many_at_once"
    remedy: str = Advice("run fewer queries at once, or ", AGAIN, " later")


class NoFreeSlot(TooManyAtOnce):
    """As many calls with the key as this process makes at once were running until `max_wait` ended, so the request was
    not sent.
    """

    code = "api.no_free_slot"
    remedy: str = Advice(
        "make fewer calls at once, wait longer with ", WAIT_LONGER, ", or raise the limits of Concurrency"
    )


class BudgetSpent(Throttled):
    """This machine used up the rate limit of the key for the current minute or hour, so the request was not sent.

    `endpoints-gitops auth status` shows what is left. The local count can be wrong after a mistake of a proxy or of a
    clock; `endpoints-gitops auth reset-budget` resets it.
    """

    code = "api.budget_spent"
    remedy: str = Advice(AGAIN, " later, wait longer with ", WAIT_LONGER, ", or ", Command("auth", "reset-budget"))


class ServerFault(ApiError):
    """The server failed (5xx)."""

    code = "api.server_fault"
    remedy: str = Advice(AGAIN, " later; https://status.posthog.com lists known incidents")


class AtCapacity(ServerFault):
    """The server has no capacity for queries at the moment (503 `query_capacity`)."""

    code = "api.at_capacity"
    remedy: str = Advice(AGAIN, " later; materialize endpoints with many calls")


class DatabaseUnavailable(ServerFault):
    """The server temporarily cannot reach its database (503 `database_unavailable`)."""

    code = "api.database_unavailable"
    remedy: str = Advice(AGAIN, " in a minute")


class GatewayFault(ServerFault):
    """A gateway between this machine and PostHog failed (502, 504, or a 5xx that does not come from the API)."""

    code = "api.gateway"
    remedy: str = Advice(AGAIN, " later; if you use a proxy of your own, check its log")


class Unreachable(ApiError):
    """No answer arrived: the host cannot be found or reached, the connection was lost, or it timed out."""

    code = "api.unreachable"
    remedy: str = Advice("check host and network; ", WAIT_LONGER, " waits longer")


class HostWrong(Unreachable):
    """The configured host cannot be used: its name does not resolve, or its TLS certificate is not trusted."""

    code = "api.host"
    remedy = "correct host; behind a proxy with its own certificate, set SSL_CERT_FILE to that certificate"


class WaitEnded(Unreachable):
    """`max_wait` ended while this call waited for the answer to another call of the same, or between two pages."""

    code = "api.wait_ended"
    remedy: str = Advice(WAIT_LONGER, " waits longer")


class BadAnswer(ApiError):
    """The answer does not come from this API: an HTML page, invalid or truncated JSON, or JSON of an unexpected shape.

    The usual reasons are a login page, a proxy's error page or a wrong host.
    """

    code = "api.bad_answer"
    remedy = "check that the host is the address of PostHog, such as https://us.posthog.com"


class AnswerCut(BadAnswer):
    """The connection was lost in the middle of an answer, or the answer took too long to its end."""

    code = "api.answer_cut"
    remedy: str = Advice(AGAIN, " later; if you use a proxy of your own, check its log")


class AnswerTooLarge(BadAnswer):
    """The answer exceeds the size limit, so it was not read to its end.

    The limit protects the memory of this machine: a few megabytes of gzip can decompress to gigabytes.
    """

    code = "api.answer_too_large"
    remedy = "request fewer rows (limit), or set ENDPOINTS_GITOPS_MAX_ANSWER_BYTES to a larger number"


class PagesBroken(ApiError):
    """The pages of a run that is paged by key are inconsistent: two rows have the same key, a key is null, or a page
    does not continue the previous one. The rows before this error are correct but incomplete.
    """

    code = "api.pages_broken"
    remedy = "page by a column with unique values, such as uuid, or read the rows in one request (limit)"


class Redirected(ApiError):
    """The server redirected the request. Redirects are not followed: the key is sent only to the configured host."""

    code = "api.redirected"
    remedy = "set host to the address that the message names, if you trust it"


class LostAnswer(ApiError):
    """A write was sent, but its answer is missing or unclear: the server may have made the change, wholly or in part.

    The write is not retried. `status` and `detail` are set if the answer was a server fault (5xx); `reason` says why
    the result is unknown.
    """

    code = "api.lost_answer"
    reason: str = ""
    remedy: str = Advice(Command("diff", "NAME"), " shows whether the change was made; `push` checks by itself")
