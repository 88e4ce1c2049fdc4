"""The whole story of a change, played again: each command prints what the golden files have. Each report is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reports.shapes import SHAPES, passes
from tests.story.play import FORMATS, GOLDEN, play

REPORTS = ["03-review", "06-review-approved", "10-gate-without-tests", "11-gate-with-tests"]


@pytest.mark.slow
def test_the_story_of_a_change_prints_what_the_golden_files_have(tmp_path: Path) -> None:
    golden = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}
    assert play(tmp_path) == golden


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("report", FORMATS)
def test_every_report_is_valid_and_has_the_same_answer(name: str, report: str) -> None:
    envelope = json.loads((GOLDEN / f"{name}.json").read_text())
    text = (GOLDEN / f"{name}.{FORMATS[report]}").read_text(encoding="utf-8")
    SHAPES[report](text)
    assert passes(report, text) == (envelope["exit_code"] == 0)
