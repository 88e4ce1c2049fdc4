"""The definitions of a commit: the same files as on disk; unreadable ones are reported."""

from __future__ import annotations

import pytest

from endpoints_gitops.workspace.commits import definitions_at
from endpoints_gitops.workspace.definitions import read_all
from endpoints_gitops.workspace.git import repository

ONE = "name: one\nquery: SELECT 1 AS n\n"


def at(checkout, commit):
    found = repository(checkout.folder)
    definitions, problems = definitions_at(found, commit, "endpoints", "then")
    return {one.path: one for one in definitions}, [(one.where, one.code) for one in problems]


def test_the_files_of_then_and_not_those_of_now(checkout):
    files = {
        "one.yaml": ONE,
        "sub/two.YML": "name: two\nquery_file: ../sql/two.sql\n",
        "sql/two.sql": "SELECT 2 AS n\n",
        ".hidden/three.yaml": ONE,
        "notes.txt": "nothing",
        "ünï/four.yaml": "name: four\nquery: SELECT 4 AS n\n",
    }
    then = checkout.commit(files)
    on_disk = {one.name: one.sql for one in read_all(checkout.folder)}
    checkout.commit({"one.yaml": None, "sql/two.sql": "SELECT 22 AS n\n"})
    definitions, problems = at(checkout, then)
    assert problems == []
    assert {one.name: one.sql for one in definitions.values()} == on_disk
    assert "then:endpoints/sub/two.YML" in definitions
    assert definitions["then:endpoints/one.yaml"].where("query") == "then:endpoints/one.yaml:2"


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"a.yaml": "name: [\n"}, [("then:endpoints/a.yaml:2:1", "definition.yaml")]),
        ({"a.yaml": ONE, "b.yaml": ONE}, [(f"then:endpoints/{one}.yaml:1:1", "definition.duplicate") for one in "ab"]),
        ({"a.yaml": "name: a\nquery_file: gone.sql\n"}, [("then:endpoints/a.yaml:2:13", "definition.query-file")]),
        ({"a.yaml": "name: a\nquery_file: ../out.sql\n"}, [("then:endpoints/a.yaml:2:13", "definition.query-file")]),
    ],
)
def test_an_unreadable_file_is_a_problem(checkout, files, problems):
    (checkout.top / "out.sql").write_text("SELECT 1 AS n")
    definitions, found = at(checkout, checkout.commit(files))
    assert found == problems
    assert len(definitions) == len(files) - (len(problems) if len(files) == 1 else 0)


def test_a_link_is_a_problem_and_is_not_followed(checkout):
    checkout.write({"real.yaml": ONE})
    (checkout.folder / "link.yaml").symlink_to("real.yaml")
    definitions, problems = at(checkout, checkout.commit())
    assert [*definitions] == ["then:endpoints/real.yaml"]
    assert problems == [("then:endpoints/link.yaml", "definition.unreadable")]


def test_a_commit_without_the_folder_has_none(checkout):
    (checkout.top / "readme").write_text("nothing yet")
    before = checkout.commit()
    checkout.commit({"one.yaml": ONE})
    assert at(checkout, before) == ({}, [])
