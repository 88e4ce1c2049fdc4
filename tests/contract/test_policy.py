"""The laws of a policy: no finding disappears, fixed rules stay, and what is unclear does not waive."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.contract.policy import apply
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.errors import Location
from endpoints_gitops.model.finding import Finding, Severity, Waiver, WaiverKind
from endpoints_gitops.model.policy import (
    LINTED,
    LOCATED,
    RULESETS,
    Approval,
    Coverage,
    Ignore,
    LineRange,
    Policy,
    RuleSetting,
    RuleSwitch,
)
from tests.contract.test_cases import ALL, KINDS, findings_of, sides

TODAY = date(2026, 11, 1)
PLACE = Location("endpoints.toml", 7)
CODES = sorted(RULES)
SEVERITIES = [*Severity]


def finding_of(code: str, severity: Severity | None = None, endpoint: str = "orders", **keys: object) -> Finding:
    return RULES[code].finding(endpoint, "a message", severity=severity, locus="columns.n", **keys)


findings = st.builds(
    finding_of,
    st.sampled_from(CODES),
    st.sampled_from(SEVERITIES),
    st.sampled_from(["orders", "order", "b"]),
    stability=st.sampled_from([None, "draft", "beta", "stable"]),
    after=st.integers(0, 2),
)
texts = st.sampled_from(["", "why"])
dates = st.one_of(st.none(), st.integers(-2, 2).map(lambda days: TODAY + timedelta(days=days)))
ignores = st.builds(
    Ignore,
    where=st.just(PLACE),
    rule=st.sampled_from(CODES),
    endpoint=st.sampled_from(["*", "ord*", "b"]),
    locus=st.sampled_from([None, "columns.n", "query"]),
    reason=texts,
    owner=texts,
    until=dates,
    mistake=st.sampled_from([None, None, "no such rule"]),
)
approvals = st.builds(
    Approval,
    fingerprint=findings.map(lambda finding: finding.fingerprint[:16]),
    where=st.just(PLACE),
    reason=texts,
    by=texts,
    until=dates,
)
settings = st.builds(RuleSetting, severity=st.sampled_from([*SEVERITIES, RuleSwitch.OFF]), owner=texts)
policies = st.builds(
    Policy,
    rules=st.dictionaries(st.sampled_from(CODES), settings, max_size=8),
    ruleset=st.sampled_from([None, *RULESETS]),
    ignores=st.lists(ignores, max_size=6).map(tuple),
    approvals=st.lists(approvals, max_size=3).map(tuple),
)
coverages = st.one_of(st.none(), st.builds(Coverage, codes=st.just(LINTED), is_whole=st.booleans()))


@given(policies, st.lists(findings, max_size=8), coverages)
def test_no_finding_disappears(policy, given_findings, coverage):
    applied = apply(policy, given_findings, TODAY, coverage=coverage)
    assert [one.fingerprint for one in applied.judged] == [one.fingerprint for one in given_findings]
    assert {*applied.findings, *applied.ignored, *applied.approved} == {*applied.all}
    for before, after in zip(given_findings, applied.judged, strict=True):
        assert replace(after, severity=before.severity, waiver=None) == before
        assert {**after.as_json(), "severity": 0, "ignored": 0, "approved": 0} == {
            **before.as_json(),
            "severity": 0,
            "ignored": 0,
            "approved": 0,
        }


@given(policies, st.lists(findings, max_size=8))
def test_what_is_fixed_or_exposed_stays(policy, given_findings):
    for before, after in zip(given_findings, apply(policy, given_findings, TODAY).judged, strict=True):
        rule, setting = RULES[after.code], policy.rules.get(after.code)
        if rule.is_fixed:
            assert after == before
        if rule.is_exposure and not (setting and setting.owner):
            assert after.severity.rank >= before.severity.rank
            assert after.waiver is None or after.waiver.kind is not WaiverKind.OFF
        if setting is None:
            assert after.severity is before.severity
        assert after.severity.rank <= max(after.ceiling.rank, before.severity.rank)
        if after.waiver is not None and after.waiver.kind in (WaiverKind.IGNORED, WaiverKind.APPROVED):
            assert after.waiver.reason
            assert after.waiver.by
            assert after.waiver.until is None or after.waiver.until >= TODAY


@given(policies, st.lists(findings, max_size=6), st.randoms())
def test_the_order_of_ignores_decides_nothing(policy, given_findings, chance):
    shuffled = list(policy.ignores)
    chance.shuffle(shuffled)
    other = replace(policy, ignores=tuple(shuffled))
    kinds = [
        [one.waiver and one.waiver.kind for one in apply(each, given_findings, TODAY).judged]
        for each in (policy, other)
    ]
    assert kinds[0] == kinds[1]


@given(st.lists(findings, max_size=8), coverages)
def test_an_empty_policy_changes_nothing(given_findings, coverage):
    applied = apply(Policy(), given_findings, TODAY, coverage=coverage)
    assert (applied.judged, applied.about_policy) == (tuple(given_findings), ())


ERROR, WARN, INFO, OFF = Severity.ERROR, Severity.WARN, Severity.INFO, RuleSwitch.OFF
# the rule, what it judged, the endpoint's stability, the setting, and the severity then
JUDGED = [
    ("M102", WARN, None, ERROR, ERROR),
    ("M102", INFO, None, ERROR, WARN),  # every caller is pinned
    ("M102", WARN, "beta", ERROR, WARN),
    ("M102", INFO, "draft", ERROR, INFO),
    ("M102", WARN, None, INFO, INFO),
    ("M104", ERROR, None, WARN, WARN),  # with a LIMIT it is an error
    ("C101", ERROR, None, WARN, WARN),
    ("C101", WARN, None, WARN, INFO),
    ("C101", ERROR, None, OFF, ERROR),
    ("G111", INFO, None, ERROR, ERROR),
    ("G108", ERROR, None, WARN, ERROR),  # no configuration lowers it
    ("V111", ERROR, None, WARN, ERROR),  # without an owner
]


@pytest.mark.parametrize(("code", "judged", "stability", "setting", "expected"), JUDGED)
def test_the_severity_under_a_setting(code, judged, stability, setting, expected):
    policy = Policy(rules={code: RuleSetting(severity=setting)})
    (finding,) = apply(policy, [finding_of(code, judged, stability=stability)], TODAY).judged
    assert finding.severity is expected
    assert (finding.waiver is not None) == (setting is OFF)


def test_an_owner_may_lower_an_exposure_rule():
    policy = Policy(rules={"V111": RuleSetting(severity=WARN, owner="@security")})
    assert apply(policy, [finding_of("V111")], TODAY).judged[0].severity is WARN
    off = Policy(rules={"V111": RuleSetting(severity=OFF, owner="@security")})
    assert apply(off, [finding_of("V111")], TODAY).ignored[0].waiver.by == "@security"


@pytest.mark.parametrize(
    ("ruleset", "code", "is_judged"),
    [("2026-11", "C101", True), ("2026-11", "G121", True), ("2026-12", "A110", True), ("2026-11", "A110", False)],
)
def test_a_pinned_ruleset_leaves_out_later_rules(ruleset, code, is_judged):
    """G121 is a later rule too, but it fires only for what the configuration requires."""
    assert RULES["A110"].since > "2026-11"
    (finding,) = apply(Policy(ruleset=ruleset), [finding_of(code)], TODAY).judged
    assert (finding.waiver is None) == is_judged
    if finding.waiver:
        assert finding.waiver.kind is WaiverKind.RULESET
        assert finding.as_json()["ignored"]["reason"] == "A110 is a rule of 2026-12, and the configuration pins 2026-11"


def test_a_reworded_finding_stays_approved():
    finding = finding_of("C101", before="a")
    policy = Policy(approvals=(Approval(fingerprint=finding.fingerprint, where=PLACE, reason="x", by="Ada"),))
    reworded = replace(finding, message="other words", version=9, where="b.yaml:99", callers=("x",))
    assert apply(policy, [reworded], TODAY).approved
    assert not apply(policy, [finding_of("C101", before="b")], TODAY).approved


def test_check_judges_the_rules_that_it_names():
    """An ignore of a rule that no lint finds would be unused forever, one of a rule missing here never."""
    kinds = {"lint", "definitions", "disagree", "mistake"}
    lines = [line for case in ALL if case.given.keys() & kinds for line in case.finds]
    fired = {code for line in lines for code in re.findall(r"\b[A-Z]\d{3}\b", line)}
    announced = {"A108", "A115"}  # A111 and A114 depend on the date alone
    assert {*LINTED} == {code for code in fired | announced if not RULES[code].is_fixed} - {"G102"}


LATER = date(2027, 1, 31)
OVER = date(2026, 10, 31)


def ignore_of(rule: str = "C113", **keys: object) -> Ignore:
    return Ignore(**{"where": PLACE, "rule": rule, "reason": "frozen", "owner": "@data", "until": LATER, **keys})


def approval_for(finding: Finding, **keys: object) -> Approval:
    stated = {"where": PLACE, "reason": "adapted", "by": "Ada", "until": LATER, **keys}
    return Approval(fingerprint=finding.fingerprint[:16], **stated)


def test_a_waiver_has_everything_that_was_stated():
    finding = finding_of("C113")
    setting = RuleSetting(severity=OFF, reason="noisy", owner="@data", where=PLACE)
    waivers = [
        apply(policy, [finding], TODAY).judged[0].waiver
        for policy in (
            Policy(ignores=(ignore_of(),)),
            Policy(approvals=(approval_for(finding),)),
            Policy(rules={"C113": setting}),
        )
    ]
    assert waivers == [
        Waiver(kind=WaiverKind.IGNORED, reason="frozen", by="@data", until=LATER, where=PLACE),
        Waiver(kind=WaiverKind.APPROVED, reason="adapted", by="Ada", until=LATER, where=PLACE),
        Waiver(kind=WaiverKind.OFF, reason="noisy", by="@data", where=PLACE),
    ]


AT = Location("orders.yaml", 3)
IN_FILE = {"endpoint": "orders", "covered": (LineRange("orders.yaml", 3, 3),)}
# keys of an ignore of C113, and whether it waives C113 of `orders` at `columns.n`, in orders.yaml:3, on TODAY
MATCHED = {
    "everywhere": ({}, True),
    "another rule": ({"rule": "C112"}, False),
    "its endpoint": ({"endpoint": "orders"}, True),
    "a glob of its endpoint": ({"endpoint": "or*"}, True),
    "the beginning of its name": ({"endpoint": "order"}, False),
    "another case": ({"endpoint": "Orders"}, False),
    "its locus": ({"locus": "columns.n"}, True),
    "another locus": ({"locus": "columns"}, False),
    "its line": (IN_FILE, True),
    "lines around it": (IN_FILE | {"covered": (LineRange("orders.yaml", 1, 3),)}, True),
    "another line of its file": (IN_FILE | {"covered": (LineRange("orders.yaml", 4, 4),)}, False),
    "the same line of another file": (IN_FILE | {"covered": (LineRange("b.yaml", 3, 3),)}, False),
    "with a mistake": (IN_FILE | {"mistake": "unknown key"}, False),
    "until today": ({"until": TODAY}, True),
    "until yesterday": ({"until": OVER}, False),
    "without an end": ({"until": None}, False),
    "without an owner": ({"owner": ""}, False),
    "without a reason": ({"reason": ""}, False),
}


@pytest.mark.parametrize(("keys", "is_waived"), MATCHED.values(), ids=MATCHED)
def test_which_findings_an_ignore_waives(keys, is_waived):
    ignore = ignore_of(**keys)
    policy, comments = (Policy(), [ignore]) if ignore.covered else (Policy(ignores=(ignore,)), [])
    applied = apply(policy, [finding_of("C113", where=AT)], TODAY, comments=comments)
    assert bool(applied.ignored) is is_waived


@pytest.mark.parametrize(
    ("keys", "is_approved"),
    [
        ({}, True),
        ({"until": TODAY}, True),
        ({"until": OVER}, False),
        ({"until": None}, True),
        ({"by": ""}, False),
        ({"reason": ""}, False),
    ],
)
def test_which_approvals_are_in_effect(keys, is_approved):
    finding = finding_of("C101")
    applied = apply(Policy(approvals=(approval_for(finding, **keys),)), [finding], TODAY)
    assert bool(applied.approved) is is_approved


@pytest.mark.parametrize("code", [code for code in CODES if RULES[code].is_exposure])
def test_an_exposure_rule_is_not_switched_off_without_an_owner(code):
    finding = finding_of(code)
    policy = Policy(rules={code: RuleSetting(severity=OFF, reason="noisy")})
    assert apply(policy, [finding], TODAY).judged == (finding,)


def test_a_finding_about_an_ignore_is_judged_too():
    policy = Policy(ignores=(ignore_of(),), rules={"G102": RuleSetting(severity=ERROR)})
    assert [one.severity for one in apply(policy, [], TODAY, coverage=WHOLE).about_policy] == [ERROR]


def test_a_waiver_that_a_finding_has_already_stays():
    waiver = Waiver(kind=WaiverKind.APPROVED, reason="the lock says so")
    finding = replace(finding_of("C113"), waiver=waiver)
    assert apply(Policy(ignores=(ignore_of(),)), [finding], TODAY).judged == (finding,)


@pytest.mark.parametrize(
    ("setting", "severity", "kind"), [(ERROR, ERROR, None), (INFO, INFO, None), (OFF, WARN, "off")]
)
def test_the_rule_of_a_plugin_can_be_set(setting, severity, kind):
    finding = replace(finding_of("C113", WARN), code="ACME1")
    (judged,) = apply(Policy(rules={"ACME1": RuleSetting(severity=setting)}), [finding], TODAY).judged
    assert (judged.severity, judged.waiver and str(judged.waiver.kind)) == (severity, kind)


def test_a_file_that_cannot_be_read_cannot_be_waived():
    finding = replace(finding_of("C113", ERROR), code="definition.yaml")
    rules = {"definition.yaml": RuleSetting(severity=OFF)}
    policy = Policy(rules=rules, ignores=(ignore_of("definition.yaml"),), approvals=(approval_for(finding),))
    assert apply(policy, [finding], TODAY).judged == (finding,)
    lowered = Policy(rules={"definition.yaml": RuleSetting(severity=INFO)})
    assert apply(lowered, [finding], TODAY).judged == (finding,)


WHOLE = Coverage(codes=LINTED, is_whole=True)
PART = Coverage(codes=LINTED, is_whole=False)
TARGET = Location("orders.yaml", 3)
COMMENT = {"where": TARGET, "covered": (LineRange("orders.yaml", 3, 5),), "endpoint": "orders"}
# an ignore, the coverage, and what is reported about it where no finding matches: code, endpoint, message, locus, after
ABOUT = [
    (ignore_of(), WHOLE, ("G102", "", "the ignore of C113 matches no finding", "ignore C113/*", "2027-01-31")),
    (ignore_of(), PART, None),
    (ignore_of(), None, None),
    (ignore_of("M102"), WHOLE, None),
    (
        ignore_of(endpoint="orders", locus="columns.n", until=OVER),
        WHOLE,
        ("G101", "orders", "the ignore of C113 expired on 2026-10-31", "ignore C113/orders/columns.n", "2026-10-31"),
    ),
    (ignore_of(until=OVER), PART, None),
    (
        ignore_of(endpoint="ord?rs", owner="", reason="", until=None),
        WHOLE,
        ("G103", "", "the ignore of C113 lacks reason, owner and until", "ignore C113/ord?rs", None),
    ),
    (
        ignore_of(endpoint="[o]rders", reason=""),
        WHOLE,
        ("G103", "", "the ignore of C113 lacks reason", "ignore C113/[o]rders", "2027-01-31"),
    ),
    (
        ignore_of(**COMMENT),
        PART,
        ("G102", "orders", "the ignore of C113 matches no finding", "ignore C113/orders", "2027-01-31"),
    ),
    (ignore_of(**COMMENT), None, None),
    (ignore_of("M102", **COMMENT), WHOLE, None),
    (
        ignore_of("M102", is_misplaced=True, **COMMENT),
        PART,
        (
            "G102",
            "orders",
            "the ignore of M102 is at a place where no finding of that rule can be",
            "ignore M102/orders",
            "2027-01-31",
        ),
    ),
    (ignore_of("M102", is_misplaced=True, **COMMENT), None, None),
    (ignore_of(rule="", mistake="no", **COMMENT), PART, ("G124", "orders", "no", "ignore/orders", "no")),
    (ignore_of(rule="", mistake="no", **COMMENT), None, None),
]


@pytest.mark.parametrize(("ignore", "coverage", "expected"), ABOUT)
def test_what_is_reported_about_an_ignore_without_a_match(ignore, coverage, expected):
    policy, comments = (Policy(), [ignore]) if ignore.covered else (Policy(ignores=(ignore,)), [])
    applied = apply(policy, [], TODAY, comments=comments, coverage=coverage)
    found = [(one.code, one.endpoint, one.message, one.locus, one.after) for one in applied.about_policy]
    assert found == ([expected] if expected else [])
    assert {one.where for one in applied.about_policy} <= {ignore.where}


def test_findings_are_only_at_keys_that_are_known_to_have_some():
    """An ignore comment elsewhere is reported as misplaced."""
    keys = set()
    for case in ALL:
        source = after.source if KINDS.keys().isdisjoint(case.given) and (after := sides(case)[1]) else None
        for finding in findings_of(case) if source else ():
            place = finding.location
            if place.line and finding.code not in LINTED:
                top = {line: key for key, line in source.lines.items() if "." not in key}
                keys.add((finding.code[0], top[max(line for line in top if line <= place.line)]))
    assert keys
    assert {(letter, key) for letter, key in keys if key not in LOCATED.get(letter, ())} == set()


@pytest.mark.parametrize(
    ("keys", "code"), [({}, None), ({"until": OVER}, "G101"), ({"reason": ""}, "G103"), ({"owner": ""}, "G103")]
)
def test_an_ignore_that_would_match_is_reported_by_every_run(keys, code):
    applied = apply(Policy(ignores=(ignore_of(**keys),)), [finding_of("C113")], TODAY)
    assert [one.code for one in applied.about_policy] == ([code] if code else [])
    assert bool(applied.ignored) == (code is None)


def test_what_is_reported_about_approvals():
    first, second = finding_of("C101"), finding_of("C102")
    places = [Location("endpoints.toml", line) for line in (4, 8, 12)]
    approvals = (
        approval_for(second, until=OVER, where=places[1]),
        approval_for(first, by="", reason="", where=places[0]),
        approval_for(finding_of("C103"), until=OVER, where=places[2]),
    )
    applied = apply(Policy(approvals=approvals), [first, second], TODAY)
    assert [(one.code, one.endpoint, one.message, one.locus, one.where) for one in applied.about_policy] == [
        (
            "G103",
            "",
            f"the approval of {first.fingerprint[:16]} lacks reason and by",
            f"approval {first.fingerprint[:16]}",
            places[0],
        ),
        (
            "G101",
            "",
            f"the approval of {second.fingerprint[:16]} by Ada expired on 2026-10-31",
            f"approval {second.fingerprint[:16]}",
            places[1],
        ),
    ]
    assert not applied.approved
    assert applied.all == (*applied.judged, *applied.about_policy)
