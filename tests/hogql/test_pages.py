"""What is said of a query whose rows are read page by page."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.pages import paged


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT number AS n FROM numbers(9) ORDER BY n", None),
        ("WITH q AS (SELECT number AS n FROM numbers(9)) SELECT n FROM q ORDER BY n", None),
        ("SELECT number FROM numbers(9)", "no ORDER BY"),
        ("SELECT uuid, event FROM events ORDER BY event", "ORDER BY event may leave ties"),
        ("SELECT uuid FROM events ORDER BY uuid", "rows may arrive"),
        ("SELECT id FROM persons ORDER BY id", "rows may arrive"),
        ("SELECT number AS n FROM numbers(9) WHERE n IN (SELECT 1 FROM events) ORDER BY n", "rows may arrive"),
        ("SELECT a FROM unknown_view ORDER BY a", "may leave ties"),
        ("SELECT (", "cannot be analyzed"),
        (None, "cannot be analyzed"),
    ],
)
def test_pages_fit_together_only_where_nothing_can_move(sql: str | None, why: str | None) -> None:
    unstable = paged(sql).unstable
    assert (unstable is None) == (why is None)
    assert why is None or why in str(unstable)
