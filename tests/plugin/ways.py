"""The ways in which a suite of an app is run: without xdist, with `-n0`, and with two workers."""

from __future__ import annotations

import pytest

NO_XDIST = ("-p", "no:xdist")
UNUSED = ("hypothesispytest", "fakefs", "time_machine", "platformdirs")
"""Plugins that a suite of an app does not use; two thirds of a worker's start are their imports."""
TWO_WORKERS = ("-n2", *(word for plugin in UNUSED for word in ("-p", f"no:{plugin}")))
WAYS = (
    pytest.param(NO_XDIST, id="no xdist"),
    pytest.param(("-n0",), id="-n0"),
    pytest.param(TWO_WORKERS, id="-n2", marks=pytest.mark.slow),  # starts two interpreters, which import everything
)
