"""The warnings for a query whose rows are read in pages."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.paging import Keyset, KeysetRefused, keyset, paged


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT number AS n FROM numbers(9) ORDER BY n", None),
        ("WITH q AS (SELECT number AS n FROM numbers(9)) SELECT n FROM q ORDER BY n", None),
        ("SELECT number FROM numbers(9)", "no ORDER BY"),
        ("SELECT uuid, event FROM events ORDER BY event", "ORDER BY event can leave ties"),
        ("SELECT uuid FROM events ORDER BY uuid", "rows can arrive"),
        ("SELECT id FROM persons ORDER BY id", "rows can arrive"),
        ("SELECT number AS n FROM numbers(9) WHERE n IN (SELECT 1 FROM events) ORDER BY n", "rows can arrive"),
        ("SELECT a FROM unknown_view ORDER BY a", "can leave ties"),
        ("SELECT (", "cannot be analyzed"),
        (None, "cannot be analyzed"),
    ],
)
def test_pages_fit_together_only_where_nothing_can_move(sql: str | None, why: str | None) -> None:
    unstable = paged(sql).unstable
    assert (unstable is None) == (why is None)
    assert why is None or why in str(unstable)


AFTER = "{variables.after}"


@pytest.mark.parametrize(
    ("sql", "ceiling"),
    [
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id", None),
        (f"SELECT id FROM t WHERE {AFTER} < id ORDER BY id ASC LIMIT 50", 50),
        (f"SELECT id FROM t WHERE n = 1 AND (b = 2 AND id > {AFTER}) ORDER BY id, n", None),
        (f"SELECT id FROM t WHERE id < {AFTER} ORDER BY id DESC", None),
        (f"SELECT t.number AS id FROM t WHERE t.number > {AFTER} ORDER BY id", None),
        (f"SELECT x + 1 AS id FROM t WHERE id > toInt({AFTER}) ORDER BY 1", None),
        (f"SELECT * FROM t WHERE id > {AFTER} ORDER BY id", None),
        (f"SELECT id, count() FROM t WHERE id > {AFTER} GROUP BY id ORDER BY id", None),
        (f"SELECT max(x) AS id, n FROM t GROUP BY n HAVING id > {AFTER} ORDER BY id", None),
        (f"SELECT id FROM t WHERE id > {AFTER} AND id < {{variables.end}} ORDER BY id", None),
        (f"WITH q AS (SELECT id FROM t LIMIT 5) SELECT id FROM q WHERE id > {AFTER} ORDER BY id", None),
    ],
)
def test_a_query_with_a_condition_that_its_order_continues_is_paged_by_key(sql: str, ceiling: int | None) -> None:
    assert keyset(sql, "id") == Keyset(column="id", variable="after", ceiling=ceiling)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT (", "cannot be analyzed here"),
        (f"SELECT id FROM t WHERE id > {AFTER} UNION ALL SELECT 1 AS id", "cannot page a UNION"),
        (f"SELECT number FROM t WHERE id > {AFTER} ORDER BY id", "it has no column id"),
        (f"SELECT id, x AS id FROM t WHERE id > {AFTER} ORDER BY id", "several of its columns are named id"),
        (f"SELECT id FROM t WHERE id > {AFTER}", "its ORDER BY is missing"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY n, id", "its ORDER BY begins with n"),
        (f"SELECT toString(id) AS id FROM t WHERE t.id > {AFTER} ORDER BY id", "no condition id > {variables.…}"),
        ("SELECT id FROM t ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id < {AFTER} ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id DESC", "no condition id < {variables.…}"),
        (f"SELECT id FROM t WHERE id >= {AFTER} ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > {AFTER} OR n = 1 ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE not(id > {AFTER}) ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > {AFTER} + n ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > {AFTER} + {{variables.n}} ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > (SELECT {AFTER}) ORDER BY id", "no condition id > {variables.…}"),
        (f"SELECT id FROM t WHERE id > {AFTER} AND id > {{variables.n}} ORDER BY id", "several conditions id >"),
        (
            f"SELECT id, {AFTER} FROM t WHERE id > {AFTER} ORDER BY id",
            "other parts of the query use {variables.after} too",
        ),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id WITH FILL", "WITH FILL"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id LIMIT 1 BY n", "LIMIT BY"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id LIMIT {{variables.n}}", "its LIMIT is not a number"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id LIMIT 9 WITH TIES", "its LIMIT is not a number"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id LIMIT 2", "a LIMIT below 3"),
        (f"SELECT id FROM t WHERE id > {AFTER} ORDER BY id LIMIT 9 OFFSET 1", "OFFSET"),
        (f"SELECT id FROM t WHERE id > {AFTER} GROUP BY ROLLUP(id) ORDER BY id", "ROLLUP"),
        (f"SELECT id, row_number() OVER () AS n FROM t WHERE id > {AFTER} ORDER BY id", "a window function"),
        (f"SELECT id FROM t WHERE id > {AFTER} QUALIFY id > 1 ORDER BY id", "QUALIFY"),
    ],
)
def test_what_cannot_be_paged_by_key_says_why(sql: str, reason: str) -> None:
    with pytest.raises(KeysetRefused) as refused:
        keyset(sql, "id")
    assert reason in str(refused.value)
