"""The sample product: half a year of Quill, a note-taking product for small teams, the same on every machine.

Each of the people lives by a random generator of their own, so that a change in one life moves no other. Days are
counted back from the day of `now`, and nothing happens after `now`: the last thirty days always hold something.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

PEOPLE: Final = 300
DAYS: Final = 180
GROUP_TYPES: Final = {"company": 0}

_SEED: Final = "quill"
_SITE: Final = "https://quill.example"
_DEVICES: Final = (
    ("Chrome", "Windows", "web"),
    ("Chrome", "Mac OS X", "web"),
    ("Safari", "Mac OS X", "web"),
    ("Firefox", "Linux", "web"),
    ("Edge", "Windows", "web"),
    ("Safari", "iOS", "posthog-ios"),
    ("Chrome", "Android", "web"),
)
_COUNTRIES: Final = ("DE", "US", "FR", "GB", "BR", "IN")
_SOURCES: Final = ("google", "newsletter", "hackernews", "friend", "direct")
_REFERRERS: Final = {"google": "www.google.com", "hackernews": "news.ycombinator.com"}
_CAMPAIGNS: Final = ("google", "newsletter", "hackernews")
_KINDS: Final = ("text", "text", "text", "checklist", "checklist", "drawing")
_REASONS: Final = ("price", "missing feature", "unused", "other")
_PRICES: Final = {"month": 8, "year": 80}
_BILLED_AT: Final = timedelta(minutes=5)

type Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Rows for the tables."""

    events: Sequence[Row]
    persons: Sequence[Row]
    distinct_ids: Sequence[Row]
    groups: Sequence[Row]


def product(now: datetime) -> Product:
    """The sample data up to `now`."""
    now = now.astimezone(UTC)
    lives = [life for number in range(PEOPLE) if (life := _lived(number, now)).events]
    return Product(
        events=[event for life in lives for event in life.events],
        persons=[life.person() for life in lives],
        distinct_ids=[{"distinct_id": name, "person_id": life.id} for life in lives for name in life.distinct_ids],
        groups=[life.company() for life in lives if life.seats],
    )


@dataclass(slots=True, kw_only=True)
class _Life:
    number: int
    random: Random
    now: datetime
    began: datetime
    device: tuple[str, str, str]
    source: str
    country: str
    id: str
    distinct_id: str
    plan: str = "free"
    seats: int = 0
    distinct_ids: list[str] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)

    @property
    def company_key(self) -> str:
        return f"company-{self.number:03}"

    def does(self, event: str, at: datetime, session: str, **properties: Any) -> None:  # noqa: ANN401 - any JSON
        if at > self.now:
            return
        browser, system, library = self.device
        common = {"$session_id": session, "$browser": browser, "$os": system, "$lib": library}
        if self.plan != "free":
            common["$group_0"] = self.company_key
        self.events.append(
            {
                "uuid": _uuid(self.random),
                "event": event,
                "timestamp": _written(at),
                "distinct_id": self.distinct_id,
                "person_id": self.id,
                "properties": common | properties,
            }
        )
        if self.distinct_id not in self.distinct_ids:
            self.distinct_ids.append(self.distinct_id)

    def person(self) -> Row:
        known: Row = {"country": self.country}
        if self.source in _CAMPAIGNS:
            known["initial_utm_source"] = self.source
        if not self.distinct_id.startswith("anonymous"):
            known |= {"email": f"{self.distinct_id}@mail.example", "plan": self.plan}
        first = min(event["timestamp"] for event in self.events)
        return {
            "id": self.id,
            "created_at": first,
            "properties": known,
            "is_identified": int("email" in known),
        }

    def company(self) -> Row:
        known = {"name": f"Company {self.number:03}", "plan": self.plan, "seats": self.seats}
        created = _written(self.began)
        return {
            "index": GROUP_TYPES["company"],
            "key": self.company_key,
            "created_at": created,
            "updated_at": created,
            "properties": known,
        }


def _lived(number: int, now: datetime) -> _Life:
    life = _born(number, now)
    days = (now - life.began).days + 1
    signs_up = number % 6 != 5
    fades = life.random.random() < 0.4
    pays_on = life.random.randrange(5, 25) if signs_up and number % 4 == 0 else None
    for day in range(days):
        if day and not _comes_back(life, day, signs_up=signs_up, fades=fades):
            continue
        session, at = _uuid(life.random), _time_of_day(life, day)
        at = _looks_around(life, at, session, first=day == 0)
        if day == 0 and signs_up:
            at = _signs_up(life, at, session)
        if signs_up:
            at = _works(life, at, session)
        if pays_on is not None and day >= pays_on and life.plan == "free":
            _subscribes(life, at, session)
            pays_on = None
    return life


