"""Repositories that try to run a program when git reads them, as data, and the commands that must not let them.

`HOSTILE` is the collection. `plant` makes one; `escapes` runs every command in it and yields those that ran the
program. The tests run the commands in their own process; whoever wants more (a fuzzer) passes another `run`.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NAME = "one"
OLD_SQL, NEW_SQL = "SELECT 1 AS one", "SELECT 2 AS one"
COMMANDS = (
    ("check", "changed:HEAD~1"),
    ("breaking", "--against", "HEAD~1"),
    ("review", "--against", "HEAD~1"),
    ("diff", "--against", "HEAD~1"),
    ("diff", "changed:HEAD~1"),
    ("plan", "--prune", "--format", "json"),
    ("pull", "--yes"),
    ("adopt", NAME),
    ("push", "--yes", "--prune"),
    ("rollback", f"{NAME}@1", "--yes"),
)
"""Commands that ask git for all that is ever asked, those that need a differing server before those that write."""

_PROVOKE = (
    ("status",),
    ("diff", "HEAD"),
    ("log", "-p"),
    ("diff-index", "HEAD"),
    ("show", f"HEAD~1:endpoints/{NAME}.yaml"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One trick. In texts, `{program}` is the program that must not run, and `{top}` the checkout.

    `config` goes to the end of `.git/config`; `attributes`, `files` and `programs` are committed; `variables` are in
    the caller's environment. `plant` does what files cannot. `provoke` are git commands that run the program where git
    is started without care; none where only an interactive git would.
    """

    name: str
    config: str = ""
    attributes: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    programs: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    plant: Callable[[Planted], None] | None = None
    folder: str = "endpoints"
    provoke: Sequence[Sequence[str]] = _PROVOKE
    provoke_in: str = "."
    is_readable: bool = True

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Planted:
    """A hostile repository on the disk; `marker` exists once its program ran."""

    hostile: Hostile
    top: Path
    program: Path
    marker: Path

    @property
    def environment(self) -> dict[str, str]:
        return {name: self.filled(text) for name, text in self.hostile.variables.items()}

    def filled(self, text: str) -> str:
        path = os.environ["PATH"]
        return text.replace("{program}", str(self.program)).replace("{top}", str(self.top)).replace("{path}", path)

    def git(self, *words: str, given: str | None = None) -> str:
        who = {f"GIT_{role}_{what}": "a@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        command = ("git", "-C", str(self.top), *words)
        done = subprocess.run(command, env=os.environ | who, input=given, capture_output=True, check=True, text=True)
        return done.stdout.strip()

    def write(self, name: str, text: str, *, executable: bool = False) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.filled(text), encoding="utf-8")
        if executable:
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "more")


