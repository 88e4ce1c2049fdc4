"""The marker `endpoints(*names, mode=None, canary=None, unordered=None, tolerance=None)`: the closest one wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from pytest_endpoints_gitops.names import MARKER
from pytest_endpoints_gitops.options import MODES_OF_TESTS, is_candidate

_KEYWORDS: Final = ("mode", "canary", "unordered", "tolerance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the markers around one test say together. None: not given."""

    names: tuple[str, ...] = ()
    mode: str | None = None
    canary: str | None = None
    unordered: bool | None = None
    tolerance: float | None = None


UNMARKED: Final = Mark()


def mark_of(node: pytest.Item) -> Mark:
    """The closest marker that says a thing decides it."""
    markers = [marker for marker in node.iter_markers(MARKER) if marker.args or marker.kwargs]
    if not markers:
        return UNMARKED
    names = next((marker.args for marker in markers if marker.args), ())
    given = {key: _closest(markers, key) for key in _KEYWORDS}
    if given["canary"] is not None:
        given["canary"] = str(given["canary"])
    return Mark(names=names, **given)


def check_marks(markers: Iterable[pytest.Mark], where: str) -> None:
    """Fail the collection where a marker says something that means nothing."""
    for marker in markers:
        mistake = _mistake(marker)
        if mistake:
            pytest.fail(f"{where}: @pytest.mark.{MARKER}: {mistake}", pytrace=False)


def _closest(markers: Iterable[pytest.Mark], key: str) -> Any:  # noqa: ANN401 - checked at collection
    return next((marker.kwargs[key] for marker in markers if marker.kwargs.get(key) is not None), None)


def _mistake(marker: pytest.Mark) -> str | None:
    if not all(isinstance(name, str) for name in marker.args):
        return "its arguments are names of endpoints"
    for key, value in marker.kwargs.items():
        mistake = _unknown(key) if key not in _KEYWORDS else None if value is None else _wrong(key, value)
        if mistake:
            return mistake
    return None


def _unknown(key: str) -> str:
    from endpoints_gitops.model.suggestions import did_you_mean

    return f"unknown keyword {key!r}{did_you_mean(key, _KEYWORDS) or f'; it takes {", ".join(_KEYWORDS)}'}"


def _wrong(key: str, value: object) -> str | None:
    if key == "mode" and value not in MODES_OF_TESTS:
        return f"mode is one of {', '.join(MODES_OF_TESTS)}, not {value!r}; modes that write are for the command line"
    if key == "canary" and not is_candidate(str(value)):
        return f"canary is latest, worktree, off or a version's number, not {value!r}"
    if key == "unordered" and not isinstance(value, bool):
        return f"unordered is True or False, not {value!r}"
    if key == "tolerance" and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        return f"tolerance is a number from 0, not {value!r}"
    return None
