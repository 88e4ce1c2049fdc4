"""The evidence file: the pins that an app's test suite exercised, for the release gate.

Its digest covers the rest of the file, so that a damaged or edited file is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from endpoints_gitops.codecs.reader import Document, check_digest, check_schema_version
from endpoints_gitops.model.json import JsonObject, fingerprint
from endpoints_gitops.model.pin import Pin

SCHEMA_VERSION: Final = 1
_FIX: Final = "run the suite again: pytest --endpoints-evidence=FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExercisedTest:
    """A test that called the pin. `outcome` is pytest's: passed, failed, error, skipped, xfailed or xpassed.

    One that passed was answered: a test that passes because its call fails as expected is not listed.
    """

    test: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExercisedPin:
    """One pin of the lock, called or not.

    `variables` are the distinct sets that were sent. `columns_read` are the columns that were read by name, None if
    rows were read as a whole. A pin without tests was not exercised.
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

    @classmethod
    def of(
        cls,
        pin: Pin,
        tests: Iterable[ExercisedTest] = (),
        *,
        variables: tuple[JsonObject, ...] = (),
        columns_read: tuple[str, ...] | None = (),
    ) -> ExercisedPin:
        """The pin of a lock, as these tests exercised it."""
        return cls(
            environment=pin.environment,
            name=pin.name,
            version=pin.version,
            endpoint_id=pin.endpoint_id,
            version_id=pin.version_id,
            query_hash=pin.query_hash,
            contract_hash=pin.contract_hash,
            variables=variables,
            columns_read=columns_read,
            tests=tuple(tests),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence of one run of a test suite.

    `commit` and `tree` are HEAD's at the run, None without git; `is_dirty` says that tracked files were changed, or
    that HEAD or the lock moved during the run.
    `outcome` is `passed` if pytest's exit code was 0, else `failed`. `counts` are the numbers of tests by pytest's
    outcome. `partial` says why the run was not the complete suite, None for a complete one. `mode` and `contract` are
    the settings of the run.
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
    """The bytes of the file, with pins sorted by environment and name."""
    pins = sorted(evidence.pins, key=lambda pin: (pin.environment, pin.name))
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **{key: getattr(evidence, key) for key in _keys(evidence) if key not in ("counts", "pins")},
        "counts": dict(sorted(evidence.counts.items())),
        "pins": [_pin_as_json(pin) for pin in pins],
    }
    value["digest"] = fingerprint(value)
    return (json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def read_evidence(content: bytes, path: str) -> Evidence:
    """Parse an evidence file. Raises InvalidInput, naming `path`, with every mistake in it."""
    document = Document.of_json(content, path, code="evidence.invalid", fix=_FIX, is_complete=True)
    check_schema_version(document, SCHEMA_VERSION)
    digest, actual = document.take("digest"), document.fingerprint()
    document.take("schema_version")
    evidence = document.read(Evidence)
    if digest is None:
        document.refuse("missing key 'digest': an older release of pytest-endpoints-gitops wrote the file")
    check_digest(document, digest, actual)
    return evidence


def _pin_as_json(pin: ExercisedPin) -> dict[str, Any]:
    return {
        **{key: getattr(pin, key) for key in _keys(pin) if key not in ("tests", "variables")},
        "variables": [dict(sorted(variables.items())) for variables in pin.variables],
        "tests": [{"test": test.test, "outcome": test.outcome} for test in pin.tests],
    }


def _keys(value: Evidence | ExercisedPin) -> Iterator[str]:
    return (item.name for item in fields(value))
