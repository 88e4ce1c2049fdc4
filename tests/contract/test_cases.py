"""Every rule fires for the changes that it covers, and for no others. The cases are data: `cases/*.yaml`.

A file has `queries` by name and `cases`. A side of a case is SQL, or a mapping of keys of a definition (`of` names one
of the file's queries, `edit` replaces parts of its text); `live` makes it a version on a server. Without `before`, that
is the unchanged first query of the file. `both` are keys of both sides. `finds` has all findings, each written
`CODE severity SCOPE locus` and perhaps `> caller, caller`; `near` are rules that nearly fire. Other kinds of cases say
their subject: `policy`, `lint`, `pin`, `uses`, `locks`, `definitions`, `disagree`, `mistake`, `folder`, `announced`,
`pinned`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.codecs.reader import Document
from endpoints_gitops.contract.announcements import announcement_findings, traffic_finding
from endpoints_gitops.contract.build import from_definition, from_version
from endpoints_gitops.contract.compare import compare, compare_all
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.contract.conventions import unconventional
from endpoints_gitops.contract.lint import duplicates, lint, of_problem
from endpoints_gitops.contract.pins import behind, check_pin, env_skew
from endpoints_gitops.contract.policy import apply
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedVariable, Use
from endpoints_gitops.model.policy import LINTED, Coverage
from endpoints_gitops.model.sunset import DEFAULT_POLICY, Announcement, SunsetNotice
from endpoints_gitops.operations.lock import mismatches
from endpoints_gitops.plan.variables import disagreements
from endpoints_gitops.workspace.base import BaseUnavailable
from endpoints_gitops.workspace.configuration import ConfigurationFile, read_table
from endpoints_gitops.workspace.policy import policy_of

FOLDER = Path(__file__).parent / "cases"
OWN_KEYS = frozenset(("of", "edit", "sql", "live", "env"))
OF_A_CASE = frozenset(("case", "finds", "near", "context", "before", "after", "both"))
NOW = datetime(2026, 11, 1, tzinfo=UTC)
"""`called: 31` of a `live` side means 31 days before."""
FLAGS = {"move": "is_move", "strict": "is_unknown_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    file: str
    given: Mapping[str, Any]
    queries: Mapping[str, str]

    @property
    def id(self) -> str:
        return f"{self.file}: {self.given['case']}"

    @property
    def finds(self) -> list[str]:
        return sorted(self.given.get("finds") or [])

    @property
    def near(self) -> list[str]:
        return list(self.given.get("near") or [])


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yaml")):
        read = YAML(typ="safe").load(path.read_text("utf-8"))
        for one in read["cases"]:
            yield Case(file=path.stem, given=one, queries=read.get("queries") or {})


def written(findings: tuple[Finding, ...], expected: list[str]) -> list[str]:
    """The findings as cases write them; with callers where the case says those of that finding."""
    with_callers = {line.partition(" > ")[0] for line in expected if " > " in line}
    return sorted(_written(one, with_callers) for one in findings)


def _written(finding: Finding, with_callers: set[str]) -> str:
    text = f"{finding.code} {finding.severity.value} {finding.scope.value} {finding.locus}"
    return f"{text} > {', '.join(finding.callers) or 'nobody'}" if text in with_callers else text


def sides(case: Case) -> tuple[Contract | None, Contract | None]:
    before = case.given.get("before", {"of": next(iter(case.queries), None)})
    after = case.given.get("after", case.given)
    base = case.given.get("both") or {}
    return side(before, case, base), side(after, case, base)


def side(given: Any, case: Case, base: Mapping[str, Any] | None = None) -> Contract | None:
    if given is None:
        return None
    said = {**(base or {}), **({"sql": given} if isinstance(given, str) else given)}
    said = {key: value for key, value in said.items() if key not in OF_A_CASE}
    contract = from_definition(definition(said, case), said.get("env"))
    if "live" not in said:
        return contract
    return from_version(version(said["live"] or {}, contract), types=(said["live"] or {}).get("types"))


def definition(given: Mapping[str, Any], case: Case) -> LoadedDefinition:
    keys = {key: value for key, value in given.items() if key not in OWN_KEYS}
    if "query_definition" not in keys:
        keys["query"] = _text(given, case)
    content = json.dumps({"name": "orders", **keys}, indent=1)
    return read_definition("orders.yaml", content.encode(), lambda _: b"")


def _text(given: Mapping[str, Any], case: Case) -> str:
    text = given.get("sql") or case.queries[given.get("of") or next(iter(case.queries))]
    for old, new in (given.get("edit") or {}).items():
        assert old in text, f"{case.id}: {old!r} is not in the query"
        text = text.replace(old, new or "")
    return text


def version(live: Mapping[str, Any], contract: Contract) -> EndpointVersion:
    """What a server has after this was pushed to it; `live` says what else is known of it."""
    serving = contract.serving
    columns = live.get("columns", {one.name: one.type for one in contract.columns or ()})
    number = live.get("version", 3)
    return EndpointVersion.model_validate(
        {
            "id": live.get("id", "endpoint-1"),
            "name": contract.name,
            "query": {**contract.query, **({"query": live["text"]} if "text" in live else {})},
            "is_active": live.get("active", True),
            "endpoint_is_active": serving.endpoint_active is not False and live.get("endpoint_active", True),
            "data_freshness_seconds": serving.freshness_seconds or 86400,
            "current_version": live.get("current", number),
            "version": number,
            "version_id": live.get("version_id", f"version-{number}"),
            "is_materialized": bool(serving.materialized) and live.get("ready", True),
            "materialization": {"enabled": bool(serving.materialized), "hibernated": live.get("hibernated")},
            "last_executed_at": NOW - timedelta(days=live["called"]) if "called" in live else None,
            "bucket_overrides": serving.bucket_overrides,
            "columns": [{"name": name, "type": kind} for name, kind in (columns or {}).items()],
            "tags": [*(contract.tags or ())],
            "optional_breakdown_properties": [*(serving.optional_breakdowns or ())],
        }
    )


def context(case: Case) -> RuleContext:
    given = case.given.get("context") or {}
    flags = {FLAGS[key]: value for key, value in given.items() if key in FLAGS}
    sharing = {name: tuple(others) for name, others in (given.get("sharing") or {}).items()}
    callers = tuple(_caller(one) for one in given.get("callers") or ())
    today = date.fromisoformat(given["today"]) if "today" in given else None
    return RuleContext(**flags, sharing=sharing, callers=callers, today=today)


def _caller(given: Mapping[str, Any]) -> Caller:
    keys = {"direct": "is_direct", "typed": "is_typed", "paging": "is_paging", "active": "is_active"}
    read = {keys.get(key, key): value for key, value in {"name": "app", **given}.items()}
    if "columns" in read:
        read["columns"] = tuple(read["columns"])
    return Caller(**read)


def _agree(case: Case, found: tuple[Finding, ...]) -> None:
    assert written(found, case.finds) == case.finds
    assert not {line.split()[0] for line in case.finds} & {*case.near}
    for finding in found:
        assert finding.fix
        assert finding.slug == RULES[finding.code].slug
        assert _words(finding) in WORDS.read_text("utf-8")


ALL = [*cases()]
WORDS = Path(__file__).with_name("findings.txt")


def words_of(findings: Iterable[tuple[Finding, ...]]) -> str:
    """What every rule says in all cases: words, before and after, place, and advice where it is not the rule's own."""
    return "".join(sorted({_words(finding) for of_case in findings for finding in of_case}))


