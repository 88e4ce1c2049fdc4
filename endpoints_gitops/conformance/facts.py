"""The facts that ship with this package."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Final

from endpoints_gitops.codecs.conformance import read_facts
from endpoints_gitops.model.fact import Fact

GROUPS: Final = ("creating", "updating", "materialising", "reading", "running")


def all_facts() -> tuple[Fact, ...]:
    """Every fact, those of the local server alone too."""
    folder = files("endpoints_gitops.conformance") / "cases"
    return tuple(fact for group in GROUPS for fact in read_facts(group, (folder / f"{group}.yaml").read_bytes()))


def select(facts: Sequence[Fact], patterns: Sequence[str]) -> tuple[Fact, ...]:
    """Those whose id or heading one of the globs matches; all of them if there is no glob."""
    return tuple(
        fact
        for fact in facts
        if not patterns or any(fnmatchcase(text, glob) for glob in patterns for text in (fact.id, fact.about))
    )
