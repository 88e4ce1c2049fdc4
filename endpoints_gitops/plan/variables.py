"""The project's shared variables that definitions need: which are missing, and which differ.

A shared variable belongs to the whole project and no version protects from its change, so one that exists is changed
only on request (docs/server.md#insight-variables).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from endpoints_gitops.errors import InvalidInput, Location, Problem
from endpoints_gitops.model.definition import LoadedDefinition, Variable, VariableType
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.plan.settings import normalized_query, variables_of


class VariableAction(StrEnum):
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableChange:
    """The change that makes one shared variable what the definitions state.

    `label`, `values` and `multi` are None where no definition states them, or where an update leaves them. `default` is
    for a new variable. `before` has the present values of what an update changes; `id` is None for a new variable.
    `declared_by` are the definitions, `used_by` those and every endpoint whose query uses the variable. `where` is the
    location of the statement.
    """

    code_name: str
    action: VariableAction
    type: VariableType
    label: str | None = None
    default: Json = None
    values: tuple[Json, ...] | None = None
    multi: bool | None = None
    id: str | None = None
    before: JsonObject | None = None
    declared_by: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One variable in the list of one definition."""

    loaded: LoadedDefinition
    index: int
    variable: Variable

    @property
    def where(self) -> Location:
        return self.loaded.where(f"variables.{self.index}.name")

    def stated(self) -> Mapping[str, Json]:
        """The settings that it states of the shared variable, as the server keeps them."""
        variable = self.variable
        settings: dict[str, Json] = {
            "type": str(variable.type),
            "label": variable.label,
            "values": None if variable.values is None else _values(variable.type, variable.values),
            "multi": variable.multi,
        }
        return {key: value for key, value in settings.items() if value is not None}


def needed(
    definitions: Iterable[LoadedDefinition], variables: Iterable[InsightVariable], endpoints: Iterable[Endpoint]
) -> tuple[VariableChange, ...]:
    """The changes for shared variables that are missing or differ, by code name.

    Raises InvalidInput where definitions disagree on one, with every place.
    """
    declared = _declared(definitions)
    if problems := _problems(declared):
        raise InvalidInput(problems)
    present = {variable.code_name: variable for variable in variables}
    using = _using(endpoints, declared)
    changes = (
        _change(name, declared[name], present.get(name), using.get(name, frozenset())) for name in sorted(declared)
    )
    return tuple(change for change in changes if change is not None)


def disagreements(definitions: Iterable[LoadedDefinition]) -> tuple[Problem, ...]:
    """A problem at every statement about a shared variable that another definition contradicts."""
    return _problems(_declared(definitions))


def statements(loaded: LoadedDefinition) -> tuple[tuple[str, str], ...]:
    """The shared variables that a definition declares, each with its statement as text: unequal ones may disagree."""
    return tuple(
        (name, canonical(declared.stated()))
        for name, declarations in _declared([loaded]).items()
        for declared in declarations
    )


def create_body(change: VariableChange) -> JsonObject:
    """The body that creates the variable. It is named by its code name, from which the server makes the same code
    name.
    """
    body: dict[str, Json] = {"name": change.code_name, "type": str(change.type), "default_value": change.default}
    if change.values is not None:
        body["values"] = list(change.values)
    return body if change.multi is None else {**body, "is_multi": change.multi}


def update_body(change: VariableChange) -> JsonObject | None:
    """The body of the PATCH: of an update, or of a creation the rename to its label; None where there is none."""
    if change.action is VariableAction.CREATE:
        is_named = change.label is None or change.label == change.code_name
        return None if is_named else {"name": change.label}
    changed = change.before or {}
    wanted: dict[str, tuple[str, Json]] = {
        "type": ("type", str(change.type)),
        "label": ("name", change.label),
        "values": ("values", None if change.values is None else list(change.values)),
        "multi": ("is_multi", change.multi),
    }
    return {word: value for key, (word, value) in wanted.items() if key in changed}


def _declared(definitions: Iterable[LoadedDefinition]) -> dict[str, list[_Declared]]:
    """The declarations by code name. Insights have no shared variables, whatever their files list."""
    declared: dict[str, list[_Declared]] = {}
    for loaded in sorted(definitions, key=lambda definition: definition.name):
        node = loaded.definition.query_definition
        if node is not None and node.get("kind") != "HogQLQuery":
            continue
        for index, variable in enumerate(loaded.definition.variables or ()):
            declared.setdefault(variable.name, []).append(_Declared(loaded=loaded, index=index, variable=variable))
    return declared


