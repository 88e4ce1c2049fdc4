"""Advice: a text that knows which of its parts are commands."""

from __future__ import annotations

import json
import pickle

import pytest

from endpoints_gitops.advice import AGAIN, AND, PROGRAM, WAIT_LONGER, Advice, Command, OtherCommand, about, with_options

SHOWS = Advice(Command("diff", "revenue"), " shows it; ", Command("push", "--env", "prod"), " sends it")
OPTIONS = {"--env": "staging", "--dir": "my queries"}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Command("diff"), "endpoints-gitops diff"),
        (Command("push", "--overwrite=a@3", "a"), "endpoints-gitops push --overwrite=a@3 a"),
        (
            Command("upgrade", "a", "--allow-breaking", "the reason"),
            "endpoints-gitops upgrade a --allow-breaking 'the reason'",
        ),
        (Command("plan", "-o", "$(rm x).json"), "endpoints-gitops plan -o '$(rm x).json'"),
    ],
)
def test_a_command_can_be_pasted_into_a_shell(command, text):
    assert str(command) == text


def test_an_advice_is_its_text():
    assert SHOWS == "endpoints-gitops diff revenue shows it; endpoints-gitops push --env prod sends it"
    assert json.loads(json.dumps(SHOWS)) == SHOWS
    assert pickle.loads(pickle.dumps(SHOWS)).parts == SHOWS.parts


def test_options_are_added_to_each_command_that_lacks_them():
    assert SHOWS.with_options(OPTIONS) == (
        "endpoints-gitops diff revenue --env staging --dir 'my queries' shows it; "
        "endpoints-gitops push --env prod --dir 'my queries' sends it"
    )
    equals = Advice(Command("diff", "--env=prod")).with_options({"--env": "staging"})
    assert equals == "endpoints-gitops diff --env=prod"
    assert with_options("endpoints-gitops diff", OPTIONS) == "endpoints-gitops diff", "a text is not searched"


def test_an_advice_within_an_advice_keeps_its_commands():
    assert Advice("  fix: ", SHOWS).with_options(OPTIONS) == "  fix: " + SHOWS.with_options(OPTIONS)


def test_the_word_name_is_a_placeholder_for_an_endpoint():
    advice = Advice("NAME: ", Command("upgrade", "NAME@N"), ", ", Command("get", "NAME"))
    assert advice.about("revenue", 3) == "NAME: endpoints-gitops upgrade revenue@3, endpoints-gitops get revenue"
    assert advice.about("revenue") == "NAME: endpoints-gitops upgrade NAME@N, endpoints-gitops get revenue"
    assert about("pull NAME", "revenue") == "pull NAME"


def test_commands_alone_are_a_command_line():
    assert Advice(Command("lock", "--env", "eu west")).command_line == (PROGRAM, "lock", "--env", "eu west")
    restored = Advice(OtherCommand("git", "checkout", "HEAD", "--", "my lock"), AND, Command("lock"))
    assert restored == "git checkout HEAD -- 'my lock' && endpoints-gitops lock"
    assert restored.command_line == ("git", "checkout", "HEAD", "--", "my lock", "&&", PROGRAM, "lock")
    assert (SHOWS.command_line, Advice("endpoints-gitops lock").command_line, Advice().command_line) == ((), (), ())


def test_code_is_advised_in_its_own_words():
    advice = Advice(AGAIN, " later, or wait longer with ", WAIT_LONGER)
    assert advice == "run the command again later, or wait longer with --max-wait SECONDS"
    assert advice.in_code() == "call it again later, or wait longer with max_wait=SECONDS"
