"""The pages of a run: which page is next, and which of its rows are new (docs/server.md#paging).

This module makes no requests: commands and apps, with threads or an event loop, request the pages that it describes.
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
"""Well below 50,000, at which HogQL truncates a query without saying that there are more rows."""

UNPAGED_ROWS: Final = 100
"""The rows of a query without LIMIT that is run without `limit`; the answer does not say that there are more."""

_NO_VALUES: Final[Mapping[str, Json]] = MappingProxyType({})

_MAX_ARRIVALS: Final = 1_000
"""How many rows can arrive between two keys during paging. After more rows than that, the last key must be gone."""

LARGEST_PAGE: Final = 49_999
"""The largest page for which the server still says whether there are more rows."""


def unstable_pages(why: str) -> str:
    """The warning about rows that were read in several requests of an unstable order."""
    return f"the rows were read in several pages, so rows can be missing or duplicated: {why}"


def page_rows(limit: int | None, *, is_stable: bool) -> int:
    """The number of rows per request: `limit`, or a default. If the order of the rows is unstable, pages do not fit
    together, so the default is as large as possible.
    """
    return limit or (PAGE_ROWS if is_stable else LARGEST_PAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A page by offset. The first answer fixes `version`, so that all pages come from one version.

    `ceiling` is the constant LIMIT of the query, which also limits paging; None without one, or if it is unknown.
    """

    limit: int = PAGE_ROWS
    offset: int = 0
    version: int | None = None
    ceiling: int | None = None

    @property
    def values(self) -> Mapping[str, Json]:
        """The variables of this page: none, because the offset selects it."""
        return _NO_VALUES

    def read(self, answer: RunAnswer) -> tuple[list[Any], PageRequest | None]:
        """The rows of this page, and the next page or None after the last one.

        The server can return one row more than the LIMIT, which is dropped. Raises BadAnswer.
        """
        rows = whole_rows(answer)
        kept = rows if self.ceiling is None else rows[: max(0, self.ceiling - self.offset)]
        if not answer.has_more:
            return kept, None
        if not rows:
            raise BadAnswer("the server says that there are more rows, but sent none")
        return kept, replace(self, version=self.version or answer.version, offset=self.offset + len(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """A page by key: `variable` gets `after`, the second to last key of the previous page.

    The last row of the previous page, with the key `last`, is then returned again. This proves that the pages fit
    together, however the query compares the key. Rows before it were read already or have arrived since; `searched`
    counts them. `limit` is less than the constant LIMIT of the query, because an answer with that many rows does not
    say whether there are more.
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
        """The variables of this page; none for the first one."""
        return _NO_VALUES if self.last is None else {self.variable: self.after}

    def read(self, answer: RunAnswer) -> tuple[list[Any], KeyPage | None]:
        """The rows that no previous page had, and the next page or None after the last one.

        Raises PagesBroken if the answer does not continue the previous page, or if a key is null or not unique.
        """
        rows, keys = whole_rows(answer), self._keys(answer)
        for key, following in pairwise(keys):
            if key == following:
                raise self._broken(f"two rows have the same key {key!r}")
        if self.last is None or self.last in keys:
            fresh = rows if self.last is None else rows[keys.index(self.last) + 1 :]
            return fresh, self._following(answer, keys) if answer.has_more else None
        searched = self.searched + len(keys)
        if not answer.has_more or searched > _MAX_ARRIVALS:
            raise self._broken(f"the last row of the previous page, with the key {self.last!r}, was not returned again")
        return [], replace(self, after=keys[-1], searched=searched)

    def _following(self, answer: RunAnswer, keys: list[Json]) -> KeyPage:
        if len(keys) < 2 or keys[-2] == self.after:
            raise self._broken(
                f"more than {self.limit} rows have keys that the query treats as equal: use larger pages"
            )
        version = self.version or answer.version
        return replace(self, version=version, after=keys[-2], last=keys[-1], searched=0)

    def _keys(self, answer: RunAnswer) -> list[Json]:
        columns = answer.columns or ()
        if columns.count(self.column) != 1:
            raise self._broken("the answer does not have this column exactly once")
        if answer.materialized:
            raise self._broken("the answer comes from a materialized table, which has no order")
        index = columns.index(self.column)
        keys = [row[index] for row in whole_rows(answer)]
        if not all(isinstance(key, str | int | float) for key in keys):
            raise self._broken("the key of a row is null, or not a single value")
        return keys

    def _broken(self, reason: str) -> PagesBroken:
        return PagesBroken(f"the rows cannot be paged by {self.column}: {reason}")


type AnyPage = PageRequest | KeyPage


def key_page_rows(limit: int | None, ceiling: int | None) -> int:
    """The number of rows per request when paging by key: less than the LIMIT of the query."""
    return min(limit or PAGE_ROWS, (ceiling or LARGEST_PAGE + 1) - 1)


def whole_rows(answer: RunAnswer) -> list[Any]:
    """The rows of an answer. Raises BadAnswer if a row does not have as many values as there are columns."""
    columns = answer.columns
    if columns is not None and any(not isinstance(row, list) or len(row) != len(columns) for row in answer.results):
        raise BadAnswer(f"a row does not have {len(columns)} values, one per column")
    return answer.results


def may_be_truncated(answer: RunAnswer, limit: int | None) -> bool:
    """Whether the server may have applied its default LIMIT, which the answer does not show."""
    return limit is None and answer.columns is not None and len(answer.results) == UNPAGED_ROWS
