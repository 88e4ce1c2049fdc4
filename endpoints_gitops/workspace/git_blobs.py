"""The contents of many files of a repository, through one git process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.git import Repository, command, environment, explain_missing_object, git

_AT_ONCE: Final = 400  # so many ids fit into a pipe: git can wait for us to read while it has all our questions


class Blobs:
    """Open while it is used as a context manager; not for several threads at once."""

    def __init__(self, found: Repository) -> None:
        self._top = found.top
        self._process = subprocess.Popen(
            command(found.top, "cat-file", "--batch"),
            env=environment(found.top),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None, "both were asked for"
            pipe.close()
        self._process.wait()

    def each(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Ids with their contents, in the order asked. Raises GitFailed for one that is not there."""
        for start in range(0, len(blobs), _AT_ONCE):
            asked = blobs[start : start + _AT_ONCE]
            self._ask("".join(f"{blob}\n" for blob in asked).encode("ascii"))
            for blob in asked:
                answer = self._answer()
                if answer is None:
                    raise explain_missing_object(self._top, f"the object {blob} is missing from the repository")
                yield blob, answer[1]

    def at(self, commit: str, path: str) -> tuple[str, bytes] | None:
        """The id and content of a file at a commit, None where there is none."""
        if "\n" in path:
            return None
        self._ask(f"{commit}:{path}\n".encode("utf-8", "surrogateescape"))
        answer = self._answer()
        if answer is None and self._is_listed(commit, path):
            raise explain_missing_object(
                self._top, f"{printable(path)} of {commit[:12]} is missing from the repository"
            )
        return answer

    def _is_listed(self, commit: str, path: str) -> bool:
        """Whether the commit has this file, though its content is missing: that is not the same as no file."""
        entry = git(self._top, "ls-tree", "-z", "--full-tree", commit, "--", path)
        return entry.split(b" ")[:2][-1:] == [b"blob"]

    def _ask(self, question: bytes) -> None:
        assert self._process.stdin is not None, "it was asked for"
        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise explain_missing_object(self._top, "git cat-file ended early") from error

    def _answer(self) -> tuple[str, bytes] | None:
        output = self._process.stdout
        assert output is not None, "it was asked for"
        header = output.readline()
        if not header:
            raise explain_missing_object(self._top, "git cat-file ended early")
        words = header.split()
        if len(words) != 3 or not words[2].isdigit():
            return None
        content = output.read(int(words[2]) + 1)[:-1]
        return (words[0].decode("ascii"), content) if words[1] == b"blob" else None
