"""The policy tables of the configuration: `rules`, `fail_on`, `ruleset`, `ignores`, `approvals`, `require`, `naming`.

Their shape is checked whenever a configuration is read. The names of rules are checked when a command asks for the
policy, because most commands do not load the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Final, Literal

from endpoints_gitops.codecs.reader import Check, Document, quoted
from endpoints_gitops.errors import Location
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.policy import (
    RULESETS,
    SHORTEST_FINGERPRINT,
    Approval,
    Conventions,
    Ignore,
    Policy,
    RequiredKey,
    RuleSetting,
    RuleSwitch,
    convention_mistake,
    iso_date,
)

if TYPE_CHECKING:
    from endpoints_gitops.contract.rules import Rule
    from endpoints_gitops.workspace.configuration import Configuration

_LONGEST_FINGERPRINT: Final = 32
_HEX: Final = frozenset("0123456789abcdef")


def fingerprint_mistake(text: str) -> str | None:
    """The mistake in a fingerprint or its first digits, or None."""
    if SHORTEST_FINGERPRINT <= len(text) <= _LONGEST_FINGERPRINT and _HEX.issuperset(text):
        return None
    return (
        f"{quoted(text)} is not a fingerprint: it has {SHORTEST_FINGERPRINT} to {_LONGEST_FINGERPRINT} of the digits "
        "0-9 and a-f, as findings show them"
    )


def _date(value: object) -> date | None:
    """A date of a TOML file, or of a text such as 2027-01-31; None for anything else."""
    if isinstance(value, str):
        return iso_date(value)
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def _date_mistake(name: str, value: object) -> str | None:
    if value is None or _date(value) is not None:
        return None
    return f"{name} must be a date such as 2027-01-31"


type _Until = Annotated[object, Check(_date_mistake)]
type _Severity = Literal["error", "warn", "info"]
type _Fingerprint = Annotated[str, Check(lambda _, text: fingerprint_mistake(text))]


@dataclass(kw_only=True, eq=False, repr=False)
class _RuleTable:
    severity: Literal["error", "warn", "info", "off"]
    reason: str = ""
    owner: str = ""


@dataclass(kw_only=True, eq=False, repr=False)
class _IgnoreTable:
    rule: str
    endpoint: str = "*"
    locus: str | None = None
    reason: str = ""
    owner: str = ""
    until: _Until = None


@dataclass(kw_only=True, eq=False, repr=False)
class _ApprovalTable:
    fingerprint: _Fingerprint
    reason: str = ""
    by: str = ""
    until: _Until = None


@dataclass(kw_only=True, eq=False, repr=False)
class _NamingTable:
    endpoints: str | None = None
    columns: str | None = None
    variables: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class PolicyTables:
    """The keys of the policy in the configuration's table."""

    rules: Mapping[str, Literal["error", "warn", "info", "off"] | _RuleTable] = field(default_factory=dict)
    fail_on: _Severity | None = None
    ruleset: str | None = None
    ignores: tuple[_IgnoreTable, ...] = ()
    approvals: tuple[_ApprovalTable, ...] = ()
    require: tuple[RequiredKey, ...] = ()
    naming: _NamingTable = field(default_factory=_NamingTable)

    @property
    def is_empty(self) -> bool:
        lists = (self.rules, self.ignores, self.approvals, self.require)
        values = (self.fail_on, self.ruleset, self.naming.endpoints, self.naming.columns, self.naming.variables)
        return not any(lists) and all(value is None for value in values)


def policy_of(configuration: Configuration) -> Policy:
    """The policy of a configuration; an empty one without.

    Raises InvalidInput for a rule, ruleset or naming convention that does not exist, and for an exposure rule that is
    lowered without an owner.
    """
    tables, document = configuration.policy, configuration.document
    if tables is None or document is None or tables.is_empty:
        return Policy()
    reader = _PolicyReader(document)
    policy = reader.policy(tables)
    document.raise_mistakes()
    return policy