def _problems(declared: Mapping[str, list[_Declared]]) -> tuple[Problem, ...]:
    problems = (problem for declarations in declared.values() for problem in _disagreements(declarations))
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.message)))


def _disagreements(declarations: list[_Declared]) -> Iterator[Problem]:
    """A problem at each declaration, for each key that is stated in two ways."""
    for key in ("type", "label", "values", "multi"):
        stating = [
            (declaration, declaration.stated()[key]) for declaration in declarations if key in declaration.stated()
        ]
        if len({canonical(value) for _, value in stating}) < 2:
            continue
        for declaration, value in stating:
            others = [other.where for other, other_value in stating if canonical(other_value) != canonical(value)]
            yield _disagreement(declaration, key, value, others)


def _disagreement(declaration: _Declared, key: str, value: Json, others: Sequence[str]) -> Problem:
    name = declaration.variable.name
    return Problem(
        path=declaration.loaded.path,
        line=declaration.loaded.lines.get(
            f"variables.{declaration.index}.{key}", declaration.loaded.lines.get(f"variables.{declaration.index}", 0)
        ),
        column=1,
        message=f"the {key} of the shared variable {name!r} is {_shown(value)} here and another in {', '.join(others)}",
        code="definition.variable-disagrees",
        fix=f"say the same in all of them: {name} is one variable of the project",
    )


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value)


def _using(endpoints: Iterable[Endpoint], names: Mapping[str, object]) -> dict[str, frozenset[str]]:
    using: dict[str, set[str]] = {}
    for endpoint in endpoints:
        if endpoint.kind == "HogQLQuery" and endpoint.query.get("variables"):
            for name in variables_of(normalized_query(endpoint.query)).keys() & names.keys():
                using.setdefault(name, set()).add(endpoint.name)
    return {name: frozenset(users) for name, users in using.items()}


def _change(
    name: str, declared: list[_Declared], present: InsightVariable | None, users: frozenset[str]
) -> VariableChange | None:
    stated: dict[str, Json] = {}
    for declaration in declared:
        stated |= declaration.stated()
    before = None if present is None else _differing(stated, present)
    if before is not None and not before:
        return None
    values, label, multi = stated.get("values"), stated.get("label"), stated.get("multi")
    names = tuple(declaration.loaded.name for declaration in declared)
    return VariableChange(
        code_name=name,
        action=VariableAction.CREATE if present is None else VariableAction.UPDATE,
        type=declared[0].variable.type,
        label=label if isinstance(label, str) else None,
        default=_default(declared) if present is None else None,
        values=tuple(values) if isinstance(values, list) else None,
        multi=multi if isinstance(multi, bool) else None,
        id=present.id if present else None,
        before=before,
        declared_by=names,
        used_by=tuple(sorted({*names, *users})),
        where=_place_of(before or (), declared),
    )


def _place_of(keys: Iterable[str], declared: list[_Declared]) -> Location:
    """The location of the first of these settings; else of the first declaration."""
    stating = (declaration.where for key in keys for declaration in declared if key in declaration.stated())
    return next(stating, declared[0].where)


def _default(declared: list[_Declared]) -> Json:
    """The default of the first definition that states one."""
    stated = (declaration.variable.default for declaration in declared if declaration.variable.states("default"))
    default: Json = next(stated, None)
    return default


def _differing(stated: Mapping[str, Json], present: InsightVariable) -> dict[str, Json]:
    """The server's values that differ from those stated. Only a List takes several choices."""
    now: dict[str, Json] = {
        "type": str(present.type),
        "label": present.name,
        "values": _values(present.type, present.values or ()),
        "multi": present.is_multi,
    }
    is_list = stated.get("type") == VariableType.LIST
    compared = [key for key in stated if is_list or key != "multi"]
    return {key: now[key] for key in now if key in compared and canonical(now[key]) != canonical(stated[key])}


def _values(kind: VariableType, values: Iterable[Json]) -> list[Json]:
    """The choices as the server keeps them: those of a List as text, without nulls
    (docs/server.md#insight-variables).
    """
    if kind is not VariableType.LIST:
        return [*values]
    return [value if isinstance(value, str) else canonical(value) for value in values if value is not None]
