"""What code cites of `docs/server.md` is there: a heading that was renamed would leave docstrings that lead nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
CITED: Final = re.compile(r"docs/server\.md((?:,? ?#[a-z-]+)+)")
LINKED: Final = re.compile(r"\]\(([^)#]*)(?:#([a-z-]+))?\)")


def slugs(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_cited_heading_is_there():
    there = slugs(ROOT / "docs" / "server.md")
    cited = {
        f"{path.relative_to(ROOT)}: #{anchor}": anchor
        for folder in ("endpoints_gitops", "tests", "pytest_plugin", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for anchors in CITED.findall(path.read_text(encoding="utf-8"))
        for anchor in re.findall(r"#([a-z-]+)", anchors)
    }
    assert len(cited) > 20, "the pattern finds no citations any more"
    assert [where for where, anchor in cited.items() if anchor not in there] == []


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target, anchor in LINKED.findall(document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path = document if not target else document.parent / target
        assert path.exists(), target
        if anchor:
            assert anchor in slugs(path)
