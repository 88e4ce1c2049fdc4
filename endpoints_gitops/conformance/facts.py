"""The facts that ship with this package."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Final

from endpoints_gitops.codecs.conformance import read_facts
from endpoints_gitops.model.fact import Fact

GROUPS: Final = ("creating", "updating", "materializing", "reading", "running")


def all_facts() -> tuple[Fact, ...]:
    """Every fact, including those about the local server only."""
    folder = files("endpoints_gitops.conformance") / "cases"
    return tuple(fact for group in GROUPS for fact in read_facts(group, (folder / f"{group}.yaml").read_bytes()))


def select(facts: Sequence[Fact], patterns: Sequence[str]) -> tuple[Fact, ...]:
    """The facts whose id or heading matches one of the globs; all of them without a glob."""
    return tuple(
        fact
        for fact in facts
        if not patterns or any(fnmatchcase(text, glob) for glob in patterns for text in (fact.id, fact.about))
    )
