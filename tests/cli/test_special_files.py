"""A FIFO, a device or a folder in place of a file that is read: refused at once, and no command waits for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

MAKE = {
    "fifo": os.mkfifo,
    "device": lambda path: Path(path).symlink_to("/dev/zero"),
    "folder": os.mkdir,
}
SAID = {"fifo": "not a regular file", "device": "not a regular file", "folder": "Is a directory"}
ONE = "name: one\nquery: SELECT 1 AS one\n"


@pytest.fixture(params=MAKE)
def kind(request):
    return request.param


def replaced(path: Path, kind: str) -> None:
    if path.exists():
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    MAKE[kind](path)


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("endpoints.toml", ("check",), 2),
        ("pyproject.toml", ("check",), 2),
        ("endpoints.lock", ("lock", "--check"), 2),
        ("endpoints.lock", ("lock",), 2),
        ("endpoints.lock", ("breaking", "--against", "lock"), 2),
        ("endpoints/one.yaml", ("check",), 1),
        ("endpoints/one.yaml", ("plan",), 2),
        ("endpoints/one.yaml", ("check", "endpoints/one.yaml"), 1),
        ("endpoints/one.yaml", ("run", "--file", "endpoints/one.yaml"), 2),
        ("endpoints/one.sql", ("check",), 1),
        ("plan.json", ("push", "--plan", "plan.json", "--yes"), 2),
        ("events.csv", ("serve", "--data", "events.csv"), 2),
    ],
)
def test_special_files_in_the_checkout_are_refused(cli, checkout, uses, kind, name, words, code):
    checkout.commit({"one.yaml": ONE if name != "endpoints/one.sql" else "name: one\nquery_file: one.sql\n"})
    uses(one='"*"')
    replaced(checkout.top / name, kind)
    ran = cli(*words)
    is_named_link = kind == "device" and words == ("check", "endpoints/one.yaml")
    assert ran.code == (2 if is_named_link else code)
    text = ran.out + ran.err
    if kind == "device" and name.startswith("endpoints/"):
        assert "leads out of the repository" in text or "outside the definitions folder" in text
    elif name == "events.csv":
        assert ("events.csv: the folder has no tables" if kind == "folder" else "events.csv: not a file") in text
    else:
        assert SAID[kind] in text
    assert "a defect" not in ran.err


@pytest.mark.parametrize("against", ["plan.json", "./plan"])
def test_a_special_file_is_refused_as_a_plan(cli, checkout, kind, against):
    if kind == "folder":
        pytest.skip("a folder of definitions can be compared with")
    checkout.commit({"one.yaml": ONE})
    replaced(checkout.top / against, kind)
    ran = cli("breaking", "--against", against)
    cause = "not a regular file" if against == "plan.json" else "no commit, file or folder './plan' here"
    assert (ran.code, cause in ran.err, ran.out) == (4, True, "")


@pytest.mark.parametrize("name", ["credentials.json", "named.env", ".env"])
def test_special_files_are_refused_as_credentials(cli, checkout, tmp_path, kind, name):
    folder = checkout.top if name == ".env" else tmp_path / "keys"
    replaced(folder / name, kind)
    configuration = checkout.top / "endpoints.toml"
    key = "dotenv:.env:KEY" if name == ".env" else "posthog-cli"
    configuration.write_text(configuration.read_text().replace("env:ENDPOINTS_TEST_KEY", key))
    env = {"POSTHOG_HOME": str(folder)}
    ran = cli("list", env=env | ({"POSTHOG_CLI_DOTENV_FILE": str(folder / name)} if name == "named.env" else {}))
    assert ran.code == 3
    assert SAID[kind] in ran.err or (kind == "device" and "outside of the checkout" in ran.err)


@pytest.mark.parametrize("name", ["record.json", "journal.jsonl"])
def test_special_files_in_the_state_folder_are_refused(cli, checkout, tmp_path, kind, name):
    """The record is memory: without it, history is asked. The journal of a push that nobody can read is said."""
    checkout.commit({"one.yaml": ONE})
    assert cli("push", "--yes").code == 0
    (record,) = (tmp_path / "state").rglob("record.json")
    replaced(record.parent / name, kind)
    ran = cli("plan")
    assert ran.code == 0
    assert (SAID[kind] in ran.err) == (name == "record.json")
    checkout.commit({"one.yaml": ONE.replace("1 AS", "2 AS")})
    ran = cli("push", "--yes")
    assert "a defect" not in ran.err
    if name == "record.json":
        assert ran.code == 0
        unusable = record.with_name("record.json.unusable")
        shutil.rmtree(unusable) if kind == "folder" else unusable.unlink()
        assert cli("plan").code == 0
    else:
        assert ran.code == 2
        assert "journal" in ran.err
