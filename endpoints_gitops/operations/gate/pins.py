"""Whether the pins that changed since the last release may be released: a verdict for each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import EndpointsError, ExitCode, Location
from endpoints_gitops.model.finding import Finding, Severity, Waiver, WaiverKind
from endpoints_gitops.model.outcome import ErrorEntry, failures_of
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.policy import SHORTEST_FINGERPRINT
from endpoints_gitops.model.report import Detail, Subject, TextDiff, Verdict
from endpoints_gitops.operations.gate.evidence import EvidenceFiles

if TYPE_CHECKING:
    from endpoints_gitops.operations.lock.resolve import EnvironmentUses, VerifiedPin

_UNASKED: Final = ErrorEntry(
    code="gate.unasked",
    message="the manifest does not use this pin, so the server was not asked whether it still has it",
    fix=Advice(Command("lock"), " removes it; or add it to `uses`"),
)
_BLOCK: Final = re.compile(r'^environment = "(.*)"\nname = "(.*)"$', re.MULTILINE)

type PinKey = tuple[str, str]
"""An environment and the name of an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChange:
    """A pin that was added (`before` is None), removed (`after` is None), or changed."""

    before: Pin | None
    after: Pin | None

    @property
    def pin(self) -> Pin:
        pin = self.after or self.before
        assert pin is not None, "a change has a side"
        return pin

    @property
    def key(self) -> PinKey:
        return self.pin.environment, self.pin.name

    def __str__(self) -> str:
        before, after = self.before, self.after
        if before is None or after is None:
            return f"{'removed; it was' if after is None else 'added at'} version {self.pin.version}"
        if before.endpoint_id != after.endpoint_id:
            return f"moves from version {before.version} to {after.version} of a recreated endpoint"
        if before.version != after.version:
            return f"moves from version {before.version} to {after.version}"
        return f"version {after.version} is locked again with other settings"

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of accepted breaking changes that the lock got since (`upgrade --allow-breaking`)."""
        if self.before is None or self.after is None:
            return ()
        return tuple((Counter(self.after.allowed) - Counter(self.before.allowed)).elements())


def pin_changes(released: Lock, present: Lock, environments: AbstractSet[str] | None) -> tuple[PinChange, ...]:
    """The pins that differ, by environment and name; `environments` are those to compare, None for all.

    Examples, recorded reasons and notices of a sunset do not change what is called: a pin that differs only in those is
    the same.
    """
    keys = sorted({(pin.environment, pin.name) for pin in (*released.pins, *present.pins)})
    sides = (
        PinChange(before=released.pin(name, environment), after=present.pin(name, environment))
        for environment, name in keys
        if environments is None or environment in environments
    )
    return tuple(change for change in sides if _facts(change.before) != _facts(change.after))


def _facts(pin: Pin | None) -> Pin | None:
    return None if pin is None else replace(pin, examples=(), allowed=(), deprecation=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswers:
    """What the server has of the pins. `errors` prevented an answer; each is in the reasons of the pins too."""

    verified: Mapping[PinKey, VerifiedPin] = field(default_factory=dict)
    errors: tuple[EndpointsError, ...] = ()


def ask_server(
    sides: Iterable[EnvironmentUses], changes: Iterable[PinChange], *, without_server: Command
) -> ServerAnswers:
    """Ask for the identity, activity and contract of the changed pins: a request for each, and one for variables.

    An error of the key, the network or the server is part of the answer; that of the key names the command that does
    `without_server`. Raises other errors.
    """
    from endpoints_gitops.operations.lock.resolve import VerifiedPin, verify

    pins = Lock(pins=tuple(change.after for change in changes if change.after is not None))
    verified: list[VerifiedPin] = []
    for side in sides:
        try:
            verified += verify(side, pins)
        except EndpointsError as error:
            if error.exit_code not in (ExitCode.CREDENTIALS, ExitCode.COULD_NOT_FIND_OUT):
                raise
            unasked = [pin for _, pin in side.pinned(pins)]
            verified += [VerifiedPin(environment=side.environment, pin=pin, error=error) for pin in unasked]
    prevented = {id(answer.error): answer.error for answer in verified if answer.error is not None}
    for refused in prevented.values():
        if refused.exit_code is ExitCode.CREDENTIALS:
            first = (refused.fix, "; ") if refused.fix else ()
            refused.fix = Advice(*first, "to judge files and evidence alone: ", without_server)
    errors = {str(refused): refused for refused in prevented.values()}
    answers = {(answer.environment, answer.pin.name): answer for answer in verified}
    return ServerAnswers(verified=answers, errors=tuple(errors.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PinJudge:
    """Judges changed pins.

    `server` is None where it is not to be asked. `mismatches` are those of lock and manifest (P108), and `deprecated`
    the findings about announced removals (P105), by pin. `apply_policy` judges findings by the configuration, and those
    of `fail_on` or above block. `lines` are the places of the pins in the lock. `again` is the command line of this
    judgement.
    """

    evidence: EvidenceFiles
    uses: Mapping[PinKey, Use]
    mismatches: Mapping[PinKey, Sequence[Finding]]
    deprecated: Mapping[PinKey, Sequence[Finding]]
    apply_policy: Callable[[Iterable[Finding]], tuple[Finding, ...]]
    fail_on: Severity
    server: ServerAnswers | None
    lines: Mapping[PinKey, Location]
    again: Command
    allow_unknown: bool = False
    names_environments: bool = False

    def subjects(self, changes: Sequence[PinChange]) -> tuple[Subject, ...]:
        """A subject for each change, and one for each pin that only disagrees with the manifest."""
        judged = {change.key for change in changes}
        rest = [key for key in self.mismatches if key not in judged]
        return (*map(self._judged, changes), *map(self._mismatched, rest))

    def _judged(self, change: PinChange) -> Subject:
        findings, reasons = [*self.mismatches.get(change.key, ())], list[ErrorEntry]()
        details = [Detail("environment", change.pin.environment)]
        is_unknown = False
        if change.after is not None:
            findings += self.deprecated.get(change.key, ())
            moves, why = self._of_move(change)
            findings += moves
            reasons += why
            details += [Detail("allowed", "; ".join(change.reasons))] if change.reasons else []
            proof = self.evidence.proof(change.after)
            details.append(Detail("evidence", proof.text if proof.reason is None else "none"))
            reasons += [proof.reason] if proof.reason is not None else []
            is_unknown = proof.is_unknown
            served, error = self._of_server(change)
            findings += served
            if error is not None:
                reasons += failures_of(error)
                is_unknown = True
            elif self._is_unasked(change) and not any(map(self._fails, findings)):
                reasons.append(_UNASKED)
        is_blocked = bool(reasons) or any(map(self._fails, findings))
        return Subject(
            name=self._name(change.key),
            verdict=Verdict.UNKNOWN if is_unknown else Verdict.BLOCKED if is_blocked else Verdict.RELEASED,
            change=str(change),
            findings=tuple({finding.fingerprint: finding for finding in findings}.values()),
            reasons=tuple(reasons),
            details=tuple(details),
            diffs=_diffs(change),
            where=self.lines.get(change.key),
            extra={
                "environment": change.pin.environment,
                "from": change.before.version if change.before else None,
                "to": change.after.version if change.after else None,
            },
        )

    def _mismatched(self, key: PinKey) -> Subject:
        environment, _ = key
        return Subject(
            name=self._name(key),
            verdict=Verdict.BLOCKED if any(map(self._fails, self.mismatches[key])) else Verdict.RELEASED,
            change="unchanged, and not as the manifest says",
            findings=tuple(self.mismatches[key]),
            details=(Detail("environment", environment),),
            where=self.lines.get(key),
            extra={"environment": environment},
        )

    def _of_move(self, change: PinChange) -> tuple[list[Finding], list[ErrorEntry]]:
        """The findings for the app between old and new contract, and the reason where they block."""
        if change.before is None or change.after is None:
            return [], []
        moves = move_findings(change.before, change.after, self._use(change), allow_unknown=self.allow_unknown)
        findings = [self._accepted(finding, change) for finding in self.apply_policy(moves)]
        against = [finding for finding in findings if self._fails(finding)]
        return findings, [self._breaking(against)] if against else []

    def _accepted(self, finding: Finding, change: PinChange) -> Finding:
        """The finding, approved where the lock has a reason for a breaking move."""
        if not change.reasons or not self._fails(finding):
            return finding
        reason, where = "; ".join(change.reasons), self.lines.get(change.key)
        return replace(finding, waiver=Waiver(kind=WaiverKind.APPROVED, reason=reason, where=where))

    def _fails(self, finding: Finding) -> bool:
        return finding.fails(self.fail_on)

    def _breaking(self, against: Sequence[Finding]) -> ErrorEntry:
        from endpoints_gitops.contract.rules import RULES

        codes = sorted({finding.code for finding in against})
        undecided = all(code in RULES and RULES[code].is_undecidable for code in codes)
        if undecided:
            message = f"cannot tell whether the move breaks this app ({', '.join(codes)})"
            fix = Advice(Command(*self.again.words, "--allow-unknown"), " treats it as safe")
            return ErrorEntry(code="gate.undecided", message=message, fix=fix)
        message = f"the move breaks this app ({', '.join(codes)}), and neither the lock nor an approval says why"
        fingerprints = sorted({finding.fingerprint[:SHORTEST_FINGERPRINT] for finding in against})
        fix = Advice(Command("approve", *fingerprints, "--reason", "the reason"))
        return ErrorEntry(code="gate.breaking", message=message, fix=fix)

    def _of_server(self, change: PinChange) -> tuple[Sequence[Finding], EndpointsError | None]:
        answer = self.server.verified.get(change.key) if self.server is not None else None
        return (answer.findings, answer.error) if answer is not None else ((), None)

    def _is_unasked(self, change: PinChange) -> bool:
        """Whether the server should have been asked, and was not: it is asked for what the manifest uses."""
        return self.server is not None and change.key not in self.server.verified

    def _use(self, change: PinChange) -> Use:
        return self.uses.get(change.key) or Use(name=change.pin.name)

    def _name(self, key: PinKey) -> str:
        environment, name = key
        return f"{name} ({environment})" if self.names_environments else name


def move_findings(before: Pin, after: Pin, use: Use, *, allow_unknown: bool) -> tuple[Finding, ...]:
    """The findings of a pin's move for the app as it reads; no severity is lowered. Raises PluginFailed."""
    from endpoints_gitops.contract.build import from_pin
    from endpoints_gitops.contract.compare import compare
    from endpoints_gitops.contract.context import Caller, RuleContext
    from endpoints_gitops.workspace.plugins import installed

    caller = Caller(name="this app", version=before.version, reads=use.reads, columns=use.columns)
    context = RuleContext(callers=(caller,), is_move=True, is_unknown_error=not allow_unknown)
    old, new = from_pin(before), from_pin(after)
    plugins = installed()
    return (*compare(old, new, context), *(plugins.of_change(old, new, context) if plugins else ()))


def _diffs(change: PinChange) -> tuple[TextDiff, ...]:
    """How the query and the contract of a pin differ."""
    before, after = change.before, change.after
    if before is None or after is None:
        return ()
    from endpoints_gitops.contract.build import from_pin
    from endpoints_gitops.operations.text_diffs import contract_diff, query_diff
    from endpoints_gitops.plan.settings import normalized_query

    query = query_diff(normalized_query(before.query), normalized_query(after.query))
    return tuple(filter(None, (query, contract_diff(from_pin(before), from_pin(after)))))


def places_in_lock(text: str, label: str) -> dict[PinKey, Location]:
    """The line of each pin's name in the text of a lock."""
    places: dict[PinKey, Location] = {}
    line, start = 1, 0
    for match in _BLOCK.finditer(text):
        line += text.count("\n", start, match.start(2))
        start = match.start(2)
        places[match[1], match[2]] = Location(label, line)
    return places
