"""Compare an answer with a fact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from endpoints_gitops.conformance.server import Reply
from endpoints_gitops.model.fact import Fact
from endpoints_gitops.model.json import Json


def differences(fact: Fact, reply: Reply) -> Iterator[str]:
    """A line for each difference between the answer and the fact, in the order of the fact."""
    if reply.status != fact.status:
        yield f"status is {reply.status}, not {fact.status}"
        return
    if fact.then:
        yield from _compare(reply.body, fact.then, "answer")
    for path in fact.absent:
        if _has(reply.body, path.split(".")):
            yield f"answer.{path} is present"
    first_key = next(iter(reply.body), None) if isinstance(reply.body, Mapping) else None
    if fact.first_key is not None and first_key != fact.first_key:
        yield f"the first key is {first_key!r}, not {fact.first_key!r}"


def _compare(actual: Json, expected: Json, where: str) -> Iterator[str]:
    """Compare values. Objects can have additional keys; lists must have the same length."""
    if isinstance(expected, str) and expected.startswith("~"):
        if not isinstance(actual, str) or not re.search(expected[1:], actual):
            yield f"{where} is {actual!r}, which does not contain {expected[1:]!r}"
    elif isinstance(expected, Mapping):
        yield from _compare_mappings(actual, expected, where)
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        if not isinstance(actual, Sequence) or isinstance(actual, str) or len(actual) != len(expected):
            yield f"{where} is {actual!r}, not {expected!r}"
            return
        for index, item in enumerate(expected):
            yield from _compare(actual[index], item, f"{where}.{index}")
    elif actual != expected or isinstance(actual, bool) is not isinstance(expected, bool):
        yield f"{where} is {actual!r}, not {expected!r}"


def _compare_mappings(actual: Json, expected: Mapping[str, Json], where: str) -> Iterator[str]:
    if not isinstance(actual, Mapping):
        yield f"{where} is {actual!r}, which is not an object"
        return
    for key, item in expected.items():
        if key in actual:
            yield from _compare(actual[key], item, f"{where}.{key}")
        else:
            yield f"{where}.{key} is missing"


def _has(value: Json, path: Sequence[str]) -> bool:
    return not path or (isinstance(value, Mapping) and path[0] in value and _has(value[path[0]], path[1:]))
