"""What evidence files prove about a pin.

A file proves a pin when tests that called exactly this pin passed in a run without failures, with the contract enforced
(`--endpoints-contract=strict`), of this commit, of this tree, or of a tree that agrees with HEAD on `evidence_paths`.
Every mode proves the same: the answers of recordings, of the server and of the local engine are enforced alike.

A partial run (a shard, `-k`) proves the pins that its tests called: shards have a file each, and no file knows the
others.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, read_evidence
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.files import read_regular_file, shown
from endpoints_gitops.workspace.git import Repository, differing_files, files_of, resolved_tree

DEFAULT_NAME: Final = "endpoints-evidence.json"
"""The file beside the configuration that is read where the command line names none."""
_FAILED: Final = ("failed", "error")


class TreeAgreement(StrEnum):
    """How the tree that a suite ran on compares with HEAD's."""

    SAME = "same"
    AGREES = "agrees"
    """It differs, but in none of the evidence_paths."""
    OTHER = "other"
    UNKNOWN = "unknown"
    """It is not in this clone, so it cannot be compared."""


class ProofStep(IntEnum):
    """How far a file gets on the way to a proof; the reason of the file that gets furthest is reported."""

    NO_FILE = 0
    NOT_LISTED = 1
    OTHER_PIN = 2
    OTHER_TREE = 3
    UNKNOWN_TREE = 4
    DIRTY = 5
    NOT_ENFORCED = 6
    NOT_CALLED = 7
    NOT_PASSED = 8
    RUN_FAILED = 9
    TEST_FAILED = 10
    PROVEN = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class PinProof:
    """What one file, or all of them, say about a pin. `text` describes a proof, `reason` the lack of one."""

    step: ProofStep
    text: str = ""
    reason: ErrorEntry | None = None

    @property
    def is_unknown(self) -> bool:
        return self.step is ProofStep.UNKNOWN_TREE


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """An evidence file; `label` is its path for messages."""

    path: Path
    label: str
    evidence: Evidence
    pins: Mapping[tuple[str, str], ExercisedPin]


