"""The consumers' registry: it round-trips, is equal for equal entries, and every damage is named with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codecs.consumers import SCHEMA_VERSION, read_registry, write_registry
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.consumers import (
    ConsumerRegistry,
    RegisteredConsumer,
    RegisteredEnvironment,
    RegisteredUse,
    is_stale,
    last_seen,
)

_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
_columns = st.none() | st.lists(_words, max_size=3, unique=True).map(tuple)
_pins = st.fixed_dictionaries(
    {
        "version": st.integers(1, 2**31 - 1),
        "endpoint_id": _words,
        "version_id": st.none() | _words,
        "contract_hash": st.none() | _words,
    }
)
_uses = st.builds(
    lambda identity, **more: RegisteredUse(**identity, **more),
    st.just({}) | _pins,
    name=_names,
    reads=st.sampled_from(["position", "name", "call"]),
    columns=_columns,
    columns_tested=_columns,
)
_environments = st.builds(
    RegisteredEnvironment,
    name=_names,
    host=st.none() | st.just("https://us.posthog.com"),
    project_id=st.none() | st.integers(1, 10**9),
    uses=st.lists(_uses, max_size=3, unique_by=lambda use: use.name).map(
        lambda uses: tuple(sorted(uses, key=lambda use: use.name))
    ),
)
_consumers = st.builds(
    RegisteredConsumer,
    name=_words,
    source=_words,
    ref=st.none() | _words,
    commit=st.none() | st.just("a" * 40),
    collected=st.dates(),
    environments=st.lists(_environments, max_size=2, unique_by=lambda environment: environment.name).map(
        lambda environments: tuple(sorted(environments, key=lambda environment: environment.name))
    ),
)
_registries = st.lists(_consumers, max_size=4, unique_by=lambda consumer: consumer.name)


@given(_registries)
def test_a_registry_round_trips_in_any_order(consumers: list[RegisteredConsumer]) -> None:
    registry = ConsumerRegistry().with_consumers(consumers)
    content = write_registry(registry)
    assert read_registry(content, "consumers.json") == registry
    assert write_registry(ConsumerRegistry(consumers=tuple(reversed(consumers)))) == content


@given(_registries, _consumers)
def test_collecting_a_consumer_changes_its_block_alone(
    consumers: list[RegisteredConsumer], collected: RegisteredConsumer
) -> None:
    before = ConsumerRegistry().with_consumers(consumers)
    after = before.with_consumers([collected])
    assert after.of(collected.name) == collected
    assert after.without([collected.name]) == before.without([collected.name])
    assert after.with_consumers([collected]) == after


BILLING = RegisteredConsumer(
    name="billing",
    source="https://github.com/acme/billing",
    ref="main",
    commit="0" * 40,
    collected=date(2026, 7, 1),
    environments=(
        RegisteredEnvironment(
            name="prod",
            host="https://us.posthog.com",
            project_id=1,
            uses=(
                RegisteredUse(name="revenue", version=3, endpoint_id="e", version_id="v", contract_hash="c"),
                RegisteredUse(name="signups", reads="position"),
            ),
        ),
    ),
)


def _lines() -> list[str]:
    return write_registry(ConsumerRegistry(consumers=(BILLING,))).decode().splitlines()


def test_a_file_has_one_key_a_line() -> None:
    assert _lines()[:9] == [
        "{",
        '  "schema_version": 1,',
        '  "consumers": [',
        "    {",
        '      "name": "billing",',
        '      "source": "https://github.com/acme/billing",',
        '      "ref": "main",',
        f'      "commit": "{"0" * 40}",',
        '      "collected": "2026-07-01",',
    ]


def _in_block(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    """A change of the first block with a digest that fits, as another program would write it."""

    def apply(value: dict[str, Any]) -> None:
        from endpoints_gitops.model.json import fingerprint

        block = value["consumers"][0]
        change(block)
        block.pop("digest", None)
        block["digest"] = fingerprint(block)

    return apply


def _use(**changes: object) -> Callable[[dict[str, Any]], None]:
    return _in_block(lambda block: block["environments"][0]["uses"][0].update(changes))


def _environment(**changes: object) -> Callable[[dict[str, Any]], None]:
    return _in_block(lambda block: block["environments"][0].update(changes))


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "a pin that was edited": (
        lambda value: value["consumers"][0]["environments"][0]["uses"][0].update(version=4),
        '"digest":',
        "the block of 'billing' does not match its digest",
    ),
    "no digest": (lambda value: value["consumers"][0].pop("digest"), "{", "does not match its digest"),
    "a newer schema": (lambda value: value.update(schema_version=2), '"schema_version": 2,', "reads up to 1"),
    "no schema": (lambda value: value.pop("schema_version"), "{", "schema_version must be 1"),
    "an unknown key": (
        lambda value: value.update(consumer=[]),
        '"consumer": []',
        "unknown key 'consumer'; did you mean",
    ),
    "no consumers": (lambda value: value.pop("consumers"), "{", "missing key 'consumers'"),
    "a consumer twice": (
        lambda value: value["consumers"].append(value["consumers"][0]),
        '"name": "billing",',
        "the consumer 'billing' occurs twice",
    ),
    "an environment twice": (
        _in_block(lambda block: block["environments"].append(block["environments"][0])),
        '"name": "prod",',
        "the environment 'prod' occurs twice",
    ),
    "a use twice": (
        _in_block(lambda block: block["environments"][0]["uses"].append(block["environments"][0]["uses"][0])),
        '"name": "revenue",',
        "the use 'revenue' occurs twice",
    ),
    "a missing key": (
        _in_block(lambda block: block["environments"][0]["uses"][0].pop("reads")),
        "{",
        "missing key 'reads'",
    ),
    "a wrong style": (
        _use(reads="nmae"),
        '"reads": "nmae",',
        "reads must be one of position, name, call; did you mean 'name'?",
    ),
    "version 0": (_use(version=0), '"version": 0,', "version must be a whole number from 1"),
    "a version without identity": (
        _use(endpoint_id=None),
        '"endpoint_id": null,',
        "version and endpoint_id must be both set",
    ),
    "a path as an endpoint": (_use(name="../x"), '"name": "../x",', "'../x' is not the name of an endpoint"),
    "a path as an environment": (
        _environment(name="../x"),
        '"name": "../x",',
        "'../x' is not the name of an environment",
    ),
    "a key in the host": (_environment(host="https://a:b@c"), '"host":', "host must be a URL without user"),
    "a name with a line break": (
        _in_block(lambda block: block.update(name="a\nb")),
        '"name":',
        "is not the name of a consumer",
    ),
    "a source that moves the cursor": (
        _in_block(lambda block: block.update(source="\x1b[2J")),
        '"source":',
        "unprintable",
    ),
    "no date": (
        _in_block(lambda block: block.update(collected="soon")),
        '"collected": "soon",',
        "collected must be a date",
    ),
}


@pytest.mark.parametrize(("change", "line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_its_line(change: Callable[[dict[str, Any]], Any], line: str, message: str) -> None:
    value = json.loads("\n".join(_lines()))
    change(value)
    content = json.dumps(value, indent=2).encode()
    with pytest.raises(InvalidInput) as refused:
        read_registry(content, "consumers.json")
    problem = refused.value.problems[0]
    assert problem.path == "consumers.json"
    assert content.decode().splitlines()[problem.line - 1].strip().startswith(line)
    assert message in problem.message
    assert problem.fix


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"<<<<<<< HEAD\n{}", b"[" * 100_000])
def test_what_is_not_a_registry_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_registry(content, "consumers.json")


def test_every_mistake_is_reported() -> None:
    value = json.loads("\n".join(_lines()))
    _use(name="../x", version=0)(value)
    with pytest.raises(InvalidInput) as refused:
        read_registry(json.dumps(value).encode(), "consumers.json")
    assert len(refused.value.problems) == 2
    assert SCHEMA_VERSION == 1


@pytest.mark.parametrize(
    ("day", "stale", "text"),
    [
        (date(2026, 7, 31), False, "2026-07-01"),
        (date(2026, 8, 1), True, "31 days ago"),
        (date(2026, 6, 1), False, "2026-07-01"),
    ],
)
def test_an_old_entry_is_stale(day: date, stale: bool, text: str) -> None:
    assert (is_stale(BILLING.collected, day), last_seen(BILLING.collected, day)) == (stale, text)


@pytest.mark.parametrize(
    ("columns", "tested", "read"),
    [
        (None, ("a",), None),
        (None, None, None),
        (("a",), None, ("a",)),
        (("a",), ("b", "a"), ("a", "b")),
        ((), ("b",), ("b",)),
    ],
)
def test_tests_add_columns_and_never_remove_any(
    columns: tuple[str, ...] | None, tested: tuple[str, ...] | None, read: tuple[str, ...] | None
) -> None:
    assert RegisteredUse(name="revenue", columns=columns, columns_tested=tested).columns_read == read
