"""Functions of PostHog that stand for another expression of HogQL over the columns of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.syntax_tree import fold
from endpoints_gitops.hogql.variables import chain_of
from endpoints_gitops.local.engine.project_data import ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused

type Expand = Callable[[list[Tree]], Tree]


def _expression(hogql: str, **nodes: Tree) -> Tree:
    """The tree of an expression, with a node for each placeholder of its name."""
    tree: Tree = parse(f"select {hogql}")["select"][0]
    expanded: Tree = fold(tree, lambda node: nodes[chain_of(node)[0]] if node.get("node") == "Placeholder" else node)
    return expanded


def _text(value: object) -> Tree:
    return {"node": "Constant", "value": value}


def _constant(name: str, which: str, argument: Tree) -> Any:  # noqa: ANN401 - any constant of HogQL
    if argument["node"] != "Constant":
        raise QueryRefused(f"{name} {which} argument must be a constant")
    return argument.get("value")


def _recording_button(arguments: list[Tree]) -> Tree:
    tag = "tuple('__hx_tag', 'RecordingButton', 'sessionId', {id}, 'recordingStatus', properties.$recording_status)"
    return _expression(tag, id=arguments[0])


_QUESTIONS: Final = "JSONExtractArrayRaw(properties, '$survey_questions')"
_ANSWER: Final = (
    "coalesce(nullIf(JSONExtractString(properties, {named}), ''), nullIf(JSONExtractString(properties, {key}), ''))"
)
_CHOICES: Final = (
    "if(JSONHas(properties, {named}) and length(JSONExtractArrayRaw(properties, {named})) > 0, "
    "JSONExtractArrayRaw(properties, {named}), JSONExtractArrayRaw(properties, {key}))"
)


def _survey_response(arguments: list[Tree]) -> Tree:
    """The answer to a question. Events have it under the id of the question, older events under its number."""
    number = str(_constant("getSurveyResponse", "first", arguments[0]))
    if not number.lstrip("-").isdigit():
        raise QueryRefused("getSurveyResponse first argument must be a valid integer")
    question, is_list = ([argument.get("value") for argument in arguments[1:]] + [None, None])[:2]
    key = _text("$survey_response" if int(number) == 0 else f"$survey_response_{int(number)}")
    place = _text(int(number) + 1)
    named = _expression(f"concat('$survey_response_', JSONExtractString({_QUESTIONS}[{{place}}], 'id'))", place=place)
    if question:
        named = _text(f"$survey_response_{question}")
    return _expression(_CHOICES if is_list else _ANSWER, named=named, key=key)


def _unique_submissions(arguments: list[Tree]) -> Tree:
    """Whether the event is the last one of its submission of the survey."""
    name, bounds = "uniqueSurveySubmissionsFilter", ""
    constants = {"survey": _text(_constant(name, "first", arguments[0]))}
    for which, sign, argument in zip(("second", "third"), (">=", "<="), arguments[1:], strict=False):
        constants[which] = _text(_constant(name, which, argument))
        bounds += f" and timestamp {sign} {{{which}}}"
    submission = (
        "if(coalesce(properties.$survey_submission_id, '') = '', toString(uuid), properties.$survey_submission_id)"
    )
    condition = f"event = 'survey sent' and properties.$survey_id = {{survey}}{bounds}"
    last = f"select argMax(uuid, timestamp) from events where {condition} group by {submission}"  # noqa: S608
    return _expression(f"uuid in ({last})", **constants)


def matches_action(arguments: list[Tree], project: ProjectData) -> Tree:
    """The condition of an action, which is a constant: its id or its name."""
    if len(arguments) != 1:
        raise QueryRefused(f"Function 'matchesAction' expects 1 argument, found {len(arguments)}")
    wanted = _constant("matchesAction", "first", arguments[0])
    action = project.action(wanted)
    if action is None:
        raise QueryRefused(f"The project has no action {wanted!r}")
    return _expression(f"({action.condition})")


EXPANSIONS: Final[dict[str, Expand]] = {
    "recording_button": _recording_button,
    "survey_response": _survey_response,
    "unique_submissions": _unique_submissions,
}
"""The translators of the catalog that give a tree."""
