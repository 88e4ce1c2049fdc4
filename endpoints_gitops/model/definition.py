"""The definition: the content of one YAML file in the definitions folder.

The pydantic models are the single source of the file format, for validation, `endpoints-gitops schema` and the shipped
JSON Schema. A present key is managed and an absent key keeps its value on the server, so presence (`model_fields_set`)
matters as much as the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from endpoints_gitops.errors import Location
from endpoints_gitops.model.freshness import SCHEDULES
from endpoints_gitops.model.name import NAME_PATTERN
from endpoints_gitops.model.policy import Ignore
from endpoints_gitops.model.suggestions import closest
from endpoints_gitops.model.sunset import SunsetNotice

ScheduleWord = Literal["15min", "30min", "1hour", "6hour", "12hour", "24hour", "7day"]
FreshnessWord = Literal[
    "15min", "30min", "1hour", "6hour", "12hour", "24hour", "7day", 900, 1800, 3600, 21600, 43200, 86400, 604800
]
BucketFunction = Literal["minute", "fifteen_minutes", "hour", "day", "week", "month"]
QUERY_KEYS: Final = ("query", "query_file", "query_definition")


class VariableType(StrEnum):
    """The types of variables on the server (docs/server.md#insight-variables)."""

    STRING = "String"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    LIST = "List"
    DATE = "Date"


# posthog-cli guesses the type from the JSON type of the default; both spellings are accepted (docs/posthog-cli.md).
GUESSED_TYPES: Final = {
    "string": VariableType.STRING,
    "integer": VariableType.NUMBER,
    "number": VariableType.NUMBER,
    "boolean": VariableType.BOOLEAN,
    "array": VariableType.LIST,
    "object": VariableType.STRING,
    "list": VariableType.LIST,
    "date": VariableType.DATE,
}


NODE_KINDS: Final = (
    "HogQLQuery",
    "TrendsQuery",
    "FunnelsQuery",
    "RetentionQuery",
    "PathsQuery",
    "StickinessQuery",
    "LifecycleQuery",
    "WebStatsTableQuery",
    "WebOverviewQuery",
)
"""The kinds that the server accepts today. Others are left to the server, which adds kinds (docs/server.md#bodies)."""

_CODE_NAME = re.compile(r"[^\W]+")
_CODE_NAME_SCHEMA: Final = r"^[^\s!-/:-@A-Z\[-^`{-~]+$"  # in the common subset of regular expressions of all languages
_ISO_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def _server_type(value: object) -> object:
    return GUESSED_TYPES.get(value, value) if isinstance(value, str) else value


def _one_code_name(value: object) -> object:
    mistake = code_name_mistake(value) if isinstance(value, str) else None
    if mistake is not None:
        raise ValueError(mistake)
    return value


def code_name_mistake(name: str) -> str | None:
    """The mistake in a variable's name, or None. PostHog derives code names (docs/server.md#insight-variables)."""
    if not _CODE_NAME.fullmatch(name):
        return "the name of a variable must consist of letters, digits and underscores"
    if name != name.lower():
        return f"PostHog converts the names of variables to lower case: use {name.lower()!r} here and in the query"
    return None


def _query_node(node: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = node.get("kind")
    if not isinstance(kind, str):
        raise ValueError(f"a query node must have a kind, such as {NODE_KINDS[1]}")
    near = None if kind in NODE_KINDS else closest(kind, NODE_KINDS, likeness=0.9, completes=False)
    if near is not None:
        raise ValueError(f"unknown kind {kind!r}; did you mean {near!r}?")
    if kind == "HogQLQuery" and not isinstance(node.get("query"), str):
        raise ValueError("a HogQLQuery must have its text under query")
    return node


def _iso_date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(_ISO_DATE, value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value} is not a valid date") from None
    raise ValueError("a date must have the form 2026-01-31")


_IsoDate = Annotated[
    date, BeforeValidator(_iso_date), WithJsonSchema({"type": "string", "format": "date", "pattern": _ISO_DATE})
]
_NODE_SCHEMA: Final = WithJsonSchema(
    {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "examples": list(NODE_KINDS)}}}
)
_TYPE_WORDS: Final = [*VariableType, *GUESSED_TYPES]


class _Model(BaseModel):
    """The base of the models. The text below a field is its description in the JSON Schema; `codecs.schema` reads it,
    because pydantic would do so at every start of the program.
    """

    # deferred: the validator of `Definition` contains those of its parts, which would otherwise be built twice
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)

    def states(self, key: str) -> bool:
        """Whether the file has this key."""
        return key in self.model_fields_set


