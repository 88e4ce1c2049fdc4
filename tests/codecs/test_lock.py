"""The lock file: reading and writing keeps the bytes, and every kind of invalid file is an error."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.lock import read_lock, write_lock
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.json import fingerprint
from endpoints_gitops.model.name import NAME_PATTERN, is_environment_name
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, without_nulls
from endpoints_gitops.model.sunset import SunsetNotice

PIN = Pin(
    environment="prod",
    name="revenue_by_plan",
    endpoint_id="0199a000-0000-7000-8000-000000000001",
    version=3,
    version_id="5c1e0000-0000-4000-8000-000000000003",
    created_at=datetime(2026, 7, 1, 9, 5, 0, 250000, tzinfo=UTC),
    query={
        "kind": "HogQLQuery",
        "query": "SELECT plan,\n  sum(amount) AS mrr\nFROM invoices\nWHERE month = {variables.month}\nGROUP BY plan",
        "variables": {"0198": {"code_name": "month", "value": "2026-07", "variableId": "0198"}},
    },
    variables=(PinnedVariable(name="month", type="String", required=False, has_default=True, default="2026-07"),),
    columns=(PinnedColumn(name="plan", type="string", nullable=True), PinnedColumn(name="mrr", type="decimal")),
    examples=(PinnedExample(variables={"month": "2026-07"}, rows=({"plan": "team"},)),),
    freshness_seconds=86400,
)

_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
_WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_OBJECT = st.dictionaries(_TEXT, _JSON, max_size=3)
_QUERY = st.builds(
    lambda sql, rest: without_nulls({**rest, "kind": "HogQLQuery", "query": sql}), _TEXT, _OBJECT
) | st.builds(lambda rest: without_nulls({**rest, "kind": "TrendsQuery"}), _OBJECT)
_VARIABLE = st.builds(
    PinnedVariable, name=_TEXT, type=_TEXT, required=st.booleans(), has_default=st.just(True), default=_JSON
) | st.builds(PinnedVariable, name=_TEXT, type=_TEXT, required=st.booleans())
_PIN = st.builds(
    Pin,
    environment=_WORD.filter(is_environment_name),
    name=st.from_regex(NAME_PATTERN, fullmatch=True),
    endpoint_id=_WORD,
    version=st.integers(1, 10_000),
    version_id=st.none() | _TEXT,
    created_at=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)),  # noqa: DTZ001 - hypothesis adds the zone
    query=_QUERY,
    variables=st.lists(_VARIABLE, max_size=3).map(tuple),
    columns=st.none()
    | st.lists(
        st.builds(
            PinnedColumn,
            name=_TEXT,
            type=_TEXT,
            nullable=st.none() | st.booleans(),
            full=st.none() | _TEXT,
            varies=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
    materialized=st.booleans(),
    freshness_seconds=st.none() | st.just(900),
    optional_breakdown_properties=st.lists(_TEXT, max_size=2).map(tuple),
    bucket_overrides=st.none() | st.dictionaries(_TEXT, _TEXT, min_size=1, max_size=2),
    examples=st.lists(
        st.builds(
            PinnedExample,
            variables=_OBJECT,
            name=st.none() | _TEXT,
            rows=st.none() | st.lists(_JSON, max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    allowed=st.lists(_TEXT, max_size=2).map(tuple),
    deprecation=st.none()
    | st.builds(
        SunsetNotice,
        since=st.dates(),
        sunset=st.dates(),
        replaced_by=st.none() | _TEXT,
        reason=st.none() | _TEXT,
    ),
)


@given(st.lists(_PIN, max_size=3, unique_by=lambda pin: (pin.environment, pin.name)))
def test_a_written_lock_is_read_back(pins: list[Pin]) -> None:
    written = write_lock(Lock(pins=tuple(pins)))
    lock = read_lock(written, "endpoints.lock")
    assert sorted(lock.pins, key=repr) == sorted(pins, key=repr)
    assert write_lock(lock) == written == write_lock(Lock(pins=tuple(reversed(pins))))


def test_a_block_is_for_people() -> None:
    assert (
        write_lock(Lock(pins=(PIN,))).decode()
        == """\
