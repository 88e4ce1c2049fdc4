"""The sources of `consumers collect`: folders, files, git repositories and archives, of which a few files are read.

    PATH                      a folder, or one file of it; a .zip or .tar.gz archive
    URL, USER@HOST:PATH       a git repository: one commit is fetched into a temporary folder
    …#REF, …@REF              the branch, tag or commit to read; of a PATH, git's objects are read instead of the files
    …:FOLDER, …#REF:FOLDER    a folder inside the repository or archive

Nothing of a source is run, checked out or extracted, and git prompts for nothing.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.printable import one_line, printable
from endpoints_gitops.workspace.configuration import LOCK_NAME
from endpoints_gitops.workspace.files import read_regular_file, real_path, shown, work_tree
from endpoints_gitops.workspace.git import GitFailed, Repository, dirty, fetch_commit, git, repository

if TYPE_CHECKING:
    from gzip import GzipFile

MANIFEST_NAMES: Final = ("endpoints.toml", "pyproject.toml")
EVIDENCE_SUFFIX: Final = "evidence.json"
_ARCHIVES: Final = (".zip", ".tar.gz", ".tgz")  # an archive without a checksum could be read in part, unnoticed
_SCHEMES: Final = ("http", "https", "ssh")
_LARGEST_FILE: Final = 16 * 2**20
_LARGEST_ARCHIVE: Final = 2**30
_MOST_MEMBERS: Final = 200_000
_EXPLICIT_BARE: Final = {"safe.bareRepository": "all"}  # the user names the folder, so it is not found by chance

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>.*)", re.DOTALL)
_SCP: Final = re.compile(r"(?P<authority>[^-/\\:@][^/\\:@]*@[^/\\:@]+):(?P<path>.+)", re.DOTALL)
_SUFFIX: Final = re.compile(r"(?:[#@](?P<ref>[^:]*))?(?::(?P<folder>.*))?", re.DOTALL)
_BAD_REF: Final = re.compile(r"^[-+^/]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSource:
    """A parsed SOURCE.

    `path` is that of a local one (of a git repository its top), `address` what git fetches from otherwise, which can
    contain credentials. `ref` is None if none is named, and `folder` is inside the repository or archive. `safe` is the
    path or address without credentials, and `name` the name of its last part.
    """

    safe: str
    name: str
    path: Path | None = None
    address: str | None = None
    ref: str | None = None
    folder: str = "."
    is_git: bool = False

    @property
    def label(self) -> str:
        """The source with ref and folder, for messages."""
        return self.safe + (f"#{self.ref}" if self.ref else "") + self._folder

    def recorded(self, start: Path) -> str:
        """The source without its ref, as a file records it: a path is relative to the folder `start` of that file."""
        if self.path is None:
            return self.safe + self._folder
        real = real_path(self.path)
        try:
            path = Path(os.path.relpath(real, real_path(start))).as_posix()
        except ValueError:  # another drive
            path = real.as_posix()
        return one_line(path) + self._folder

    @property
    def _folder(self) -> str:
        return "" if self.folder == "." else f":{one_line(self.folder)}"

    def without_credentials(self, text: str) -> str:
        """A text of git, in which the credentials of the address are masked."""
        url = _URL.fullmatch(self.address or "")
        if url is None or "@" not in url["authority"]:
            return text
        user = url["authority"].rpartition("@")[0]
        for secret in (user, *sorted(user.split(":", 1), key=len, reverse=True)):
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text.replace(f"{user}@", "***@")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """What was read from a source: the manifest, lock and evidence of one folder, by name; and the commit, if known.

    `label` is what stands before the name of a file in messages.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    label: str
    commit: str | None = None

    def label_of(self, name: str) -> str:
        return f"{self.label}{name}"


def parse_source(text: str) -> ConsumerSource:
    """Parse a SOURCE. A text that is a path as a whole is that path. Raises UsageError for one that is neither path nor
    URL, and for an invalid ref or folder."""
    if not text.strip():
        raise UsageError("a SOURCE is empty", fix="name a folder; . is this one", code="consumers.source")
    local, suffix = _local_part(text)
    if local is not None:
        return _local_source(local, suffix)
    url, scp = _URL.fullmatch(text), _SCP.fullmatch(text)
    match = url or scp
    if match is None or (url and url["scheme"].lower() not in _SCHEMES):
        what = re.sub(r"[^/\s]*@", "***@", printable(text))
        fix = "name a folder, a file, an archive, or the http, https or ssh URL of a git repository"
        message = f"{what} is not a URL that is read" if url else f"{what} does not exist"
        raise UsageError(message, fix=fix, code="consumers.source")
    path, suffix = _split(match["path"])
    if url is None:
        start = safe = f"{match['authority']}:"
    else:
        user, at, host = url["authority"].rpartition("@")
        start = f"{url['scheme']}://{url['authority']}"
        safe = f"{url['scheme']}://{user.partition(':')[0] + at if url['scheme'].lower() == 'ssh' else ''}{host}"
    ref, folder = _ref_and_folder(suffix)
    plain = path.partition("?")[0]
    return ConsumerSource(
        safe=one_line(safe + plain),
        name=_last_part(plain.rstrip("/"), folder),
        address=start + path,
        ref=ref,
        folder=folder,
        is_git=True,
    )


