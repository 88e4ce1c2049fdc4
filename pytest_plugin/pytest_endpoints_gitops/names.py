"""The words that pytest has to know at every start; what they do is imported when somebody uses them."""

from __future__ import annotations

from typing import Final

MARKER: Final = "endpoints"
FIXTURES: Final = frozenset(
    {"endpoints", "async_endpoints", "endpoint_case", "endpoints_server", "endpoints_env", "endpoints_lock"}
)
DESCRIPTION: Final = (
    "endpoints(*names, mode=None, canary=None, unordered=None, tolerance=None): which endpoints a test is about, and "
    "where their answers come from. Tests that use a fixture of endpoints have it by themselves."
)