def plant(hostile: Hostile, folder: Path) -> Planted:
    """Make the repository in `folder`/checkout. Two commits hold two versions of one definition."""
    marker, program = folder / "ran", folder / "program"
    planted = Planted(hostile, folder / "checkout", program, marker)
    planted.top.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\nexit 1\n")
    program.chmod(0o755)
    planted.git("init", "--quiet", "--initial-branch", "main")
    for sql in (OLD_SQL, NEW_SQL):
        planted.write(f"{hostile.folder}/{NAME}.yaml", f"name: {NAME}\nquery: {sql}\n")
        planted.commit()
    for name, text in hostile.files.items():
        planted.write(name, text)
    if hostile.attributes:
        planted.write(".gitattributes", hostile.attributes)
    for name in hostile.programs:
        planted.write(name, program.read_text(), executable=True)
    planted.git("add", "--all")
    planted.git("commit", "--quiet", "--allow-empty", "--amend", "--no-edit")
    if hostile.plant:
        hostile.plant(planted)
    with (planted.top / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(planted.filled(hostile.config))
    definition = planted.top / hostile.folder / f"{NAME}.yaml"
    definition.write_bytes(definition.read_bytes())
    os.utime(definition, (1_000_000_000, 1_000_000_000))  # git cannot tell by its times that it is as committed
    return planted


def is_provoked(planted: Planted) -> bool:
    """Whether a git that is started without care runs the program; it is gone again afterwards."""
    for words in planted.hostile.provoke:
        command = ("git", "-C", str(planted.top / planted.hostile.provoke_in), *words)
        env = os.environ | planted.environment
        subprocess.run(command, env=env, cwd=planted.top, capture_output=True, check=False)
    was = planted.marker.exists()
    planted.marker.unlink(missing_ok=True)
    return was


def escapes(planted: Planted, run: Callable[..., object]) -> Iterator[str]:
    """Run every command with `run(*words, env=…)` in the checkout; yield each that let the program run."""
    for words in COMMANDS:
        run(*words, env=planted.environment)
        if planted.marker.exists():
            yield f"{planted.hostile.name}: {' '.join(words)} ran {planted.marker.read_text().strip()}"
            planted.marker.unlink()


def _bare(config: str, attributes: str = "") -> Callable[[Planted], None]:
    """A working bare repository, committed as ordinary files around the definitions."""

    def plant_it(planted: Planted) -> None:
        inner, real = planted.top / "e", planted.top / ".git"
        for name in ("objects", "refs", "index", "HEAD"):
            (shutil.copytree if (real / name).is_dir() else shutil.copy)(real / name, inner / name)
        planted.write("e/config", f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = ..\n{config}")
        if attributes:
            planted.write("e/info/attributes", attributes)
        planted.commit()

    return plant_it


def _signed(planted: Planted) -> None:
    head, _, message = planted.git("cat-file", "commit", "HEAD").partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    commit = planted.git("hash-object", "-t", "commit", "-w", "--stdin", given=f"{head}\n{signature}\n\n{message}\n")
    planted.git("update-ref", "HEAD", commit)


def _without_old_blob(planted: Planted) -> None:
    blob = planted.git("rev-parse", f"HEAD~1:endpoints/{NAME}.yaml")
    (planted.top / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    planted.git("config", "core.repositoryFormatVersion", "1")


def _hooks(planted: Planted) -> None:
    for name in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "post-checkout", "pre-commit"):
        planted.write(f".git/hooks/{name}", planted.program.read_text(), executable=True)


def _nested(folder: str) -> Callable[[Planted], None]:
    """A repository of its own inside the checkout, recorded as a submodule that nothing initialised."""

    def plant_it(planted: Planted) -> None:
        planted.write(f"{folder}/x", "x")
        inner = Planted(planted.hostile, planted.top / folder, planted.program, planted.marker)
        inner.git("init", "--quiet")
        inner.commit()
        if folder != planted.hostile.folder:
            planted.commit()
        inner.git("config", "core.fsmonitor", str(planted.program))

    return plant_it


_PROMISOR = '[remote "origin"]\npromisor = true\npartialclonefilter = blob:none\n[extensions]\npartialClone = origin\n'
_HOOK_NAMES = ("post-index-change", "reference-transaction", "post-checkout")
_FILTER = "clean = {program}\nsmudge = {program}\nrequired = true\n"
_FILTERED, _DIFFED = "* filter=x\n", "* diff=x\n"

HOSTILE = (
    Hostile(name="bare repository, filter", folder="e/defs", provoke_in="e/defs",
            plant=_bare('[filter "x"]\n' + _FILTER, _FILTERED)),
    Hostile(name="bare repository, file monitor", folder="e/defs", provoke_in="e/defs",
            plant=_bare("[core]\nfsmonitor = {program}\n")),
    Hostile(name="bare repository, external diff", folder="e/defs", provoke_in="e/defs",
            plant=_bare("[diff]\nexternal = {program}\n"), provoke=(("diff", "HEAD~1"),)),
    Hostile(name="file monitor", config="[core]\nfsmonitor = {program}\n"),
    Hostile(name="filter", config='[filter "x"]\n' + _FILTER, attributes=_FILTERED),
    Hostile(name="filter in info/attributes", config=f'[core]\nattributesFile = attrs\n[filter "x"]\n{_FILTER}',
            files={"attrs": _FILTERED}),
    Hostile(name="filter process", config='[filter "x"]\nprocess = {program}\nrequired = true\n', attributes=_FILTERED),
    Hostile(name="filter with a dot", config='[filter "x.Y z"]\n' + _FILTER.replace("clean", "Clean"),
            attributes='* "filter=x.Y z"\n* filter=x.Y\n', provoke=()),
    Hostile(name="filter with dots and case", config='[FILTER "x.Y"]\n' + _FILTER, attributes="* filter=x.Y\n"),
    Hostile(name="filter with an equals sign", is_readable=False, config='[filter "x=y"]\n' + _FILTER,
            attributes="* filter=x=y\n"),
    Hostile(name="filter of an included file", config="[include]\npath = ../more\n", attributes=_FILTERED,
            files={"more": '[filter "x"]\n' + _FILTER}),
    Hostile(name="filter included for the branch", config='[includeIf "onbranch:main"]\npath = ../more\n',
            attributes=_FILTERED, files={"more": '[filter "x"]\n' + _FILTER}),
    Hostile(name="text conversion", config='[diff "x"]\ntextconv = {program}\n', attributes=_DIFFED),
    Hostile(name="diff driver", config='[diff "x"]\ncommand = {program}\n', attributes=_DIFFED,
            provoke=(("diff", "HEAD~1"),)),
    Hostile(name="external diff", config="[diff]\nexternal = {program}\n", provoke=(("diff", "HEAD~1"),)),
    Hostile(name="pager", config="[core]\npager = {program}\n[pager]\ndiff = {program}\nrev-list = {program}\n",
            provoke=()),  # a pager needs a terminal
    Hostile(name="signature", config="[gpg]\nprogram = {program}\n[log]\nshowSignature = true\n", plant=_signed),
    Hostile(name="hooks", plant=_hooks),
    Hostile(name="committed hooks", config="[core]\nhooksPath = hooks\n",
            programs=[f"hooks/{name}" for name in _HOOK_NAMES]),
    Hostile(name="alias", config="[alias]\ndiff = !{program}\nrev-list = !{program}\nrevlist = !{program}\n",
            provoke=(("revlist",),)),
    Hostile(name="missing object, remote helper", is_readable=False, plant=_without_old_blob,
            config=_PROMISOR + '[remote "origin"]\nurl = ext::{program} x\n[protocol]\nallow = always\n'),
    Hostile(name="missing object, ssh", is_readable=False, plant=_without_old_blob,
            config=_PROMISOR + '[remote "origin"]\nurl = ssh://example.invalid/x\n[core]\nsshCommand = {program}\n'),
    Hostile(name="missing object, upload-pack", is_readable=False, plant=_without_old_blob,
            config=_PROMISOR + '[remote "origin"]\nurl = {top}\nuploadpack = {program}\n'),
    Hostile(name="missing object, git proxy", is_readable=False, plant=_without_old_blob,
            config=_PROMISOR + '[remote "origin"]\nurl = git://example.invalid/x\n[core]\ngitProxy = {program}\n'),
    Hostile(name="missing object, credentials", is_readable=False, plant=_without_old_blob, provoke=(),
            config=_PROMISOR + '[remote "origin"]\nurl = https://127.0.0.1:1/x\n[credential]\nhelper = !{program}\n'),
    Hostile(name="submodule, file monitor", plant=_nested("endpoints/sub")),
    Hostile(name="work tree elsewhere", is_readable=False,
            config="[core]\nworktree = {top}/endpoints\nfsmonitor = {program}\n"),
    Hostile(name="a program called git", programs=("git", "endpoints/git"), variables={"PATH": ".::endpoints:{path}"},
            provoke_in="."),
    Hostile(name="GIT_DIR", folder="e/defs", plant=_bare("[core]\nfsmonitor = {program}\n"),
            variables={"GIT_DIR": "{top}/e", "GIT_WORK_TREE": "{top}"}),
    Hostile(name="GIT_EXTERNAL_DIFF", variables={"GIT_EXTERNAL_DIFF": "{program}"}, provoke=(("diff", "HEAD~1"),)),
    Hostile(name="GIT_CONFIG_COUNT", variables={
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "{program}"}),
    Hostile(name="GIT_CONFIG_PARAMETERS", variables={"GIT_CONFIG_PARAMETERS": "'filter.x.clean'='{program}'"},
            attributes=_FILTERED),
    Hostile(name="GIT_EXEC_PATH", is_readable=False, plant=_without_old_blob,
            config=_PROMISOR + '[remote "origin"]\nurl = x::y\n',
            programs=("bin/git-remote-x", "bin/git-fetch", "bin/git"), variables={"GIT_EXEC_PATH": "{top}/bin"}),
)  # fmt: skip