class _PolicyReader:
    """Reads the policy of a document, and adds the mistakes to it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._spelled: dict[str, str] = {}

    @cached_property
    def rules(self) -> Mapping[str, Rule]:
        """The catalog, which takes time to import."""
        from endpoints_gitops.contract.rules import RULES

        return RULES

    def policy(self, tables: PolicyTables) -> Policy:
        return Policy(
            rules={code: setting for code, setting in map(self._setting, tables.rules.items()) if code},
            fail_on=Severity(tables.fail_on) if tables.fail_on else None,
            ruleset=self._ruleset(tables.ruleset),
            ignores=tuple(self._ignore(index, table) for index, table in enumerate(tables.ignores)),
            approvals=tuple(
                Approval(
                    fingerprint=table.fingerprint,
                    reason=table.reason.strip(),
                    by=table.by.strip(),
                    until=_date(table.until),
                    where=self._where("approvals", index),
                )
                for index, table in enumerate(tables.approvals)
            ),
            conventions=self._conventions(tables),
        )

    def _setting(self, item: tuple[str, str | _RuleTable]) -> tuple[str, RuleSetting]:
        word, table = item
        if isinstance(table, str):
            table = _RuleTable(severity=table)  # type: ignore[arg-type]  # the reader checked the word
        code = self._code(word, ("rules", word))
        if code and (other := self._spelled.setdefault(code, word)) != word:
            self.document.add(("rules", word), f"{code} is set twice: as {quoted(other)} and as {quoted(word)}")
        setting = RuleSetting(
            severity=RuleSwitch.OFF if table.severity == "off" else Severity(table.severity),
            reason=table.reason.strip(),
            owner=table.owner.strip(),
            where=self._where("rules", word),
        )
        rule = self.rules.get(code)
        if rule is not None:
            is_lower = isinstance(setting.severity, RuleSwitch) or setting.severity.rank < rule.severity.rank
            if is_lower and rule.is_fixed:
                self.document.add(("rules", word), f"{code} ({rule.slug}) cannot be lowered or switched off")
            elif is_lower and rule.is_exposure and not setting.owner:
                message = f"{code} ({rule.slug}) is about exposed data: it cannot be lowered without an owner"
                fix = f'{word} = {{ severity = "{table.severity}", owner = "…", reason = "…" }}'
                self.document.add(("rules", word), message, fix=fix)
        return code, setting

    def _ignore(self, index: int, table: _IgnoreTable) -> Ignore:
        code = self._code(table.rule, ("ignores", index, "rule"))
        rule = self.rules.get(code)
        if rule is not None and rule.is_fixed:
            self.document.add(("ignores", index, "rule"), f"{code} ({rule.slug}) cannot be ignored")
        return Ignore(
            rule=code,
            endpoint=table.endpoint,
            locus=table.locus,
            reason=table.reason.strip(),
            owner=table.owner.strip(),
            until=_date(table.until),
            where=self._where("ignores", index),
        )

    def _code(self, word: str, location: tuple[str | int, ...]) -> str:
        """The code of a rule by its code or slug. The rules of plugins cannot be listed, so that those are not checked
        where a plugin is installed."""
        from endpoints_gitops.contract.rules import rule_of

        if (rule := rule_of(word)) is not None:
            return rule.code
        from endpoints_gitops.model.suggestions import did_you_mean
        from endpoints_gitops.workspace.plugins import installed

        if installed() and "." not in word:
            return word
        near = did_you_mean(word, [*self.rules, *(rule.slug for rule in self.rules.values())])
        self.document.add(location, f"there is no rule {quoted(word)}{near}")
        return ""

    def _ruleset(self, ruleset: str | None) -> str | None:
        if ruleset is not None and ruleset not in RULESETS:
            from endpoints_gitops.model.suggestions import did_you_mean

            near = did_you_mean(ruleset, RULESETS)
            message = f"there is no ruleset {quoted(ruleset)}{near}"
            self.document.add(("ruleset",), message, fix=f"the rulesets are {', '.join(RULESETS)}")
        return ruleset

    def _conventions(self, tables: PolicyTables) -> Conventions:
        naming = {part.name: getattr(tables.naming, part.name) for part in fields(tables.naming)}
        for key, value in naming.items():
            if value is not None and (mistake := convention_mistake(value)) is not None:
                self.document.add(("naming", key), f"{key}: {mistake}")
        return Conventions(require=tuple(dict.fromkeys(tables.require)), **naming)

    def _where(self, *location: str | int) -> Location:
        return Location(self.document.path, *self.document.position(location))
