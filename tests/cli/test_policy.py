"""The policy of the configuration on real command lines: ignores, severities, the ruleset, approvals, conventions."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

TODAY = "2026-11-01"
STAR = "name: star\nquery: |\n  SELECT *\n  FROM events\n"
COMMENT = '  -- endpoints-gitops: ignore C113 reason="frozen table" owner=@data until={until}\n'
COMPLETE = 'reason = "frozen table"\nowner = "@data"\nuntil = {until}\n'
BEFORE = "name: one\nquery: SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 10\n"


@pytest.fixture
def clock():
    return lambda: datetime.fromisoformat(TODAY).replace(tzinfo=UTC)


@pytest.fixture
def policy(checkout, cli):  # noqa: ARG001 - `cli` writes the configuration
    """Puts tables into the configuration: `policy('[rules]\nC113 = "off"\n')`; keys of the top come first."""
    path = checkout.top / "endpoints.toml"
    base = path.read_text()

    def write(tables: str = "", top: str = "") -> None:
        path.write_text(f"{top}\n{base}\n{tables}")

    return write


def shown(ran) -> list[str]:
    """`CODE severity place`, or `CODE kind place` for a waived finding."""
    return [_shown(item) for item in ran.json["items"]]


def _shown(item) -> str:
    waiver = item["ignored"] or item["approved"]
    return f"{item['code']} {waiver['kind'] if waiver else item['severity']} {item['where']}"


def ignore(rule: str, until: str = "2027-01-31", **keys: str) -> str:
    more = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f'[[ignores]]\nrule = "{rule}"\n{more}{COMPLETE.format(until=until)}'


STAR_AT = "endpoints/star.yaml:3:10"
# tables, keys of the top, arguments, and what `check --fail-on warn` then shows
CHECKED = {
    "no policy": ("", "", [], [f"C112 warn {STAR_AT}", f"C113 warn {STAR_AT}"]),
    "off": ('[rules]\nC112 = "off"\nselect-star = "off"\n', "", [], [f"C112 off {STAR_AT}", f"C113 off {STAR_AT}"]),
    "raised": ('[rules]\nC112 = "error"\nC113 = "info"\n', "", [], [f"C112 error {STAR_AT}", f"C113 info {STAR_AT}"]),
    "ignored": (ignore("C113", endpoint="st*"), "", [], [f"C112 warn {STAR_AT}", f"C113 ignored {STAR_AT}"]),
    "an old ruleset": (
        '[rules]\nC112 = "off"\n',
        'ruleset = "2026-11"',
        [],
        [f"C112 off {STAR_AT}", f"C113 warn {STAR_AT}"],
    ),
}


@pytest.mark.parametrize("case", CHECKED)
def test_check_applies_the_policy(cli, checkout, policy, case):
    tables, top, words, expected = CHECKED[case]
    checkout.write({"star.yaml": STAR})
    policy(tables, top)
    ran = cli("check", *words, "--fail-on", "warn", "--format", "json")
    assert shown(ran) == expected
    assert ran.code == any(" warn " in line or " error " in line for line in expected)
    assert ran.json["summary"]["ignored"] == sum(" off " in line or " ignored " in line for line in expected)
    assert results(cli("check", "--no-cache", "--format", "json")) == results(cli("check", "--format", "json"))


def results(ran):
    return ran.code, ran.json["items"], ran.json["summary"]


def test_the_text_counts_what_is_ignored_and_verbose_shows_it(cli, checkout, policy):
    checkout.write({"star.yaml": STAR})
    policy('[rules]\nC112 = "off"\n' + ignore("C113"))
    ran = cli("check")
    assert (ran.code, ran.out) == (0, "2 ignored (--verbose shows the ignored ones) in 1 definition\n")
    long = cli("check", "--verbose").out
    assert f"{STAR_AT}: C113 the query selects *: the table decides its columns [ignored]\n" in long
    assert "  ignored by @data until 2027-01-31: frozen table (endpoints.toml:" in long
    assert "[off]\n  switched off (endpoints.toml:" in long


@pytest.mark.parametrize(
    ("until", "codes"),
    [("2026-11-01", {"C113": "ignored"}), ("2026-10-31", {"C113": "warn", "G101": "error"})],
)
@pytest.mark.parametrize("place", ["configuration", "comment"])
def test_an_ignore_ends_after_its_date(cli, checkout, policy, until, codes, place):
    in_file = place == "comment"
    checkout.write(
        {"star.yaml": STAR.replace("  SELECT", COMMENT.format(until=until) + "  SELECT") if in_file else STAR}
    )
    policy('[rules]\nC112 = "off"\n' + ("" if in_file else ignore("C113", until)))
    found = {line.split()[0]: line.split()[1] for line in shown(cli("check", "--format", "json"))}
    assert found == codes | {"C112": "off"}
    assert cli("check").code == ("G101" in codes)
    assert cli("check", "endpoints/star.yaml").code == ("G101" in codes), "also where one file is checked"


def test_unused_is_judged_only_by_a_run_that_would_find_it(cli, checkout, policy):
    checkout.write({"one.yaml": BEFORE, "two.yaml": BEFORE.replace("one", "two")})
    policy(ignore("C113") + ignore("M102"))
    assert [line.split()[0] for line in shown(cli("check", "--format", "json"))] == ["G102"]
    assert cli("check", "--fail-on", "warn").code == 1
    for words in (["endpoints/one.yaml"], ["one"], ["--env", "test"]):
        ran = cli("check", *words, "--format", "json")
        assert (ran.code, shown(ran)) == (0, []), words
    commented = BEFORE.replace("query: ", f"query: |\n{COMMENT.format(until='2027-01-31')}  ")
    checkout.write({"one.yaml": commented})
    assert [line.split()[0] for line in shown(cli("check", "endpoints/one.yaml", "--format", "json"))] == ["G102"]
    checkout.write({"one.yaml": "name: one\nqery: x\n"})
    assert "G102" not in str(shown(cli("check", "--format", "json"))), "a file that cannot be read may need it"


MISTAKES = {
    '[rules]\nC1113 = "off"': "there is no rule 'C1113'; did you mean 'C113'?",
    '[rules]\nV111 = "warn"': "V111 (scoping-variable-dropped) is about exposed data: it cannot be lowered without an",
    '[rules]\nG108 = "off"': "G108 (unknown-key) cannot be lowered or switched off",
    '[rules]\nC113 = "of"': "C113 must be",
    '[[ignores]]\nrule = "selct-star"': "there is no rule 'selct-star'; did you mean 'select-star'?",
    '[[ignores]]\nrule = "G101"': "G101 (ignore-expired) cannot be ignored",
    '[[ignores]]\nrule = "C113"\nuntil = 3': "until must be a date such as 2027-01-31",
    '[[ignores]]\nrule = "C113"\nutil = 3': "unknown key 'util'; did you mean 'until'?",
    '[[approvals]]\nfingerprint = "12ab"': "'12ab' is not a fingerprint",
    '[naming]\ncolumns = "snakecase"': "there is no convention 'snakecase'; did you mean 'snake_case'?",
    '[naming]\ncolumns = "(a"': "columns: not a regular expression",
}


@pytest.mark.parametrize("tables", MISTAKES)
def test_a_mistake_in_the_policy_is_an_error_with_its_line(cli, checkout, policy, tables):
    checkout.write({"star.yaml": STAR})
    policy(tables)
    ran = cli("check")
    assert ran.code == 2
    assert MISTAKES[tables] in ran.err
    assert "endpoints.toml:" in ran.err


@pytest.mark.parametrize(
    ("top", "message"), [('ruleset = "2026-21"', "did you mean '2026-12'?"), ('require = ["ower"]', "owner")]
)
def test_a_wrong_key_of_the_top_is_an_error(cli, checkout, policy, top, message):
    checkout.write({"star.yaml": STAR})
    policy(top=top)
    ran = cli("check")
    assert (ran.code, message in ran.err) == (2, True), ran.err
    assert "endpoints.toml:1" in ran.err


def test_fail_on_of_the_configuration_is_the_default(cli, checkout, policy):
    checkout.write({"star.yaml": STAR})
    policy(top='fail_on = "warn"')
    assert (cli("check").code, cli("check", "--fail-on", "error").code) == (1, 0)


def test_the_cache_knows_the_conventions(cli, checkout, policy, monkeypatch, tmp_path):
    monkeypatch.setenv("ENDPOINTS_GITOPS_CACHE", str(tmp_path / "cache"))
    checkout.write({"one.yaml": BEFORE})
    for require, code in (("", 0), ('require = ["owner"]', 1), ("", 0)):
        policy(top=require)
        assert [cli("check").code, cli("check").code] == [code, code]
    assert json.dumps("owner") not in cli("check", "--format", "json").out
