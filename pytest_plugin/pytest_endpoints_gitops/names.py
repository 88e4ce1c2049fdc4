"""The words that pytest has to know at every start; what they do is imported when somebody uses them."""

from __future__ import annotations

from typing import Final

MARKER: Final = "endpoints"
KEY: Final = "phx_made_up_for_tests"
"""What `endpoints_server` takes for a key. It is shaped like one because apps may check that, and never leaves."""

FIXTURES: Final = frozenset(
    {"endpoints", "async_endpoints", "endpoint_case", "endpoints_server", "endpoints_env", "endpoints_lock"}
)
DESCRIPTION: Final = (
    "endpoints(*names, mode=None, canary=None, unordered=None, tolerance=None): which endpoints a test is about, and "
    "where their answers come from. Tests that use a fixture of endpoints have it by themselves."
)
