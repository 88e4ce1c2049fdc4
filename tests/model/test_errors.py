"""The text of an error that no command line prints."""

from __future__ import annotations

import pytest

import endpoints_gitops
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.workspace.definitions import read_all


def test_invalid_input_says_the_first_mistake_and_how_many_more_there_are():
    problems = tuple(Problem(path="a.yaml", line=line, column=1, message=f"mistake {line}") for line in (1, 2, 3))
    assert str(InvalidInput(problems[:1])) == "a.yaml:1:1: mistake 1"
    assert str(InvalidInput(problems[:2])) == "a.yaml:1:1: mistake 1 (and 1 more mistake)"
    assert str(InvalidInput(problems, message="a.yaml is wrong")) == "a.yaml:1:1: mistake 1 (and 2 more mistakes)"
    assert str(InvalidInput((), message="nothing fits")) == "nothing fits"


def test_what_a_reader_raises_says_what_is_wrong(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nqery: SELECT 1 AS n\nquery: SELECT 1 AS n\n")
    (tmp_path / "b.yaml").write_text("name: [\n")
    with pytest.raises(InvalidInput, match=r"a.yaml:2:1: unknown key 'qery'.*\(and 1 more mistake\)"):
        read_all(tmp_path)


def test_a_broken_lock_says_what_is_wrong_with_it(tmp_path):
    (tmp_path / "endpoints.lock").write_text("<<<<<<< ours\n")
    with pytest.raises(endpoints_gitops.EndpointsError, match=r"endpoints.lock:1.*conflict"):
        endpoints_gitops.Endpoints.from_lock(tmp_path / "endpoints.lock", environment="prod")
