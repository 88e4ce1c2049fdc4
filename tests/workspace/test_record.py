"""The record: kept, merged, and never a reason to fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from endpoints_gitops.workspace.record import load_record, update_record


def test_entries_are_kept_changed_and_removed(tmp_path):
    folder = tmp_path / "not" / "there"
    assert load_record(folder).entries == {}
    update_record(folder, {"a": {"version": 1}, "b": {"server": {"description": "é\ud800"}}})
    update_record(folder, {"a": None, "c": {}})
    stored = load_record(folder)
    assert (stored.entries, stored.warning) == ({"b": {"server": {"description": "é\ud800"}}, "c": {}}, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b'{"schema_version": 1, "endpoints": {"a"', "is damaged"),
        (b"[]", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"schema_version": 1}', "is damaged"),
        (b'{"schema_version": 1, "endpoints": {"a": 1}}', "is damaged"),
        (b'{"schema_version": 2, "endpoints": {}}', "was written by another release of endpoints-gitops"),
        (None, "cannot be read (Is a directory)"),
    ],
)
def test_a_record_that_cannot_be_used_is_said_and_set_aside(tmp_path, content, said):
    path = tmp_path / "record.json"
    path.mkdir() if content is None else path.write_bytes(content)
    stored = load_record(tmp_path)
    assert stored.entries == {}
    assert stored.warning.startswith(f"the record of earlier pulls and pushes {said} and is not used")
    update_record(tmp_path, {"a": {}})
    assert load_record(tmp_path).entries == {"a": {}}
    aside = tmp_path / "record.json.unusable"
    assert aside.is_dir() if content is None else aside.read_bytes() == content


def test_processes_that_save_at_once_lose_nothing(tmp_path):
    program = (
        "import pathlib, sys; from endpoints_gitops.workspace.record import update_record\n"
        "for turn in range(10): update_record(pathlib.Path(sys.argv[1]), {f'{sys.argv[2]}{turn}': {}})"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen([*words, name]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(load_record(tmp_path).entries) == 30
