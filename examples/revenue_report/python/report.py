"""Print what each plan brought in, month by month: `python report.py 2026-05 2026-06`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from endpoints_client import RevenueByPlan, revenue_by_plan

from endpoints_gitops import Endpoints, Throttled


def best(rows: Sequence[RevenueByPlan]) -> RevenueByPlan | None:
    return max(rows, key=lambda row: row.mrr or 0, default=None)


def main(months: Sequence[str]) -> None:
    with Endpoints.from_lock(Path(__file__).parents[1] / "endpoints.lock") as endpoints:
        for month in months:
            rows = endpoints.run(revenue_by_plan(month=month), _limit=100)
            for row in rows:
                print(f"{month}  {row.plan or '?':10}  {row.customers:5}  {row.mrr or 0:10.2f}")
            print("best:", best(rows))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Throttled as error:
        sys.exit(f"try again in {error.retry_after} s")