def _words(finding: Finding) -> str:
    lines = [f"{finding.code} {finding.message}"]
    if finding.before is not None or finding.after is not None:
        lines.append(f"    {json.dumps(finding.before)} → {json.dumps(finding.after)}")
    if finding.where is not None:
        lines.append(f"    at {finding.where}")
    if finding.fix != RULES[finding.code].fix:
        lines.append(f"    fix: {finding.fix}")
    return "\n".join(lines) + "\n"


def of_contracts(case: Case) -> tuple[Finding, ...]:
    before, after = sides(case)
    return compare(before, after, context(case))


def of_folders(case: Case) -> tuple[Finding, ...]:
    both = [
        {name: replace(side(given, case), name=name) for name, given in half.items()} for half in case.given["folder"]
    ]
    return compare_all(*both, lambda _: context(case))


def of_one_definition(case: Case) -> tuple[Finding, ...]:
    given = case.given["lint"]
    return lint(definition({"sql": given} if isinstance(given, str) else given, case), case.given.get("env"))


def of_an_announcement(case: Case) -> tuple[Finding, ...]:
    """`announced` is a definition at noon of the day `on`, beside those of the names `beside`.

    `live` of the definition makes it an endpoint whose last call is asked for.
    """
    given, names = case.given["announced"], {"orders", *case.given.get("beside", ())}
    announcement = Announcement.of(definition({"sql": "SELECT 1 AS n", **given}, case))
    now = datetime.fromisoformat(f"{case.given['on']}T12:00:00+00:00")
    if announcement is None or "live" not in given:
        found = announcement_findings(announcement, now.date(), DEFAULT_POLICY, names) if announcement else ()
        return in_order(found)
    called, active = given["live"].get("called"), given["live"].get("active", True)
    when = now - timedelta(days=called) if called is not None else None
    endpoint = Endpoint(id="endpoint-1", name="orders", query={}, is_active=active, last_executed_at=when)
    finding = traffic_finding(announcement, endpoint, now, DEFAULT_POLICY)
    return () if finding is None else (finding,)