def read_source(source: ConsumerSource, *, seconds: float) -> SourceFiles:
    """Read the manifest, lock and evidence of a source.

    Raises GitFailed (exit code 4) for a repository that cannot be reached or read, UsageError (2) for a file or archive
    that is damaged, too large, or not there.
    """
    if source.address is not None:
        with TemporaryDirectory(prefix="endpoints-gitops-", ignore_cleanup_errors=True) as folder:
            return _fetched(source, Path(folder), seconds)
    assert source.path is not None, "a source has a path or an address"
    if source.is_git:
        return _from_git(source, source.path, source.ref or "HEAD")
    if source.path.is_dir():
        return _from_folder(source.path)
    return _from_archive(source) if _is_archive(source.path) else _from_file(source.path)


def read_file(path: Path) -> bytes:
    """The content of a local file. Raises UsageError if it cannot be read or is too large."""
    try:
        content = read_regular_file(path, largest=_LARGEST_FILE)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise UsageError(message, where=shown(path), code="consumers.source") from error
    return _of_allowed_size(content, shown(path))


def _local_part(text: str) -> tuple[Path | None, str]:
    """The longest beginning of a text that is a path, up to the end or a separator; and the rest."""
    ends = [len(text), *(index for index in range(len(text) - 1, 0, -1) if text[index] in "#@:")]
    scheme, separator, rest = text.partition("://")
    if separator:
        return _local_part(rest) if scheme.lower() == "file" else (None, "")
    for end in ends:
        path = Path(text[:end]).expanduser()
        if os.path.lexists(path):
            return path, text[end:]
    return None, ""


def _split(path: str) -> tuple[str, str]:
    """The path of a URL, and what follows from the first separator on."""
    end = next((index for index, character in enumerate(path) if character in "#@:"), len(path))
    return path[:end], path[end:]


def _ref_and_folder(suffix: str) -> tuple[str | None, str]:
    match = _SUFFIX.fullmatch(suffix)
    if match is None:
        raise UsageError(f"{printable(suffix)} is not #REF, :FOLDER or #REF:FOLDER", code="consumers.source")
    ref, folder = match["ref"] or None, posixpath.normpath(match["folder"] or ".")
    if ref is not None and _BAD_REF.search(ref):
        raise UsageError(f"{printable(ref)!r} is not the name of a branch, tag or commit", code="consumers.source")
    if folder.startswith(("/", "../")) or folder == ".." or "\\" in folder:
        raise UsageError(f"the folder {printable(folder)} is outside of the source", code="consumers.source")
    return ref, folder


def _local_source(path: Path, suffix: str) -> ConsumerSource:
    ref, folder = _ref_and_folder(suffix)
    real = real_path(path)
    is_git = path.is_dir() and (bool(suffix) or _is_bare(real))
    if suffix and not is_git and (ref is not None or not _is_archive(path)):
        message = f"{shown(path)} is a file, so {printable(suffix)} cannot be read in it"
        raise UsageError(message, fix="only a git repository has a #REF", code="consumers.source")
    if not is_git:
        named = real.parent if path.is_file() and not _is_archive(path) else real
        return ConsumerSource(safe=shown(path), name=_last_part(named.as_posix(), folder), path=path, folder=folder)
    top = real if _is_bare(real) else work_tree(real)
    if top is None:
        message = f"{shown(path)} is not in a git repository, so {printable(suffix)} cannot be read"
        raise UsageError(message, fix="name the folder alone", code="consumers.source")
    folder = posixpath.normpath(posixpath.join(real.relative_to(top).as_posix(), folder))
    return ConsumerSource(
        safe=shown(top), name=_last_part(top.as_posix(), folder), path=top, ref=ref, folder=folder, is_git=True
    )


def _last_part(path: str, folder: str) -> str:
    return _without_suffix(posixpath.basename(path if folder == "." else folder))


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in (*_ARCHIVES, ".git") if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(_ARCHIVES) and not path.is_dir()


