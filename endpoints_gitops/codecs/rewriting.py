"""Change values in a definition file without changing its other bytes; and write new files.

The text is edited where values differ, and then read by two parsers. It is returned only if both read exactly the
requested value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

from endpoints_gitops.codecs.mistakes import annotation_at
from endpoints_gitops.codecs.schema import SCHEMA_URL
from endpoints_gitops.codecs.text import BOM, KeyPath, decode
from endpoints_gitops.codecs.yaml.composer import (
    AliasNode,
    MappingNode,
    Node,
    SequenceNode,
    SolidNode,
    compose,
    compose_purely,
    solid,
)
from endpoints_gitops.codecs.yaml.loader import ValueReader
from endpoints_gitops.codecs.yaml.splicing import YamlSource, add, aliases, children, own_index, remove, replace
from endpoints_gitops.codecs.yaml.writer import Layout, is_plain, mapping_lines
from endpoints_gitops.errors import EndpointsError, ExitCode, InvalidInput
from endpoints_gitops.model.definition import Definition
from endpoints_gitops.model.json import Json, canonical

__all__ = ["REMOVED", "CannotRewrite", "Removed", "new_file", "rewrite"]


class Removed(Enum):
    """The type of `REMOVED`."""

    REMOVED = "removed"


REMOVED: Final = Removed.REMOVED
"""In changes: remove the key or item."""

type Changes = Mapping[KeyPath, Json | Removed]
type Compose = Callable[[str, str], Node]


class CannotRewrite(EndpointsError):
    """The file cannot be edited automatically; nothing was written."""

    code = "definition.rewrite"
    exit_code = ExitCode.USAGE


def rewrite(content: bytes, changes: Changes, *, path: str) -> bytes:
    """The bytes of the file with these values at these paths; the same bytes if no value differs.

    Paths refer to the file before any of the changes. Missing parent mappings of a new key are created; removing a
    missing key changes nothing. A value that an alias shares with other positions is copied there first. Raises
    InvalidInput for a file that cannot be read, CannotRewrite if no edit produces the requested value.
    """
    text = decode(path, content)
    if "\r" in text and "\n" not in text:  # the line breaks of old Macs
        return rewrite(text.replace("\r", "\n").encode(), changes, path=path).replace(b"\n", b"\r")
    mark = BOM if text.startswith(BOM) else ""
    source = YamlSource.of(path, text.removeprefix(BOM))
    before = _value(path, source.root)
    wanted = _changed(before, changes, path)
    if _same(before, wanted):
        return content
    if not isinstance(wanted, Mapping) or not wanted:
        raise _cannot(path, "the change would remove its last key")
    try:
        spliced = _respelled(source, (), before, wanted).text
    except InvalidInput as error:
        raise _cannot(path) from error
    readers = _readers(path, source.text, before)
    return _proven(path, mark, _endings(text, spliced), wanted, readers)


def new_file(values: Mapping[str, Json], *, schema: str = SCHEMA_URL) -> bytes:
    """The bytes of a new definition: the schema line for editors, then the keys in the order of the model.

    `schema` is the URL of the schema, or its path from the new file. Raises CannotRewrite for values that YAML cannot
    represent.
    """
    ordered = {key: values[key] for key in Definition.model_fields if key in values} | dict(values)
    lines = [f"# yaml-language-server: $schema={schema}"]
    for key, value in ordered.items():
        style = "|" if key == "query" and isinstance(value, str) and not is_plain(value) else ""
        lines += mapping_lines({key: value}, column=0, layout=Layout(), style=style)
    content = _read_back(str(values.get("name", "")), "\n".join([*lines, ""]), ordered)
    if content is None:
        raise CannotRewrite(
            f"{values.get('name')} cannot be written to a file: YAML cannot represent one of its values"
        )
    return content


def _value(path: str, root: Node) -> Any:  # noqa: ANN401 - any JSON value
    reading = ValueReader(path=path)
    value = reading.value(root)
    if reading.problems:
        raise InvalidInput(reading.problems)
    return value


def _changed(before: Json, changes: Changes, file: str) -> Json:
    """The value after the changes: new values first, then removals, from the end of a list to its start."""
    wanted = before
    for path, value in changes.items():
        if value is not REMOVED:
            wanted = _with(wanted, path, value, file)
    removed = [path for path, value in changes.items() if value is REMOVED]
    for path in sorted(
        removed, key=lambda location: [(isinstance(part, int), part) for part in location], reverse=True
    ):
        wanted = _without(wanted, path)
    return wanted


def _with(value: Json, path: KeyPath, new: Any, file: str) -> Json:  # noqa: ANN401 - any JSON value
    if not path:
        return new  # type: ignore[no-any-return]  # Any is JSON here
    part, rest = path[0], path[1:]
    if isinstance(part, str) and (value is None or isinstance(value, Mapping)):
        known = value or {}
        return {**known, part: _with(known.get(part), rest, new, file)}
    known_items = [] if value is None else value
    if isinstance(part, int) and isinstance(known_items, list) and part <= len(known_items):
        item = known_items[part] if part < len(known_items) else None
        return [*known_items[:part], _with(item, rest, new, file), *known_items[part + 1 :]]
    raise _cannot(file, f"it has no list or mapping for {part!r}")


def _without(value: Json, path: KeyPath) -> Json:
    part, rest = path[0], path[1:]
    if isinstance(part, str) and isinstance(value, Mapping) and part in value:
        kept = {key: item for key, item in value.items() if key != part}
        return {key: _without(item, rest) if key == part else item for key, item in value.items()} if rest else kept
    if isinstance(part, int) and isinstance(value, list) and part < len(value):
        return [*value[:part], *([_without(value[part], rest)] if rest else []), *value[part + 1 :]]
    return value


def _respelled(source: YamlSource, path: KeyPath, old: Json, new: Json) -> YamlSource:
    """The source with `new` instead of `old` at a path; equal parts are not edited."""
    if _same(old, new):
        return source
    node = _node(source, path)
    if isinstance(node, MappingNode) and isinstance(old, Mapping) and isinstance(new, Mapping) and (new or not path):
        return _respelled_mapping(source, path, old, new)
    if isinstance(node, SequenceNode) and isinstance(old, list) and isinstance(new, list | tuple) and old and new:
        return _respelled_list(source, path, old, list(new))
    return replace(_alone(source, path), path, new)


def _respelled_mapping(
    source: YamlSource, path: KeyPath, old: Mapping[str, Json], new: Mapping[str, Json]
) -> YamlSource:
    if not old and path and not _is_in_flow(source, path):
        return replace(_alone(source, path), path, new)
    for key, value in new.items():
        if key in old and _is_own(source, path, key):
            source = _respelled(source, (*path, key), old[key], value)
        elif key not in old or not _same(old[key], value):
            source = add(_alone(source, path), (*path, key), value, _order(path, new))
    for key in old:
        if key not in new:
            if not _is_own(source, path, key):
                raise _cannot(source.path, f"the key {key!r} is merged in by `<<`")
            source = remove(_alone(source, (*path, key)), (*path, key))
    return source


def _respelled_list(source: YamlSource, path: KeyPath, old: Sequence[Json], new: Sequence[Json]) -> YamlSource:
    """The source with a different list, edited from the end, so that earlier items keep their indexes."""
    for start, end, new_start, new_end in reversed(_runs(old, new)):
        common = min(end - start, new_end - new_start)
        for index in reversed(range(start + common, end)):
            source = remove(_alone(source, (*path, index)), (*path, index))
        for extra, value in enumerate(new[new_start + common : new_end]):
            source = add(_alone(source, path), (*path, start + common + extra), value)
        for index in range(common):
            source = _respelled(source, (*path, start + index), old[start + index], new[new_start + index])
    return source


def _runs(old: Sequence[Json], new: Sequence[Json]) -> list[tuple[int, int, int, int]]:
    """The corresponding ranges of two lists. Equal ends are matched first, so that one changed item is one change."""
    old_names, new_names = [_identity(item) for item in old], [_identity(item) for item in new]
    shorter = min(len(old_names), len(new_names))
    head = next((index for index in range(shorter) if old_names[index] != new_names[index]), shorter)
    tail = next((n for n in range(shorter - head) if old_names[-1 - n] != new_names[-1 - n]), shorter - head)
    middle = SequenceMatcher(
        None, old_names[head : len(old_names) - tail], new_names[head : len(new_names) - tail], autojunk=False
    )
    runs = [(head + a, head + b, head + c, head + d) for _, a, b, c, d in middle.get_opcodes()]
    return [(0, head, 0, head), *runs, (len(old_names) - tail, len(old_names), len(new_names) - tail, len(new_names))]


def _identity(item: Json) -> str:
    """What identifies an item in both lists: its name, if it has one, else its value."""
    return canonical(item["name"] if isinstance(item, Mapping) and "name" in item else item)


def _alone(source: YamlSource, path: KeyPath) -> YamlSource:
    """The source in which no alias shares the value at a path, its parts, or its parents."""
    while shared := _alias_of(source, path):
        location, alias = shared
        source = replace(source, location, _value(source.path, alias.target))
    return source


def _alias_of(source: YamlSource, path: KeyPath) -> tuple[KeyPath, AliasNode] | None:
    around = [_node(source, path[:depth]) for depth in range(len(path) + 1)]
    inside = _within(around[-1])
    for location, alias in aliases(source):
        is_outside = location[: len(path)] != path
        if is_outside and (alias.target in inside or alias.target in around):
            return location, alias
    return None


def _within(root: Node) -> list[Node]:
    nodes = [root]
    for node in nodes:
        if isinstance(node, MappingNode):
            nodes += [key for key, _ in node.pairs]
        if isinstance(node, MappingNode | SequenceNode):
            nodes += children(node)
    return nodes


def _node(source: YamlSource, path: KeyPath) -> Node:
    node: Node = source.root
    for part in path:
        assert isinstance(node, MappingNode | SequenceNode), "changes apply only to collections without aliases"
        index = own_index(node, part)
        assert index is not None, "as above"
        node = children(node)[index]
    return node


def _is_own(source: YamlSource, path: KeyPath, key: str) -> bool:
    node = _node(source, path)
    return isinstance(node, MappingNode) and own_index(node, key) is not None


def _is_in_flow(source: YamlSource, path: KeyPath) -> bool:
    parent = _node(source, path[:-1])
    return isinstance(parent, MappingNode | SequenceNode) and parent.flow


def _order(path: KeyPath, new: Mapping[str, Json]) -> Sequence[str]:
    """The order of the model's keys at a path, or else that of the new mapping."""
    model = annotation_at(path)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else list(new)


