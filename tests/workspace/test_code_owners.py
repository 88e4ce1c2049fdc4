"""CODEOWNERS: the patterns of GitHub's documentation, GitLab's sections, and where the file is."""

from __future__ import annotations

import pytest

from endpoints_gitops.workspace.code_owners import CodeOwners

MATCHES = [
    ("*", "a/b.yaml", True),
    ("*.yaml", "a/b.yaml", True),
    ("*.yaml", "a/b.yml", False),
    ("/a/", "a/b/c.yaml", True),
    ("/a/", "x/a/c.yaml", False),
    ("a/", "x/a/c.yaml", True),
    ("a/", "x/a", False),
    ("a/*", "a/b.yaml", True),
    ("a/*", "a/b/c.yaml", False),
    ("/a", "a/b/c.yaml", True),
    ("a/b", "a/b/c.yaml", True),
    ("a/b", "x/a/b/c.yaml", False),
    ("**/b", "x/y/b/c.yaml", True),
    ("**/b", "b", True),
    ("a/**/c.yaml", "a/c.yaml", True),
    ("a/**/c.yaml", "a/x/y/c.yaml", True),
    ("a/**", "a/x/y/c.yaml", True),
    ("a/**", "b/x", False),
    ("/a/*/c.yaml", "a/b/c.yaml", True),
    ("/a/*/c.yaml", "a/b/b/c.yaml", False),
    ("b?.yaml", "a/b1.yaml", True),
    ("b?.yaml", "a/b12.yaml", False),
    (r"a\ b.yaml", "a b.yaml", True),
    ("a.yaml", "axyaml", False),
    ("a+(b).yaml", "a+(b).yaml", True),
]


@pytest.mark.parametrize(("pattern", "path", "matches"), MATCHES)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert CodeOwners.of(f"{pattern} @team").owners(path) == (("@team",) if matches else ())


def test_the_last_match_decides() -> None:
    owners = CodeOwners.of("* @all\n/endpoints/ @data me@example.com # why\n/endpoints/open.yaml\n\n# * @nobody\n")
    assert owners.owners("x") == ("@all",)
    assert owners.owners("endpoints/a.yaml") == ("@data", "me@example.com")
    assert owners.owners("endpoints/open.yaml") == (), "a pattern without owners has none"


def test_lines_that_no_platform_reads_are_skipped() -> None:
    assert CodeOwners.of("* @all\n!endpoints/ @other\na[bc].yaml @range\n").owners("ab.yaml") == ("@all",)


def test_each_section_of_gitlab_has_owners() -> None:
    text = "* @all\n[Data][2] @data\nendpoints/\n*.yaml @yaml\n^[Docs] @docs\ndocs/\n[data]\nendpoints/a.yaml @a\n"
    owners = CodeOwners.of(text)
    assert owners.owners("endpoints/b.yaml") == ("@all", "@yaml")
    assert owners.owners("endpoints/b.sql") == ("@all", "@data")
    assert owners.owners("endpoints/a.yaml") == ("@all", "@a"), "sections of one name are one"
    assert owners.owners("docs/x") == ("@all", "@docs")


@pytest.mark.parametrize("place", [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"])
def test_the_file_is_found_where_platforms_look(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("* @data\n")
    assert CodeOwners.in_checkout(tmp_path).owners("a") == ("@data",)


def test_without_a_file_nobody_owns_anything(tmp_path):
    (tmp_path / "CODEOWNERS").mkdir()
    assert CodeOwners.in_checkout(tmp_path) == CodeOwners()