class Variable(_Model):
    """A declared variable of the query."""

    name: Annotated[str, BeforeValidator(_one_code_name), Field(json_schema_extra={"pattern": _CODE_NAME_SCHEMA})]
    """The code name, which callers send and `{variables.NAME}` in the SQL refers to."""
    type: Annotated[VariableType, BeforeValidator(_server_type), WithJsonSchema({"enum": _TYPE_WORDS})]
    """The type of the project's shared variable; posthog-cli writes the lower-case words."""
    default: Any = None
    """The value if a caller sends none. Changing it creates a version."""
    label: str | None = None
    """The label in PostHog; belongs to the shared variable."""
    values: tuple[Any, ...] | None = None
    """The choices of a List variable; belongs to the shared variable."""
    multi: StrictBool | None = None
    """Whether a List variable accepts several choices; belongs to the shared variable."""
    scope: Literal["tenant"] | None = None
    """`tenant` marks a variable that separates tenants: losing its condition exposes data (rule V111)."""


class Materialization(_Model):
    """Whether the server keeps the answer as a table, and how often it rebuilds the table."""

    enabled: StrictBool | None = None
    """Whether the endpoint is materialized. Without this key, the server's setting is kept."""
    schedule: ScheduleWord | None = None
    """The same setting as `data_freshness`."""


class Environment(_Model):
    """Settings that override the common ones in one environment; never the query or its variables."""

    materialization: Materialization | None = None
    data_freshness: FreshnessWord | None = None
    active: StrictBool | None = None
    tags: tuple[str, ...] | None = None


class ColumnContract(_Model):
    """A column that callers can rely on."""

    name: str
    type: Literal["integer", "float", "decimal", "string", "datetime", "date", "boolean", "array", "json", "unknown"]
    nullable: StrictBool | None = None
    """Whether values can be null."""
    description: str | None = None


class Deprecation(_Model):
    """The announcement that this endpoint will be removed."""

    since: _IsoDate
    """The date of the announcement."""
    sunset: _IsoDate
    """The date from which the endpoint can be removed."""
    replaced_by: str | None = None
    """The endpoint to use instead."""
    reason: str | None = None
    """Why it will be removed, for its callers."""

    @model_validator(mode="after")
    def _sunset_is_later(self) -> Self:
        if self.sunset < self.since:
            raise ValueError(f"sunset {self.sunset} is before since {self.since}")
        return self

    @property
    def notice(self) -> SunsetNotice:
        """The announcement as a value that does not need pydantic."""
        return SunsetNotice(since=self.since, sunset=self.sunset, replaced_by=self.replaced_by, reason=self.reason)


class Example(_Model):
    """A call for documentation and tests; `rows` is its answer, if that is stable."""

    name: str | None = None
    description: str | None = None
    variables: Mapping[str, Any] = Field(default_factory=dict)
    """The variables of the call, by code name."""
    rows: tuple[Any, ...] | None = None
    """The rows of the answer, as in the server's `results`."""


