"""Nothing here sees the settings of whoever runs the tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _isolated(nobodys_settings: None) -> None:
    """For every test of this room."""
