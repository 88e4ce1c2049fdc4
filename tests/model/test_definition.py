"""The settings of a definition in each environment."""

from __future__ import annotations

import pytest

from endpoints_gitops.model.definition import (
    Definition,
    LoadedDefinition,
    code_name_mistake,
    freshness_mistake,
    query_keys_mistake,
)
from endpoints_gitops.model.name import is_endpoint_name


def definition(**more):
    return Definition.model_validate({"name": "x", "query": "select 1", **more})


@pytest.mark.parametrize(
    ("common", "overlay", "seconds", "enabled"),
    [
        ({}, None, None, None),
        ({}, {}, None, None),
        ({"data_freshness": "1hour"}, {}, 3600, None),
        ({"data_freshness": 900}, {"data_freshness": "7day"}, 604800, None),
        ({"data_freshness": "1hour"}, {"materialization": {"schedule": "6hour"}}, 21600, None),
        ({"materialization": {"schedule": "6hour", "enabled": True}}, {"data_freshness": "1hour"}, 3600, True),
        (
            {"materialization": {"schedule": "6hour", "enabled": True}},
            {"materialization": {"enabled": False}},
            21600,
            False,
        ),
        ({"materialization": {"enabled": True}}, {"materialization": {"schedule": "7day"}}, 604800, True),
        ({}, {"materialization": {"schedule": "7day", "enabled": True}}, 604800, True),
    ],
)
def test_settings_of_an_environment_override_the_common_ones(common, overlay, seconds, enabled):
    written = definition(**common, **({} if overlay is None else {"environments": {"staging": overlay}}))
    settings = written.in_environment("staging")
    assert settings.freshness_seconds == seconds
    assert (settings.materialization.enabled if settings.materialization else None) is enabled
    assert written.in_environment("prod") == written.in_environment(None) == written


def test_tags_and_the_flag_of_an_environment_replace_the_common_ones():
    settings = definition(tags=["a"], environments={"p": {"tags": [], "active": False}}).in_environment("p")
    assert (settings.tags, settings.active, settings.states("tags"), settings.states("active")) == (
        (),
        False,
        True,
        True,
    )


def test_stated_is_what_the_file_has_also_where_it_has_null():
    assert [definition(description=None).states(key) for key in ("description", "tags")] == [True, False]


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("a" * 128, True), ("a" * 129, False), ("a\n", False), ("é", False)]
)
def test_names_of_endpoints(name, good):
    assert is_endpoint_name(name) is good


@pytest.mark.parametrize(("name", "good"), [("a_1", True), ("größe", True), ("A", False), ("a b", False), ("", False)])
def test_names_of_variables(name, good):
    assert (code_name_mistake(name) is None) is good


def test_rules_over_several_keys():
    assert query_keys_mistake(["query"]) is None
    assert "not none" in str(query_keys_mistake([]))
    assert (
        freshness_mistake(3600, "1hour") is freshness_mistake(None, "1hour") is freshness_mistake("7day", None) is None
    )
    assert "differ" in str(freshness_mistake("1hour", "6hour"))


@pytest.mark.parametrize(
    ("key", "where"),
    [("name", "f.yaml:2"), ("variables.0.type", "f.yaml:5"), ("variables.1", "f.yaml:4"), ("tags", "f.yaml")],
)
def test_a_place_is_the_nearest_that_is_known(key, where):
    lines = {"name": 2, "variables": 4, "variables.0": 5}
    assert LoadedDefinition(path="f.yaml", definition=definition(), sql="select 1", lines=lines).where(key) == where