def _is_bare(folder: Path) -> bool:
    """Whether a folder is a bare repository, or the `.git` folder of another one."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def _is_wanted(name: str) -> bool:
    return name in (*MANIFEST_NAMES, LOCK_NAME) or name.endswith(EVIDENCE_SUFFIX)


def _of_allowed_size(content: bytes, label: str) -> bytes:
    if len(content) > _LARGEST_FILE:
        raise _too_large(label)
    return content


def _too_large(label: str) -> UsageError:
    message = f"this file is larger than {_LARGEST_FILE // 2**20} MB, so it is not read"
    return UsageError(message, where=label, code="consumers.source")


def _from_folder(folder: Path) -> SourceFiles:
    try:
        names = sorted(name for name in os.listdir(folder) if _is_wanted(name))  # noqa: PTH208 - only names are needed
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise UsageError(message, where=shown(folder), code="consumers.source") from error
    files = {name: read_file(folder / name) for name in names}
    label = shown(folder)
    return SourceFiles(files=files, label="" if label == "." else f"{label}/", commit=_commit_of(folder, files))


def _from_file(path: Path) -> SourceFiles:
    """A lock or manifest stands for its folder; any other file is evidence."""
    if path.name in (*MANIFEST_NAMES, LOCK_NAME):
        return _from_folder(path.parent)
    name = path.name if path.name.endswith(EVIDENCE_SUFFIX) else f"{path.name}.{EVIDENCE_SUFFIX}"
    return SourceFiles(files={name: read_file(path)}, label=f"{shown(path)} as ")


def _commit_of(folder: Path, files: Iterable[str]) -> str | None:
    """HEAD's commit, if the lock and the manifest are as it has them."""
    try:
        repo = repository(folder)
        if repo is None:
            return None
        real = folder.resolve()
        changed = {path for path in dirty(repo, real) if path.parent == real}
    except GitFailed:
        return None  # the files are what counts; they were read
    return None if any(real / name in changed for name in files if not name.endswith(EVIDENCE_SUFFIX)) else repo.head


def _fetched(source: ConsumerSource, into: Path, seconds: float) -> SourceFiles:
    assert source.address is not None, "only such a source is fetched"
    try:
        repo = fetch_commit(into, source.address, source.ref or "HEAD", seconds=seconds)
    except FileNotFoundError:
        raise _without_git() from None
    except GitFailed as error:
        message = source.without_credentials(f"{source.label} cannot be read: {error.message}")
        fix = error.fix or Advice(OtherCommand("git", "ls-remote", source.safe), " shows whether git can read it")
        raise GitFailed(message, fix=fix, code="consumers.unreachable") from None
    return _of_commit(source, repo, {})


def _without_git() -> GitFailed:
    return GitFailed("git is not installed, or not on PATH", fix="install git")


