"""Native clients for TypeScript and Go, without the tools of these languages."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import EndpointInterface, interface_of
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
