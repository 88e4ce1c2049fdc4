"""The policy of the configuration on real command lines: ignores, severities, the ruleset, approvals, conventions."""

from __future__ import annotations

import json
import tomllib
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


AT_A_KEY = '# endpoints-gitops: ignore {rule} reason="frozen" owner=@data until=2027-01-31'
GROUPED = "  SELECT event, count() AS {name}\n  FROM events\n  GROUP BY event\n  ORDER BY event\n"


@pytest.mark.parametrize(
    ("head", "waived"),
    [
        ("query: |- {comment}\n", True),
        ("{comment}\nquery: |-\n", True),
        ("{comment}\ntags: [a]\nquery: |-\n", False),
        ("tags: [a] {comment}\nquery: |-\n", False),
    ],
)
def test_a_comment_at_a_key_is_about_its_value_and_elsewhere_a_finding(cli, checkout, head, waived):
    checkout.commit({"sales.yaml": f"name: sales\nquery: |-\n{GROUPED.format(name='n')}"})
    head = head.format(comment=AT_A_KEY.format(rule="C102"))
    checkout.write({"sales.yaml": f"name: sales\n{head}{GROUPED.format(name='total')}"})
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    renamed = next(item for item in ran.json["items"] if item["code"] == "C102")
    assert ((renamed["ignored"] or {}).get("kind"), ran.code) == (("ignored", 0) if waived else (None, 1))
    checked = [item["code"] for item in cli("check", "--fail-on", "warn", "--format", "json").json["items"]]
    assert checked == ([] if waived else ["G102"])


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
    '[naming]\ncolumns = ""': "columns: there is no convention ''",
    '[rules]\nC113 = "error"\nselect-star = "off"': "C113 is set twice: as 'C113' and as 'select-star'",
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
    ("top", "message"),
    [
        ('ruleset = "2026-21"', "did you mean '2026-12'?"),
        ('ruleset = ""', "there is no ruleset ''"),
        ('require = ["ower"]', "owner"),
    ],
)
def test_a_wrong_key_of_the_top_is_an_error(cli, checkout, policy, top, message):
    checkout.write({"star.yaml": STAR})
    policy(top=top)
    ran = cli("check")
    assert (ran.code, message in ran.err) == (2, True), ran.err
    assert "endpoints.toml:1" in ran.err


def test_a_naming_expression_that_takes_too_long_is_a_finding(cli, checkout, policy):
    endless = "a" * 60
    columns = ", ".join(f"{number} AS {endless}{number}" for number in range(1, 4))
    checkout.write({"star.yaml": f"name: star\nquery: SELECT {columns}\n"})
    policy('[naming]\ncolumns = "(a+)+c"\n')
    ran = cli("check", "--format", "json")
    messages = [item["message"] for item in ran.json["items"] if item["code"] == "G123"]
    assert (ran.code, len(messages)) == (1, 3)
    assert all("(a+)+c, which takes too long: simplify the expression" in message for message in messages)
    policy('[naming]\ncolumns = "(a+)+[1-3]"\n')
    assert cli("check").code == 0, "the alarm ended with the expression that was too slow"


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


@pytest.fixture
def broken(cli, checkout):
    """A committed and pushed definition whose author removes a column."""
    checkout.commit({"one.yaml": BEFORE})
    assert cli("push", "--yes").code == 0
    checkout.write({"one.yaml": BEFORE.replace("SELECT event, ", "SELECT ")})


def fingerprint_of(ran, code: str) -> str:
    return next(item["fingerprint"] for item in findings_in(ran) if item["code"] == code)


def findings_in(ran) -> list[dict[str, object]]:
    """The findings of an envelope: its items, or those in its items."""
    items = ran.json["items"]
    return [finding for item in items for finding in item.get("findings", [item])]


