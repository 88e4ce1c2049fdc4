"""The plan file: readable JSON, written by `plan -o` and read by `push --plan`."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.plan.changes import Plan

SCHEMA_VERSION: Final = 1


def write_plan(plan: Plan) -> bytes:
    """The plan as JSON, keys in reading order. `read_plan` gives back the same plan."""
    raise NotImplementedError


def read_plan(content: bytes, path: str) -> Plan:
    """The plan that a file holds. Raises InvalidInput, naming `path` and the place in it."""
    raise NotImplementedError
