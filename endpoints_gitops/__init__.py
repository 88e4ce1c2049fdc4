"""PostHog Endpoints as code: definitions in git, plans, and pushes that never overwrite other people's changes.

For apps that call endpoints: `from endpoints_gitops import Endpoints` (docs/reference.md). Names are looked up when
they are first used, so that importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from endpoints_gitops.api.errors import (
        AccessDenied,
        AnswerTooLarge,
        ApiError,
        AtCapacity,
        BadAnswer,
        BodyRefused,
        BudgetSpent,
        ClickHouseRefused,
        DatabaseUnavailable,
        EndpointInactive,
        EndpointNotFound,
        Forbidden,
        GatewayFault,
        HostWrong,
        InvalidQuery,
        KeyKindRefused,
        KeyNotSeen,
        MissingScope,
        NoFreeSlot,
        NotFound,
        OffsetRefused,
        OtherProject,
        PagesBroken,
        ProjectNotFound,
        QueryMemory,
        QueryTimeout,
        QueryTooLarge,
        QueryTooSlow,
        QuotaExceeded,
        Redirected,
        Refused,
        ServerFault,
        TableDenied,
        Throttled,
        TooManyAtOnce,
        Unauthenticated,
        Unreachable,
        VariablesRefused,
        VersionInactive,
        VersionNotFound,
        WaitEnded,
    )
    from endpoints_gitops.consumer.async_endpoints import AsyncEndpoints
    from endpoints_gitops.consumer.cache import Cache
    from endpoints_gitops.consumer.call_event import CallEvent
    from endpoints_gitops.consumer.checking import check_answer, check_variables
    from endpoints_gitops.consumer.client_base import Concurrency
    from endpoints_gitops.consumer.endpoints import Endpoints
    from endpoints_gitops.consumer.errors import (
        ClientOutdated,
        ColumnMistake,
        ColumnsBroken,
        ContractBroken,
        ContractWarning,
        EndpointRecreated,
        MissingVariable,
        PagingWarning,
        PinMissing,
        ResultsBroken,
        RowsBroken,
        UnknownVariable,
        UnreadableValue,
        VariableMistake,
        VariablesWrong,
        WrongVariableType,
        WrongVersion,
    )
    from endpoints_gitops.consumer.insights import (
        FunnelStep,
        FunnelTimes,
        FunnelTrend,
        LifecycleSeries,
        PathLink,
        RetentionCohort,
        RetentionValue,
        StickinessSeries,
        TrendSeries,
    )
    from endpoints_gitops.consumer.rows import Row, Rows, TypedRows
    from endpoints_gitops.consumer.typed import UNSET, TypedCall, TypedEndpoint, Unset
    from endpoints_gitops.errors import CredentialsError, EndpointsError, InvalidInput, MissingExtra, UsageError
    from endpoints_gitops.model.pin import Pin

_ROOMS = {
    "endpoints_gitops.consumer.endpoints": "Endpoints",
    "endpoints_gitops.consumer.async_endpoints": "AsyncEndpoints",
    "endpoints_gitops.consumer.rows": "Row Rows TypedRows",
    "endpoints_gitops.consumer.typed": "UNSET TypedCall TypedEndpoint Unset",
    "endpoints_gitops.consumer.cache": "Cache",
    "endpoints_gitops.consumer.call_event": "CallEvent",
    "endpoints_gitops.consumer.client_base": "Concurrency",
    "endpoints_gitops.consumer.checking": "check_variables check_answer",
    "endpoints_gitops.consumer.insights": (
        "TrendSeries LifecycleSeries RetentionCohort RetentionValue FunnelStep FunnelTimes FunnelTrend PathLink "
        "StickinessSeries"
    ),
    "endpoints_gitops.consumer.errors": (
        "PinMissing ClientOutdated VariablesWrong UnknownVariable MissingVariable WrongVariableType VariableMistake "
        "ContractBroken WrongVersion EndpointRecreated ColumnsBroken ColumnMistake RowsBroken ResultsBroken "
        "UnreadableValue ContractWarning PagingWarning CacheUnreachable"
    ),
    "endpoints_gitops.model.pin": "Pin",
    "endpoints_gitops.errors": "EndpointsError UsageError CredentialsError InvalidInput MissingExtra",
    "endpoints_gitops.api.errors": (
        "ApiError Refused BodyRefused VariablesRefused VersionInactive InvalidQuery TableDenied ClickHouseRefused "
        "OffsetRefused QueryTimeout QueryMemory QueryTooLarge QueryTooSlow Unauthenticated KeyNotSeen QuotaExceeded "
        "Forbidden MissingScope OtherProject KeyKindRefused AccessDenied NotFound EndpointNotFound EndpointInactive "
        "VersionNotFound ProjectNotFound Throttled TooManyAtOnce NoFreeSlot BudgetSpent ServerFault AtCapacity "
        "DatabaseUnavailable GatewayFault Unreachable HostWrong WaitEnded BadAnswer AnswerTooLarge PagesBroken "
        "Redirected"
    ),
}

__all__ = [
    "UNSET",
    "AccessDenied",
    "AnswerTooLarge",
    "ApiError",
    "AsyncEndpoints",
    "AtCapacity",
    "BadAnswer",
    "BodyRefused",
    "BudgetSpent",
    "Cache",
    "CallEvent",
    "ClickHouseRefused",
    "ClientOutdated",
    "ColumnMistake",
    "ColumnsBroken",
    "Concurrency",
    "ContractBroken",
    "ContractWarning",
    "CredentialsError",
    "DatabaseUnavailable",
    "EndpointInactive",
    "EndpointNotFound",
    "EndpointRecreated",
    "Endpoints",
    "EndpointsError",
    "Forbidden",
    "FunnelStep",
    "FunnelTimes",
    "FunnelTrend",
    "GatewayFault",
    "HostWrong",
    "InvalidInput",
    "InvalidQuery",
    "KeyKindRefused",
    "KeyNotSeen",
    "LifecycleSeries",
    "MissingExtra",
    "MissingScope",
    "MissingVariable",
    "NoFreeSlot",
    "NotFound",
    "OffsetRefused",
    "OtherProject",
    "PagesBroken",
    "PagingWarning",
    "PathLink",
    "Pin",
    "PinMissing",
    "ProjectNotFound",
    "QueryMemory",
    "QueryTimeout",
    "QueryTooLarge",
    "QueryTooSlow",
    "QuotaExceeded",
    "Redirected",
    "Refused",
    "ResultsBroken",
    "RetentionCohort",
    "RetentionValue",
    "Row",
    "Rows",
    "RowsBroken",
    "ServerFault",
    "StickinessSeries",
    "TableDenied",
    "Throttled",
    "TooManyAtOnce",
    "TrendSeries",
    "TypedCall",
    "TypedEndpoint",
    "TypedRows",
    "Unauthenticated",
    "UnknownVariable",
    "Unreachable",
    "UnreadableValue",
    "Unset",
    "UsageError",
    "VariableMistake",
    "VariablesRefused",
    "VariablesWrong",
    "VersionInactive",
    "VersionNotFound",
    "WaitEnded",
    "WrongVariableType",
    "WrongVersion",
    "__version__",
    "check_answer",
    "check_variables",
]

if not TYPE_CHECKING:  # else a type checker would believe in every name

    def __getattr__(name: str) -> object:
        room = next((room for room, names in _ROOMS.items() if name in names.split()), None)
        if room is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(room), name)
        return found

    def __dir__() -> list[str]:
        return sorted([*globals(), *__all__])
