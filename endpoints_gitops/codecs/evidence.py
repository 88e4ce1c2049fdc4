"""The evidence file: what an app's test suite exercised, as the release gate reads it.

Its digest is over everything else in it, so that a damaged or edited file proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.json import JsonObject, fingerprint

SCHEMA_VERSION: Final = 1
_FIX: Final = "make it anew: pytest --endpoints-evidence=FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExercisedTest:
    """A test that called the pin. `outcome` is pytest's word: passed, failed, error, skipped, xfailed, xpassed."""

    test: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExercisedPin:
    """One pin of the lock, called or not.

    `variables` are the distinct sets that were sent. `columns_read` are the columns that were read by name, None where
    rows were read as a whole, so all of them. A pin without tests was not exercised.
    """

    environment: str
    name: str
    version: int
    endpoint_id: str
    version_id: str | None
    query_hash: str
    contract_hash: str
    variables: tuple[JsonObject, ...] = ()
    columns_read: tuple[str, ...] | None = ()
    tests: tuple[ExercisedTest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`commit` and `tree` are HEAD's at the run, None without git; `is_dirty` says that tracked files were changed.

    `outcome` is `passed` where pytest ended with 0, else `failed`. `counts` are pytest's words. `partial` says why the
    run was not the whole suite, None for a full one. `mode` and `contract` are the run's settings.
    """

    commit: str | None
    tree: str | None
    is_dirty: bool
    mode: str
    contract: str
    outcome: str
    partial: str | None
    counts: Mapping[str, int] = field(default_factory=dict)
    pins: tuple[ExercisedPin, ...] = ()


def write_evidence(evidence: Evidence) -> bytes:
    """Keys in reading order, pins sorted."""
    pins = sorted(evidence.pins, key=lambda pin: (pin.environment, pin.name))
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **{key: getattr(evidence, key) for key in _EVIDENCE if key not in ("counts", "pins")},
        "counts": dict(sorted(evidence.counts.items())),
        "pins": [_pin_as_json(pin) for pin in pins],
    }
    value["digest"] = fingerprint(value)
    return (json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def read_evidence(content: bytes, path: str) -> Evidence:
    """The evidence that a file holds. Raises InvalidInput, naming `path` and the key, for what is not all of it."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"this is no JSON, as evidence is ({error})")
    if not isinstance(value, dict):
        _refuse(path, "evidence is an object")
    digest, found = value.pop("digest", None), fingerprint(value)
    version = value.pop("schema_version", None)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = (
            f"this evidence has schema {version}, and this release of endpoints-gitops reads up to {SCHEMA_VERSION}"
        )
        _refuse(path, message, "pip install --upgrade endpoints-gitops")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        _refuse(path, f"schema_version {SCHEMA_VERSION} is missing")
    _check(path, "", value, _EVIDENCE)
    pins = tuple(_pin(path, f"pins.{number}.", pin) for number, pin in enumerate(value["pins"]))
    if digest is None:
        _refuse(path, "it has no digest: an older release of pytest-endpoints-gitops wrote it")
    if digest != found:
        _refuse(path, "its digest is of something else: the file was damaged, or edited by hand")
    return Evidence(**{**value, "pins": pins})


def _pin_as_json(pin: ExercisedPin) -> dict[str, Any]:
    return {
        **{key: getattr(pin, key) for key in _PIN if key not in ("tests", "variables")},
        "variables": [dict(sorted(one.items())) for one in pin.variables],
        "tests": [{"test": one.test, "outcome": one.outcome} for one in pin.tests],
    }


type _Kinds = Mapping[str, tuple[type, ...]]

_EVIDENCE: Final[_Kinds] = {
    "commit": (str, type(None)),
    "tree": (str, type(None)),
    "is_dirty": (bool,),
    "mode": (str,),
    "contract": (str,),
    "outcome": (str,),
    "partial": (str, type(None)),
    "counts": (dict,),
    "pins": (list,),
}
_PIN: Final[_Kinds] = {
    "environment": (str,),
    "name": (str,),
    "version": (int,),
    "endpoint_id": (str,),
    "version_id": (str, type(None)),
    "query_hash": (str,),
    "contract_hash": (str,),
    "variables": (list,),
    "columns_read": (list, type(None)),
    "tests": (list,),
}
_TEST: Final[_Kinds] = {"test": (str,), "outcome": (str,)}
_SAID: Final = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


def _pin(path: str, place: str, value: object) -> ExercisedPin:
    pin = _check(path, place, value, _PIN)
    tests = []
    for number, test in enumerate(pin["tests"]):
        tests.append(ExercisedTest(**_check(path, f"{place}tests.{number}.", test, _TEST)))
    if not all(isinstance(one, dict) for one in pin["variables"]):
        _refuse(path, f"{place}variables is a list of objects")
    read = pin["columns_read"]
    columns = None if read is None else tuple(map(str, read))
    return ExercisedPin(**{**pin, "tests": tuple(tests), "variables": tuple(pin["variables"]), "columns_read": columns})


def _check(path: str, place: str, value: object, known: _Kinds) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, f"{place.removesuffix('.')} is an object")
    for key in value.keys() - known.keys():
        _refuse(path, f"unknown key {place}{key}")
    for key, kinds in known.items():
        if key not in value:
            _refuse(path, f"the key {place}{key} is missing")
        if type(value[key]) not in kinds:
            _refuse(path, f"{place}{key} is {_SAID[kinds[0]]}")
    return value


def _refuse(path: str, message: str, fix: str = _FIX) -> NoReturn:
    raise InvalidInput((Problem(path=path, message=message, code="evidence.invalid", fix=fix),), fix=fix)
