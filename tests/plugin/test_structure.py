"""A class name has one meaning in library and plugin together."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest_endpoints_gitops

import endpoints_gitops


def test_no_class_of_the_plugin_has_the_name_of_another_class():
    places: defaultdict[str, list[str]] = defaultdict(list)
    for package in (endpoints_gitops, pytest_endpoints_gitops):
        root = Path(package.__file__).parent
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{package.__name__}/{path.relative_to(root).as_posix()}")
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert places["EndpointsServer"] == ["pytest_endpoints_gitops/server.py"]
    assert {name: paths for name, paths in shared.items() if any("pytest_" in path for path in paths)} == {}
