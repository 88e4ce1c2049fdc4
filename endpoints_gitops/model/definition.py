"""The definition: one YAML file in the definitions folder, as values.

The pydantic models are the single source of the file format: validation, `endpoints-gitops schema` and the shipped JSON
Schema all come from them. A key that is absent is left alone on the server, a key that is present is managed, so
presence (`model_fields_set`) matters as much as the value.
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
from endpoints_gitops.model.suggestions import closest

ScheduleWord = Literal["15min", "30min", "1hour", "6hour", "12hour", "24hour", "7day"]
FreshnessWord = Literal[
    "15min", "30min", "1hour", "6hour", "12hour", "24hour", "7day", 900, 1800, 3600, 21600, 43200, 86400, 604800
]
BucketFunction = Literal["minute", "fifteen_minutes", "hour", "day", "week", "month"]
QUERY_KEYS: Final = ("query", "query_file", "query_definition")


class VariableType(StrEnum):
    """The server's own words (docs/server.md#insight-variables)."""

    STRING = "String"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    LIST = "List"
    DATE = "Date"


# posthog-cli guesses a word from the JSON type of the default; both spellings load (docs/posthog-cli.md).
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
"""What the server takes today; it takes more from time to time, so others are left to it (docs/server.md#bodies)."""

_CODE_NAME = re.compile(r"[^\W]+")
_CODE_NAME_SCHEMA: Final = r"^[^\s!-/:-@A-Z\[-^`{-~]+$"  # the same in the regular expressions that all languages share
_ISO_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def _server_type(value: object) -> object:
    return GUESSED_TYPES.get(value, value) if isinstance(value, str) else value


def _one_code_name(value: object) -> object:
    mistake = code_name_mistake(value) if isinstance(value, str) else None
    if mistake is not None:
        raise ValueError(mistake)
    return value


def code_name_mistake(name: str) -> str | None:
    """What is wrong with a variable's name; PostHog makes code names itself (docs/server.md#insight-variables)."""
    if not _CODE_NAME.fullmatch(name):
        return "a variable's name is letters, digits and underscores"
    if name != name.lower():
        return f"PostHog makes the names of variables lower case: write {name.lower()!r} here and in the query"
    return None


def _query_node(node: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = node.get("kind")
    if not isinstance(kind, str):
        raise ValueError(f"a query node says its kind, such as {NODE_KINDS[1]}")
    near = None if kind in NODE_KINDS else closest(kind, NODE_KINDS, likeness=0.9, completes=False)
    if near is not None:
        raise ValueError(f"there is no kind {kind!r}; did you mean {near!r}?")
    if kind == "HogQLQuery" and not isinstance(node.get("query"), str):
        raise ValueError("a HogQLQuery has its text under query")
    return node


def _iso_date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(_ISO_DATE, value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"there is no day {value}") from None
    raise ValueError("a date is written like 2026-01-31")


_IsoDate = Annotated[
    date, BeforeValidator(_iso_date), WithJsonSchema({"type": "string", "format": "date", "pattern": _ISO_DATE})
]
_NODE_SCHEMA: Final = WithJsonSchema(
    {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "examples": list(NODE_KINDS)}}}
)
_TYPE_WORDS: Final = [*VariableType, *GUESSED_TYPES]


class _Model(BaseModel):
    """The text below a field is its description in the JSON Schema (`codecs.schema` reads it: pydantic would do so at
    every start of the program).
    """

    # deferred: the validator of `Definition` holds those of its parts, which else would each be built for themselves
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)

    def states(self, key: str) -> bool:
        """Whether the file says anything about this key."""
        return key in self.model_fields_set


