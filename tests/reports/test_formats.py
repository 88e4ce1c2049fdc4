"""Every report format, with every kind of outcome and any text in any field: see `tests.reports.shapes`."""

from __future__ import annotations

import json
from typing import Final

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.advice import Command
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.reports import FORMATS, Invocation, is_report, render
from tests.reports.outcomes import HOSTILE, PLAIN, outcomes
from tests.reports.shapes import SHAPES, passes

KINDS: Final = tuple(outcomes())
INVOCATION: Final = Invocation(options={"--env": "prod"}, again=Command("review", "--against", "main"))


def _assert_contained(name: str, kind: str, text: str) -> None:
    """A text in every field does not change the shape of a report, nor its verdict."""
    outcome = outcomes(text)[kind]
    report = render(name, outcome, INVOCATION)
    report.encode()
    assert report.endswith("\n")
    assert is_report(report.encode())
    assert passes(name, report) == (outcome.exit_code is ExitCode.DONE)
    shape = SHAPES[name](report)
    if text.strip() and len(text) < 1_000:  # an empty text leaves out what it is about, and a long one is cut
        assert shape == SHAPES[name](render(name, outcomes(PLAIN)[kind], INVOCATION))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_outcome_in_every_format(name, kind):
    _assert_contained(name, kind, PLAIN)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_does_not_break_out(name, text):
    for kind in KINDS:
        _assert_contained(name, kind, text)


_FRAGMENTS = st.sampled_from(
    [*HOSTILE.values(), "`", "<", ">", "::", "\n", "\n\n", "- ", "|", "[", "]", "(", "&", "@a"]
)
_TEXTS = st.lists(_FRAGMENTS | st.text(st.characters(exclude_categories=()), max_size=8), min_size=1, max_size=6)


@pytest.mark.parametrize("name", FORMATS)
@given(text=_TEXTS.map("".join), kind=st.sampled_from(KINDS))
@settings(max_examples=100)
def test_no_text_breaks_out(name, text, kind):
    _assert_contained(name, kind, text)


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("markdown", "<!-- endpoints-gitops review env=prod -->\n\nask @team\n"),
        ("markdown", "<!-- endpoints-gitops review env=prod -->\n\n<img src=x>\n"),
        ("github", "::error title=x::y\nz\n"),
        (
            "sarif",
            '{"version": "2.1.0", "runs": [{"results": [], "tool": {"driver": {"rules": []}}, "invocations": []}]}',
        ),
        ("text", "::error::x\n"),
        ("gitlab", '[{"description": "x"}]'),
    ],
)
def test_the_checks_refuse_what_breaks_out(name, report):
    with pytest.raises((AssertionError, jsonschema.ValidationError)):
        SHAPES[name](report)


def _outcome(kind: str) -> Outcome:
    return outcomes()[kind]


def test_json_is_the_envelope():
    envelope = json.loads(render("json", _outcome("review: blocked")))
    assert envelope["exit_code"] == 1
    assert envelope["report"]["verdict"] == "blocked"
    assert [item["verdict"] for item in envelope["items"]] == ["safe", "blocked", "unknown"]