def of_a_deprecated_pin(case: Case) -> tuple[Finding, ...]:
    """`pinned` are the dates of a notice in the lock, and `on` is the day."""
    notice = SunsetNotice(**{key: _day(value) for key, value in case.given["pinned"].items()})
    pin = replace(pin_of("SELECT 1 AS a", case), deprecation=notice)
    finding = mismatches.deprecated_pin(pin, date.fromisoformat(case.given["on"]), DEFAULT_POLICY)
    return () if finding is None else (finding,)


def _day(value: str) -> Any:
    return date.fromisoformat(value) if re.fullmatch(r"[\d-]+", value) else value


def of_one_name(case: Case) -> tuple[Finding, ...]:
    loaded = [
        read_definition(path, json.dumps({"name": name, "query": "SELECT 1 AS a"}).encode(), lambda _: b"")
        for path, name in case.given["definitions"].items()
    ]
    return duplicates(loaded)


def of_one_variable(case: Case) -> tuple[Finding, ...]:
    """`disagree` are the types that two definitions give the same variable."""
    loaded = []
    for name, kind in zip(("one", "two"), case.given["disagree"], strict=True):
        variables = [{"name": "x", "type": kind}]
        content = json.dumps({"name": name, "query": "SELECT {variables.x} AS a", "variables": variables})
        loaded.append(read_definition(f"{name}.yaml", content.encode(), lambda _: b""))
    findings = [of_problem(problem) for problem in disagreements(loaded)]
    return tuple(finding for finding in findings if finding is not None)


def of_mistakes(case: Case) -> tuple[Finding, ...]:
    with pytest.raises(InvalidInput) as refused:
        read_definition("orders.yaml", case.given["mistake"].encode(), lambda _: b"")
    findings = [of_problem(problem, "orders") for problem in refused.value.problems]
    return tuple(finding for finding in findings if finding is not None)


def of_a_pin(case: Case) -> tuple[Finding, ...]:
    """`pin` is a side; `server` is that version now, else as it was; `to` and `newest` are where a move would lead."""
    locked = pin_of(case.given["pin"], case)
    now = case.given.get("server", case.given["pin"])
    there = None if now is None else _live(now, case)
    endpoint = there and Endpoint.model_validate(there.model_dump() | (case.given.get("endpoint") or {}))
    is_gone = case.given.get("version_is_gone", False)
    use = Use(name="orders", reads=case.given.get("reads", "name"))
    findings = check_pin(locked, endpoint, None if is_gone else there, types=_types(now), use=use, now=NOW)
    newest = case.given.get("newest")
    ahead = behind(locked, newest, _move(case)) if newest else None
    return (*findings, *([ahead] if ahead else []))


def of_a_manifest_and_a_lock(case: Case) -> tuple[Finding, ...]:
    """`locked` are versions by name, of the environment prod."""
    pin = pin_of("SELECT 1 AS a", case)
    pins = [replace(pin, name=name, version=number) for name, number in case.given["locked"].items()]
    uses = [Use(name=name, version=number) for name, number in case.given["uses"].items()]
    return mismatches.lock_mismatches("prod", uses, Lock(pins=tuple(pins)), lambda name: f"uses:{name}")


