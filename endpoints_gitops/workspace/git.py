"""Run git to read the repository of a folder.

Git runs at the top of the work tree, never in a nested repository. These calls only read: they take no lock, fetch
nothing, and run no hook, filter, pager, signature check, file monitor or transport, whatever git's configuration says.
Git gets neither the keys in the environment nor variables that select another repository.

`fetch_commit` alone uses a transport, for a URL that the user names, into a repository that it creates.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from endpoints_gitops.errors import CouldNotFindOut
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.files import read_regular_file, shown, work_tree
from endpoints_gitops.workspace.programs import find_program, program_folders

if TYPE_CHECKING:
    from subprocess import CompletedProcess
    from types import TracebackType

_SETTINGS: Final = {
    "safe.bareRepository": "explicit",
    "protocol.allow": "never",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.quotePath": "false",
    "log.showSignature": "false",
    "submodule.recurse": "false",
    "color.ui": "false",
}
_OPTIONS: Final = (
    "--no-pager",
    "--literal-pathspecs",
    *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")),
)
_VARIABLES: Final = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_INHERITED: Final = frozenset(
    (
        *("HOME", "USER", "LOGNAME", "SUDO_UID", "XDG_CONFIG_HOME", "TMPDIR", "TMP", "TEMP"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "PROGRAMDATA"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
        "GIT_TEST_ASSUME_DIFFERENT_OWNER",  # git's own test of the ownership check
    )
)
_DEFAULT_BRANCHES: Final = (
    "remotes/origin/HEAD",
    "remotes/origin/main",
    "remotes/origin/master",
    "heads/main",
    "heads/master",
)
_FILTER_COMMANDS: Final = ("clean", "smudge", "process")


_TRANSPORTS: Final = "http:https:ssh"
_OF_TRANSPORTS: Final = frozenset(
    (
        *("SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
_FETCH: Final = (
    "fetch",
    "--quiet",
    "--depth=1",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    "--end-of-options",
)


class GitFailed(CouldNotFindOut):
    """Git failed; the message has its error."""

    code = "git.failed"


class HistoryUnavailable(GitFailed):
    """Git has no usable history: `message` says why, and `fix` how to get it."""

    code = "git.no-history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree with at least one commit. `head` is the full id of HEAD's commit."""

    top: Path
    head: str
    is_shallow: bool

    def inside(self, path: Path) -> str:
        """The path as git names it; its last part can be a symbolic link."""
        real = path.parent.resolve() / path.name
        return real.relative_to(self.top).as_posix()


def repository(folder: Path) -> Repository | None:
    """The repository of a folder (which need not exist); None without git, a work tree, or a commit.

    Raises GitFailed for a repository that git refuses to read.
    """
    top = work_tree(folder)
    if top is None:
        return None
    questions = ("rev-parse", "--show-toplevel", "--is-shallow-repository")
    try:
        answer = _run(top, (*questions, "HEAD^{commit}"))
        has_commit = answer.returncode == 0
        if not has_commit:
            answer = _run(top, questions)
    except FileNotFoundError:
        return None
    if answer.returncode != 0:
        raise _unreadable(top, printable(os.fsdecode(answer.stderr).strip()))
    lines = os.fsdecode(answer.stdout).splitlines()
    head = lines.pop() if has_commit else None
    reported_top, shallow = lines[-2:]
    if Path(reported_top).resolve() != top:
        message = f"the work tree of this repository is {printable(reported_top)}, because of its core.worktree"
        raise GitFailed(message, where=shown(top), fix="git config --unset core.worktree")
    return Repository(top=top, head=head, is_shallow=shallow == "true") if head else None


def explain_missing(folder: Path) -> HistoryUnavailable:
    """The reason why `repository` returns None for a folder, with its fix."""
    top = work_tree(folder)
    if top is None:
        fix = "work in a clone of the repository, or git init and commit the definitions"
        return HistoryUnavailable(f"{shown(folder)} is not in a git repository", fix=fix)
    try:
        refs = git(top, "for-each-ref", "--count=1")
    except FileNotFoundError:
        return HistoryUnavailable("git is not installed, or not on PATH", fix="install git")
    if refs:
        message = f"HEAD of {shown(top)} names no commit, although the repository has commits"
        return HistoryUnavailable(message, fix="git switch BRANCH; git branch --all lists the branches")
    fix = "git add --all && git commit"
    return HistoryUnavailable(f"the git repository {shown(top)} has no commit yet", fix=fix)