def _endings(before: str, after: str) -> list[str]:
    """The text with its original end, and with the line break that a block at the end can need."""
    newline = "\r\n" if "\r\n" in before else "\n"
    if before.endswith("\n"):
        return [after, after + newline]
    bare = after.removesuffix("\n").removesuffix("\r")
    return [bare, after, after + newline]


def _readers(path: str, text: str, value: Json) -> tuple[Compose, ...]:
    """The readers that read this value from a text. The second one refuses some valid texts, such as a tab before a
    value."""
    return tuple(read for read in (compose, compose_purely) if read is compose or _reads_as(path, read, text, value))


def _proven(path: str, mark: str, texts: Sequence[str], wanted: Json, readers: Sequence[Compose]) -> bytes:
    """The first of these texts that all readers read as the requested value. Raises CannotRewrite if there is none."""
    for text in texts:
        content = _read_back(path, text, wanted, readers)
        if content is not None:
            return mark.encode() + content
    raise _cannot(path)


def _read_back(
    path: str, text: str, wanted: Json, readers: Sequence[Compose] = (compose, compose_purely)
) -> bytes | None:
    """The text as bytes if all readers read the requested value from it, else None."""
    return text.encode() if all(_reads_as(path, read, text, wanted) for read in readers) else None


def _reads_as(path: str, read: Compose, text: str, wanted: Json) -> bool:
    try:
        root: SolidNode = solid(read(path, text))
        return _same(_value(path, root), wanted)
    except (InvalidInput, UnicodeError):
        return False


def _same(value: Json, other: Json) -> bool:
    """Whether two values are equal as JSON text: 1, 1.0 and true are three values."""
    return canonical(value) == canonical(other)


def _cannot(path: str, why: str = "no edit makes the change and keeps the rest of the file") -> CannotRewrite:
    return CannotRewrite(
        f"this file cannot be changed automatically: {why}; nothing was written",
        where=path,
        fix="edit the file by hand",
    )
