"""The words that pytest needs at every start; what they do is imported when they are used."""

from __future__ import annotations

from typing import Final

MARKER: Final = "endpoints"
LOCK: Final = "endpoints.lock"
KEY: Final = "phx_made_up_for_tests"
"""The key of `endpoints_server`. It has the shape of a real one because apps may check that, and is never sent."""

REPORTED: Final = "_endpoints"
"""The attribute of a report that holds the log of its test, as plain values that pass between processes."""

FIXTURES: Final = frozenset(
    {
        "endpoints",
        "async_endpoints",
        "endpoints_client",
        "async_endpoints_client",
        "endpoint_case",
        "endpoints_server",
        "endpoints_env",
        "endpoints_lock",
        "endpoints_session",
    }
)
DESCRIPTION: Final = (
    "endpoints(*names, mode=None, canary=None, unordered=None, tolerance=None): which endpoints a test is about, and "
    "where their answers come from. Tests that use a fixture of endpoints have it by themselves."
)
