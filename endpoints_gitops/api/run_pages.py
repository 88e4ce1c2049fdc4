"""Runs that are read page by page: which page is next, and which rows of it count (docs/server.md#paging).

Pure: whoever asks, a command or an app, by threads or in a loop, asks for the pages that this says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.errors import BadAnswer

PAGE_ROWS: Final = 10_000
"""Well below 50,000, where HogQL clips a query and the server no longer says that there is more."""

UNPAGED_ROWS: Final = 100
"""Where a query without LIMIT stops when no `limit` is given; the answer does not say that there is more."""

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
class Page:
    """What to ask for. `version` is fixed by the first answer, so that no edit mixes in.

    `ceiling` is the constant LIMIT of the query, which no paging goes beyond; None where there is none, or where it is
    not known.
    """

    limit: int = PAGE_ROWS
    offset: int = 0
    version: int | None = None
    ceiling: int | None = None

    def rows(self, answer: RunAnswer) -> list[Any]:
        """The rows of this page. The probe for more can come back as a row beyond the ceiling: it is cut off."""
        rows = whole_rows(answer)
        return rows if self.ceiling is None else rows[: max(0, self.ceiling - self.offset)]

    def following(self, answer: RunAnswer) -> Page | None:
        """The page after this one, None where the answer was the last."""
        if not answer.has_more:
            return None
        if not answer.results:
            raise BadAnswer("the server says that there are more rows, and sent none")
        return replace(self, version=self.version or answer.version, offset=self.offset + len(answer.results))


def whole_rows(answer: RunAnswer) -> list[Any]:
    """The rows. Raises BadAnswer where one has another length than the columns: values would move to other columns."""
    columns = answer.columns
    if columns is not None and any(not isinstance(row, list) or len(row) != len(columns) for row in answer.results):
        raise BadAnswer(f"a row does not have the {len(columns)} values that the columns say")
    return answer.results


def may_be_cut(answer: RunAnswer, limit: int | None) -> bool:
    """Whether the server may have stopped at its own number of rows without saying so."""
    return limit is None and answer.columns is not None and len(answer.results) == UNPAGED_ROWS