class Variable(_Model):
    """A declared input of the query."""

    name: Annotated[str, BeforeValidator(_one_code_name), Field(json_schema_extra={"pattern": _CODE_NAME_SCHEMA})]
    """The code name: what callers send and what `{variables.NAME}` in the SQL refers to."""
    type: Annotated[VariableType, BeforeValidator(_server_type), WithJsonSchema({"enum": _TYPE_WORDS})]
    """The type of the project's shared variable; the lower-case words are those that posthog-cli writes."""
    default: Any = None
    """The query's own value, used where a caller sends none. Changing it cuts a version."""
    label: str | None = None
    """What people see in PostHog; belongs to the shared variable."""
    values: tuple[Any, ...] | None = None
    """The choices of a List variable; belongs to the shared variable."""
    multi: StrictBool | None = None
    """Whether a List variable takes several choices; belongs to the shared variable."""
    scope: Literal["tenant"] | None = None
    """`tenant` marks a variable that keeps callers apart: losing it is a data exposure (rule V111)."""


class Materialization(_Model):
    """Whether the answer is kept as a table, and how often that is rebuilt."""

    enabled: StrictBool | None = None
    """Absent: left as it is on the server."""
    schedule: ScheduleWord | None = None
    """The same setting as `data_freshness`."""


class Environment(_Model):
    """Settings laid over for one environment; never the query or its variables."""

    materialization: Materialization | None = None
    data_freshness: FreshnessWord | None = None
    active: StrictBool | None = None
    tags: tuple[str, ...] | None = None


class ColumnContract(_Model):
    """A column that callers may rely on."""

    name: str
    type: Literal["integer", "float", "decimal", "string", "datetime", "date", "boolean", "array", "json", "unknown"]
    nullable: StrictBool | None = None
    """Whether a value may be null."""
    description: str | None = None


class Deprecation(_Model):
    """The announcement that this endpoint will go."""

    since: _IsoDate
    """The day it was announced."""
    sunset: _IsoDate
    """The day from which on it may be gone."""
    replaced_by: str | None = None
    """The endpoint to call instead."""


class Example(_Model):
    """One call worth showing and testing; `rows` is what it answers, where that is stable."""

    name: str | None = None
    description: str | None = None
    variables: Mapping[str, Any] = Field(default_factory=dict)
    """What the call sends, by code name."""
    rows: tuple[Any, ...] | None = None
    """The answer's rows, in the order and shape of the server's `results`."""


