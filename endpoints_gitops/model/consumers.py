"""The consumers' registry: which apps call which endpoints, as `consumers collect` last saw them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from endpoints_gitops.model.pin import ReadingStyle

STALE_DAYS: Final = 30
"""An entry that was collected longer ago is marked as stale. It still counts: old knowledge is better than none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredUse:
    """One endpoint that a consumer uses.

    `version` is None if the consumer does not pin the endpoint, so every new version reaches it; then there is no
    identity either. `columns` are those that its manifest declares, None if it declares none. `columns_tested` are
    those that its tests read by name according to its evidence, None without evidence of this pin or if rows were read
    as a whole.
    """

    name: str
    version: int | None = None
    endpoint_id: str | None = None
    version_id: str | None = None
    contract_hash: str | None = None
    reads: ReadingStyle = "name"
    columns: tuple[str, ...] | None = None
    columns_tested: tuple[str, ...] | None = None

    @property
    def columns_read(self) -> tuple[str, ...] | None:
        """The columns that the consumer reads, None if it can read any of them.

        Tests only add columns: that they read few does not show that the app does.
        """
        if self.columns is None:
            return None
        return tuple(dict.fromkeys((*self.columns, *(self.columns_tested or ()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredEnvironment:
    """An environment of a consumer. `host` and `project_id` are None if its manifest does not state them."""

    name: str
    host: str | None = None
    project_id: int | None = None
    uses: tuple[RegisteredUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredConsumer:
    """An app that calls endpoints.

    `source` is where it was read, without credentials; `ref` and `commit` are those of a git repository. `collected`
    is the day on which it was read.
    """

    name: str
    source: str
    ref: str | None = None
    commit: str | None = None
    collected: date
    environments: tuple[RegisteredEnvironment, ...] = ()

    def is_of(self, source: str) -> bool:
        """Whether it was read from the files of this source, not from a commit of it."""
        return self.source == source and self.ref is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerRegistry:
    """All collected consumers, by name."""

    consumers: tuple[RegisteredConsumer, ...] = ()

    def of(self, name: str) -> RegisteredConsumer | None:
        return next((consumer for consumer in self.consumers if consumer.name == name), None)

    def with_consumers(self, collected: Iterable[RegisteredConsumer]) -> ConsumerRegistry:
        """The registry with these consumers in place of those of the same names; all others stay."""
        by_name = {consumer.name: consumer for consumer in (*self.consumers, *collected)}
        return replace(self, consumers=tuple(by_name[name] for name in sorted(by_name)))

    def of_source(self, source: str) -> ConsumerRegistry:
        """The consumers that were read from the files of a source."""
        return replace(self, consumers=tuple(item for item in self.consumers if item.is_of(source)))

    def without_source(self, source: str) -> ConsumerRegistry:
        """The other consumers."""
        return replace(self, consumers=tuple(item for item in self.consumers if not item.is_of(source)))

    def without(self, names: Iterable[str]) -> ConsumerRegistry:
        removed = frozenset(names)
        return replace(self, consumers=tuple(item for item in self.consumers if item.name not in removed))


def is_stale(collected: date, today: date) -> bool:
    """Whether an entry is older than `STALE_DAYS`."""
    return (today - collected).days > STALE_DAYS


def last_seen(collected: date, today: date) -> str:
    """The day of an entry in words: `2026-11-30`; for a stale entry `94 days ago`."""
    return f"{(today - collected).days} days ago" if is_stale(collected, today) else collected.isoformat()
