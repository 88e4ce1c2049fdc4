"""What holds for the code as a whole, and no linter checks."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest_endpoints_gitops

import endpoints_gitops

_PACKAGES = tuple(Path(package.__path__[0]) for package in (endpoints_gitops, pytest_endpoints_gitops))


def _classes() -> Iterator[tuple[str, str]]:
    """The name of each class without its leading underscore, and where the class is defined."""
    for package in _PACKAGES:
        for path in sorted(package.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    yield node.name.lstrip("_"), f"{path.relative_to(package.parent)}:{node.lineno}"


def test_a_class_name_has_one_meaning() -> None:
    locations = defaultdict(list)
    for name, location in _classes():
        locations[name].append(location)
    assert len(locations) > 500
    assert {name: where for name, where in locations.items() if len(where) > 1} == {}