def explain_shallow(repo: Repository) -> HistoryUnavailable:
    """The reason why a shallow clone cannot answer, with its fix."""
    message = "this clone is shallow, so it lacks the history of the definition"
    return HistoryUnavailable(message, where=shown(repo.top), fix="git fetch --unshallow (in CI: fetch-depth: 0)")


def explain_missing_object(top: Path, message: str) -> GitFailed:
    """The error for a missing object: the clone is partial, or the repository is damaged.

    Objects are never fetched, because the configuration of a remote names programs.
    """
    answer = _run(top, ("config", "-z", "--get-regexp", r"^remote\..*\.(promisor|partialclonefilter)$"))
    settings = [entry.partition("\n")[0] for entry in os.fsdecode(answer.stdout).split("\0") if entry]
    remotes = sorted({name.removeprefix("remote.").rpartition(".")[0] for name in settings})
    if not remotes:
        return GitFailed(message, where=shown(top), fix="git fsck lists the missing objects")
    partial = "this clone is partial: it lacks old versions of the definitions, and this command does not fetch them"
    fix = f"git fetch --refetch --no-filter {shlex.quote(remotes[0])}"
    return HistoryUnavailable(partial, where=shown(top), fix=fix)


def resolved(folder: Path, ref: str) -> str | None:
    """The full id of the commit that a ref names, or None. `folder` is the top of a work tree."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    try:
        answer = _run(folder, words)
    except (ValueError, UnicodeError):  # a program argument cannot contain NUL or half of a surrogate pair
        return None
    commit = answer.stdout.decode("ascii").strip()
    is_commit = answer.returncode == 0 and len(commit) in (40, 64) and commit.isalnum()  # ^REF is an exclusion
    return commit if is_commit else None


def resolved_tree(repo: Repository, tree: str) -> str | None:
    """The full id of a tree; None if the text is not the id of a tree that this clone has."""
    if not (tree.isascii() and tree.isalnum() and len(tree) in (40, 64)):
        return None
    answer = _run(repo.top, ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree}^{{tree}}"))
    return answer.stdout.decode("ascii").strip() if answer.returncode == 0 else None


def differing_files(repo: Repository, old: str, new: str) -> tuple[str, ...]:
    """The paths of the files that differ between two trees, as git names them."""
    return tuple(_names(git(repo.top, "diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)))


def files_of(repo: Repository, tree: str) -> tuple[str, ...]:
    """The paths of all files of a tree, as git names them."""
    return tuple(_names(git(repo.top, "ls-tree", "-r", "-z", "--full-tree", "--name-only", tree)))


def has_no_commit(folder: Path) -> bool:
    """Whether a folder is in a repository without any commit, so that everything in it is new."""
    top = work_tree(folder)
    try:
        return top is not None and not git(top, "for-each-ref", "--count=1")
    except FileNotFoundError:
        return False


def default_branch(repo: Repository) -> str | None:
    """The branch that changes are merged into: `origin/HEAD`, `origin/main` or `origin/master`, else `main` or `master`
    of this clone; None if there is none of these.
    """
    refs = [f"refs/{ref}" for ref in _DEFAULT_BRANCHES]
    answer = git(repo.top, "for-each-ref", "--format=%(refname) %(symref)", *refs).decode("utf-8", "replace")
    targets = dict(line.split(" ", 1) for line in answer.splitlines())
    return next(((targets[ref] or ref).split("/", 2)[2] for ref in refs if ref in targets), None)


def dirty(repo: Repository, folder: Path, commit: str | None = None) -> frozenset[Path]:
    """The files below a folder that differ from a commit (default: HEAD): edited, new or deleted."""
    return _differing(repo, folder, commit or repo.head, "--cached", "--others")


def content_at(repo: Repository, commit: str, path: Path) -> bytes | None:
    """The content of a file at a commit, whose full id is given; None if it did not exist."""
    listed = git(repo.top, "ls-tree", "-z", "--full-tree", commit, "--", repo.inside(path))
    if not listed:
        return None
    return git(repo.top, "cat-file", "blob", listed.split(b"\t")[0].split()[2].decode("ascii"))


def tracked_changes(repo: Repository, folder: Path, commit: str | None = None) -> frozenset[Path]:
    """The tracked files below a folder that differ from a commit (default: HEAD's).

    A file with a git filter counts as changed if its times differ from those in the index, because filters, which are
    programs, are not run. A file that git is told to overlook (`update-index --assume-unchanged`, `--skip-worktree`)
    counts as changed if its content differs.
    """
    return _differing(repo, folder, commit or repo.head, "--cached")


def fetch_commit(into: Path, address: str, ref: str, *, seconds: float) -> Repository:
    """Create a repository in an empty folder, with one commit of a remote repository and without its history.

    `address` is an http, https or ssh URL. Credentials come from the user's own git configuration, from the address, or
    from the ssh agent; git never prompts. Nothing is checked out. Raises GitFailed with git's error, also if it takes
    longer than `seconds`; the message can contain the address.
    """
    top = into.resolve()
    git(top, "init", "--quiet", "--template=")
    variables = {name: value for name, value in os.environ.items() if name in _OF_TRANSPORTS}
    env = environment(top) | variables | {"GIT_ALLOW_PROTOCOL": _TRANSPORTS, "SSH_ASKPASS_REQUIRE": "never"}
    code, error = _run_for(command(top, *_FETCH, address, ref, settings={"core.askPass": ""}), env, seconds)
    if code is None:
        raise GitFailed(f"git fetch took longer than {seconds:g} s", fix="--max-wait SECONDS waits for longer")
    commit = resolved(top, "FETCH_HEAD") if code == 0 else None
    if commit is None:
        lines = printable(os.fsdecode(error)).strip().splitlines() or [f"exit code {code}"]
        raise GitFailed(f"git fetch failed: {'; '.join(line.strip() for line in lines)}")
    return Repository(top=top, head=commit, is_shallow=True)


def _run_for(words: Sequence[str], env: Mapping[str, str], seconds: float) -> tuple[int | None, bytes]:
    """The exit code, None if the time ran out, and stderr.

    The program runs in a session of its own: without a terminal that it could prompt on, and with children that end
    together with it.
    """
    import signal
    import subprocess

    process = subprocess.Popen(
        words,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        error = process.communicate(timeout=seconds)[1]
    except BaseException as interruption:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        if isinstance(interruption, subprocess.TimeoutExpired):
            return None, b""
        raise
    return process.returncode, error


def is_safe_directory(folder: Path) -> bool:
    """Whether `safe.directory` of git's global or system configuration, or of GIT_CONFIG_COUNT, names this folder.

    The configuration of the repository itself is ignored.
    """
    import subprocess

    root = Path(folder.anchor)
    try:
        words = command(root, "config", "--type=path", "-z", "--get-all", "safe.directory")
    except FileNotFoundError:
        return False
    env = environment(root) | {"GIT_DIR": os.devnull}
    answer = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    values = os.fsdecode(answer.stdout).split("\0")[:-1]
    after_reset = values[len(values) - values[::-1].index("") :] if "" in values else values
    return any(_is_named(folder, value) for value in after_reset)


def git(folder: Path, *words: str, stdin: bytes | None = None, settings: Mapping[str, str] | None = None) -> bytes:
    """The output of a git command. `folder` is the top of a work tree; `settings` override git's configuration.

    Raises GitFailed with git's error, and FileNotFoundError if git is not installed.
    """
    answer = _run(folder, words, stdin, settings or {})
    if answer.returncode != 0:
        error = printable(os.fsdecode(answer.stderr).strip()) or f"exit code {answer.returncode}"
        raise explain_missing_object(folder, f"git {words[0]} failed: {error}")
    return answer.stdout


def environment(top: Path) -> dict[str, str]:
    """The environment variables of git, which make it search no repository above `top`."""
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("GIT_TRACE")}
    path = os.pathsep.join(program_folders())
    return kept | _safe_directories() | _VARIABLES | {"PATH": path, "GIT_CEILING_DIRECTORIES": str(top.parent)}


def command(top: Path, *words: str, settings: Mapping[str, str] | None = None) -> list[str]:
    """The argument list of a git command. Raises FileNotFoundError if git is not installed."""
    more = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")]
    return [_program(), "-C", str(top), *_OPTIONS, *more, *words]


def _unreadable(top: Path, error: str) -> HistoryUnavailable:
    """The error for a repository that git refuses to read; only git's message has the cause."""
    if "dubious ownership" in error:
        message = f"git does not read {shown(top)}: it belongs to another user (dubious ownership)"
        fix = f"if you trust it: git config --global --add safe.directory {shlex.quote(str(top))}"
    else:
        message = f"git cannot read the repository {shown(top)}: {error}"
        fix = "run git status and git fsck to find the problem, or clone the repository again"
    return HistoryUnavailable(message, where=shown(top), fix=fix)


def _run(
    folder: Path, words: tuple[str, ...], stdin: bytes | None = None, settings: Mapping[str, str] | None = None
) -> CompletedProcess[bytes]:
    import subprocess

    return subprocess.run(
        command(folder, *words, settings=settings),
        input=stdin or b"",
        env=environment(folder),
        capture_output=True,
        check=False,
    )


def _program() -> str:
    """The absolute path of git."""
    program = find_program("git")
    if program is None:
        raise FileNotFoundError(2, "git is not on PATH", "git")
    return program


def _safe_directories() -> dict[str, str]:
    """The `safe.directory` entries of GIT_CONFIG_COUNT, which CI containers set. Other entries can have keys."""
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    numbers = range(min(int(count), 1000)) if count.isascii() and count.isdigit() else range(0)
    pairs = ((os.environ.get(f"GIT_CONFIG_KEY_{n}", ""), os.environ.get(f"GIT_CONFIG_VALUE_{n}", "")) for n in numbers)
    values = [value for name, value in pairs if name.lower() == "safe.directory"]
    kept = {f"GIT_CONFIG_KEY_{n}": "safe.directory" for n in range(len(values))}
    return (
        kept
        | {f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(values)}
        | {"GIT_CONFIG_COUNT": str(len(values))}
    )


def _is_named(folder: Path, value: str) -> bool:
    if value == "*":
        return True
    if value.endswith("/*"):
        return folder.is_relative_to(Path(value[:-2]).resolve())
    return os.path.isabs(value) and Path(value).resolve() == folder  # noqa: PTH117 - like git, for which `.` is not a path


def _without_filters(repo: Repository) -> dict[str, str]:
    """Settings that turn off every filter in git's configuration, including the user's own."""
    listed = git(repo.top, "config", "--list", "--name-only", "-z")
    keys = [name.split(".") for name in dict.fromkeys(_names(listed)) if name.startswith("filter.")]
    filters = sorted({".".join(key[1:-1]) for key in keys})
    unsafe = next((name for name in filters if "=" in name), None)
    if unsafe is not None:
        message = f"git's configuration defines the filter {printable(unsafe)!r}, which cannot be turned off"
        raise GitFailed(message, where=shown(repo.top), fix="give the filter a name without =")
    settings = {f"filter.{name}.{what}": "" for name in filters for what in _FILTER_COMMANDS}
    return settings | {f"filter.{name}.required": "false" for name in filters}


def _differing(repo: Repository, folder: Path, commit: str, *listed: str) -> frozenset[Path]:
    """The tracked files below a folder that differ from a commit; with "--others" listed, the untracked ones too."""
    pathspec = repo.inside(folder.resolve())
    options = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
    changed = git(repo.top, "diff", *options, commit, "--", pathspec, settings=_without_filters(repo))
    tagged = [*_names(git(repo.top, "ls-files", "-z", "-v", *listed, "--full-name", "--", pathspec))]
    overlooked = [entry[2:] for entry in tagged if entry[0].islower() or entry[0] == "S"]
    untracked = [entry[2:] for entry in tagged if entry[0] == "?"]
    names = {*_names(changed), *_changed_among(repo, commit, overlooked), *untracked}
    return frozenset(repo.top / name for name in names)


def _changed_among(repo: Repository, commit: str, overlooked: Sequence[str]) -> set[str]:
    """Those of the files that git is told not to look at which are on disk with another content than the commit's."""
    on_disk = [name for name in overlooked if os.path.lexists(repo.top / name)]
    if not on_disk:
        return set()
    with Blobs(repo) as blobs:
        return {name for name in on_disk if not _has_content(repo.top / name, blobs.at(commit, name))}


def _has_content(path: Path, blob: tuple[str, bytes] | None) -> bool:
    """Whether a file has the content of a blob; line endings do not count, because git may convert them."""
    try:
        content = os.fsencode(path.readlink()) if path.is_symlink() else read_regular_file(path)
    except OSError:
        return False
    return blob is not None and content.replace(b"\r\n", b"\n") == blob[1].replace(b"\r\n", b"\n")


def _names(answer: bytes) -> Iterator[str]:
    return (os.fsdecode(name) for name in answer.split(b"\0") if name)


_AT_ONCE: Final = 400  # this many ids fit into a pipe, so that writing them never blocks on git's output


class Blobs:
    """The contents of many files of a repository, through one git process.

    Use it as a context manager, from one thread at a time.
    """

    def __init__(self, repo: Repository) -> None:
        import subprocess

        self._top = repo.top
        self._process = subprocess.Popen(
            command(repo.top, "cat-file", "--batch"),
            env=environment(repo.top),
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
            assert pipe is not None, "both pipes were requested"
            pipe.close()
        self._process.wait()

    def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """The contents of blobs with their ids, in this order. Raises GitFailed for a missing one."""
        for start in range(0, len(blobs), _AT_ONCE):
            batch = blobs[start : start + _AT_ONCE]
            self._ask("".join(f"{blob}\n" for blob in batch).encode("ascii"))
            for blob in batch:
                answer = self._answer()
                if answer is None:
                    raise explain_missing_object(self._top, f"the object {blob} is missing from the repository")
                yield blob, answer[1]

    def at(self, commit: str, path: str) -> tuple[str, bytes] | None:
        """The id and content of a file at a commit; None without such a file. Raises GitFailed for missing content."""
        if "\n" in path:
            return None
        self._ask(f"{commit}:{path}\n".encode("utf-8", "surrogateescape"))
        answer = self._answer()
        if answer is None and self._is_listed(commit, path):
            raise explain_missing_object(
                self._top, f"{printable(path)} of {commit[:12]} is missing from the repository"
            )
        return answer

    def tree_of(self, commit: str) -> str:
        """The id of the tree of a commit, which two commits with the same files share. Raises GitFailed without one."""
        self._ask(f"{commit}^{{tree}}\n".encode("ascii"))
        answer = self._answer(b"tree")
        if answer is None:
            raise explain_missing_object(self._top, f"the tree of {commit[:12]} is missing from the repository")
        return answer[0]

    def _is_listed(self, commit: str, path: str) -> bool:
        """Whether the commit has this file, although its content is missing from the repository."""
        entry = git(self._top, "ls-tree", "-z", "--full-tree", commit, "--", path)
        return entry.split(b" ")[:2][-1:] == [b"blob"]

    def _ask(self, question: bytes) -> None:
        assert self._process.stdin is not None, "the pipe was requested"
        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise explain_missing_object(self._top, "git cat-file ended early") from error

    def _answer(self, kind: bytes = b"blob") -> tuple[str, bytes] | None:
        output = self._process.stdout
        assert output is not None, "the pipe was requested"
        header = output.readline()
        if not header:
            raise explain_missing_object(self._top, "git cat-file ended early")
        words = header.split()
        if len(words) != 3 or not words[2].isdigit():
            return None
        content = output.read(int(words[2]) + 1)[:-1]
        return (words[0].decode("ascii"), content) if words[1] == kind else None
