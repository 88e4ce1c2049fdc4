"""The definitions folder: every file in it is read or reported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.workspace.definitions import path_for, read_all, read_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "endpoints").mkdir()
    return Path("endpoints")


def definition(name: str, more: str = "query: select 1\n") -> str:
    return f"name: {name}\n{more}"


def fill(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_folders_are_read_through_in_a_stable_order_and_dots_left_out(folder):
    files = [
        "b.yaml",
        "a/z.yml",
        "a.YAML",
        ".hidden.yaml",
        ".git/x.yaml",
        "notes.txt",
        "a/deep/er/y.yaml",
        "a.yaml.orig",
    ]
    fill(folder, {file: definition(f"d{number}") for number, file in enumerate(files)})
    assert [loaded.path for loaded in read_all(folder)] == [
        "endpoints/a/deep/er/y.yaml",
        "endpoints/a/z.yml",
        "endpoints/a.YAML",
        "endpoints/b.yaml",
    ]


def test_paths_are_those_that_can_be_typed_from_here(folder, monkeypatch):
    fill(folder, {"x.yaml": definition("x")})
    monkeypatch.chdir(folder)
    assert read_all(Path())[0].path == "x.yaml"
    monkeypatch.chdir("..")
    assert read_all(folder.absolute())[0].path == "endpoints/x.yaml"


@pytest.mark.parametrize(("make", "said"), [(None, "does not exist"), ("file", "is not a folder")])
def test_a_missing_folder_is_a_usage_error(tmp_path, monkeypatch, make, said):
    monkeypatch.chdir(tmp_path)
    if make:
        Path("endpoints").touch()
    with pytest.raises(UsageError) as caught:
        read_all(Path("endpoints"))
    assert caught.value.message == f"the definitions folder endpoints {said}"
    assert "endpoints-gitops init" in str(caught.value.fix)


def test_an_empty_folder_holds_nothing(folder):
    assert read_all(folder) == ()


def _problems(folder: Path) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read_all(folder)
    return [str(problem) for problem in caught.value.problems]


def test_every_mistake_in_every_file_at_once(folder):
    fill(folder, {"a.yaml": "nmae: a\nquery: select 1\nx: 1\n", "b.yaml": "- 1", "c.yaml": definition("c")})
    problems = _problems(folder)
    assert [problem.split(":")[:2] for problem in problems] == [
        ["endpoints/a.yaml", "1"],
        ["endpoints/a.yaml", "3"],
        ["endpoints/b.yaml", "1"],
    ]


def test_a_name_in_several_files_is_a_problem_in_each(folder):
    fill(folder, {"a.yaml": definition("x"), "b.yaml": "query: select 1\nname: x\n", "c.yaml": definition("y")})
    assert _problems(folder) == [
        "endpoints/a.yaml:1:1: the name 'x' is also defined in endpoints/b.yaml:2",
        "endpoints/b.yaml:2:1: the name 'x' is also defined in endpoints/a.yaml:1",
    ]


def test_a_query_file_is_read_beside_the_definition(folder):
    fill(folder, {"a/x.yaml": definition("x", "query_file: sql/x.sql\n"), "a/sql/x.sql": "select 2\r\n"})
    assert read_all(folder)[0].sql == "select 2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.sql", "the file endpoints/gone.sql cannot be read: No such file or directory"),
        ("../outside.sql", "query_file ../outside.sql is outside the definitions folder"),
        ("link.sql", "query_file link.sql is outside the definitions folder"),
        ("pipe.sql", "the file endpoints/pipe.sql cannot be read: not a regular file"),
        ("large.sql", "endpoints/large.sql: this file has 52,428,800 bytes; a query can have at most 1,048,576"),
    ],
)
def test_a_query_file_that_cannot_be_used(folder, name, message):
    Path("outside.sql").write_text("select 1")
    (folder / "link.sql").symlink_to("../outside.sql")
    os.mkfifo(folder / "pipe.sql")
    os.truncate(_touched(folder / "large.sql"), 50 * 1024 * 1024)
    fill(folder, {"x.yaml": definition("x", f'query_file: "{name}"\n')})
    (problem,) = _problems(folder)
    assert problem.endswith(message)


def _touched(path: Path) -> Path:
    path.touch()
    return path


def test_unreadable_files_are_problems_and_the_others_are_still_checked(folder):
    (folder / "dangling.yaml").symlink_to("nowhere.yaml")
    os.mkfifo(folder / "pipe.yaml")
    os.truncate(_touched(folder / "large.yaml"), 50 * 1024 * 1024)
    fill(folder, {"wrong.yaml": "name: 1"})
    problems = _problems(folder)
    assert problems[:3] == [
        "endpoints/dangling.yaml: cannot be read: No such file or directory",
        "endpoints/large.yaml: this file has 52,428,800 bytes; a definition can have at most 1,048,576",
        "endpoints/pipe.yaml: cannot be read: not a regular file",
    ]
    assert len(problems) > 3


def test_a_folder_that_may_not_be_read_is_a_problem(folder, monkeypatch):
    fill(folder, {"closed/x.yaml": definition("x")})
    listing = os.scandir

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert _problems(folder) == ["endpoints/closed: cannot be read: Permission denied"]


WAYS_OUT = {
    "a link to a file": lambda folder: (folder / "x.yaml").symlink_to("../../outside/x.yaml"),
    "a link to a folder": lambda folder: (folder / "x").symlink_to("../../outside"),
    "a link to a link": lambda folder: (
        (folder.parent / "y").symlink_to("../outside"),
        (folder / "x").symlink_to("../y"),
    ),
    "a link to the system": lambda folder: (folder / "x.yaml").symlink_to("/etc/hostname"),
    "a link to nothing": lambda folder: (folder / "x.yaml").symlink_to("/nowhere/x.yaml"),
}


@pytest.mark.parametrize("is_git", [True, False])
@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
def test_a_link_does_not_lead_out_of_the_repository(tmp_path, monkeypatch, way, is_git):
    checkout = tmp_path / "checkout"
    fill(tmp_path / "outside", {"x.yaml": definition("x")})
    fill(checkout / "endpoints", {"mine.yaml": definition("mine")})
    if is_git:
        subprocess.run(["git", "init", "--quiet", checkout], check=True)
    way(checkout / "endpoints")
    monkeypatch.chdir(checkout)
    (problem,) = _problems(Path("endpoints"))
    assert problem in {
        f"endpoints/{name}: this link leads out of the repository, so it is not followed" for name in ("x", "x.yaml")
    }
    if (checkout / "endpoints" / "x.yaml").is_symlink():
        with pytest.raises(InvalidInput, match="leads out of the repository") as caught:
            read_file(Path("endpoints/x.yaml"), Path("endpoints"))
        assert str(caught.value.problems[0]) == problem


def test_a_link_to_itself_and_a_folder_in_place_of_a_definition_are_problems(folder):
    (folder / "circle.yaml").symlink_to("circle.yaml")
    (folder / "folder.yaml").mkdir()
    circle, place = _problems(folder)
    assert circle.startswith("endpoints/circle.yaml: cannot be read: ")
    assert place == "endpoints/folder.yaml: cannot be read: Is a directory"


def test_links_are_followed_and_circles_end(folder):
    subprocess.run(["git", "init", "--quiet", "."], check=True)
    fill(Path("elsewhere"), {"y.yaml": definition("y")})
    fill(folder, {"x.yaml": definition("x")})
    (folder / "circle").symlink_to(".")
    (folder / "linked").symlink_to("../elsewhere")
    assert [loaded.name for loaded in read_all(folder)] == ["y", "x"]


def test_a_definition_is_written_to_the_file_that_defines_it_else_to_one_called_after_it(folder):
    fill(folder, {"a/odd.yaml": definition("x"), "z.yaml": definition("y")})
    definitions = read_all(folder)
    assert path_for("x", folder, definitions) == Path("endpoints/a/odd.yaml")
    assert path_for("new", folder, definitions) == Path("endpoints/new.yaml")
    with pytest.raises(UsageError, match=r"endpoints/z\.yaml exists but does not define z"):
        path_for("z", folder, definitions)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "", ".", "a\0b", "-x", "x\n"])
def test_an_invalid_name_gets_no_file(folder, name):
    with pytest.raises(UsageError, match="is not a valid file name"):
        path_for(name, folder, ())


def test_a_link_in_the_place_of_a_new_file_is_not_followed_out(folder):
    (folder / "x.yaml").symlink_to("../outside.yaml")
    with pytest.raises(UsageError, match="so it is not written"):
        path_for("x", folder, ())
