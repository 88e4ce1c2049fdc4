"""Recordings and evidence: reading returns what was written, and refuses anything else."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, read_evidence, write_evidence
from endpoints_gitops.codecs.recording import (
    KeyInside,
    Recording,
    file_of,
    identity,
    read_recording,
    write_recording,
)
from endpoints_gitops.errors import InvalidInput
from tests.fuzz.mutation import mutate

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
VARIABLES = st.dictionaries(st.text(max_size=8), VALUES, max_size=3)
RECORDING = Recording(
    endpoint="revenue",
    version=3,
    version_id=None,
    variables={},
    recorded_on=date(2026, 7, 1),
    query_hash="0" * 32,
    columns=("plan",),
    types=(("plan", "String"),),
    rows=(["pro"],),
)


@given(VARIABLES, st.lists(st.lists(VALUES, max_size=3), max_size=3))
def test_a_recording_survives_writing_and_reading(variables, rows):
    recording = replace(RECORDING, variables=variables, rows=tuple(rows))
    content = write_recording(recording)
    assert read_recording(content, "x") == recording
    assert write_recording(read_recording(content, "x")) == content
    assert content.count(b"\n    ") == len(rows), "a row a line"


@given(st.data())
def test_a_recording_with_a_flipped_bit_is_refused(data):
    recording = replace(RECORDING, variables={"plan": "pro"}, rows=(["pro", 1], ["free", None]))
    content = bytearray(write_recording(recording))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InvalidInput):
        assert read_recording(bytes(content), "x") == recording


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_a_damaged_recording_is_refused_in_one_sentence_or_reads_the_same(seed):
    recording = replace(RECORDING, variables={"plan": "pro"}, rows=(["pro", 1], ["free", None]))
    _is_refused_or_same(recording, write_recording(recording), read_recording, seed)


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_damaged_evidence_is_refused_in_one_sentence_or_reads_the_same(seed):
    _is_refused_or_same(EVIDENCE, write_evidence(EVIDENCE), read_evidence, seed)


def _is_refused_or_same(value, content, read, seed):
    damaged = mutate(content, random.Random(seed))
    message = ""
    try:
        result = read(damaged, "the/file")
    except InvalidInput as refused:
        message = str(refused)
    if message:
        assert "the/file" in message, damaged
        assert "\n" not in message, damaged
    else:
        assert result == value, damaged


def test_a_recording_of_an_older_release_has_no_digest_and_is_read():
    value = json.loads(write_recording(RECORDING))
    del value["digest"]
    assert read_recording(json.dumps(value).encode(), "x") == RECORDING
    for wrong in (None, 1, "0" * 32):
        with pytest.raises(InvalidInput) as refused:
            read_recording(json.dumps({**value, "digest": wrong}).encode(), "x")
        assert "digest" in refused.value.problems[0].message


@given(VARIABLES)
def test_the_order_of_variables_does_not_change_the_file_name(variables):
    turned = dict(reversed(variables.items()))
    name = file_of("revenue", 3, variables)
    assert name == file_of("revenue", 3, turned)
    folder, version, file = name.split("/")
    assert (folder, version) == ("revenue", "v3")
    assert file.endswith(f"-{identity(variables)}.json")
    assert file.isascii()
    assert len(file) < 70


@pytest.mark.parametrize(
    "value", ["phx_0123456789", "my phs_abcdefgh key", "a\npha_abcdefgh", "\u200bphx_0123456789", "configured-secret"]
)
@pytest.mark.parametrize("place", ["rows", "variables"])
def test_content_that_holds_a_key_is_not_written(value, place):
    held = {"rows": (["ok"], [value])} if place == "rows" else {"variables": {"name": value}}
    with pytest.raises(KeyInside) as refused:
        write_recording(replace(RECORDING, **held), keys=["configured-secret", ""])
    assert value not in str(refused.value)


@pytest.mark.parametrize("value", ["graphs_monthly", "alpha_version", "phs_", "phx_a"])
def test_words_with_the_letters_of_a_key_are_written(value):
    assert value.encode() in write_recording(replace(RECORDING, rows=([value],)))


EVIDENCE = Evidence(
    commit="c" * 40,
    tree="t" * 40,
    is_dirty=False,
    mode="replay",
    contract="strict",
    outcome="passed",
    partial=None,
    counts={"passed": 2},
    pins=(
        ExercisedPin(
            environment="prod",
            name="revenue",
            version=3,
            endpoint_id="e",
            version_id="v",
            query_hash="q",
            contract_hash="c",
            variables=({"month": "2026-07"},),
            columns_read=("mrr",),
            tests=(ExercisedTest(test="tests/test_a.py::test_b", outcome="passed"),),
        ),
        ExercisedPin(
            environment="prod",
            name="signups",
            version=1,
            endpoint_id="e",
            version_id=None,
            query_hash="q",
            contract_hash="c",
            columns_read=None,
        ),
    ),
)


def test_evidence_survives_writing_and_reading():
    content = write_evidence(EVIDENCE)
    assert read_evidence(content, "evidence.json") == EVIDENCE
    assert write_evidence(replace(EVIDENCE, pins=EVIDENCE.pins[::-1])) == content


@given(st.data())
def test_evidence_with_a_flipped_bit_is_refused(data):
    content = bytearray(write_evidence(EVIDENCE))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InvalidInput):
        assert read_evidence(bytes(content), "x") == EVIDENCE


BROKEN = {
    "no digest": ({"digest": ...}, "missing key 'digest': an older release"),
    "another digest": (
        {"digest": "0" * 32},
        "the digest does not match the content: the file is damaged or was edited",
    ),
    "an edit": ({"outcome": "failed"}, "the digest does not match the content"),
    "not JSON": (b"{", "not valid JSON: Expecting property name"),
    "no object": (b"[]", "the file must be an object"),
    "newer": ({"schema_version": 2}, "schema_version is 2, but this release of endpoints-gitops reads up to 1"),
    "unknown": ({"more": 1}, "unknown key 'more'"),
    "missing": ({"commit": ...}, "missing key 'commit'"),
    "another kind": ({"is_dirty": 1}, "is_dirty must be true or false"),
    "in a pin": ({"pins": [{}]}, "missing key 'environment'"),
}


@pytest.mark.parametrize(("broken", "said"), BROKEN.values(), ids=BROKEN)
def test_invalid_evidence_is_refused_with_the_reason(broken, said):
    value = json.loads(write_evidence(EVIDENCE))
    content = broken
    if isinstance(broken, dict):
        kept = {key: one for key, one in {**value, **broken}.items() if one is not ...}
        content = json.dumps(kept).encode()
    with pytest.raises(InvalidInput) as refused:
        read_evidence(content, "evidence.json")
    assert refused.value.problems[0].message.startswith(said)
    assert refused.value.problems[0].path == "evidence.json"