def _from_git(source: ConsumerSource, top: Path, ref: str) -> SourceFiles:
    """The files of a commit of a local repository, whose objects are read and never fetched."""
    top = real_path(top)
    settings = _EXPLICIT_BARE if _is_bare(top) else {}
    words = ("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    try:
        commit = git(top, *words, settings=settings).decode("ascii").strip()
    except FileNotFoundError:
        raise _without_git() from None
    except GitFailed as error:
        message = f"{source.label} cannot be read: {error.message}"
        branches = OtherCommand("git", "-C", source.safe, "branch", "--all")
        fix = Advice("name a branch, tag or commit that is there; ", branches, " lists the branches")
        raise GitFailed(message, fix=fix, code="consumers.unreachable") from error
    return _of_commit(source, Repository(top=top, head=commit, is_shallow=False), settings)


def _of_commit(source: ConsumerSource, repo: Repository, settings: Mapping[str, str]) -> SourceFiles:
    label = _inside(source)
    _refuse_other_than_folder(source, repo, settings)
    path = [] if source.folder == "." else [f"{source.folder}/"]
    listed = git(repo.top, "ls-tree", "-z", "-l", "--full-tree", repo.head, "--", *path, settings=settings)
    files = {}
    for entry in filter(None, os.fsdecode(listed).split("\0")):
        facts, _, file = entry.partition("\t")
        mode, _, blob, size = facts.split()
        name = posixpath.basename(file)
        if not _is_wanted(name):
            continue
        if mode not in ("100644", "100755"):
            raise _not_a_file(f"{label}{name}")
        if int(size) > _LARGEST_FILE:
            raise _too_large(f"{label}{name}")
        files[name] = git(repo.top, "cat-file", "blob", blob, settings=settings)
    return SourceFiles(files=files, label=label, commit=repo.head)


def _inside(source: ConsumerSource) -> str:
    """What stands before the name of a file in a repository or archive."""
    return f"{source.label}:" if source.folder == "." else f"{source.label}/"


def _refuse_other_than_folder(source: ConsumerSource, repo: Repository, settings: Mapping[str, str]) -> None:
    """Raise UsageError if the commit does not have the folder of the source."""
    parts = [] if source.folder == "." else source.folder.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        entry = git(repo.top, "ls-tree", "-z", "--full-tree", repo.head, "--", path, settings=settings)
        kind = entry.split()[1] if entry else b""
        if kind != b"tree":
            words = {b"": "does not exist", b"commit": "is a submodule", b"blob": "is not a folder"}
            message = f"{printable(path)} {words.get(kind, 'is not a folder')} in {source.label} at {repo.head[:12]}"
            fix = "collect the submodule's own repository" if kind == b"commit" else "name a folder after the :"
            raise UsageError(message, fix=fix, code="consumers.source")


def _not_a_file(label: str) -> UsageError:
    return UsageError("this is a link or a folder, not a file", where=label, code="consumers.source")


def _from_archive(source: ConsumerSource) -> SourceFiles:
    """The files of an archive, of which nothing is extracted.

    A single folder at the top, as archives of a git host have it, is skipped.
    """
    path = source.path
    assert path is not None, "an archive is a local file"
    if not path.is_file():
        raise UsageError("this is not a file", where=shown(path), code="consumers.source")
    label = _inside(source)
    members = _zip_members(path) if path.name.lower().endswith(".zip") else _tar_members(path)
    contents: dict[str, bytes] = {}
    tops: set[str] = set()
    for name, content in members:
        tops.add(name.partition("/")[0] if "/" in name else "")
        if name in contents:
            raise UsageError(f"{printable(name)} occurs twice", where=shown(path), code="consumers.source")
        if content is not None:
            contents[name] = content
    top = next(iter(tops)) if len(tops) == 1 else ""
    for start in ("", top):
        folder = posixpath.normpath(posixpath.join(start, source.folder)).removeprefix(".")
        inside = {name: content for name, content in contents.items() if posixpath.dirname(name) == folder}
        if inside:
            return SourceFiles(files={posixpath.basename(name): inside[name] for name in inside}, label=label)
    return SourceFiles(label=label)


type _Member = tuple[str, bytes | None]
"""The name of a file in an archive, and its content if it is wanted."""


def _zip_members(path: Path) -> Iterator[_Member]:
    import stat
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            for count, member in enumerate(archive.infolist()):
                _refuse_count(path, count)
                name = _member_name(path, member.filename)
                if member.is_dir() or not _is_wanted(posixpath.basename(name)):
                    yield name, None
                    continue
                label = f"{shown(path)}:{printable(name)}"
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise _not_a_file(label)
                with archive.open(member) as file:
                    content = file.read(_LARGEST_FILE + 1)
                yield name, _of_allowed_size(content, label)
    except UsageError:
        raise
    except Exception as error:  # the module raises a dozen kinds for damaged, encrypted and unknown content
        raise _damaged(path, error) from error


def _tar_members(path: Path) -> Iterator[_Member]:
    import gzip
    import tarfile

    try:
        with gzip.open(path) as packed:
            stream = _Limited(packed, path)
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]  # it only reads
                for count, member in enumerate(archive):
                    _refuse_count(path, count)
                    name = _member_name(path, member.name)
                    if member.isdir() or not _is_wanted(posixpath.basename(name)):
                        yield name, None
                        continue
                    label = f"{shown(path)}:{printable(name)}"
                    file = archive.extractfile(member) if member.isreg() else None
                    if file is None:
                        raise _not_a_file(label)
                    yield name, _of_allowed_size(file.read(_LARGEST_FILE + 1), label)
            while stream.read(2**20):  # the checksum is at the end
                pass
    except UsageError:
        raise
    except Exception as error:  # as above
        raise _damaged(path, error) from error


class _Limited:
    """A stream that refuses to give more than an archive may contain."""

    def __init__(self, stream: GzipFile, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = _LARGEST_ARCHIVE

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            message = f"this archive has more than {_LARGEST_ARCHIVE // 2**20} MB in it, so it is not read"
            raise UsageError(message, where=shown(self._path), code="consumers.source")
        return content


def _member_name(path: Path, name: str) -> str:
    """The name of a member without `./`. Raises UsageError for one that leads out of the archive."""
    normal = posixpath.normpath(name.replace("\\", "/"))
    if normal.startswith(("/", "../")) or normal == ".." or ":" in normal.partition("/")[0]:
        message = f"{printable(name)} leads out of the archive, so the archive is not read"
        raise UsageError(message, where=shown(path), code="consumers.source")
    return "" if normal == "." else normal


def _refuse_count(path: Path, count: int) -> None:
    if count >= _MOST_MEMBERS:
        message = f"this archive has more than {_MOST_MEMBERS:,} files, so it is not read"
        raise UsageError(message, where=shown(path), code="consumers.source")


def _damaged(path: Path, error: Exception) -> UsageError:
    message = f"this archive cannot be read: {printable(str(error)) or type(error).__name__}"
    return UsageError(message, where=shown(path), fix="download or pack it again", code="consumers.source")
