"""The board's own suite. It runs offline: `pytest`."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.util import setup_testing_defaults

import numbers_board


def get(path: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body, as a browser would have them."""
    environ: dict[str, Any] = {"QUERY_STRING": path.partition("?")[2]}
    setup_testing_defaults(environ)
    told: list[Any] = []
    body = b"".join(numbers_board.application(environ, lambda *words: told.extend(words)))
    return int(told[0].split()[0]), dict(told[1]), json.loads(body)


def test_the_board_shows_three_numbers(endpoints_env):
    status, _, board = get("/?month=2026-06")
    assert status == 200, board
    assert board["customers"] > 0
    assert board["mrr"] > board["customers"]
    assert set(board["signups"]) >= {"google", "newsletter"}
    assert board["notes"] > 0


def test_revenue_is_the_sum_of_the_plans(endpoints):
    rows = endpoints("revenue_by_plan", month="2026-06")
    assert sorted(rows.column("plan")) == ["pro", "team"]
    assert all(mrr > 0 for mrr in rows.column("mrr"))


def test_a_month_without_customers_is_no_error(endpoints_env):
    assert get("/?month=1999-01")[2]["mrr"] == 0


def test_the_board_says_when_to_come_back(endpoints_env, endpoints_server):
    endpoints_server.fail("revenue_by_plan", status=429, retry_after=30)
    status, headers, _ = get("/?month=2026-06")
    assert (status, headers["Retry-After"]) == (503, "30")


def test_every_pin_keeps_its_contract(endpoint_case):
    endpoint_case.check()
