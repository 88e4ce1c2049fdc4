"""What the files of a definition become when they take what the server has: only the nodes that differ are touched.

Everything here is computed before anything is written, and proved by reading the new bytes as a definition again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.text import BOM
from endpoints_gitops.hogql.insights import strip
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import QUERY_KEYS, Definition, LoadedDefinition, Variable
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.freshness import schedule_word
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.operations.file_edits import Changes, FileEdit, NodePath, Unprovable, content_of, edit_of
from endpoints_gitops.plan.diff import Revision, ServerRevision
from endpoints_gitops.plan.settings import Key, definition_settings, same
from endpoints_gitops.workspace.files import inside, read_regular_file, shown

_SHARED: Final = ("type", "label", "values", "multi")
_SIMPLE: Final = {
    Key.DESCRIPTION: "description",
    Key.TAGS: "tags",
    Key.ACTIVE: "active",
    Key.OPTIONAL_BREAKDOWNS: "optional_breakdown_properties",
    Key.BUCKET_OVERRIDES: "bucket_overrides",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What to take into one definition.

    `values` is what a definition says of the endpoint (`codecs.pulled`). `keys` are taken; where `settings` is set, so
    are type, label and values of the shared variables that the file lists. `own_sql_file` is False where another
    definition uses the same `.sql` file: then the text moves into the definition.
    """

    local: Revision
    loaded: LoadedDefinition
    remote: ServerRevision
    values: Mapping[str, Any]
    keys: frozenset[Key]
    environment: str
    takes_variables: bool = False
    own_sql_file: bool = True


def edits_of(rewrite: Rewrite, folder: Path) -> tuple[FileEdit, ...]:
    """The edits that make the definition's files say what the server has; none where they do so already.

    Raises Unprovable where the text cannot be made to, and UsageError for a file that is outside of the folder.
    """
    inside(folder, Path(rewrite.loaded.path))
    changes, sql = changes_of(rewrite)
    edits = [edit_of(rewrite.loaded, changes)]
    if sql is not None:
        edits.append(_sql_edit(rewrite, sql, folder))
    _prove(rewrite, edits[0].after, sql)
    return tuple(edit for edit in edits if edit.before != edit.after)


def changes_of(rewrite: Rewrite) -> tuple[Changes, str | None]:
    """The nodes to change, and the text for the `.sql` file where the query goes there."""
    definition, settings = rewrite.loaded.definition, rewrite.remote.settings
    changes: Changes = {}
    sql = None
    if Key.QUERY in rewrite.keys:
        query, sql = _query(rewrite)
        changes |= query
    if Key.QUERY in rewrite.keys or rewrite.takes_variables:
        changes |= _variables(rewrite)
    for key in rewrite.keys & _SIMPLE.keys():
        changes[_place(definition, rewrite.environment, _SIMPLE[key])] = settings[key]
    if Key.MATERIALIZATION in rewrite.keys:
        changes[_materialization_place(definition, rewrite.environment, "enabled")] = settings[Key.MATERIALIZATION]
    if Key.FRESHNESS in rewrite.keys:
        changes |= _freshness(definition, rewrite.environment, int(str(settings[Key.FRESHNESS])))
    return changes, sql


def _query(rewrite: Rewrite) -> tuple[Changes, str | None]:
    """In the form that the file has, where that can hold what the server has; else in the form of a new file."""
    from endpoints_gitops.codecs.rewriting import REMOVED

    definition, sql, node = (
        rewrite.loaded.definition,
        rewrite.values.get("query"),
        rewrite.values.get("query_definition"),
    )
    written = definition.query_definition
    if written is not None and written.get("kind") == rewrite.remote.endpoint.kind:
        return dict(_node_changes(written, node or _node_with_text(written, rewrite.remote.endpoint))), None
    present = next(key for key in QUERY_KEYS if getattr(definition, key) is not None)
    if present == "query_file" and node is None and rewrite.own_sql_file:
        return {}, str(sql)
    if present == "query" and node is None and str(definition.query).endswith("\n"):
        sql = f"{str(sql).rstrip('\n')}\n"  # as `query: |` has it: the block keeps its style
    wanted = "query" if node is None else "query_definition"
    removed: Changes = {} if wanted == present else {(present,): REMOVED}
    return removed | {(wanted,): sql if node is None else node}, None


