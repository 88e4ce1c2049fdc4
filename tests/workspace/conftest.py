"""No test of this folder uses the settings of the user who runs the tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _isolated(nobodys_settings: None) -> None:
    """Applies to every test of this folder."""
