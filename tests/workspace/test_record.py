"""The checkout record: kept, merged, and never a reason to fail."""

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
    ("content", "reason"),
    [
        (b"", "1:1: not valid JSON: Expecting value"),
        (b'{"schema_version": 1, "endpoints": {"a"', "1:40: not valid JSON: Expecting ':' delimiter"),
        (b"[]", "1:1: the file must be an object"),
        (b"[" * 100_000, "1:1: not valid JSON: a number is too large, or the nesting is too deep"),
        (b'{"schema_version": 1}', "1:1: missing key 'endpoints'"),
        (b'{"schema_version": 1, "endpoints": {"a": 1}}', "1:37: a must be an object"),
        (b'{"schema_version": 2, "endpoints": {}}', "1:2: schema_version is 2, but this release of endpoints-gitops"),
        (None, " cannot be read: Is a directory"),
    ],
)
def test_a_record_that_cannot_be_used_is_a_warning_and_set_aside(tmp_path, content, reason):
    path = tmp_path / "record.json"
    path.mkdir() if content is None else path.write_bytes(content)
    stored = load_record(tmp_path)
    assert stored.entries == {}
    used_instead = "the record of earlier pulls and pushes cannot be used; git's history is used instead"
    assert stored.warning.startswith(f"{used_instead}: {path}:{reason}")
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