@dataclass(frozen=True, kw_only=True)
class EvidenceFiles:
    """The evidence for one release.

    `tree` is HEAD's. `paths` are the evidence_paths of the configuration, relative to its `folder`, and `where` is the
    place of that file. `wanted` is the path that the advice names.
    """

    repo: Repository
    tree: str
    folder: Path
    files: tuple[EvidenceFile, ...]
    wanted: str
    paths: tuple[str, ...] = ()
    where: str | None = None
    _agreements: dict[str, TreeAgreement] = field(default_factory=dict)

    def proof(self, pin: Pin) -> PinProof:
        """What the files prove about a pin. A run that failed on this tree, such as another shard, outweighs any proof.

        Raises UsageError for an entry of evidence_paths that matches no file.
        """
        if not self.files:
            return self._lacking(ProofStep.NO_FILE, "missing", f"there is no evidence: {self.wanted} does not exist")
        proofs = [self._proof(pin, file) for file in self.files]
        failed = next((proof for proof in proofs if proof.step is ProofStep.TEST_FAILED), None)
        best = failed or max(proofs, key=lambda proof: proof.step)
        if best.step is ProofStep.PROVEN and (red := next(filter(self._has_failed, self.files), None)):
            return self._failed_run(pin, red.label)
        return best

    def _has_failed(self, file: EvidenceFile) -> bool:
        """Whether the run failed on a tree that counts as this one."""
        run = file.evidence
        is_of_this = run.outcome != "passed" and not run.is_dirty
        return is_of_this and self._agreement(run) in (TreeAgreement.SAME, TreeAgreement.AGREES)

    def _failed_run(self, pin: Pin, label: str) -> PinProof:
        message = f"the run of {label} failed, although no test that called {pin.label} did"
        return self._lacking(ProofStep.RUN_FAILED, "failed", message, label)

    def _proof(self, pin: Pin, file: EvidenceFile) -> PinProof:
        run, label = file.evidence, file.label
        exercised = file.pins.get((pin.environment, pin.name))
        if exercised is None:
            message = f"{label} does not mention {pin.name}: that suite ran with another lock"
            return self._lacking(ProofStep.NOT_LISTED, "missing", message, label)
        if difference := _difference(exercised, pin):
            return self._lacking(ProofStep.OTHER_PIN, "other-pin", f"{label} is of {difference}", label)
        agreement = self._agreement(run)
        if agreement is TreeAgreement.UNKNOWN:
            return self._unknown_tree(run, label)
        if agreement is TreeAgreement.OTHER:
            return self._other_tree(run, label)
        if run.is_dirty:
            message = f"{label} is of a run with changed files that were not committed"
            return self._lacking(ProofStep.DIRTY, "dirty", message, label)
        if run.contract != "strict":
            message = f"{label} is of a run with --endpoints-contract={printable(run.contract)}, which proves nothing"
            return self._lacking(ProofStep.NOT_ENFORCED, "not-enforced", message, label)
        return self._of_tests(pin, exercised, file, agreement)

    def _of_tests(self, pin: Pin, exercised: ExercisedPin, file: EvidenceFile, agreement: TreeAgreement) -> PinProof:
        run, label = file.evidence, file.label
        outcomes = [test.outcome for test in exercised.tests]
        failed = [test.test for test in exercised.tests if test.outcome in _FAILED]
        passed = outcomes.count("passed")
        if failed:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            message = f"{printable(failed[0])}{more} failed on {pin.label} ({label})"
            return self._lacking(ProofStep.TEST_FAILED, "failed", message, label)
        if not outcomes:
            message = f"no test in {label} called {pin.label}"
            fix = Advice(f"call {pin.name} in a test with the fixture endpoints or endpoints_env: ", _run(label))
            return self._lacking(ProofStep.NOT_CALLED, "not-called", message, label, fix)
        if not passed:
            words = ", ".join(sorted({printable(outcome) or "unfinished" for outcome in outcomes}))
            message = f"no test in {label} that called {pin.label} passed ({words})"
            return self._lacking(ProofStep.NOT_PASSED, "not-passed", message, label)
        if run.outcome != "passed":
            return self._failed_run(pin, label)
        tests = f"{passed} test{'s' if passed > 1 else ''} passed ({label})"
        partial = f"; a partial run: {printable(run.partial)}" if run.partial else ""
        agrees = ""
        if agreement is TreeAgreement.AGREES:
            agrees = f"; of commit {_short(run.commit)}, which agrees on evidence_paths"
        return PinProof(step=ProofStep.PROVEN, text=f"{tests}{partial}{agrees}")

    def _lacking(
        self, step: ProofStep, code: str, message: str, label: str | None = None, fix: Advice | None = None
    ) -> PinProof:
        """The reason why a pin is not proven; the fix is by default a run that writes the file `label`."""
        fix = fix or Advice(_run(label or self.wanted))
        return PinProof(step=step, reason=ErrorEntry(code=f"evidence.{code}", message=message, fix=fix))

    def _unknown_tree(self, run: Evidence, label: str) -> PinProof:
        message = f"{label} is of commit {_short(run.commit)}, whose tree is not in this clone: cannot compare it"
        fix = Advice(
            f"git fetch origin {_short(run.commit, whole=True)} (in CI: fetch-depth: 0), or ",
            _run(label),
        )
        reason = ErrorEntry(code="evidence.unknown-tree", message=message, fix=fix)
        return PinProof(step=ProofStep.UNKNOWN_TREE, reason=reason)

    def _other_tree(self, run: Evidence, label: str) -> PinProof:
        fix, differing = None, self._differing(run)
        if run.commit is None:
            message = f"{label} names no commit: that suite ran outside of a git repository"
        elif not differing:
            message = f"{label} is of commit {_short(run.commit)}, whose tree is not HEAD's"
        elif committed := self._committed_evidence(differing):
            message = (
                f"{label} is of commit {_short(run.commit)}, from which HEAD differs because {committed} is committed"
            )
            fix = Advice(
                f"add {committed} to .gitignore and ",
                OtherCommand("git", "rm", "--cached", committed),
                ", commit both, and run ",
                _run(label),
                "; or name only other files in evidence_paths",
            )
        else:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            message = f"{label} is of commit {_short(run.commit)}, which differs in {printable(differing[0])}{more}"
        return self._lacking(ProofStep.OTHER_TREE, "other-tree", message, label, fix)

    def _committed_evidence(self, differing: Sequence[str]) -> str | None:
        """The label of an evidence file, if nothing but evidence differs: a commit of it changes the tree."""
        paths = {self._inside(file.path): file.label for file in self.files}
        return paths[differing[0]] if differing and paths.keys() >= set(differing) else None

    def _inside(self, path: Path) -> str | None:
        real = path.parent.resolve() / path.name
        return self.repo.inside(path) if real.is_relative_to(self.repo.top) else None

    def _agreement(self, run: Evidence) -> TreeAgreement:
        key = f"{run.commit} {run.tree}"
        if key not in self._agreements:
            self._agreements[key] = self._compared(run)
        return self._agreements[key]

    def _compared(self, run: Evidence) -> TreeAgreement:
        if run.commit == self.repo.head or run.tree == self.tree:
            return TreeAgreement.SAME
        if run.tree is None or not self.paths:
            return TreeAgreement.OTHER
        if resolved_tree(self.repo, run.tree) is None:
            return TreeAgreement.UNKNOWN
        return TreeAgreement.OTHER if self._differing(run) else TreeAgreement.AGREES

    def _differing(self, run: Evidence) -> tuple[str, ...]:
        """The files that differ from HEAD's, of the evidence_paths if there are any; none for an unknown tree."""
        tree = resolved_tree(self.repo, run.tree) if run.tree else None
        names = differing_files(self.repo, tree, self.tree) if tree is not None else ()
        return tuple(name for name in names if _matches(name, self._patterns)) if self.paths else names

    @cached_property
    def _patterns(self) -> tuple[str, ...]:
        """The evidence_paths as git names them. Raises UsageError for one that matches no file of HEAD.

        Two trees agree on a path that neither has: a misspelled path would accept every tree.
        """
        start = self.repo.inside(self.folder.resolve())
        patterns = tuple(posixpath.normpath(posixpath.join(start, path)) for path in self.paths)
        names = files_of(self.repo, self.tree)
        for path, pattern in zip(self.paths, patterns, strict=True):
            if not any(_matches(name, (pattern,)) for name in names):
                message = f"evidence_paths has {printable(path)!r}, which matches no file of HEAD"
                fix = "name files, folders or globs that are committed, relative to the configuration"
                raise UsageError(message, where=self.where, fix=fix, code="configuration.evidence-paths")
        return patterns