def _node_with_text(written: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
    """The stored node for a file that holds HogQL as a node; its variables stay in the list if they stand there."""
    left_out = {"version"} if written.get("variables") is not None else {"version", "variables"}
    return {key: value for key, value in endpoint.query.items() if key not in left_out}


def _node_changes(written: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[NodePath, Any]]:
    """What the server fills in by itself is no difference, and what the file says of its defaults stays."""
    return _differences(("query_definition",), strip(written), strip(wanted))


def _differences(path: NodePath, before: Json, after: Json) -> Iterator[tuple[NodePath, Any]]:
    from endpoints_gitops.codecs.rewriting import REMOVED

    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() - after.keys():
            yield (*path, key), REMOVED
        for key, value in after.items():
            yield from _differences((*path, key), before[key], value) if key in before else [((*path, key), value)]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences((*path, index), old, new)
    elif canonical(before) != canonical(after):
        yield path, after


def _variables(rewrite: Rewrite) -> Changes:
    """The list as the server has it: entries that stay keep what is the same, and no list is begun without need."""
    from endpoints_gitops.codecs.rewriting import REMOVED

    has_query = Key.QUERY in rewrite.keys
    wanted = {str(entry["name"]): entry for entry in rewrite.values.get("variables") or ()}
    listed = rewrite.loaded.definition.variables
    if listed is None:
        new = [entry for name, entry in wanted.items() if name not in _used(rewrite.loaded)]
        return {("variables",): new} if new and has_query else {}
    if has_query and not wanted:
        return {("variables",): REMOVED} if listed else {}
    changes: Changes = {}
    for index, variable in enumerate(listed):
        if variable.name in wanted:
            changes |= _variable(index, variable, wanted[variable.name], has_query=has_query)
        elif has_query:
            changes["variables", index] = REMOVED
    names = {variable.name for variable in listed}
    new = [entry for name, entry in wanted.items() if name not in names and name not in _used(rewrite.loaded)]
    return changes | (
        {("variables", len(listed) + position): entry for position, entry in enumerate(new)} if has_query else {}
    )


def _used(loaded: LoadedDefinition) -> frozenset[str]:
    """The variables that the file's query uses; those that its list leaves out are left out on purpose."""
    if not loaded.sql:
        return frozenset()
    try:
        return frozenset(variables_used(parse(loaded.sql)))
    except ParseFailure:
        return frozenset()


def _variable(index: int, variable: Variable, wanted: Mapping[str, Any], *, has_query: bool) -> Changes:
    changes: Changes = {}
    if has_query and variable.states("default") and _differs(variable.default, wanted.get("default")):
        changes["variables", index, "default"] = wanted.get("default")
    for key in _SHARED:
        stated = getattr(variable, key)
        now = list(stated) if isinstance(stated, tuple) else stated
        if variable.states(key) and key in wanted and _differs(now, wanted[key]):
            changes["variables", index, key] = wanted[key]
    return changes


def _differs(stated: Json, other: Json) -> bool:
    return canonical(stated) != canonical(other)


def _place(definition: Definition, environment: str, key: str) -> NodePath:
    """Where the file says this for the environment: in its overlay, if that says it, else at the top."""
    overlay = (definition.environments or {}).get(environment)
    return ("environments", environment, key) if overlay is not None and overlay.states(key) else (key,)


def _materialization_place(definition: Definition, environment: str, key: str) -> NodePath:
    overlay = (definition.environments or {}).get(environment)
    laid = overlay.materialization if overlay is not None else None
    top: NodePath = ("materialization", key)
    return ("environments", environment, *top) if laid is not None and getattr(laid, key) is not None else top


def _freshness(definition: Definition, environment: str, seconds: int) -> Changes:
    """In the words, and under the keys, in which the file says it: the two are one setting."""
    overlay = (definition.environments or {}).get(environment)
    for settings, prefix in ((overlay, ("environments", environment)), (definition, ())):
        if settings is None:
            continue
        schedule = settings.materialization.schedule if settings.materialization else None
        word = schedule_word(seconds) or seconds
        changes: Changes = {}
        if settings.data_freshness is not None:
            in_words = isinstance(settings.data_freshness, str)
            changes[*prefix, "data_freshness"] = word if in_words else seconds
        if schedule is not None:
            changes[*prefix, "materialization", "schedule"] = word
        if changes:
            return changes
    return {("data_freshness",): schedule_word(seconds) or seconds}


def _sql_edit(rewrite: Rewrite, sql: str, folder: Path) -> FileEdit:
    """The `.sql` file with the text, its mark, line ends and end of file kept."""
    path = Path(rewrite.loaded.path).parent / str(rewrite.loaded.definition.query_file)
    inside(folder, path)
    before = content_of(path) or b""
    if rewrite.loaded.sql == sql:
        return FileEdit(path=path, before=before, after=before)
    text = before.decode("utf-8")
    newline = "\r\n" if "\r\n" in text else "\n"
    bare = text.rstrip("\r\n")
    mark = BOM if text.startswith(BOM) else ""
    after = mark + sql.replace("\n", newline) + text[len(bare) :]
    return FileEdit(path=path, before=before, after=after.encode("utf-8"))


def _prove(rewrite: Rewrite, content: bytes, sql: str | None) -> None:
    """Read the new text again: keys that were taken mean what the server has, the others what they did."""
    from endpoints_gitops.codecs.definition import read_definition

    def read_beside(name: str) -> bytes:
        if sql is not None:
            return sql.encode("utf-8")
        return read_regular_file(Path(rewrite.loaded.path).parent / name)

    after = definition_settings(read_definition(rewrite.loaded.path, content, read_beside), rewrite.environment)
    before, server = rewrite.local.settings, rewrite.remote.settings
    wrong = [key for key in rewrite.keys if key not in after or not same(key, after[key], server[key])]
    wrong += [key for key in before.keys() - rewrite.keys if key not in after or not same(key, after[key], before[key])]
    if wrong:
        raise Unprovable(
            f"cannot write {', '.join(sorted(wrong))} of {rewrite.loaded.name} so that it means what the server has",
            where=shown(Path(rewrite.loaded.path)),
            fix=Advice(Command("diff", rewrite.loaded.name), " shows what to change by hand"),
        )
