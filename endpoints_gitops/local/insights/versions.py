"""Comparisons of semantic versions as HogQL (docs/server.md#insights)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.refused import NotComputed

_SIGNS: Final = {"eq": "=", "neq": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NUMBERS: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})*")
type _Bounds = tuple[str, str]


def compared(left: str, operator: str, wanted: str, quoted: str) -> str:
    """The condition of an operator such as `semver_gt`. `quoted` is the HogQL of the wanted version. What is not a
    version never matches.

    Raises QueryRefused as the server does, and NotComputed for an unknown operator.
    """
    word = operator.removeprefix("semver_")
    if word in _SIGNS:
        return " AND ".join((_known(left), _known(quoted), _compared(left, _SIGNS[word], quoted)))
    if word not in _RANGES:
        raise NotComputed(f"the operator {operator}")
    low, high = _RANGES[word](_parts(word, wanted))
    return " AND ".join((_known(left), _compared(left, ">=", f"'{low}'"), _compared(left, "<", f"'{high}'")))


def _compared(left: str, sign: str, version: str) -> str:
    return f"sortableSemver({left}) {sign} sortableSemver({version})"


def _known(version: str) -> str:
    return f"isNotNull(sortableSemver({version})[1])"


def _parts(word: str, wanted: str) -> list[int]:
    """The numbers of a version without its suffix, or of a pattern such as `1.2.*`."""
    base = (wanted.rstrip(".*") if word == "wildcard" else wanted).split("-")[0]
    if not _NUMBERS.fullmatch(base):
        name = word.capitalize()
        raise QueryRefused(f"{name} operator requires a valid semver string (e.g., '1.2.3')")
    return [int(part) for part in base.split(".")]


def _tilde(parts: list[int]) -> _Bounds:
    """Later patches; of a major version alone, later minor versions too."""
    major, minor, patch = _three(parts)
    if len(parts) == 1:
        return f"{major}.0.0", f"{major + 1}.0.0"
    return f"{major}.{minor}.{patch}", f"{major}.{minor + 1}.0"


def _caret(parts: list[int]) -> _Bounds:
    """Later versions with the same first number that is not zero."""
    major, minor, patch = _three(parts)
    above = f"{major + 1}.0.0" if major else f"0.{minor + 1}.0" if minor else f"0.0.{patch + 1}"
    return f"{major}.{minor}.{patch}", above


def _wildcard(parts: list[int]) -> _Bounds:
    """All versions that begin with the numbers."""
    major, minor, _ = _three(parts)
    if len(parts) == 1:
        return f"{major}.0.0", f"{major + 1}.0.0"
    if len(parts) == 2:
        return f"{major}.{minor}.0", f"{major}.{minor + 1}.0"
    raise NotComputed("the operator semver_wildcard", "with three numbers, of which the server makes no version")


def _three(parts: list[int]) -> tuple[int, int, int]:
    major, minor, patch = [*parts, 0, 0][:3]
    return major, minor, patch


_RANGES: Final[Mapping[str, Callable[[list[int]], _Bounds]]] = {"tilde": _tilde, "caret": _caret, "wildcard": _wildcard}