class Definition(_Model):
    """One endpoint, as it should be."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Letter, then up to 127 of letters, digits, `_`, `-`. It identifies the endpoint, whatever the file is called."""
    description: str | None = None
    """What the endpoint answers, for the people who call it. An empty text clears the one on the server."""
    tags: tuple[str, ...] | None = None
    """For finding and selecting; the server keeps them in lower case. They belong to the endpoint, not to a version."""
    active: StrictBool | None = None
    """The endpoint's own flag: callers of an endpoint that is not active get a 404, whichever version they ask for."""
    query: str | None = None
    """HogQL text."""
    query_file: str | None = None
    """The path of a `.sql` file, relative to this file."""
    query_definition: Annotated[Mapping[str, Any], AfterValidator(_query_node), _NODE_SCHEMA] | None = None
    """A query node, such as a TrendsQuery."""
    variables: tuple[Variable, ...] | None = None
    """The declared inputs of the query, HogQL only; each is used in it."""
    materialization: Materialization | None = None
    """Whether and how often the answer is kept as a table. Then every variable becomes mandatory for callers."""
    data_freshness: FreshnessWord | None = None
    """How old an answer may be: a schedule word, or its number of seconds."""
    optional_breakdown_properties: tuple[str, ...] | None = None
    """Properties of the insight's breakdown that callers of the materialised endpoint may leave out."""
    bucket_overrides: Mapping[str, BucketFunction] | None = None
    """The size of the steps in which a materialised range variable can be asked for, by column."""
    environments: Mapping[str, Environment] | None = None
    """Settings laid over for one environment, by its name in the configuration."""
    supersedes: Annotated[int, Strict(), Field(ge=1)] | None = None
    """Written by `adopt`: the version on the server that this definition answers."""
    renamed_from: str | None = None
    """Written by `rename`: the name that this endpoint had."""
    columns: tuple[ColumnContract, ...] | None = None
    """What callers may rely on: checked against the query, not on the server."""
    owner: str | None = None
    """Who answers for this endpoint: a team or a person."""
    deprecation: Deprecation | None = None
    """Announces that this endpoint will go. No command uses it yet, and `check` says so (rule G120)."""
    examples: tuple[Example, ...] | None = None
    """Calls worth showing and testing."""
    stability: Literal["draft", "beta", "stable"] | None = None
    """How much callers should build on it."""

    @model_validator(mode="after")
    def _exactly_one_query(self) -> Self:
        mistake = query_keys_mistake([key for key in QUERY_KEYS if getattr(self, key) is not None])
        if mistake is not None:
            raise ValueError(mistake)
        return self

    @model_validator(mode="after")
    def _freshness_is_said_once(self) -> Self:
        places: list[Definition | Environment] = [self, *(self.environments or {}).values()]
        for settings in places:
            schedule = settings.materialization.schedule if settings.materialization else None
            mistake = freshness_mistake(settings.data_freshness, schedule)
            if mistake is not None:
                raise ValueError(mistake)
        return self

    def in_environment(self, environment: str | None) -> Definition:
        """This definition with the settings of one environment laid over it."""
        overlay = (self.environments or {}).get(environment or "")
        if overlay is None:
            return self
        changes: dict[str, Any] = {key: getattr(overlay, key) for key in overlay.model_fields_set}
        laid = overlay.materialization
        if laid is not None and self.materialization is not None:
            merged = {key: getattr(self.materialization, key) for key in self.materialization.model_fields_set}
            merged |= {key: getattr(laid, key) for key in laid.model_fields_set}
            changes["materialization"] = Materialization(**merged)
        changes |= _one_freshness(overlay, changes)
        return self.model_copy(update=changes)

    @property
    def freshness_seconds(self) -> int | None:
        """The freshness the file asks for, in seconds; None where it says nothing."""
        if self.data_freshness is not None:
            return freshness_seconds(self.data_freshness)
        if self.materialization is not None and self.materialization.schedule is not None:
            return SCHEDULES[self.materialization.schedule]
        return None


def freshness_seconds(value: str | int) -> int:
    """Seconds of a schedule word or of a number of seconds."""
    return SCHEDULES[value] if isinstance(value, str) else value


def query_keys_mistake(given: Collection[str]) -> str | None:
    """What is wrong with the query keys that a definition has a value for."""
    if len(given) == 1:
        return None
    said = " and ".join(given) if given else "none of them"
    return f"exactly one of {', '.join(QUERY_KEYS)} is needed, not {said}"


def freshness_mistake(data_freshness: str | int | None, schedule: str | None) -> str | None:
    """What is wrong with the two spellings of one setting, both valid by themselves."""
    if data_freshness is None or schedule is None or freshness_seconds(data_freshness) == SCHEDULES[schedule]:
        return None
    return f"data_freshness {data_freshness} and materialization.schedule {schedule} disagree: they are one setting"


def _one_freshness(overlay: Environment, changes: dict[str, Any]) -> dict[str, Any]:
    """The overlay's word on freshness wins over the common one, whichever of the two keys each of them used."""
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
    """A definition and where it came from.

    `path` is as the user would type it; `sql` is the HogQL text of `query` or of the file that `query_file` names, None
    for a query node; `lines` maps dotted keys (`variables.0.default`) to their line in the file, counted from 1;
    `unchecked` says why the syntax and the variables of its HogQL could not be checked, None where they were.
    `place` gives the `path:line:column` of a character of its HogQL, None where the text of the file is not at hand.
    """

    path: str
    definition: Definition
    sql: str | None
    lines: Mapping[str, int] = field(default_factory=dict)
    unchecked: str | None = None
    place: Callable[[int], Location] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.definition.name

    def where(self, key: str = "name") -> Location:
        """`path:line` of a key, of its nearest parent that has a line, else the path alone."""
        while key:
            if key in self.lines:
                return Location(self.path, self.lines[key])
            key = key.rpartition(".")[0]
        return Location(self.path)
