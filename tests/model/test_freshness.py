from __future__ import annotations

import pytest

from endpoints_gitops.model.freshness import SCHEDULES, age


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (900, "15 minutes"),
        (3600, "1 hour"),
        (86400, "24 hours"),
        (604800, "7 days"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (0, "0 seconds"),
    ],
)
def test_an_age_has_the_largest_unit_that_divides_it(seconds: int, text: str) -> None:
    assert age(seconds) == text


def test_every_schedule_has_an_age_of_its_own() -> None:
    assert len({age(seconds) for seconds in SCHEDULES.values()}) == len(SCHEDULES)
