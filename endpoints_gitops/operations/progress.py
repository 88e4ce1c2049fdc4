"""What an operation reports while it works. Operations print nothing; the caller decides what a person sees."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called from several threads at once, so an implementation has to be thread-safe."""

    def started(self, what: str, total: int) -> None:
        """Work on `total` things (0: unknown) begins; `what` names it in the present: "writing endpoints"."""

    def advanced(self, name: str, state: str) -> None:
        """One of them is done; `state` is a word or two: "updated to version 4"."""

    def finished(self) -> None:
        """All of it is done, or given up."""


class Silence:
    """Reports nothing."""

    def started(self, what: str, total: int) -> None:
        """Do nothing."""

    def advanced(self, name: str, state: str) -> None:
        """Do nothing."""

    def finished(self) -> None:
        """Do nothing."""
