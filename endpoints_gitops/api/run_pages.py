"""Runs that are read page by page: which page is next, and which rows of it count (docs/server.md#paging).

Pure: whoever asks, a command or an app, by threads or in a loop, asks for the pages that this says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.errors import BadAnswer, PagesBroken
from endpoints_gitops.model.json import Json

PAGE_ROWS: Final = 10_000
"""Well below 50,000, where HogQL clips a query and the server no longer says that there is more."""

UNPAGED_ROWS: Final = 100
"""Where a query without LIMIT stops when no `limit` is given; the answer does not say that there is more."""

_NO_VALUES: Final[Mapping[str, Json]] = MappingProxyType({})

_MOST_BETWEEN: Final = 1_000
"""Rows that may arrive between two keys while a page is read; where more come, the key that is waited for is gone."""

LARGEST_PAGE: Final = 49_999
"""The most rows of one request for which the server still says whether there are more."""


def unstable_pages(why: str) -> str:
    """The warning about rows that were read in several requests."""
    return f"the rows came in several pages, and one can be missing or come twice: {why}"


def page_rows(asked: int | None, *, is_stable: bool) -> int:
    """How many rows to ask for at a time. One request is one answer: where pages would not fit together, it is as
    large as can be.
    """
    return asked or (PAGE_ROWS if is_stable else LARGEST_PAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What to ask for. `version` is fixed by the first answer, so that no edit mixes in.

    `ceiling` is the constant LIMIT of the query, which no paging goes beyond; None where there is none, or where it is
    not known.
    """

    limit: int = PAGE_ROWS
    offset: int = 0
    version: int | None = None
    ceiling: int | None = None

    @property
    def values(self) -> Mapping[str, Json]:
        """The variables that ask for this page: none, its offset does."""
        return _NO_VALUES

    def read(self, answer: RunAnswer) -> tuple[list[Any], PageRequest | None]:
        """The rows of this page, and the page after it; None where the answer was the last.

        The probe for more can come back as a row beyond the ceiling: it is cut off. Raises BadAnswer.
        """
        rows = whole_rows(answer)
        kept = rows if self.ceiling is None else rows[: max(0, self.ceiling - self.offset)]
        if not answer.has_more:
            return kept, None
        if not rows:
            raise BadAnswer("the server says that there are more rows, and sent none")
        return kept, replace(self, version=self.version or answer.version, offset=self.offset + len(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """A page that begins behind a key: `variable` gets the last key but one of the page before, `after`.

    The last row of the page before, whose key is `last`, then comes again, which proves that the pages fit together,
    however the query compares the key and whatever became of it on the way. What comes before it was read already, or
    arrived since: `searched` counts those rows. `limit` is below the constant LIMIT of the query: an answer that fills
    that does not say whether there are more rows.
    """

    column: str
    variable: str
    limit: int = PAGE_ROWS
    version: int | None = None
    after: Json = None
    last: Json = None
    searched: int = 0
    offset: ClassVar[int] = 0

    @property
    def values(self) -> Mapping[str, Json]:
        """The variables that ask for this page; none for the first one."""
        return _NO_VALUES if self.last is None else {self.variable: self.after}

    def read(self, answer: RunAnswer) -> tuple[list[Any], KeyPage | None]:
        """The rows of this page that no page before had, and the page after it; None where the answer was the last.

        Raises PagesBroken where it does not continue the page before, and for keys that are null or not unique.
        """
        rows, keys = whole_rows(answer), self._keys(answer)
        for key, following in pairwise(keys):
            if key == following:
                raise self._broken(f"two rows have the key {key!r}")
        if self.last is None or self.last in keys:
            fresh = rows if self.last is None else rows[keys.index(self.last) + 1 :]
            return fresh, self._following(answer, keys) if answer.has_more else None
        searched = self.searched + len(keys)
        if not answer.has_more or searched > _MOST_BETWEEN:
            raise self._broken(f"the row with the key {self.last!r}, where the page before ended, did not come again")
        return [], replace(self, after=keys[-1], searched=searched)

    def _following(self, answer: RunAnswer, keys: list[Json]) -> KeyPage:
        if len(keys) < 2 or keys[-2] == self.after:
            raise self._broken(f"the query cannot tell {self.limit} keys apart: ask for more rows at a time")
        version = self.version or answer.version
        return replace(self, version=version, after=keys[-2], last=keys[-1], searched=0)

    def _keys(self, answer: RunAnswer) -> list[Json]:
        columns = answer.columns or ()
        if columns.count(self.column) != 1:
            raise self._broken("the answer does not have it")
        if answer.materialized:
            raise self._broken("a materialised table answered, which keeps no order")
        index = columns.index(self.column)
        keys = [row[index] for row in whole_rows(answer)]
        if not all(isinstance(key, str | int | float) for key in keys):
            raise self._broken("a row has no key: it is null, or no single value")
        return keys

    def _broken(self, reason: str) -> PagesBroken:
        return PagesBroken(f"the rows cannot be paged by {self.column}: {reason}")


type AnyPage = PageRequest | KeyPage


def key_page_rows(asked: int | None, ceiling: int | None) -> int:
    """How many rows to ask for at a time when paging by key: fewer than the LIMIT of the query."""
    return min(asked or PAGE_ROWS, (ceiling or LARGEST_PAGE + 1) - 1)


def whole_rows(answer: RunAnswer) -> list[Any]:
    """The rows. Raises BadAnswer where one has another length than the columns: values would move to other columns."""
    columns = answer.columns
    if columns is not None and any(not isinstance(row, list) or len(row) != len(columns) for row in answer.results):
        raise BadAnswer(f"a row does not have the {len(columns)} values that the columns say")
    return answer.results


def may_be_cut(answer: RunAnswer, limit: int | None) -> bool:
    """Whether the server may have stopped at its own number of rows without saying so."""
    return limit is None and answer.columns is not None and len(answer.results) == UNPAGED_ROWS