# Written by `endpoints-gitops lock` and `upgrade`; review it, do not edit it.
schema_version = 2

[[pins]]
environment = "prod"
name = "revenue_by_plan"
endpoint_id = "0199a000-0000-7000-8000-000000000001"
version = 3
version_id = "5c1e0000-0000-4000-8000-000000000003"
created_at = 2026-07-01T09:05:00.250000Z
kind = "HogQLQuery"
materialized = false
freshness_seconds = 86400
query_hash = "HASH"
contract_hash = "CONTRACT"
sql = '''
SELECT plan,
  sum(amount) AS mrr
FROM invoices
WHERE month = {variables.month}
GROUP BY plan
'''
node = '''
{
  "variables": {
    "0198": {
      "code_name": "month",
      "value": "2026-07",
      "variableId": "0198"
    }
  }
}
'''
variables = [
  { name = "month", type = "String", required = false, default = '"2026-07"' },
]
columns = [
  { name = "plan", type = "string", nullable = true },
  { name = "mrr", type = "decimal" },
]
examples = [
  { variables = '{"month": "2026-07"}', rows = '[{"plan": "team"}]' },
]
""".replace("HASH", PIN.query_hash).replace("CONTRACT", PIN.contract_hash)
    )


WHOLE_PINS = (PIN, replace(PIN, name="signups"))
WHOLE = write_lock(Lock(pins=WHOLE_PINS)).decode()
BROKEN = {
    "not TOML": (WHOLE.replace("version = 3", "version = ", 1), ":8:11: not valid TOML: Invalid value"),
    "conflict markers": (
        WHOLE.replace("version = 3", "<<<<<<< HEAD\nversion = 3", 1),
        ":8:1: the file has conflict",
    ),
    "a newer schema": (
        WHOLE.replace("schema_version = 2", "schema_version = 3"),
        ":2:1: schema_version is 3, but this release of endpoints-gitops reads up to 2",
    ),
    "no schema": (WHOLE.replace("schema_version = 2", ""), "endpoints.lock: schema_version must be 2"),
    "a schema that never was": (
        WHOLE.replace("schema_version = 2", "schema_version = 0"),
        ":2:1: schema_version must be 2",
    ),
    "a schema that is no number": (
        WHOLE.replace("schema_version = 2", "schema_version = true"),
        ":2:1: schema_version must be 2",
    ),
    **{
        f"the version {version[:3]}": (
            WHOLE.replace("version = 3", f"version = {version}", 1),
            ":8:1: version must be a whole number from 1 to 2147483647",
        )
        for version in ("0", "-1", "2147483648", "9" * 400)
    },
    "no freshness": (
        WHOLE.replace("freshness_seconds = 86400", "freshness_seconds = 0", 1),
        ":13:1: freshness_seconds must be a whole number from 1 to 2147483647",
    ),
    "a name that is a path": (
        WHOLE.replace('"revenue_by_plan"', '"../revenue"', 1),
        "'../revenue' is not the name of an",
    ),
    "an environment that is a line break": (
        WHOLE.replace('"prod"', '"a\\nb"', 1),
        "'a\\nb' is not the name of an environment",
    ),
    "no endpoint id": (WHOLE.replace(f'"{PIN.endpoint_id}"', '""', 1), ":7:1: '' is not a printable text"),
    "an unknown table": ("extra = 1\n" + WHOLE, "unknown key 'extra'"),
    "an unknown key": (
        WHOLE.replace('kind = "HogQLQuery"', 'kind = "HogQLQuery"\ncolour = 1', 1),
        ":12:1: unknown key 'colour'",
    ),
    "a missing key": (WHOLE.replace("materialized = false\n", "", 1), ":4:1: missing key 'materialized'"),
    "another kind": (WHOLE.replace("version = 3", 'version = "3"', 1), ":8:1: version must be a whole number"),
    "a column without type": (
        WHOLE.replace('{ name = "mrr", type = "decimal" }', '{ name = "mrr" }', 1),
        ":37:1: missing key 'type'",
    ),
    "doubled pins": (WHOLE.replace('"signups"', '"revenue_by_plan"'), "revenue_by_plan is pinned twice"),
    "an edited query": (WHOLE.replace("sum(amount)", "avg(amount)", 1), "the lock was edited by hand"),
    "a default that is not JSON": (
        WHOLE.replace("default = '\"2026-07\"'", 'default = "2026 07"', 1),
        ":4:1: a value of revenue_by_plan is not valid JSON",
    ),
    **{
        f"a name that leads elsewhere: {name!r}": (
            WHOLE.replace('"signups"', json.dumps(name)),
            "is not the name of an endpoint",
        )
        for name in ("../../evil", "/etc/evil", "a/b", "..", ".", "", "nul\0", "a\nb", "-x", "x" * 129, "C:\\x")
    },
    **{
        f"an environment that leads elsewhere: {name!r}": (
            WHOLE.replace('environment = "prod"', f"environment = {json.dumps(name)}", 1),
            "is not the name of an environment",
        )
        for name in ("../../evil", "/etc/evil", "a/b", "..", ".hidden", "", "nul\0", "a\nb", "x" * 129, "a\\b", "C:")
    },
    "pins that are none": ("schema_version = 2\npins = 3\n", ":2:1: pins must be a list of tables"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_lock_with_a_mistake_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_lock(text.encode(), "endpoints.lock")
    assert message in str(caught.value.problems[0])


EDITS = {
    "the version": ("version = 3", "version = 2"),
    "the version's id": ("000000000003", "000000000004"),
    "the endpoint's id": ("000000000001", "000000000002"),
    "the environment": ('environment = "prod"', 'environment = "dev"'),
    "the name": ('name = "revenue_by_plan"', 'name = "revenue"'),
    "a column's name": ('name = "mrr"', 'name = "arr"'),
    "a column's type": ('type = "decimal"', 'type = "string"'),
    "a column's nullability": ("nullable = true", "nullable = false"),
    "a column that goes": ('  { name = "mrr", type = "decimal" },\n', ""),
    "a variable's type": ('type = "String"', 'type = "Number"'),
    "whether a variable is required": ("required = false", "required = true"),
    "a variable's default": ("'\"2026-07\"'", "'\"2026-08\"'"),
    "whether it is materialised": ("materialized = false", "materialized = true"),
    "the freshness": ("freshness_seconds = 86400", "freshness_seconds = 900"),
    "when it was created": ("created_at = 2026-07-01", "created_at = 2026-07-02"),
    "an example": ('rows = \'[{"plan": "team"}]\'', "rows = '[]'"),
    "a reason that is added": ("sql = ", 'allowed = ["all is well"]\nsql = '),
    "a notice that is added": ("sql = ", 'deprecation = { since = "2026-01-01", sunset = "2026-06-01" }\nsql = '),
    "a buckets that is added": ("query_hash = ", 'bucket_overrides = { timestamp = "hour" }\nquery_hash = '),
    "the contract hash": ('contract_hash = "', 'contract_hash = "0'),
}


@pytest.mark.parametrize(("old", "new"), EDITS.values(), ids=EDITS)
def test_every_edit_of_a_pin_is_noticed(old: str, new: str) -> None:
    assert old in WHOLE
    with pytest.raises(InvalidInput) as caught:
        read_lock(WHOLE.replace(old, new, 1).encode(), "endpoints.lock")
    (problem,) = caught.value.problems
    assert problem.line == 4
    assert "does not match its contract_hash: the lock was edited by hand, or a merge mixed two pins" in problem.message
    assert problem.fix == "git checkout HEAD -- endpoints.lock && endpoints-gitops lock"


@given(st.data())
def test_a_flipped_bit_never_makes_another_pin(data: st.DataObject) -> None:
    content = bytearray(WHOLE.encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InvalidInput):
        assert set(map(repr, read_lock(bytes(content), "endpoints.lock").pins)) <= set(map(repr, WHOLE_PINS))


def test_a_lock_of_the_first_schema_is_read_and_its_hashes_are_kept() -> None:
    old = WHOLE.replace("schema_version = 2", "schema_version = 1").replace(PIN.contract_hash, "c0ffee")
    lock = read_lock(old.encode(), "endpoints.lock")
    assert lock == read_lock(WHOLE.encode(), "endpoints.lock")
    assert lock.old_hashes["prod", "revenue_by_plan"] == "c0ffee"


def test_every_mistake_has_its_line() -> None:
    wrong = WHOLE.replace("materialized = false\n", "").replace("version = 3", "version = true")
    with pytest.raises(InvalidInput) as caught:
        read_lock(wrong.encode(), "endpoints.lock")
    assert [str(problem) for problem in caught.value.problems] == [
        f"endpoints.lock:{line}:1: {message}"
        for block in (4, 44)
        for line, message in ((block, "missing key 'materialized'"), (block + 4, "version must be a whole number"))
    ]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_lock_or_a_mistake(content: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        assert read_lock(content, "endpoints.lock") is not None


_COLUMNS = st.lists(
    st.builds(PinnedColumn, name=st.sampled_from("abcdef"), type=st.sampled_from(["string", "integer"])), max_size=4
).map(tuple)
_MOVE = st.builds(
    lambda version, sql, columns: {
        "version": version,
        "version_id": f"5c1e0000-0000-4000-8000-{version:012}",
        "query": {"kind": "HogQLQuery", "query": sql},
        "columns": columns,
    },
    st.integers(2, 9),
    st.lists(st.sampled_from(["SELECT a,", "  b,", "  c", "FROM events", "WHERE a = 1", ""]), max_size=5).map(
        "\n".join
    ),
    _COLUMNS,
)


@settings(max_examples=60)
@given(st.data())
def test_moves_of_different_pins_merge(data: st.DataObject) -> None:
    names = [f"endpoint_{letter}" for letter in "abcd"]
    moves = [data.draw(_MOVE) for _ in names]
    base = {
        name: replace(PIN, name=name, endpoint_id=f"id-{name}", **move) for name, move in zip(names, moves, strict=True)
    }
    mine, other = data.draw(st.permutations(names))[:2]
    moved = {name: replace(base[name], **data.draw(_MOVE)) for name in (mine, other)}
    texts = [
        write_lock(Lock(pins=tuple({**base, **{name: moved[name] for name in some}}.values())))
        for some in ([mine], [], [other], [mine, other])
    ]
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(3)]
        for path, text in zip(paths, texts, strict=False):
            path.write_bytes(text)
        merged = subprocess.run(["git", "merge-file", "-p", *paths], capture_output=True, check=False)
    assert (merged.returncode, merged.stdout) == (0, texts[3])


def test_the_hash_of_a_pin_without_full_types_is_that_of_older_locks() -> None:
    columns = (PinnedColumn(name="tags", type="array"),)
    old, full = (replace(PIN, columns=each) for each in (columns, (replace(columns[0], full="Array(string)"),)))
    facts = asdict(old)
    del facts["columns"][0]["full"], facts["columns"][0]["varies"], facts["deprecation"]
    assert old.contract_hash == fingerprint({**facts, "created_at": old.created_at and old.created_at.isoformat()})
    assert full.contract_hash != old.contract_hash


def test_a_notice_is_one_line_of_its_block() -> None:
    notice = SunsetNotice(since=date(2026, 1, 1), sunset=date(2026, 6, 1), replaced_by="mrr_by_plan")
    pin = replace(PIN, deprecation=notice)
    text, without = (write_lock(Lock(pins=(each,))).decode() for each in (pin, PIN))
    line = 'deprecation = { since = "2026-01-01", sunset = "2026-06-01", replaced_by = "mrr_by_plan" }\n'
    assert text.replace(line, "") == without.replace(PIN.contract_hash, pin.contract_hash)
    assert read_lock(text.encode(), "endpoints.lock").pins == (pin,)
    assert "deprecation" not in without
