"""Redaction covers nested values, variables, file names and reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_gitops.model.redaction import redacted

WHO = "ada.lovelace@quill.example"
CONFTEST = """
import pytest
from pytest_endpoints_gitops import EndpointsConfig

@pytest.fixture(scope="session")
def endpoints_config():
    return EndpointsConfig(redact={"month": REDACT, "email": "someone@example.com"})
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"email": WHO, "n": 1}, {"email": "x", "n": 1}),
        ([{"deep": [{"email": WHO}]}], [{"deep": [{"email": "x"}]}]),
        (f'{{"email": "{WHO}", "n": "é"}}', '{"email": "x", "n": "é"}'),
        (f'[{{"email":  "{WHO}"}}]', '[{"email": "x"}]'),
        ('{"other":  1}', '{"other":  1}'),
        ("{no json", "{no json"),
        (None, None),
    ],
)
def test_values_inside_of_values_are_redacted(value, expected):
    assert redacted([[1, value]], ("n", "properties"), {"email": "x"}) == [[1, expected]]
    assert redacted([{"data": value}], None, {"email": "x"}) == [{"data": expected}]


@pytest.mark.parametrize("redact", ["'someone'", "lambda value: str(id(object()))"], ids=["constant", "function"])
def test_variables_are_redacted_in_recordings_their_names_and_reports(app_once, redact):
    app = app_once
    pin = app.pinned()
    app.write("conftest.py", CONFTEST.replace("REDACT", redact))
    app.suite(f"def test_it(endpoints):\n    assert len(endpoints('revenue', month={WHO!r})) == 1\n")
    app.record()
    app.pytest("--endpoints-evidence=evidence.json", "--endpoints-report=report.json").assert_outcomes(passed=1)
    (name,) = app.recordings()
    assert "lovelace" not in name
    for path in (app.folder / "recordings" / name, app.folder / "evidence.json", app.folder / "report.json"):
        assert "lovelace" not in path.read_text(encoding="utf-8")
    assert name.startswith(f"{pin.name}/v1/month-")
    app.suite("def test_it(endpoints):\n    endpoints('revenue', month='grace.hopper@quill.example')\n")
    result = app.pytest()
    assert "hopper" not in app.failure(result)
    assert "revenue@1: no recording of this call" in app.failure(result)


def test_two_values_with_the_same_redaction_are_two_calls(app_once):
    app = app_once
    app.pinned()
    app.write("conftest.py", CONFTEST.replace("REDACT", "'someone'"))
    app.suite(
        "def test_it(endpoints):\n    endpoints('revenue', month='ada')\n    endpoints('revenue', month='grace')\n"
    )
    app.record()
    assert len(app.recordings()) == 2
    app.pytest().assert_outcomes(passed=1)


def test_recordings_of_two_environments_do_not_collide(app_once):
    app = app_once
    other = replace(app.PIN, environment="other", version_id="another")
    path = app.folder / "endpoints.toml"
    path.write_text(path.read_text().replace("[uses]", '[environments.other]\nkey = "env:APP_KEY"\n[uses]'))
    app.locks(app.PIN, other)
    app.suite("def test_it(endpoints):\n    endpoints('revenue')\n")
    for pin in (app.PIN, other):
        made = app.has_recorded(pin)
        target = app.folder / "recordings" / pin.environment / made.relative_to(app.folder / "recordings")
        target.parent.mkdir(parents=True)
        made.rename(target)
    for environment in ("test", "other"):
        result = app.pytest(f"--endpoints-environment={environment}", "--endpoints-prune")
        result.assert_outcomes(passed=1)
        assert "orphaned" not in app.output(result)
    assert len(app.recordings()) == 2
    assert json.loads(target.read_text())["version_id"] == "another"