def read_files(named: Sequence[str], default: Path) -> tuple[EvidenceFile, ...]:
    """The evidence files that the command line names, else the default one if it exists.

    Raises UsageError for a file that cannot be read, InvalidInput for one that is corrupt.
    """
    paths = [Path(name) for name in named] or ([default] if default.exists() or default.is_symlink() else [])
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> EvidenceFile:
    label = shown(path)
    try:
        content = read_regular_file(path)
    except OSError as error:
        message = f"the evidence cannot be read: {error.strerror or error}"
        raise UsageError(message, where=label, fix=Advice(_run(label)), code="evidence.unreadable") from error
    evidence = read_evidence(content, label)
    pins = {(pin.environment, pin.name): pin for pin in evidence.pins}
    return EvidenceFile(path=path, label=label, evidence=evidence, pins=pins)


def _run(label: str) -> OtherCommand:
    """The run of the suite that writes an evidence file."""
    return OtherCommand("pytest", f"--endpoints-evidence={label}")


def _difference(exercised: ExercisedPin, pin: Pin) -> str | None:
    """What the evidence is of, where that is not exactly this pin."""
    if exercised.version != pin.version:
        return f"{pin.name}@{exercised.version}, not of {pin.label}"
    if exercised.endpoint_id != pin.endpoint_id:
        return f"another endpoint that was called {pin.name}"
    if exercised.version_id != pin.version_id or exercised.query_hash != pin.query_hash:
        return f"another query of {pin.label}"
    if exercised.contract_hash != pin.contract_hash:
        return f"another contract of {pin.label}"
    return None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file is one of the paths, below one of them, or matched by a glob (`*` matches `/` too)."""
    return any(
        pattern == "." or name == pattern or name.startswith(f"{pattern}/") or fnmatchcase(name, pattern)
        for pattern in patterns
    )


def _short(commit: str | None, *, whole: bool = False) -> str:
    text = printable(commit or "unknown")
    return text if whole else text[:12]
