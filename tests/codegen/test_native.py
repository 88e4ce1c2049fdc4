"""Native clients for TypeScript and Go, without the tools of these languages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from endpoints_gitops.api.flow import RetryPolicy
from endpoints_gitops.api.rate_limiter import DIRECT, HOUR, MATERIALIZED, MINUTE
from endpoints_gitops.api.run_pages import UNPAGED_ROWS
from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import EndpointInterface, interface_of
from endpoints_gitops.consumer.client_base import Concurrency
from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget


def interface(name: str = "revenue", kind: str = "HogQLQuery", **settings: Any) -> EndpointInterface:
    identity: dict[str, Any] = {"endpoint_id": "e", "version": 3, "version_id": "v", "created_at": None}
    query = {"kind": kind, "query": "SELECT 1"}
    return interface_of(Pin(environment="prod", name=name, query=query, **identity, **settings))


def generated(lang: str, *interfaces: EndpointInterface, **settings: Any) -> GeneratedFile:
    target = GenerationTarget(**{"lang": lang, "generator": "native", "out": "clients/go", **settings})
    (file,) = generated_files(interfaces, target) or ()
    return file


@pytest.mark.parametrize("lang", ["typescript", "go"])
def test_the_order_of_pins_does_not_count(lang: str) -> None:
    first, second = interface("a"), interface("b")
    assert generated(lang, first, second) == generated(lang, second, first)


@pytest.mark.parametrize("lang", ["typescript", "go"])
def test_code_of_insights_is_there_only_where_one_is_pinned(lang: str) -> None:
    assert "TrendSeries" not in generated(lang, interface()).text
    assert "TrendSeries" in generated(lang, interface(kind="TrendsQuery")).text


@pytest.mark.parametrize(
    ("out", "package", "expected"),
    [
        ("clients/go", None, "endpoints"),
        ("internal/analytics", None, "analytics"),
        ("internal/analytics/", None, "analytics"),
        ("internal/My-Package", None, "endpoints"),
        (".", None, "endpoints"),
        ("internal/analytics", "posthog", "posthog"),
    ],
)
def test_a_package_of_go_is_named_after_its_folder(out: str, package: str | None, expected: str) -> None:
    assert generated("go", interface(), out=out, package=package).text.startswith(f"package {expected}\n")


def test_types_of_variables_and_columns() -> None:
    """Optional variables can be left out; a null needs a default that is null."""
    pinned = interface(
        variables=(
            PinnedVariable(name="month", type="Date", required=True),
            PinnedVariable(name="plans", type="String", required=False, has_default=True, default=["a"]),
            PinnedVariable(name="day", type="Number", required=False, has_default=True, default=None),
        ),
        columns=(
            PinnedColumn(name="total", type="integer", nullable=False),
            PinnedColumn(name="at", type="datetime", nullable=True),
        ),
    )
    typescript = generated("typescript", pinned).text
    assert (
        "export interface RevenueVariables {\n"
        "  readonly month: string;\n"
        '  /** The default is ["a"]. */\n'
        "  readonly plans?: string | readonly string[] | undefined;\n"
        "  /** The default is null. */\n"
        "  readonly day?: number | null | undefined;\n"
        "}\n"
    ) in typescript
    assert "  readonly total: number;\n  readonly at: string | null;\n" in typescript
    go = generated("go", pinned).text
    assert (
        "type RevenueOptions struct {\n"
        "\tRowOptions\n"
        '\t// variable plans; the default is ["a"]\n'
        "\tPlans []string\n"
        "\t// variable day; the default is null\n"
        "\tDay *float64\n"
        "}\n"
    ) in go
    assert '\tTotal int64      `json:"total"`\n\tAt    *time.Time `json:"at"`\n' in go
    assert "Revenue(ctx context.Context, month string, options *RevenueOptions) (*Answer[RevenueRow], error)" in go


def test_limits_and_pauses_are_those_of_the_library() -> None:
    """Code of another language repeats these facts."""
    typescript, go = (generated(lang, interface()).text for lang in ("typescript", "go"))
    concurrency, retries = Concurrency(), RetryPolicy()
    for word, limits, concurrent in (
        ("inline", DIRECT, concurrency.direct),
        ("materialized", MATERIALIZED, concurrency.materialized),
    ):
        minute, hour = f"{limits.minute:_}", f"{limits.hour:_}"
        assert f"  {word}: {{ perMinute: {minute}, perHour: {hour}, concurrent: {concurrent} }},\n" in typescript
        expected = f"Limits{{PerMinute: {minute}, PerHour: {hour}, Concurrent: {concurrent}}}"
        assert f"c.{word} = newWindow(c.{word.capitalize()}Limits, {expected})\n" in go
    margin = MINUTE - 60_000
    assert HOUR - 3_600_000 == margin == 1000
    assert f"const MARGIN_MS = {margin:_};\n" in typescript
    assert "\tmargin       = time.Second " in go
    first, longest = round(retries.first_pause * 1000), round(retries.longest_pause)
    assert f"const FIRST_PAUSE_MS = {first};\nconst LONGEST_PAUSE_MS = {longest * 1000:_};\n" in typescript
    assert f"\tfirstPause   = {first} * time.Millisecond\n\tlongestPause = {longest} * time.Second\n" in go
    assert f"const UNPAGED_ROWS = {UNPAGED_ROWS};\n" in typescript
    assert f"\tunpagedRows  = {UNPAGED_ROWS}\n" in go


CLICKHOUSE_TYPES = (
    "Int8", "UInt256", "Float64", "BFloat16", "Decimal(9, 2)", "Decimal256(4)", "String", "FixedString(3)", "UUID",
    "Enum8('a' = 1)", "DateTime", "DateTime64(6, 'UTC')", "Date", "Date32", "Bool", "Array(Int8)",
    "Tuple(Int8, String)", "Map(String, Int8)", "JSON", "Dynamic", "IPv4", "IntervalDay", "Point",
)  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "function", "pattern"),
    [
        ("typescript", "function typeWord(", r"\[/\^(.+)/, \"(\w+)\"\]"),
        ("go", "func typeOf(", r"\{\"(\w+)\", \"(\w+)\"\}"),
    ],
)
def test_words_for_types_are_those_of_the_library(lang: str, function: str, pattern: str) -> None:
    text = generated(lang, interface()).text.partition(f"\n{function}")[2].partition("\n}\n")[0]
    words = re.findall(pattern, text)
    assert {word for _, word in words} == {type_word(written) for written in CLICKHOUSE_TYPES} - {"unknown"}
    for written in CLICKHOUSE_TYPES:
        word = next((word for begin, word in words if re.match(begin, written)), "unknown")
        assert word == type_word(written), written
