"""A board with three numbers of a product, as JSON: `GET /?month=2026-06`. It needs nothing but Python.

It calls PostHog by hand, as an app does that has a client of its own, and takes the versions from the lock.
"""

from __future__ import annotations

import json
import os
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

LOCK = Path(__file__).with_name("endpoints.lock")
PATIENCE = float(os.environ.get("BOARD_PATIENCE", "10"))


class Unavailable(Exception):
    """PostHog did not answer; `wait` are the seconds that it asked for."""

    def __init__(self, wait: str | None) -> None:
        super().__init__(wait)
        self.wait = wait


def rows(name: str, **variables: str) -> list[dict[str, Any]]:
    """The rows of the pinned version, as objects."""
    address = f"{os.environ['POSTHOG_HOST']}/api/projects/{os.environ['POSTHOG_PROJECT_ID']}/endpoints/{name}/run"
    request = urllib.request.Request(
        f"{address}?version={_pinned(name)}",
        data=json.dumps({"variables": variables}).encode(),
        headers={"Authorization": f"Bearer {os.environ['POSTHOG_API_KEY']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise Unavailable(error.headers.get("Retry-After")) from error
    except OSError as error:
        raise Unavailable(None) from error
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["results"]]


def board(month: str) -> dict[str, Any]:
    """The numbers of one month."""
    revenue = rows("revenue_by_plan", month=month)
    return {
        "month": month,
        "customers": sum(row["customers"] for row in revenue),
        "mrr": round(sum(row["mrr"] for row in revenue), 2),
        "signups": {row["source"]: row["signups"] for row in rows("signups_by_source")},
        "notes": sum(row["notes"] for row in rows("notes_by_kind", month=month)),
    }


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The service (WSGI)."""
    month = parse_qs(environ.get("QUERY_STRING", "")).get("month", ["2026-06"])[0]
    headers = [("Content-Type", "application/json")]
    try:
        status, said = "200 OK", board(month)
    except Unavailable as error:
        status, said = "503 Service Unavailable", {"error": "the numbers are not to be had at the moment"}
        headers += [("Retry-After", error.wait)] if error.wait else []
    start_response(status, headers)
    return [json.dumps(said).encode()]


def _pinned(name: str) -> int:
    pins = tomllib.loads(LOCK.read_text(encoding="utf-8"))["pins"]
    return int(next(pin["version"] for pin in pins if pin["name"] == name))


if __name__ == "__main__":
    with make_server("127.0.0.1", 8000, application) as server:
        server.serve_forever()