@pytest.mark.usefixtures("broken")
def test_an_approved_finding_is_shown_and_does_not_fail(cli, checkout):
    ran = cli("breaking", "--against", "HEAD")
    found = cli("breaking", "--against", "HEAD", "--format", "json")
    fingerprint = fingerprint_of(found, "C101")
    assert (ran.code, found.code) == (1, 1)
    assert f"  or approve it: endpoints-gitops approve {fingerprint[:16]} --reason '…'\n" in ran.out
    done = cli("approve", fingerprint[:16], "--reason", "the report is adapted", "--by", "Ada")
    assert (done.code, done.out.split(":")[0]) == (0, "endpoints.toml")
    others = {item["fingerprint"] for item in findings_in(found) if item["severity"] == "error"} - {fingerprint}
    if others:
        assert cli("approve", *others, "--reason", "it too", "--by", "Ada").code == 0
    ran = cli("breaking", "--against", "HEAD")
    assert ran.code == 0
    assert "C101" in ran.out
    assert "[approved]\n  approved by Ada: the report is adapted (endpoints.toml:" in ran.out
    item = next(
        item for item in findings_in(cli("breaking", "--against", "HEAD", "--format", "json")) if item["code"] == "C101"
    )
    assert item["ignored"] is None
    assert item["approved"] | {"where": None} == {
        "kind": "approved",
        "reason": "the report is adapted",
        "by": "Ada",
        "until": None,
        "where": None,
    }
    assert cli("plan", "--fail-on", "error").code == 0
    assert cli("diff", "--against", "HEAD").code == 1, "a difference is one, approved or not"
    assert cli("push", "--yes", "--fail-on", "error").code == 0
    checkout.commit({})
    assert cli("check").code == 0, "an approval of what is merged is no finding"


@pytest.mark.usefixtures("broken")
def test_push_writes_nothing_that_fails_without_an_approval(cli, server):
    ran = cli("push", "--yes", "--fail-on", "error", "--format", "json")
    assert (ran.code, ran.json["summary"]["withheld"]) == (1, 1)
    fixes = [withheld["fix"] for item in ran.json["items"] for withheld in item["withheld"]]
    assert any("or approve it: endpoints-gitops approve " in fix for fix in fixes), fixes
    assert not [entry for entry in server.requests.entries() if "PATCH" in str(entry)]


@pytest.mark.usefixtures("broken")
def test_an_approval_ends_after_its_date(cli, policy):
    found = cli("breaking", "--against", "HEAD", "--format", "json")
    errors = [item["fingerprint"] for item in findings_in(found) if item["severity"] == "error"]
    for until, code in (("2026-11-01", 0), ("2026-10-31", 1)):
        tables = "".join(
            f'[[approvals]]\nfingerprint = "{word}"\nreason = "x"\nby = "Ada"\nuntil = {until}\n' for word in errors
        )
        policy(tables)
        ran = cli("breaking", "--against", "HEAD", "--format", "json")
        assert ran.code == code
        assert ("G101" in {item["code"] for item in findings_in(ran)}) == bool(code)
    reviewed = {
        item["name"]: item["change"]
        for item in cli("review", "--against", "HEAD", "--offline", "--format", "json").json["items"]
    }
    assert reviewed["endpoints.toml"] == "an ignore or approval has no effect"
    policy(f'[[approvals]]\nfingerprint = "{errors[0]}"\nreason = "x"\n')
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    assert {"G103"} <= {item["code"] for item in findings_in(ran)}, "nobody approved it"


def test_a_comment_and_a_lowered_rule_let_a_push_through(cli, checkout, policy):
    sql = "SELECT cuont() AS n FROM events"
    checkout.write({"one.yaml": f"name: one\nquery: {sql}\n"})
    assert cli("push", "--yes").code == 1
    comment = '# endpoints-gitops: ignore G113 reason="our build has it" owner=@data until=2027-01-31'
    for content, tables in ((f"{comment}\nquery: {sql}", ""), (f"query: {sql}", '[rules]\nG113 = "warn"\n')):
        checkout.write({"one.yaml": f"name: one\n{content}\n"})
        policy(tables)
        ran = cli("plan", "--format", "json")
        assert (ran.code, ran.json["summary"]["withheld"]) == (0, 0)
        assert "G113" in {item["code"] for item in findings_in(ran)}


def test_a_required_key_withholds_a_push(cli, checkout, policy):
    checkout.write({"one.yaml": BEFORE})
    policy(top='require = ["owner"]')
    ran = cli("push", "--yes", "--format", "json")
    assert (ran.code, ran.json["summary"]["withheld"]) == (1, 1)
    checkout.write({"one.yaml": BEFORE + "owner: '@data'\n"})
    assert cli("push", "--yes").code == 0


def test_upgrade_and_outdated_follow_the_policy(cli, checkout, uses, pins):
    checkout.commit({"one.yaml": BEFORE})
    assert cli("push", "--yes").code == 0
    uses(one='"*"')
    assert cli("lock").code == 0
    checkout.write({"one.yaml": BEFORE.replace("SELECT event, ", "SELECT ")})
    assert cli("push", "--yes").code == 0
    refused = cli("upgrade", "--yes", "--format", "json")
    assert (refused.code, pins()["one"].version) == (1, 1)
    assert "breaks: " in cli("outdated").out
    errors = {item["code"] for item in findings_in(refused) if item["severity"] == "error"}
    path = checkout.top / "endpoints.toml"
    path.write_text(path.read_text() + "[rules]\n" + "".join(f'{code} = "off"\n' for code in sorted(errors)))
    assert "nothing breaks" in cli("outdated").out
    ran = cli("upgrade", "--yes", "--format", "json")
    assert (ran.code, pins()["one"].version) == (0, 2)
    assert {item["code"] for item in findings_in(ran) if item["ignored"]} == errors


