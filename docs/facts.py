"""Write docs/facts.md: every fact that `endpoints-gitops conformance` tries, with the results of real projects.

    uv run python docs/facts.py

The reports of `endpoints-gitops conformance` are in docs/reports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from endpoints_gitops.conformance.facts import all_facts
from endpoints_gitops.model.fact import MARK, Fact

DOCS = Path(__file__).parent
HEAD = """\
# Tested facts

`uv run python docs/facts.py` writes this page. Each line is a fact of [docs/server.md](server.md), under its heading,
that `endpoints-gitops conformance` tries on a project: the request, the expected status, and the result in reports of
real projects. The test suite checks that the local server answers each request as expected.

"""
NONE_YET = """\
There is no report of a real project yet. `endpoints-gitops conformance --env staging` writes one: please send it. Until
then, the letters in [docs/server.md](server.md) say how each fact is known.

"""


def text(reports: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    facts = [fact for fact in all_facts() if not fact.is_local]
    return HEAD + (_reports(reports) if reports else NONE_YET) + "".join(_tables(facts, reports))


def read_reports() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((DOCS / "reports").glob("*.json"))]


def _reports(reports: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"- {report['date'][:10]}, {report['host']}, release {report['release']}: "
        + ", ".join(f"{number} {verdict}" for verdict, number in report["summary"].items())
        for report in reports
    ]
    return "Reports:\n\n" + "\n".join(lines) + "\n\n"


def _tables(facts: Sequence[Fact], reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    verdicts = [{fact["fact"]: fact["verdict"] for fact in report["facts"]} for report in reports]
    for heading in dict.fromkeys(fact.about for fact in facts):
        yield f"## [{heading.capitalize()}](server.md#{heading})\n\n"
        yield "| fact | request | status | real projects |\n|---|---|---|---|\n"
        for fact in facts:
            if fact.about == heading:
                yield f"| {' | '.join(_cells(fact, reports, verdicts))} |\n"
        yield "\n"


def _cells(fact: Fact, reports: Sequence[Mapping[str, Any]], verdicts: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield fact.id
    path = fact.when.path.replace(MARK, "")
    yield f"`{fact.when.method} {path}`"
    yield str(fact.status)
    tried = [
        f"{by_fact[fact.id]} ({report['date'][:10]})"
        for report, by_fact in zip(reports, verdicts, strict=True)
        if by_fact.get(fact.id, "not tried") != "not tried"
    ]
    yield ", ".join(tried) or (f"not tried: needs {fact.needs}" if fact.needs else "not tried")


if __name__ == "__main__":
    (DOCS / "facts.md").write_text(text(read_reports()), encoding="utf-8")