class Definition(_Model):
    """The desired state of one endpoint."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """A letter, followed by up to 127 letters, digits, `_` or `-`. It identifies the endpoint; the file name does not
    matter."""
    description: str | None = None
    """What the endpoint returns, for its callers. An empty text removes the description on the server."""
    tags: tuple[str, ...] | None = None
    """Labels of the endpoint, not of a version; the server stores them in lower case."""
    active: StrictBool | None = None
    """Whether the endpoint is active. Calls of an inactive endpoint return 404, whichever version they name."""
    query: str | None = None
    """HogQL text."""
    query_file: str | None = None
    """The path of a `.sql` file, relative to this file."""
    query_definition: Annotated[Mapping[str, Any], AfterValidator(_query_node), _NODE_SCHEMA] | None = None
    """A query node, such as a TrendsQuery."""
    variables: tuple[Variable, ...] | None = None
    """The variables of the query (HogQL only); the query must use each of them."""
    materialization: Materialization | None = None
    """Whether the server keeps the answer as a table. This makes every variable required."""
    data_freshness: FreshnessWord | None = None
    """How old an answer can be: a schedule word, or its number of seconds."""
    optional_breakdown_properties: tuple[str, ...] | None = None
    """Breakdown properties of the insight that callers of the materialized endpoint can omit."""
    bucket_overrides: Mapping[str, BucketFunction] | None = None
    """The bucket size of materialized range variables, by column."""
    environments: Mapping[str, Environment] | None = None
    """Settings that override the common ones in one environment, by its name in the configuration."""
    supersedes: Annotated[int, Strict(), Field(ge=1)] | None = None
    """Written by `adopt`: the version on the server that this definition replaces."""
    renamed_from: str | None = None
    """Written by `rename`: the previous name of this endpoint."""
    columns: tuple[ColumnContract, ...] | None = None
    """The columns that callers can rely on; checked against the query, not sent to the server."""
    owner: str | None = None
    """The team or person who owns this endpoint."""
    deprecation: Deprecation | None = None
    """Announces that this endpoint will be removed. It is not sent to the server; `check`, `list`, `get`, `retire` and
    the locks of apps use it."""
    examples: tuple[Example, ...] | None = None
    """Calls for documentation and tests."""
    stability: Literal["draft", "beta", "stable"] | None = None
    """How stable the endpoint is for callers."""

    @model_validator(mode="after")
    def _exactly_one_query(self) -> Self:
        mistake = query_keys_mistake([key for key in QUERY_KEYS if getattr(self, key) is not None])
        if mistake is not None:
            raise ValueError(mistake)
        return self

    @model_validator(mode="after")
    def _has_one_freshness(self) -> Self:
        all_settings: list[Definition | Environment] = [self, *(self.environments or {}).values()]
        for settings in all_settings:
            schedule = settings.materialization.schedule if settings.materialization else None
            mistake = freshness_mistake(settings.data_freshness, schedule)
            if mistake is not None:
                raise ValueError(mistake)
        return self

    def in_environment(self, environment: str | None) -> Definition:
        """This definition with the settings of one environment."""
        overlay = (self.environments or {}).get(environment or "")
        if overlay is None:
            return self
        changes: dict[str, Any] = {key: getattr(overlay, key) for key in overlay.model_fields_set}
        override = overlay.materialization
        if override is not None and self.materialization is not None:
            merged = {key: getattr(self.materialization, key) for key in self.materialization.model_fields_set}
            merged |= {key: getattr(override, key) for key in override.model_fields_set}
            changes["materialization"] = Materialization(**merged)
        changes |= _one_freshness(overlay, changes)
        return self.model_copy(update=changes)

    @property
    def freshness_seconds(self) -> int | None:
        """The freshness in the file, in seconds; None if the file has none."""
        if self.data_freshness is not None:
            return freshness_seconds(self.data_freshness)
        if self.materialization is not None and self.materialization.schedule is not None:
            return SCHEDULES[self.materialization.schedule]
        return None


def freshness_seconds(value: str | int) -> int:
    """The seconds of a schedule word or of a number of seconds."""
    return SCHEDULES[value] if isinstance(value, str) else value


def query_keys_mistake(present: Collection[str]) -> str | None:
    """The mistake in the query keys that a definition has, or None if it has exactly one."""
    if len(present) == 1:
        return None
    names = " and ".join(present) if present else "none"
    return f"a definition must have exactly one of {', '.join(QUERY_KEYS)}, not {names}"


def freshness_mistake(data_freshness: str | int | None, schedule: str | None) -> str | None:
    """The mistake if the two keys of the freshness have different values, or None."""
    if data_freshness is None or schedule is None or freshness_seconds(data_freshness) == SCHEDULES[schedule]:
        return None
    return f"data_freshness {data_freshness} and materialization.schedule {schedule} differ: they are the same setting"


def _one_freshness(overlay: Environment, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes with the freshness of the environment, whichever of the two keys the common settings use."""
    if overlay.data_freshness is not None:
        seconds = freshness_seconds(overlay.data_freshness)
    elif overlay.materialization is not None and overlay.materialization.schedule is not None:
        seconds = SCHEDULES[overlay.materialization.schedule]
    else:
        return {}
    materialization: Materialization | None = changes.get("materialization")
    quiet = materialization.model_copy(update={"schedule": None}) if materialization else None
    return {"data_freshness": seconds} | ({"materialization": quiet} if quiet else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDefinition:
    """A definition with its source.

    `path` is relative to the current folder; `sql` is the HogQL text of `query` or of the file that `query_file` names,
    None for a query node; `lines` maps dotted keys (`variables.0.default`) to their line in the file, counted from 1;
    `unchecked` says why the syntax and the variables of its HogQL were not checked, None if they were. `position`
    returns the `path:line:column` of a character of its HogQL; it is None if the text of the file is not available.
    `ignores` are the ignore comments in its files.
    """

    path: str
    definition: Definition
    sql: str | None
    lines: Mapping[str, int] = field(default_factory=dict)
    unchecked: str | None = None
    position: Callable[[int], Location] | None = field(default=None, compare=False, repr=False)
    ignores: tuple[Ignore, ...] = ()

    @property
    def name(self) -> str:
        return self.definition.name

    def where(self, key: str = "name") -> Location:
        """`path:line` of a key, or of its nearest parent with a line, or the path."""
        while key:
            if key in self.lines:
                return Location(self.path, self.lines[key])
            key = key.rpartition(".")[0]
        return Location(self.path)