CONFIGURATIONS = {
    "endpoints.toml": '# ours\ndir = "endpoints"   # here\n\n[rules]\nC113 = "off"  # all of them\n',
    "no line at the end": 'dir = "endpoints"',
    "carriage returns": 'dir = "endpoints"\r\n\r\n[rules]\r\nC113 = "off"\r\n',
    "a mark": '\ufeffdir = "endpoints"\n',
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_approve_only_adds_to_the_file(cli, checkout, case):
    path = checkout.top / "endpoints.toml"
    path.write_bytes(CONFIGURATIONS[case].encode())
    before = path.read_bytes()
    for number in (1, 2):
        assert cli("approve", f"{number:032x}", "--reason", 'a "quoted"\\ reason', "--by", "Ada").code == 0
    after = path.read_bytes()
    assert after.startswith(before.rstrip())
    assert (b"\r\n" in after) == (b"\r\n" in before)
    assert b"\n" not in after.replace(b"\r\n", b"") or b"\r\n" not in before
    read = tomllib.loads(after.decode("utf-8-sig"))
    assert read.pop("approvals") == [
        {"fingerprint": f"{number:032x}", "reason": 'a "quoted"\\ reason', "by": "Ada"} for number in (1, 2)
    ]
    assert read == tomllib.loads(before.decode("utf-8-sig"))
    again = cli("approve", f"{1:032x}", "--reason", "x", "--by", "Bob")
    assert (again.code, path.read_bytes()) == (0, after)
    assert "is already approved by Ada" in again.out


def test_approve_writes_into_pyproject(cli, checkout):
    (checkout.top / "endpoints.toml").unlink()
    path = checkout.top / "pyproject.toml"
    before = '[project]\nname = "app" # ours\n\n[tool.endpoints-gitops]\ndir = "endpoints"\n\n[tool.other]\nx = 1\n'
    path.write_text(before)
    checkout.git("config", "user.name", "Grace")
    ran = cli("approve", f"{7:032x}", "--reason", "x", "--until", "2027-01-31", "--format", "json")
    assert ran.code == 0, ran.out
    assert ran.json["items"][0]["by"] == "Grace"
    assert path.read_text() == (
        f'{before}\n[[tool.endpoints-gitops.approvals]]\nfingerprint = "{7:032x}"\nreason = "x"\nby = "Grace"\n'
        "until = 2027-01-31\n"
    )
    assert ran.json["items"][0]["where"] == "pyproject.toml:10"


REFUSED = {
    "not a fingerprint": (["12ab", "--reason", "x", "--by", "Ada"], "is not a fingerprint"),
    "no reason": ([f"{1:032x}", "--by", "Ada"], "--reason"),
    "an empty reason": ([f"{1:032x}", "--reason", " ", "--by", "Ada"], "it is empty"),
    "a day that has passed": ([f"{1:032x}", "--reason", "x", "--by", "Ada", "--until", "2026-10-31"], "has passed"),
    "not a day": ([f"{1:032x}", "--reason", "x", "--by", "Ada", "--until", "soon"], "is not a date"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_approve_refuses(cli, checkout, case):
    words, message = REFUSED[case]
    path = checkout.top / "endpoints.toml"
    before = path.read_bytes()
    ran = cli("approve", *words)
    assert (ran.code, message in ran.err, path.read_bytes()) == (2, True, before), ran.err


def test_approve_refuses_a_list_in_one_line(cli, checkout):
    path = checkout.top / "endpoints.toml"
    path.write_text(f"approvals = []\n{path.read_text()}")
    before = path.read_bytes()
    ran = cli("approve", f"{1:032x}", "--reason", "x", "--by", "Ada")
    assert (ran.code, path.read_bytes()) == (2, before)
    assert "[[approvals]]" in ran.err


def test_a_file_that_cannot_be_read_is_not_approved(cli, checkout):
    checkout.write({"one.yaml": "name: [\n"})
    fingerprints = [item["fingerprint"] for item in cli("check", "--format", "json").json["items"]]
    assert cli("approve", *fingerprints, "--reason", "x", "--by", "Ada").code == 0
    assert cli("check").code == 1
