"""What PostHog does when endpoints are managed, as data: given these requests, when this one, then that answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

type Request = tuple[str, str] | tuple[str, str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`then` is compared with the answer: mappings may have more keys, patterns are searched for in the text."""

    given: tuple[Request, ...] = ()
    when: Request
    status: int
    then: Any = None
    absent: tuple[str, ...] = ()


def hogql(sql: str, **more: Any) -> dict[str, Any]:
    return {"kind": "HogQLQuery", "query": sql, **more}


def trends(*properties: str, **more: Any) -> dict[str, Any]:
    breakdowns = {"breakdownFilter": {"breakdowns": [{"property": each, "type": "event"} for each in properties]}}
    return {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}], **(breakdowns if properties else {}), **more}


def entry(name: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {f"<{name}>": {"variableId": f"<{name}>", "code_name": name, "value": value, **more}}


def create(sql: str = "SELECT 1 AS one", name: str = "e", **more: Any) -> Request:
    return ("POST", "endpoints/", {"name": name, "query": hogql(sql), **more})


def create_insight(query: dict[str, Any], name: str = "e", **more: Any) -> Request:
    return ("POST", "endpoints/", {"name": name, "query": query, **more})


def patch(path: str = "endpoints/e/", /, **body: Any) -> Request:
    return ("PATCH", path, body)


def sql(text: str, **more: Any) -> Request:
    return patch(query=hogql(text), **more)


def variable(name: str, default: Any = None, type: str = "String", **more: Any) -> Request:  # noqa: A002 - the field's name
    return ("POST", "insight_variables/", {"name": name, "type": type, "default_value": default, **more})


def invalid(detail: str, attr: str | None = None, code: str = "invalid_input") -> dict[str, Any]:
    return {"type": "validation_error", "code": code, "detail": detail, "attr": attr}


PARSE_ERROR = {"type": "invalid_request", "code": "parse_error", "attr": None}
NOT_FOUND = {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None}
EVENT = variable("event_name", "$pageview")
BROWSER = variable("browser", "Chrome")
BY_EVENT = "SELECT count() AS c FROM events WHERE event = {variables.event_name}"
BY_BOTH = BY_EVENT + " AND properties.$browser = {variables.browser}"
RANGE = (
    "SELECT count() AS c FROM events WHERE timestamp >= {variables.start} AND timestamp < {variables.end} "
    "AND event = 'signed_up'"
)
DATES = (variable("start", "2026-06-01", "Date"), variable("end", "2026-07-01", "Date"))
FRESHNESS = (
    "Data freshness must be one of: [900, 1800, 3600, 21600, 43200, 86400, 604800] seconds "
    "(15 minutes, 30 minutes, 1 hour, 6 hours, 12 hours, 24 hours, 7 days)."
)
EXPANDED = {
    "connectionId": None,
    "explain": None,
    "filters": None,
    "kind": "HogQLQuery",
    "modifiers": None,
    "name": None,
    "query": "SELECT 1 AS one",
    "response": None,
    "sendRawQuery": None,
    "tags": None,
    "values": None,
    "variables": None,
    "version": None,
}
MATERIALIZED = (create(), patch(is_materialized=True))

CREATING: dict[str, Case] = {
    "what is sent is told back, the query written out in full": Case(
        when=create(description="d"),
        status=201,
        then={
            "name": "e",
            "description": "d",
            "is_active": True,
            "derived_from_insight": None,
            "current_version": 1,
            "versions_count": 1,
            "data_freshness_seconds": 86400,
            "is_materialized": False,
            "bucket_overrides": None,
            "endpoint_path": "/api/projects/1/endpoints/e/run",
            "url": re.compile(r"^http://127\.0\.0\.1:\d+/api/projects/1/endpoints/e/run$"),
            "ui_url": re.compile(r"/project/1/endpoints/e$"),
            "tags": [],
            "optional_breakdown_properties": [],
            "last_executed_at": None,
            "created_at": re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$"),
        },
    ),
    "HogQL has thirteen keys": Case(when=create(), status=201, then={"query": EXPANDED}),
    "no SQL": Case(
        when=create("selet 100"),
        status=400,
        then=invalid("Invalid HogQL query: ", "query") | {"detail": re.compile("^Invalid HogQL query: .+")},
    ),
    "no such table": Case(
        when=create("SELECT x FROM nowhere"),
        status=400,
        then={"attr": "query", "detail": re.compile("^Invalid HogQL query: .*nowhere")},
    ),
    "no such field": Case(
        when=create("SELECT nothing FROM events"),
        status=400,
        then={"attr": "query", "detail": re.compile("^Invalid HogQL query: .*nothing")},
    ),
    "another placeholder": Case(
        when=create("SELECT 1 FROM events WHERE {foo}"),
        status=400,
        then={"attr": "query", "detail": re.compile(r"^Invalid HogQL query: .*foo")},
    ),
    "an undefined variable": Case(
        when=create(BY_EVENT),
        status=400,
        then=invalid(
            "Query references undefined variable(s): event_name. See https://posthog.com/docs/endpoints/variables for detail.",
            "query",
        ),
    ),
    "one of two undefined": Case(
        given=(EVENT,),
        when=create(BY_EVENT + " AND properties.$os = {variables.os}"),
        status=400,
        then={"detail": re.compile(r"variable\(s\): os\.")},
    ),
    "undefined ones are sorted": Case(
        when=create("SELECT {variables.b}, {variables.a}"), status=400, then={"detail": re.compile(r": a, b\.")}
    ),
    "a variable that is sent": Case(
        given=(EVENT,),
        when=("POST", "endpoints/", {"name": "e", "query": hogql(BY_EVENT, variables=entry("event_name", "$set"))}),
        status=201,
        then={
            "query": {
                "variables": {
                    "<event_name>": {
                        "code_name": "event_name",
                        "value": "$set",
                        "isNull": None,
                        "variableId": "<event_name>",
                    }
                }
            }
        },
    ),
    "a variable that is not sent comes with its default": Case(
        given=(EVENT,),
        when=create(BY_EVENT),
        status=201,
        then={
            "query": {
                "variables": {
                    "<event_name>": {
                        "code_name": "event_name",
                        "value": "$pageview",
                        "isNull": False,
                        "variableId": "<event_name>",
                    }
                }
            }
        },
    ),
    "a null value takes the default": Case(
        given=(EVENT,),
        when=("POST", "endpoints/", {"name": "e", "query": hogql(BY_EVENT, variables=entry("event_name"))}),
        status=201,
        then={"query": {"variables": {"<event_name>": {"value": "$pageview", "isNull": False}}}},
    ),
    "a null that is meant stays": Case(
        given=(EVENT,),
        when=(
            "POST",
            "endpoints/",
            {"name": "e", "query": hogql(BY_EVENT, variables=entry("event_name", isNull=True))},
        ),
        status=201,
        then={"query": {"variables": {"<event_name>": {"value": None, "isNull": True}}}},
    ),
    "a default of null": Case(
        given=(variable("event_name"),),
        when=create(BY_EVENT),
        status=201,
        then={"query": {"variables": {"<event_name>": {"value": None, "isNull": True}}}},
    ),
    "variables without placeholders are dropped": Case(
        given=(EVENT,),
        when=("POST", "endpoints/", {"name": "e", "query": hogql("SELECT 1", variables=entry("event_name", "x"))}),
        status=201,
        then={"query": {"variables": None}},
    ),
    "a key that is no UUID": Case(
        when=(
            "POST",
            "endpoints/",
            {
                "name": "e",
                "query": hogql("SELECT {variables.x}", variables={"var-1": {"variableId": "var-1", "code_name": "x"}}),
            },
        ),
        status=400,
        then=invalid("Variable ID(s) not valid UUIDs: var-1. ", "query"),
    ),
    "an unknown UUID": Case(
        when=(
            "POST",
            "endpoints/",
            {
                "name": "e",
                "query": hogql(
                    "SELECT {variables.x}",
                    variables={
                        "0198c0de-0000-7000-8000-000000000000": {
                            "variableId": "0198c0de-0000-7000-8000-000000000000",
                            "code_name": "x",
                        }
                    },
                ),
            },
        ),
        status=400,
        then=invalid(
            "Variable ID(s) not found: 0198c0de-0000-7000-8000-000000000000. "
            "Make sure the variables exist in https://app.posthog.com/data-management/variables.",
            "query",
        ),
    ),
    "a single List variable as an array": Case(
        given=(variable("plan", "pro", "List", values=["pro", "free"]),),
        when=create("SELECT 1 FROM events WHERE has({variables.plan}, event)"),
        status=400,
        then={"attr": "query", "detail": re.compile("plan")},
    ),
    "a List variable of several choices as an array": Case(
        given=(variable("plan", ["pro"], "List", values=["pro", "free"], is_multi=True),),
        when=create("SELECT 1 AS one FROM events WHERE has({variables.plan}, event)"),
        status=201,
    ),
    "a direct connection": Case(
        when=("POST", "endpoints/", {"name": "e", "query": hogql("SELECT 1", connectionId="c")}),
        status=400,
        then=invalid(
            "Endpoints can't query a direct connection. Switch the connection to PostHog (ClickHouse) and query a synced table instead.",
            "query",
        ),
    ),
    "empty SQL": Case(when=create(""), status=201, then={"columns": []}),
    "columns are described": Case(
        given=(EVENT,),
        when=create("SELECT event, count() AS cnt FROM events WHERE event = {variables.event_name} GROUP BY event"),
        status=201,
        then={"columns": [{"name": "event", "type": "string"}, {"name": "cnt", "type": "integer"}]},
    ),
    "a small insight": Case(
        when=create_insight(trends()), status=201, then={"columns": [], "query": {"kind": "TrendsQuery"}}
    ),
    "a rich insight": Case(
        when=create_insight(
            trends("$browser", compareFilter={"compare": True}, trendsFilter={"formula": "A"}, interval="week")
        ),
        status=201,
        then={"query": {"compareFilter": {"compare": True}, "trendsFilter": {"formula": "A"}, "interval": "week"}},
    ),
    "without a name": Case(
        when=("POST", "endpoints/", {"query": hogql("SELECT 1")}),
        status=400,
        then=invalid("This field is required.", "name"),
    ),
    "an empty name": Case(when=create(name=""), status=400, then=invalid("This field is required.", "name")),
    "without a query, said before the name": Case(
        when=("POST", "endpoints/", {}), status=400, then=invalid("This field is required.", "query")
    ),
    "a bad name": Case(
        when=create(name="invalid@name!"),
        status=400,
        then=invalid(
            "Invalid name 'invalid@name!'. Must start with a letter, contain only alphanumeric characters, hyphens, or "
            "underscores, and be between 1 and 128 characters long.",
            "name",
        ),
    ),
    "a name that is too long": Case(when=create(name="a" * 129), status=400, then={"attr": "name"}),
    "a name with a newline at its end": Case(when=create(name="a\n"), status=400, then={"attr": "name"}),
    "the longest name": Case(when=create(name="a" * 128), status=201),
    "the name is checked before the SQL": Case(when=create("selet", name="1"), status=400, then={"attr": "name"}),
    "the SQL is checked before the freshness": Case(
        when=create("selet", data_freshness_seconds=1), status=400, then={"attr": "query"}
    ),
    "the freshness is checked before the name's use": Case(
        given=(create(),), when=create(data_freshness_seconds=1), status=400, then={"attr": "data_freshness_seconds"}
    ),
    "a name in use": Case(
        given=(create(),),
        when=create(),
        status=400,
        then=invalid("An endpoint with this name already exists for this team.", "name"),
    ),
    "names differ by case": Case(given=(create(),), when=create(name="E"), status=201),
    **{
        f"freshness {seconds}": Case(
            when=create(data_freshness_seconds=seconds), status=201, then={"data_freshness_seconds": seconds}
        )
        for seconds in (900, 1800, 3600, 21600, 43200, 86400, 604800)
    },
    **{
        f"freshness {seconds} is refused": Case(
            when=create(data_freshness_seconds=seconds), status=400, then=invalid(FRESHNESS, "data_freshness_seconds")
        )
        for seconds in (60, 300, 840, 3000, 604801)
    },
    "freshness as text": Case(
        when=create(data_freshness_seconds="900"), status=201, then={"data_freshness_seconds": 900}
    ),
    "freshness null": Case(
        when=create(data_freshness_seconds=None), status=201, then={"data_freshness_seconds": 86400}
    ),
    "derived from an insight": Case(
        when=create(derived_from_insight="abc123xyz"), status=201, then={"derived_from_insight": "abc123xyz"}
    ),
    "a short id that is too long": Case(
        when=create(derived_from_insight="x" * 13), status=400, then=invalid("Failed to create endpoint.")
    ),
    "tags are trimmed, lower-cased, sorted, once each": Case(
        when=create(tags=["Web ", "beta", "web"]), status=201, then={"tags": ["beta", "web"]}
    ),
    "tags that are no list": Case(
        when=create(tags="not-a-list"),
        status=400,
        then=PARSE_ERROR
        | {
            "detail": re.compile(
                "^JSON parse error - 1 validation error for EndpointRequest\ntags\n  Input should be a valid list"
            )
        },
    ),
    "an unknown key": Case(
        when=create(foo=1),
        status=400,
        then=PARSE_ERROR | {"detail": re.compile("foo\n  Extra inputs are not permitted")},
    ),
    "an old field": Case(when=create(cache_age_seconds=1), status=400, then=PARSE_ERROR),
    "an unknown kind": Case(
        when=create_insight({"kind": "EventsQuery", "select": ["*"]}), status=400, then=PARSE_ERROR
    ),
    "SQL that is no text": Case(when=create_insight({"kind": "HogQLQuery", "query": 5}), status=400, then=PARSE_ERROR),
    "a half float for an integer": Case(when=create(data_freshness_seconds=900.5), status=400, then=PARSE_ERROR),
    "a boolean as text": Case(when=create(is_active="false"), status=201, then={"is_active": False}),
    "version and deleted are ignored": Case(
        when=create(version=7, deleted=True), status=201, then={"current_version": 1}
    ),
    "optional breakdowns of HogQL": Case(
        when=create(optional_breakdown_properties=["x"]),
        status=400,
        then=invalid(
            "Query kind 'HogQLQuery' does not support breakdowns. Supported: RetentionQuery, TrendsQuery.",
            "optional_breakdown_properties",
        ),
    ),
    "an unknown breakdown": Case(
        when=create_insight(trends("$browser", "$os"), optional_breakdown_properties=["$x"]),
        status=400,
        then=invalid("Unknown breakdown property: '$x'. Known: ['$browser', '$os'].", "optional_breakdown_properties"),
    ),
    "unknown breakdowns where there are none": Case(
        when=create_insight(trends(), optional_breakdown_properties=["$x", "$y"]),
        status=400,
        then=invalid("Unknown breakdown properties: '$x', '$y'. Known: (none).", "optional_breakdown_properties"),
    ),
    "a legacy breakdown": Case(
        when=create_insight(
            trends(breakdownFilter={"breakdown": "$browser"}), optional_breakdown_properties=["$browser"]
        ),
        status=201,
        then={"optional_breakdown_properties": ["$browser"]},
    ),
    "materialised at once": Case(
        when=create(is_materialized=True),
        status=201,
        then={
            "is_materialized": False,
            "materialization": {
                "enabled": True,
                "ready": False,
                "status": "Running",
                "can_materialize": True,
                "error": "",
                "last_materialized_at": None,
            },
        },
    ),
    "not materialised by itself": Case(
        when=create(),
        status=201,
        then={"materialization": {"enabled": False, "ready": False, "can_materialize": True, "reason": None}},
        absent=("materialization.status", "materialization.saved_query_id"),
    ),
    "materialised while inactive is not refused here": Case(
        when=create(is_materialized=True, is_active=False), status=201
    ),
    "bucket overrides without materialisation are ignored": Case(
        when=create(bucket_overrides={"timestamp": "nonsense"}), status=201, then={"bucket_overrides": None}
    ),
}

UPDATING: dict[str, Case] = {
    "an undefined variable": Case(
        given=(create(),),
        when=sql("SELECT {variables.nope}"),
        status=400,
        then={"attr": "query", "detail": re.compile("nope")},
    ),
    "variables follow the placeholders": Case(
        given=(EVENT, BROWSER, variable("city", "Paris"), create(BY_BOTH)),
        when=patch(
            query=hogql(
                "SELECT count() AS c FROM events WHERE event = {variables.event_name} AND properties.$city = {variables.city}",
                variables=entry("event_name", "$pageleave") | entry("browser", "x"),
            )
        ),
        status=200,
        then={"query": {"variables": {"<event_name>": {"value": "$pageleave"}, "<city>": {"value": "Paris"}}}},
        absent=("query.variables.<browser>",),
    ),
    "a single List variable as an array": Case(
        given=(variable("plan", "pro", "List", values=["pro"]), create()),
        when=sql("SELECT has({variables.plan}, 'a')"),
        status=400,
        then={"detail": re.compile("plan")},
    ),
    "several things at once": Case(
        given=(create(),),
        when=("PUT", "endpoints/e/", {"description": "new", "is_active": False, "query": hogql("SELECT 2 AS two")}),
        status=200,
        then={"description": "new", "is_active": False, "current_version": 2, "query": {"query": "SELECT 2 AS two"}},
    ),
    "the old version stays as it was": Case(
        given=(create(description="old"), sql("SELECT 2 AS two", description="new")),
        when=("GET", "endpoints/e/?version=1"),
        status=200,
        then={"query": EXPANDED, "description": "old", "version": 1, "current_version": 2, "versions_count": 2},
    ),
    "settings make no version": Case(
        given=(create(),),
        when=("PUT", "endpoints/e/", {"description": "d", "is_active": False}),
        status=200,
        then={"current_version": 1, "versions_count": 1},
    ),
    "the same query makes no version": Case(
        given=(create(),), when=sql("SELECT 1 AS one"), status=200, then={"current_version": 1}
    ),
    "what was read back makes no version": Case(
        given=(EVENT, create(BY_EVENT)),
        when=patch(query=hogql(BY_EVENT, name=None, variables=entry("event_name", "$pageview", isNull=False))),
        status=200,
        then={"current_version": 1},
    ),
    "blank space makes a version": Case(
        given=(create(),), when=sql("SELECT  1 AS one"), status=200, then={"current_version": 2}
    ),
    "a variable's value makes a version": Case(
        given=(EVENT, create(BY_EVENT)),
        when=patch(query=hogql(BY_EVENT, variables=entry("event_name", "x"))),
        status=200,
        then={"current_version": 2},
    ),
    "an old query makes a new version": Case(
        given=(create(), sql("SELECT 2 AS two")), when=sql("SELECT 1 AS one"), status=200, then={"current_version": 3}
    ),
    "a new version inherits description and freshness": Case(
        given=(create(description="d", data_freshness_seconds=900),),
        when=sql("SELECT 2 AS two"),
        status=200,
        then={"description": "d", "data_freshness_seconds": 900},
    ),
    "freshness makes no version": Case(
        given=(create(),),
        when=patch(data_freshness_seconds=21600),
        status=200,
        then={"data_freshness_seconds": 21600, "current_version": 1},
    ),
    "freshness null is the default": Case(
        given=(create(data_freshness_seconds=900),),
        when=patch(data_freshness_seconds=None),
        status=200,
        then={"data_freshness_seconds": 86400},
    ),
    "freshness omitted stays": Case(
        given=(create(data_freshness_seconds=900),), when=patch(), status=200, then={"data_freshness_seconds": 900}
    ),
    "a bad freshness": Case(
        given=(create(),),
        when=patch(data_freshness_seconds=60),
        status=400,
        then=invalid(FRESHNESS, "data_freshness_seconds"),
    ),
    "a name is ignored": Case(given=(create(),), when=patch(name="other@!"), status=200, then={"name": "e"}),
    "description null stays": Case(
        given=(create(description="d"),), when=patch(description=None), status=200, then={"description": "d"}
    ),
    "description empty clears": Case(
        given=(create(description="d"),), when=patch(description=""), status=200, then={"description": ""}
    ),
    "tags are replaced": Case(
        given=(create(tags=["a", "b"]),), when=patch(tags=["Gamma"]), status=200, then={"tags": ["gamma"]}
    ),
    "tags empty clear": Case(given=(create(tags=["a"]),), when=patch(tags=[]), status=200, then={"tags": []}),
    "tags omitted stay": Case(
        given=(create(tags=["a"]),), when=patch(description="x"), status=200, then={"tags": ["a"]}
    ),
    "deleted": Case(given=(create(),), when=patch(deleted=True, description="x"), status=200, then={"success": True}),
    "deleted false does nothing": Case(given=(create(),), when=patch(deleted=False), status=200, then={"name": "e"}),
    "no such endpoint": Case(when=patch(description="x"), status=404, then=NOT_FOUND),
    "no such endpoint is said before the body": Case(when=patch(foo=1), status=404, then=NOT_FOUND),
    "no such version": Case(
        given=(create(),),
        when=patch("endpoints/e/?version=999", description="x"),
        status=400,
        then=invalid("Version 999 not found for this endpoint.", "version"),
    ),
    "a version that is no number": Case(
        given=(create(),),
        when=patch("endpoints/e/?version=abc"),
        status=400,
        then=invalid("Must be an integer, got: abc", "version"),
    ),
    "a body version that is no number": Case(
        given=(create(),), when=patch(version="abc"), status=400, then=PARSE_ERROR
    ),
    "the body's version wins": Case(
        given=(create(),), when=patch("endpoints/e/?version=999", version=1), status=200, then={"version": 1}
    ),
    "an enormous version": Case(given=(create(),), when=patch(version=10**30), status=400, then={"attr": "version"}),
    "a query for a version": Case(
        given=(create(),),
        when=patch("endpoints/e/?version=1", query=hogql("SELECT 2 AS two")),
        status=400,
        then=invalid(
            "Cannot change query when targeting a specific version. Query changes create a new version.", "query"
        ),
    ),
    "a description of one version": Case(
        given=(create(description="d"), sql("SELECT 2 AS two")),
        when=patch("endpoints/e/?version=1", description="only here"),
        status=200,
        then={
            "description": "only here",
            "version": 1,
            "url": None,
            "ui_url": None,
            "version_updated_at": re.compile(r"\+00:00$"),
        },
    ),
    "and not of the other": Case(
        given=(
            create(description="d"),
            sql("SELECT 2 AS two"),
            patch("endpoints/e/?version=1", description="only here"),
        ),
        when=("GET", "endpoints/e/"),
        status=200,
        then={"description": "d"},
    ),
    "a version switched off": Case(
        given=(create(),),
        when=patch("endpoints/e/?version=1", is_active=False),
        status=200,
        then={"is_active": False, "endpoint_is_active": True},
    ),
    "and on again": Case(
        given=(create(), patch("endpoints/e/?version=1", is_active=False)),
        when=patch("endpoints/e/?version=1", is_active=True),
        status=200,
        then={"is_active": True},
    ),
    "a new version is active whatever the old one is": Case(
        given=(create(), patch("endpoints/e/?version=1", is_active=False), sql("SELECT 2 AS two")),
        when=("GET", "endpoints/e/?version=2"),
        status=200,
        then={"is_active": True},
    ),
    "optional breakdowns are pruned with the query": Case(
        given=(create_insight(trends("$browser", "$os"), optional_breakdown_properties=["$browser", "$os"]),),
        when=patch(query=trends("$browser")),
        status=200,
        then={"optional_breakdown_properties": ["$browser"], "current_version": 2},
    ),
    "optional breakdowns go with the breakdown": Case(
        given=(create_insight(trends("$browser"), optional_breakdown_properties=["$browser"]),),
        when=patch(query=trends()),
        status=200,
        then={"optional_breakdown_properties": []},
    ),
    "an explicit list wins": Case(
        given=(create_insight(trends("$browser", "$os"), optional_breakdown_properties=["$browser"]),),
        when=patch(query=trends("$browser", "$os", "$city"), optional_breakdown_properties=["$city"]),
        status=200,
        then={"optional_breakdown_properties": ["$city"]},
    ),
    "optional breakdowns null clear": Case(
        given=(create_insight(trends("$browser"), optional_breakdown_properties=["$browser"]),),
        when=patch(optional_breakdown_properties=None),
        status=200,
        then={"optional_breakdown_properties": []},
    ),
    "judged against the version that is meant": Case(
        given=(create_insight(trends("$browser")), patch(query=trends("$os"))),
        when=patch("endpoints/e/?version=1", optional_breakdown_properties=["$browser"]),
        status=200,
        then={"optional_breakdown_properties": ["$browser"]},
    ),
    "and refused against it": Case(
        given=(create_insight(trends("$browser")), patch(query=trends("$os"))),
        when=patch("endpoints/e/?version=1", optional_breakdown_properties=["$os"]),
        status=400,
        then={"attr": "optional_breakdown_properties"},
    ),
}

MATERIALISING: dict[str, Case] = {
    "no table right after enabling": Case(
        given=(create(),),
        when=patch(is_materialized=True),
        status=200,
        then={
            "is_materialized": False,
            "current_version": 1,
            "materialization": {
                "enabled": True,
                "ready": False,
                "status": "Running",
                "saved_query_id": re.compile("."),
            },
        },
    ),
    "a table at the next read": Case(
        given=MATERIALIZED,
        when=("GET", "endpoints/e/"),
        status=200,
        then={
            "is_materialized": True,
            "materialization": {
                "enabled": True,
                "ready": True,
                "status": "Completed",
                "error": "",
                "last_materialized_at": re.compile(r"\+00:00$"),
            },
        },
    ),
    "its status": Case(
        given=MATERIALIZED,
        when=("GET", "endpoints/e/materialization_status/"),
        status=200,
        then={"name": "e", "enabled": True, "ready": True, "status": "Completed"},
        absent=("query", "id"),
    ),
    "the status of a version that is not there": Case(
        given=(create(),),
        when=("GET", "endpoints/e/materialization_status/?version=9"),
        status=404,
        then={"error": "Version 9 not found"},
    ),
    "the status of no number": Case(
        given=(create(),),
        when=("GET", "endpoints/e/materialization_status/?version=x"),
        status=400,
        then=invalid("Must be an integer, got: x", "version"),
    ),
    "off": Case(
        given=MATERIALIZED,
        when=patch(is_materialized=False),
        status=200,
        then={"is_materialized": False, "materialization": {"enabled": False}},
        absent=("materialization.status", "materialization.saved_query_id"),
    ),
    "a new version is materialised as the old one was": Case(
        given=MATERIALIZED,
        when=sql("SELECT 2 AS two"),
        status=200,
        then={"current_version": 2, "is_materialized": False, "materialization": {"enabled": True}},
    ),
    "unless it is told not to": Case(
        given=MATERIALIZED,
        when=sql("SELECT 2 AS two", is_materialized=False),
        status=200,
        then={"current_version": 2, "materialization": {"enabled": False}},
    ),
    "and the old one keeps its table": Case(
        given=(*MATERIALIZED, sql("SELECT 2 AS two")),
        when=("GET", "endpoints/e/?version=1"),
        status=200,
        then={"is_materialized": True},
    ),
    "a new query that cannot be: the version stays, with an error": Case(
        given=(EVENT, *MATERIALIZED),
        when=sql("SELECT count() AS c FROM events HAVING count() > {variables.event_name}"),
        status=200,
        then={
            "current_version": 2,
            "materialization": {"enabled": False},
            "materialization_error": re.compile(
                r"^\[ErrorDetail\(string='Cannot materialize endpoint\. Reason: Variables not supported: .*', code='invalid'\)\]$"
            ),
        },
    ),
    "a query that cannot be": Case(
        given=(create_insight({"kind": "FunnelsQuery", "series": [{"kind": "EventsNode"}]}),),
        when=patch(is_materialized=True),
        status=400,
        then=invalid(
            "Cannot materialize endpoint. Reason: Query type 'FunnelsQuery' cannot be materialized. "
            "Supported types: HogQLQuery, LifecycleQuery, RetentionQuery, TrendsQuery"
        ),
    ),
    "and at creation nothing stays": Case(
        given=(create_insight({"kind": "FunnelsQuery", "series": [{"kind": "EventsNode"}]}, is_materialized=True),),
        when=("GET", "endpoints/e/"),
        status=404,
    ),
    "a cohort breakdown": Case(
        given=(create_insight(trends(breakdownFilter={"breakdown": [1], "breakdown_type": "cohort"})),),
        when=patch(is_materialized=True),
        status=400,
        then={"detail": re.compile("Cohort breakdowns are not supported")},
    ),
    "one version alone": Case(
        given=(create(), sql("SELECT 2 AS two")),
        when=patch("endpoints/e/?version=1", is_materialized=True),
        status=200,
        then={"version": 1, "materialization": {"enabled": True}},
    ),
    "and not the other": Case(
        given=(create(), sql("SELECT 2 AS two"), patch("endpoints/e/?version=1", is_materialized=True)),
        when=("GET", "endpoints/e/"),
        status=200,
        then={"materialization": {"enabled": False}},
    ),
    "one version off": Case(
        given=MATERIALIZED,
        when=patch("endpoints/e/?version=1", is_materialized=False),
        status=200,
        then={"materialization": {"enabled": False}},
    ),
    "on while inactive": Case(
        given=(create(is_active=False),),
        when=patch(is_materialized=True),
        status=400,
        then=invalid("Cannot enable materialization on inactive endpoint.", "is_materialized"),
    ),
    "on while switched off": Case(
        given=(create(),),
        when=patch(is_materialized=True, is_active=False),
        status=400,
        then={"attr": "is_materialized"},
    ),
    "on while switched on": Case(
        given=(create(is_active=False),),
        when=patch(is_materialized=True, is_active=True),
        status=200,
        then={"materialization": {"enabled": True}},
    ),
    "deactivating the endpoint takes all tables": Case(
        given=(*MATERIALIZED, sql("SELECT 2 AS two"), patch(is_active=False)),
        when=("GET", "endpoints/e/?version=1"),
        status=200,
        then={"materialization": {"enabled": False}},
    ),
    "deactivating a version takes its table": Case(
        given=MATERIALIZED,
        when=patch("endpoints/e/?version=1", is_active=False),
        status=200,
        then={"materialization": {"enabled": False}},
    ),
    "and leaves the current one's": Case(
        given=(*MATERIALIZED, sql("SELECT 2 AS two"), patch("endpoints/e/?version=1", is_active=False)),
        when=("GET", "endpoints/e/"),
        status=200,
        then={"is_materialized": True, "is_active": True},
    ),
    "an inactive version is not materialised": Case(
        given=(create(), patch("endpoints/e/?version=1", is_active=False)),
        when=patch("endpoints/e/?version=1", is_materialized=True),
        status=200,
        then={"materialization": {"enabled": False}},
    ),
    "overrides are stored": Case(
        given=(*DATES, create(RANGE)),
        when=patch(is_materialized=True, bucket_overrides={"timestamp": "hour"}),
        status=200,
        then={"bucket_overrides": {"timestamp": "hour"}},
    ),
    "overrides are cleared by what omits them": Case(
        given=(*DATES, create(RANGE), patch(is_materialized=True, bucket_overrides={"timestamp": "hour"})),
        when=patch(description="x"),
        status=200,
        then={"bucket_overrides": None},
    ),
    "overrides survive switching off": Case(
        given=(*DATES, create(RANGE), patch(is_materialized=True, bucket_overrides={"timestamp": "hour"})),
        when=patch(is_materialized=False),
        status=200,
        then={"bucket_overrides": {"timestamp": "hour"}},
    ),
    "overrides do not survive switching on again": Case(
        given=(
            *DATES,
            create(RANGE),
            patch(is_materialized=True, bucket_overrides={"timestamp": "hour"}),
            patch(is_materialized=False),
        ),
        when=patch(is_materialized=True),
        status=200,
        then={"bucket_overrides": None},
    ),
    "overrides go along to a new version": Case(
        given=(*DATES, create(RANGE), patch(is_materialized=True, bucket_overrides={"timestamp": "hour"})),
        when=sql(RANGE + " AND 1 = 1"),
        status=200,
        then={"current_version": 2, "bucket_overrides": {"timestamp": "hour"}},
    ),
    "changed overrides build again": Case(
        given=(*DATES, create(RANGE), patch(is_materialized=True, bucket_overrides={"timestamp": "hour"})),
        when=patch(bucket_overrides={"timestamp": "week"}),
        status=200,
        then={"is_materialized": True, "materialization": {"status": "Running"}},
    ),
    "the same overrides do not": Case(
        given=(*DATES, create(RANGE), patch(is_materialized=True, bucket_overrides={"timestamp": "hour"})),
        when=patch(bucket_overrides={"timestamp": "hour"}),
        status=200,
        then={"materialization": {"status": "Completed"}},
    ),
    "bad overrides": Case(
        given=(create(),),
        when=patch(is_materialized=True, bucket_overrides={"timestamp": "invalid_fn"}),
        status=400,
        then=invalid(
            "Invalid bucket override values: {'timestamp': 'invalid_fn'}. Valid options: ['minute', 'fifteen_minutes', 'hour', 'day', 'week', 'month']"
        ),
    ),
    "overrides of what is not materialised": Case(
        given=(create(),),
        when=patch(bucket_overrides={"timestamp": "nonsense"}),
        status=200,
        then={"bucket_overrides": None},
    ),
    "a range is shown": Case(
        given=(*DATES, create(RANGE)),
        when=("POST", "endpoints/e/materialization_preview/", {}),
        status=200,
        then={
            "can_materialize": True,
            "reason": None,
            "range_pairs": [{"column": "timestamp", "variables": ["start", "end"], "bucket_fn": "toStartOfDay"}],
            "aggregates": [{"expression": "count()", "reaggregate_fn": "sum"}],
            "execution_query": re.compile("e_v1"),
            "transformed_query": re.compile("toStartOfDay"),
        },
    ),
    "a range with an override": Case(
        given=(*DATES, create(RANGE)),
        when=(
            "POST",
            "endpoints/e/materialization_preview/",
            {"bucket_overrides": {"timestamp": "hour"}, "whatever": 1},
        ),
        status=200,
        then={"range_pairs": [{"column": "timestamp", "variables": ["start", "end"], "bucket_fn": "toStartOfHour"}]},
    ),
    "a preview with a bad override": Case(
        given=(create(),),
        when=("POST", "endpoints/e/materialization_preview/", {"bucket_overrides": {"timestamp": "invalid_fn"}}),
        status=400,
        then={"attr": None, "detail": re.compile("Invalid bucket override values")},
    ),
    "a preview of what cannot be": Case(
        given=(create_insight({"kind": "FunnelsQuery", "series": [{"kind": "EventsNode"}]}),),
        when=("POST", "endpoints/e/materialization_preview/", {}),
        status=200,
        then={
            "can_materialize": False,
            "reason": re.compile("FunnelsQuery"),
            "transformed_query": None,
            "range_pairs": [],
            "aggregates": [],
        },
    ),
    "a preview without variables": Case(
        given=(create(),),
        when=("POST", "endpoints/e/materialization_preview/", {}),
        status=200,
        then={"transformed_query": "SELECT 1 AS one", "range_pairs": []},
    ),
    "a preview of no version": Case(
        given=(create(),),
        when=("POST", "endpoints/e/materialization_preview/", {"version": 9}),
        status=404,
        then={"error": "Version 9 not found"},
    ),
    "a preview of nothing": Case(when=("POST", "endpoints/e/materialization_preview/", {}), status=404, then=NOT_FOUND),
    "no suggestions": Case(
        given=(create(),),
        when=("POST", "endpoints/e/materialization_suggestion/", {}),
        status=404,
        then={"error": "AI materialization suggestions are not enabled for this project."},
    ),
    "the conditions": Case(
        when=("GET", "endpoints/materialization_conditions/"),
        status=200,
        then={"conditions_source": re.compile("def "), "rewrite_contract": re.compile(".")},
    ),
}

READING: dict[str, Case] = {
    "an endpoint": Case(
        given=(create(),),
        when=("GET", "endpoints/e/"),
        status=200,
        then={"name": "e", "query": EXPANDED},
        absent=("version", "endpoint_is_active"),
    ),
    "no endpoint": Case(when=("GET", "endpoints/e/"), status=404, then=NOT_FOUND),
    "without a trailing slash": Case(given=(create(),), when=("GET", "endpoints/e"), status=200),
    "a version": Case(
        given=(create(),),
        when=("GET", "endpoints/e/?version=1"),
        status=200,
        then={
            "version": 1,
            "url": None,
            "ui_url": None,
            "endpoint_is_active": True,
            "version_created_at": re.compile(r"\+00:00$"),
            "version_updated_at": None,
            "version_created_by": {"id": 1},
        },
    ),
    "no such version": Case(
        given=(create(),), when=("GET", "endpoints/e/?version=999"), status=404, then={"error": "Version 999 not found"}
    ),
    "version zero": Case(
        given=(create(),), when=("GET", "endpoints/e/?version=0"), status=404, then={"error": "Version 0 not found"}
    ),
    "a version that is no number": Case(
        given=(create(),),
        when=("GET", "endpoints/e/?version=abc"),
        status=400,
        then=invalid("Must be an integer, got: abc", "version"),
    ),
    "no route for one version": Case(given=(create(),), when=("GET", "endpoints/e/versions/1/"), status=404),
    "versions, newest first": Case(
        given=(create(), sql("SELECT 2 AS two"), sql("SELECT 3 AS three")),
        when=("GET", "endpoints/e/versions/"),
        status=200,
        then={
            "count": 3,
            "next": None,
            "previous": None,
            "results": [
                {"version": 3, "is_active": True},
                {"version": 2, "current_version": 3},
                {"version": 1, "versions_count": 3},
            ],
        },
    ),
    "versions of an inactive endpoint": Case(
        given=(create(is_active=False),), when=("GET", "endpoints/e/versions/"), status=200, then={"count": 1}
    ),
    "versions of nothing": Case(when=("GET", "endpoints/e/versions/"), status=404, then=NOT_FOUND),
    "the list has the newest version": Case(
        given=(create(), sql("SELECT 2 AS two"), sql("SELECT 3 AS three")),
        when=("GET", "endpoints/"),
        status=200,
        then={
            "count": 1,
            "results": [{"current_version": 3, "versions_count": 3, "query": {"query": "SELECT 3 AS three"}}],
        },
    ),
    "active and inactive": Case(
        given=(create(name="a"), create(name="b", is_active=False)),
        when=("GET", "endpoints/"),
        status=200,
        then={"count": 2, "results": [{"name": "a"}, {"name": "b"}]},
    ),
    "active": Case(
        given=(create(name="a"), create(name="b", is_active=False)),
        when=("GET", "endpoints/?is_active=TRUE"),
        status=200,
        then={"results": [{"name": "a"}]},
    ),
    "inactive": Case(
        given=(create(name="a"), create(name="b", is_active=False)),
        when=("GET", "endpoints/?is_active=0"),
        status=200,
        then={"results": [{"name": "b"}]},
    ),
    "a flag that is none": Case(
        given=(create(name="a"), create(name="b", is_active=False)),
        when=("GET", "endpoints/?is_active=maybe&search=zzz"),
        status=200,
        then={"count": 2},
    ),
    "by author": Case(given=(create(),), when=("GET", "endpoints/?created_by=1"), status=200, then={"count": 1}),
    "by an author of nothing": Case(
        given=(create(),), when=("GET", "endpoints/?created_by=2"), status=200, then={"count": 0, "results": []}
    ),
    "by author and flag": Case(
        given=(create(),), when=("GET", "endpoints/?created_by=1&is_active=false"), status=200, then={"count": 0}
    ),
    "by nobody": Case(
        when=("GET", "endpoints/?created_by=77"),
        status=400,
        then=invalid(
            "Select a valid choice. That choice is not one of the available choices.", "created_by", "invalid_choice"
        ),
    ),
    "deleted ones are not listed": Case(
        given=(create(), ("DELETE", "endpoints/e/")), when=("GET", "endpoints/"), status=200, then={"count": 0}
    ),
    "deleted": Case(given=(create(),), when=("DELETE", "endpoints/e/"), status=204),
    "deleted twice": Case(
        given=(create(), ("DELETE", "endpoints/e/")), when=("DELETE", "endpoints/e/"), status=404, then=NOT_FOUND
    ),
    "a deleted one is not found": Case(
        given=(create(), sql("SELECT 2 AS two"), ("DELETE", "endpoints/e/")), when=("GET", "endpoints/e/"), status=404
    ),
    "the name is free again, at version 1": Case(
        given=(create(), sql("SELECT 2 AS two"), ("DELETE", "endpoints/e/")),
        when=create(),
        status=201,
        then={"current_version": 1, "versions_count": 1},
    ),
    "deleted by PATCH": Case(given=(create(), patch(deleted=True)), when=("GET", "endpoints/e/"), status=404),
    "bulk tags with a key": Case(
        when=("POST", "endpoints/bulk_update_tags/", {}),
        status=403,
        then={"detail": "This action does not support personal API key access"},
    ),
    "a wrong method": Case(
        given=(create(),),
        when=("POST", "endpoints/e/", {}),
        status=405,
        then={
            "type": "invalid_request",
            "code": "method_not_allowed",
            "detail": 'Method "POST" not allowed.',
            "attr": None,
        },
    ),
    "no such route": Case(when=("GET", "nowhere/"), status=404, then={"code": "not_found"}),
    "no run times without names": Case(
        when=("POST", "endpoints/last_execution_times/", {"names": []}),
        status=200,
        then={"query_status": {"id": "", "complete": True, "results": None}},
    ),
    "no run times of what never ran": Case(
        given=(create(),),
        when=("POST", "endpoints/last_execution_times/", {"names": ["e", "unknown"]}),
        status=200,
        then={"query_status": {"results": []}},
    ),
    "run times of no name": Case(
        when=("POST", "endpoints/last_execution_times/", {"names": ["a b"]}),
        status=400,
        then=invalid("Invalid endpoint name: a b", "names"),
    ),
    "run times of nonsense": Case(
        when=("POST", "endpoints/last_execution_times/", {"names": 5}),
        status=500,
        then={"type": "server_error", "code": "error", "detail": "A server error occurred."},
    ),
}

ALL = {
    f"{group}: {name}": case
    for group, cases in (
        ("creating", CREATING),
        ("updating", UPDATING),
        ("materialising", MATERIALISING),
        ("reading", READING),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", ALL.values(), ids=ALL.keys())
def test_server_does_as_posthog_does(case: Case, ask: Callable[..., httpx.Response]) -> None:
    ids: dict[str, str] = {}
    for request in case.given:
        made = ask(*_filled(request, ids))
        if request[1] == "insight_variables/":
            ids[f"<{made.json()['code_name']}>"] = made.json()["id"]
    answer = ask(*_filled(case.when, ids))
    assert answer.status_code == case.status, answer.text
    if case.then is not None:
        _compare(answer.json(), _filled(case.then, ids), "answer")
    for path in case.absent:
        assert not _has(answer.json(), _filled(path, ids).split(".")), path


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return next((value.replace(mark, real) for mark, real in ids.items() if mark in value), value)
    if isinstance(value, Mapping):
        return {_filled(key, ids): _filled(item, ids) for key, item in value.items()}
    return type(value)(_filled(item, ids) for item in value) if isinstance(value, list | tuple) else value


def _compare(got: Any, wanted: Any, where: str) -> None:
    if isinstance(wanted, re.Pattern):
        assert isinstance(got, str), (where, got)
        assert wanted.search(got), (where, got)
    elif isinstance(wanted, Mapping):
        assert isinstance(got, Mapping), (where, got)
        for key, item in wanted.items():
            assert key in got, (where, key)
            _compare(got[key], item, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), (where, got)
        for index, item in enumerate(wanted):
            _compare(got[index], item, f"{where}.{index}")
    else:
        assert got == wanted, where


def _has(value: Any, path: list[str]) -> bool:
    return not path or (isinstance(value, Mapping) and path[0] in value and _has(value[path[0]], path[1:]))
