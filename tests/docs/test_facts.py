"""The page of facts is what the facts and the reports say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def facts():
    spec = importlib.util.spec_from_file_location("facts", ROOT / "docs" / "facts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_the_script_writes_it(facts):
    page = (ROOT / "docs" / "facts.md").read_text(encoding="utf-8")
    assert page == facts.text(facts.read_reports()), "uv run python docs/facts.py"


def test_a_report_shows_with_each_fact(facts):
    report = {
        "date": "2026-12-01T10:00:00+00:00", "host": "https://eu.posthog.com", "release": "0.1.0",
        "summary": {"holds": 1, "differs": 1, "not tried": 0},
        "facts": [
            {"fact": "creating: no SQL", "about": "variables", "verdict": "holds"},
            {"fact": "reading: an endpoint", "about": "answers", "verdict": "differs"},
        ],
    }  # fmt: skip
    page = facts.text([report])
    assert "- 2026-12-01, https://eu.posthog.com, release 0.1.0: 1 holds, 1 differs, 0 not tried\n" in page
    assert "| creating: no SQL | `POST endpoints/` | 400 | holds (2026-12-01) |\n" in page
    assert "| reading: an endpoint | `GET endpoints/e/` | 200 | differs (2026-12-01) |\n" in page
    assert "| creating: no such table | `POST endpoints/` | 400 | not tried |\n" in page