def of_a_policy(case: Case) -> tuple[Finding, ...]:
    """`policy` is the text of a configuration, `lint` or `file` (YAML text) the only definition of the folder."""
    table = ConfigurationFile(
        path=Path("endpoints.toml"), document=Document.of_toml(case.given["policy"], "endpoints.toml", code="x")
    )
    policy = policy_of(read_table(table))
    if "file" in case.given:
        loaded = read_definition("orders.yaml", case.given["file"].encode(), lambda _: b"")
    else:
        given = case.given["lint"]
        loaded = definition({"sql": given} if isinstance(given, str) else given, case)
    findings = (*lint(loaded), *unconventional(loaded, from_definition(loaded), policy.conventions))
    coverage = Coverage(codes=LINTED, is_whole=True)
    return apply(policy, findings, NOW.date(), comments=loaded.ignores, coverage=coverage).findings


def of_two_environments(case: Case) -> tuple[Finding, ...]:
    pins = [pin_of(given, case, environment) for environment, given in case.given["locks"].items()]
    return env_skew(Lock(pins=tuple(pins)))


KINDS = {
    "announced": of_an_announcement,
    "pinned": of_a_deprecated_pin,
    "policy": of_a_policy,
    "lint": of_one_definition,
    "pin": of_a_pin,
    "uses": of_a_manifest_and_a_lock,
    "locks": of_two_environments,
    "definitions": of_one_name,
    "disagree": of_one_variable,
    "mistake": of_mistakes,
    "folder": of_folders,
}


def findings_of(case: Case) -> tuple[Finding, ...]:
    kind = next((kind for kind in KINDS if kind in case.given), None)
    return of_contracts(case) if kind is None else KINDS[kind](case)


@pytest.mark.parametrize("case", ALL, ids=lambda case: re.sub(r"[^\w ]", "", case.id))
def test_a_case(case: Case) -> None:
    found = findings_of(case)
    if "folder" in case.given:
        assert [f"{one.endpoint} {line}" for one in found for line in written((one,), [])] == case.finds
    else:
        _agree(case, found)


def _move(case: Case) -> tuple[Finding, ...]:
    to = case.given.get("to")
    return compare(side(case.given["pin"], case), side(to, case), RuleContext(is_move=True)) if to else ()


def _types(given: Any) -> Mapping[str, str] | None:
    return (given.get("live") or {}).get("types") if isinstance(given, Mapping) else None


def _live(given: Any, case: Case) -> EndpointVersion:
    said = {"sql": given} if isinstance(given, str) else given
    contract = side({key: value for key, value in said.items() if key != "live"}, case)
    assert contract is not None
    return version(said.get("live") or {}, contract)


def pin_of(given: Any, case: Case, environment: str = "prod") -> Pin:
    there = _live(given, case)
    contract = from_version(there, types=_types(given))
    columns = contract.columns
    return Pin(
        environment=environment,
        name="orders",
        endpoint_id=there.id,
        version=there.version,
        version_id=there.version_id,
        created_at=None,
        query=there.query,
        variables=tuple(
            PinnedVariable(
                name=one.name, type=one.type, required=one.required, has_default=one.has_default, default=one.default
            )
            for one in contract.variables
        ),
        columns=columns and tuple(PinnedColumn(name=one.name, type=one.type, nullable=one.nullable) for one in columns),
        materialized=contract.serving.materialized or False,
        freshness_seconds=contract.serving.freshness_seconds,
        optional_breakdown_properties=contract.serving.optional_breakdowns or (),
        bucket_overrides=contract.serving.bucket_overrides,
    )


SIDES = [one for case in ALL if not case.given.keys() & {*KINDS} for one in sides(case) if one is not None]


@given(st.sampled_from(SIDES), st.sampled_from(SIDES))
def test_any_two_contracts_can_be_compared(one: Contract, other: Contract) -> None:
    assert compare(one, one) == ()
    for finding in compare(one, other):
        json.dumps(finding.as_json())


def test_every_rule_fires_and_nearly_fires() -> None:
    fired = {code for case in ALL for line in case.finds for code in re.findall(r"\b[A-Z]\d{3}\b", line)}
    near = {code for case in ALL for code in case.near}
    codes = RULES.keys() - {BaseUnavailable.code}  # an error of its own (tests/cli/test_git_base.py)
    assert (sorted(codes - fired), sorted(codes - near)) == ([], [])


def test_the_words_of_every_finding() -> None:
    """`uv run python -m tests.contract.words` rewrites the file."""
    assert words_of(findings_of(case) for case in ALL) == WORDS.read_text("utf-8")
