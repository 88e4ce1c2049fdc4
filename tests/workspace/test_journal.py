"""The journal: its content after a kill at any byte, and the lock against a second push."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.errors import Conflict, InvalidInput, UsageError
from endpoints_gitops.workspace.journal import begin, forget, unfinished
from endpoints_gitops.workspace.state import exclusive_lock, project_folder, state_folder

PLAN = {"schema_version": 1, "changes": [{"name": "é"}]}


def test_from_begin_to_finish(tmp_path):
    assert unfinished(tmp_path) is None
    journal = begin(tmp_path / "deep", plan=PLAN, entries=["a", "b", "c"])
    journal.sending("a")
    journal.done("a", {"version": 2})
    journal.sending("b")
    found = unfinished(tmp_path / "deep")
    assert (found.plan, found.done) == (PLAN, {"a": {"version": 2}})
    assert (found.uncertain, found.left, found.is_over) == (("b",), ("c",), False)


def test_nothing_is_there_after_the_end(tmp_path):
    journal = begin(tmp_path, plan=PLAN, entries=["a"])
    journal.done("a")
    assert unfinished(tmp_path).is_over
    journal.finish()
    assert unfinished(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_new_push_replaces_the_journal_of_an_earlier_one(tmp_path):
    begin(tmp_path, plan=PLAN, entries=["a"]).sending("a")
    begin(tmp_path, plan={}, entries=["b"])
    assert unfinished(tmp_path).left == ("b",)
    forget(tmp_path)
    assert unfinished(tmp_path) is None


def test_a_line_is_on_the_disk_before_its_thread_continues(tmp_path, monkeypatch):
    journal, path, on_disk = begin(tmp_path, plan=PLAN, entries=[]), tmp_path / "journal.jsonl", [0]
    sync = os.fsync

    def synced(handle):
        size = os.fstat(handle).st_size
        sync(handle)
        on_disk[0] = max(on_disk[0], size)

    monkeypatch.setattr(os, "fsync", synced)

    def one(number):
        journal.sending(f"endpoint_{number}")
        return path.read_bytes()[: on_disk[0]].count(f'"endpoint_{number}"'.encode())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(200))) == {1}


def test_a_disk_that_failed_is_not_written_to_again(tmp_path, monkeypatch):
    journal = begin(tmp_path, plan=PLAN, entries=["a", "b"])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _full)
        with pytest.raises(UsageError, match="No space left"):
            journal.sending("a")
    with pytest.raises(UsageError, match="No space left"):
        journal.sending("b")
    assert unfinished(tmp_path).left == ("b",)


def _full(_):
    raise OSError(errno.ENOSPC, "No space left on device")


FIRST_LINE = b'{"schema_version": 1, "plan": {}, "entries": []}\n'
EVENTS = st.lists(st.tuples(st.sampled_from(["sending", "done"]), st.sampled_from("abc")), max_size=8)


@given(EVENTS, st.data())
def test_a_kill_at_any_byte_leaves_what_was_on_the_disk_before(tmp_path_factory, events, data):
    folder = tmp_path_factory.mktemp("journal")
    path = folder / "journal.jsonl"
    journal = begin(folder, plan=PLAN, entries=["a", "b", "c"])
    seen = [(path.stat().st_size, unfinished(folder))]
    for what, entry in events:
        getattr(journal, what)(entry)
        seen.append((path.stat().st_size, unfinished(folder)))
    whole = path.read_bytes()
    cut = data.draw(st.integers(seen[0][0], len(whole)))
    path.write_bytes(whole[:cut])
    assert unfinished(folder) == [state for size, state in seen if size <= cut][-1]


def test_threads_write_whole_lines(tmp_path):
    names = [f"e{number}" for number in range(40)]
    journal = begin(tmp_path, plan={}, entries=names)
    threads = [threading.Thread(target=journal.done, args=(name, "x" * 5000)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unfinished(tmp_path).is_over


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1:1: not valid JSON: Expecting value"),
        (b'{"schema_version": 99}\n', "1:2: schema_version is 99, but this release of endpoints-gitops reads up to 1"),
        (b'{"schema_version": 1}\n', "1:1: missing key 'plan'"),
        (b"\xff\n", "1:1: not valid JSON: the text is not UTF-8"),
        (b"[]\n", "1:1: the file must be an object"),
        (FIRST_LINE + b"[]\n", "2:1: the file must be an object"),
        (b'{"schema_version": 1, "plan": {}, "entries": ["a", []]}\n', "1:52: entries.1 must be text"),
        (FIRST_LINE + b'{"done": []}\n', "2:2: done must be text"),
        (FIRST_LINE + b'{"done": "a"}\n{"sending": {}}\n', "3:2: sending must be text"),
        (FIRST_LINE + b'{"don": "a"}\n', "2:2: unknown key 'don'; did you mean 'done'?"),
        (b"[" * 100_000 + b"\n", "1:1: not valid JSON: a number is too large, or the nesting is too deep"),
        (
            b'{"schema_version": ' + b"9" * 5000 + b"}\n",
            "1:1: not valid JSON: a number is too large, or the nesting is too deep",
        ),
    ],
)
def test_a_journal_that_cannot_be_used_is_refused_with_the_place(tmp_path, content, message):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        unfinished(tmp_path)
    assert caught.value.message == f"the journal {path} cannot be used"
    assert str(caught.value.problems[0]) == f"{path}:{message}"
    begin(tmp_path, plan={}, entries=[])
    assert unfinished(tmp_path).is_over


def test_where_state_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder({}) == tmp_path / "xdg" / "endpoints-gitops"
    monkeypatch.chdir(tmp_path)
    assert state_folder({"ENDPOINTS_GITOPS_STATE": "cache"}) == tmp_path / "cache"


def test_a_project_folder_is_one_for_host_project_and_checkout(tmp_path, make_checkout):
    checkout, other = make_checkout("one"), make_checkout("two")
    checkout.commit({"x.yaml": "x", "sub/y.yaml": "y"})
    other.commit({"x.yaml": "x"})
    given = {"host": "https://us.posthog.com", "project_id": 1, "definitions": checkout.folder}
    first = project_folder(tmp_path, **given)
    assert first.relative_to(tmp_path).parts[0].startswith("us.posthog.com-")
    for same in ({"definitions": checkout.folder / "sub"}, {"host": "https://US.posthog.com/"}):
        assert project_folder(tmp_path, **given | same) == first
    for another in (
        {"definitions": other.folder},
        {"definitions": tmp_path},
        {"project_id": 2},
        {"host": "http://us.posthog.com"},
        {"host": "https://us.posthog.com:8000"},
        {"host": "https://us.posthog.com/prefix"},
    ):
        assert project_folder(tmp_path, **given | another) != first


def test_one_process_at_a_time(tmp_path):
    program = (
        "import pathlib, sys; from endpoints_gitops.workspace.state import exclusive_lock\n"
        "with exclusive_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "state")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match="another command"), exclusive_lock(tmp_path / "state"):
            pytest.fail("two at once")
        with exclusive_lock(tmp_path / "state", "record"):
            process.kill()
    with exclusive_lock(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_an_unusable_state_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="cannot use the state folder"),
        exclusive_lock(tmp_path / "file" / "x"),
    ):
        pytest.fail("no folder can be there")
