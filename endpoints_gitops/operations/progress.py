"""What an operation tells while it works. Operations print nothing; whoever calls them decides what a person sees."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told from several threads at once, so an implementation guards itself."""

    def started(self, what: str, total: int) -> None:
        """Work on `total` things (0: nobody knows) begins; `what` names it in the present: "writing endpoints"."""

    def advanced(self, name: str, state: str) -> None:
        """One of them is done; `state` is a word or two: "updated to version 4"."""

    def finished(self) -> None:
        """All of it is done, or given up."""


class Silence:
    """Tells nobody."""

    def started(self, what: str, total: int) -> None:
        """Nobody hears."""

    def advanced(self, name: str, state: str) -> None:
        """Nobody hears."""

    def finished(self) -> None:
        """Nobody hears."""