def _born(number: int, now: datetime) -> _Life:
    """The start of a team: later numbers start later, and at a growing rate."""
    random = Random(f"{_SEED}-{number}")  # noqa: S311 - reproducible sample data, not a secret
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight - timedelta(days=DAYS - 1 - int((DAYS - 1) * (number / PEOPLE) ** 0.8))
    anonymous = number % 3 == 0 or number % 6 == 5
    return _Life(
        number=number,
        random=random,
        now=now,
        began=day,
        device=_DEVICES[random.randrange(len(_DEVICES))],
        source=_SOURCES[random.randrange(len(_SOURCES))],
        country=_COUNTRIES[random.randrange(len(_COUNTRIES))],
        id=_uuid(random),
        distinct_id=f"anonymous-{number:03}" if anonymous else f"user-{number:03}",
    )


def _comes_back(life: _Life, day: int, *, signs_up: bool, fades: bool) -> bool:
    if not signs_up:
        return day < 20 and life.random.random() < 0.1
    habit = 0.22 * (0.5 ** (day / 25) if fades else 1.0)
    return life.random.random() < habit


def _time_of_day(life: _Life, day: int) -> datetime:
    return life.began + timedelta(days=day, seconds=life.random.randrange(6 * 3600, 21 * 3600))


def _later(life: _Life, at: datetime, most_seconds: int) -> datetime:
    return at + timedelta(seconds=life.random.randrange(4, most_seconds))


def _looks_around(life: _Life, at: datetime, session: str, *, first: bool) -> datetime:
    paths = (
        ("/", "/pricing", "/docs")[: life.random.randrange(1, 4)]
        if first
        else ("/notes", "/notes", "/docs", "/pricing")[: life.random.randrange(1, 5)]
    )
    referrer = _REFERRERS.get(life.source, "$direct") if first else "$direct"
    for path in paths:
        seen: Row = {"$current_url": _SITE + path, "$pathname": path, "$referring_domain": referrer}
        if first and life.source in _CAMPAIGNS:
            seen["utm_source"] = life.source
        life.does("$pageview", at, session, **seen)
        at = _later(life, at, 90)
    return at


def _signs_up(life: _Life, at: datetime, session: str) -> datetime:
    life.distinct_id = f"user-{life.number:03}"
    life.does("user signed up", at, session, source=life.source, plan="free")
    return _later(life, at, 120)


def _works(life: _Life, at: datetime, session: str) -> datetime:
    for _ in range(life.random.randrange(1, 5)):
        kind = _KINDS[life.random.randrange(len(_KINDS))]
        words = 3 + int(2397 * life.random.random() ** 3)
        shared = life.random.random() < 0.2
        life.does("note created", at, session, kind=kind, word_count=words, is_shared=shared)
        at = _later(life, at, 600)
        if shared:
            channel = ("link", "email", "team")[life.random.randrange(3)]
            life.does("note shared", at, session, channel=channel, note_kind=kind)
            at = _later(life, at, 60)
    if life.random.random() < 0.12:
        _exports(life, at, session)
        at = _later(life, at, 60)
    return at


def _exports(life: _Life, at: datetime, session: str) -> None:
    life.does(
        "export finished",
        at,
        session,
        format=("pdf", "markdown", "html")[life.random.randrange(3)],
        duration_ms=80 + int(8920 * life.random.random() ** 2),
        succeeded=life.random.random() >= 0.06,
    )


def _subscribes(life: _Life, at: datetime, session: str) -> None:
    """The payments of a subscription: at its start, then on the first of each month until it is canceled."""
    plan = "pro" if life.random.random() < 0.65 else "team"
    interval = "month" if life.random.random() < 0.8 else "year"
    seats = 1 if plan == "pro" else life.random.randrange(3, 26)
    ends = at + timedelta(days=life.random.randrange(20, 110)) if life.random.random() < 0.5 else None
    if at > life.now:
        return
    life.plan, life.seats = plan, seats
    life.does("subscription started", at, session, plan=plan, interval=interval, seats=seats)
    paid: Row = {"plan": plan, "amount": _PRICES[interval] * seats, "currency": "EUR", "seats": seats}
    life.does("invoice paid", at + timedelta(seconds=2), session, **paid)
    for bill in _firsts_of_month(at, life.now) if interval == "month" else ():
        if ends is None or bill < ends:
            life.does("invoice paid", bill, _uuid(life.random), **paid)
    if ends is not None and ends <= life.now:
        reason = _REASONS[life.random.randrange(len(_REASONS))]
        life.does("subscription cancelled", ends, _uuid(life.random), plan=plan, reason=reason)
        life.plan = "free"


def _firsts_of_month(after: datetime, until: datetime) -> Iterator[datetime]:
    month = after.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while True:
        month = (month + timedelta(days=32)).replace(day=1)
        if month + _BILLED_AT > until:
            return
        yield month + _BILLED_AT


def _uuid(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
