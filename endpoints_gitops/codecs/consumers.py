"""The file of the consumers' registry: JSON, one block for each consumer, sorted by name.

Each block has a digest of its own, so that branches that collect different consumers merge, while a block that was
edited or merged by hand is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.codecs.reader import Document, check_schema_version, quoted
from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.model.consumers import ConsumerRegistry, RegisteredConsumer, RegisteredEnvironment, RegisteredUse
from endpoints_gitops.model.json import fingerprint
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.origin import host_mistake

SCHEMA_VERSION: Final = 1
_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _RegistryFile:
    schema_version: int
    consumers: tuple[Mapping[str, object], ...]


def is_consumer_name(text: str) -> bool:
    """Whether this is a valid name of a consumer: printable text without space at either end."""
    return bool(text) and text.isprintable() and text == text.strip() and len(text) <= 128


def read_registry(content: bytes, path: str) -> ConsumerRegistry:
    """Parse a registry. `path` names the file in messages.

    Raises InvalidInput with every mistake: text that is not JSON, a newer schema, unknown or missing keys, wrong types,
    duplicates, and blocks that do not match their digest.
    """
    fix = Advice(
        "restore the file (", OtherCommand("git", "checkout", "HEAD", "--", path), "), or delete it and collect"
    )
    document = Document.of_json(content, path, code="consumers.invalid", fix=fix, is_complete=True)
    check_schema_version(document, SCHEMA_VERSION, code="consumers.newer")
    blocks = document.read(_RegistryFile).consumers
    consumers = [_consumer(document, dict(block), ("consumers", index)) for index, block in enumerate(blocks)]
    _note_duplicates(document, ("consumers",), [str(block.get("name")) for block in blocks], "consumer")
    document.raise_mistakes(f"{path} has mistakes")
    return ConsumerRegistry().with_consumers(filter(None, consumers))


def write_registry(registry: ConsumerRegistry) -> bytes:
    """The bytes of the file, which are equal for equal registries, whatever the order of their entries."""
    consumers = sorted(registry.consumers, key=lambda consumer: consumer.name)
    value = {"schema_version": SCHEMA_VERSION, "consumers": [_block(consumer) for consumer in consumers]}
    return (json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def consumer_as_json(consumer: RegisteredConsumer) -> dict[str, Any]:
    """A consumer as JSON, with environments and uses sorted by name."""
    value = asdict(consumer) | {"collected": consumer.collected.isoformat()}
    value["environments"] = sorted(value["environments"], key=lambda environment: str(environment["name"]))
    for environment in value["environments"]:
        environment["uses"] = sorted(environment["uses"], key=lambda use: str(use["name"]))
    return value


def _block(consumer: RegisteredConsumer) -> dict[str, Any]:
    value = consumer_as_json(consumer)
    return {**value, "digest": fingerprint(value)}


def _consumer(document: Document, block: dict[str, Any], location: KeyPath) -> RegisteredConsumer | None:
    """The consumer of a block; None if it has mistakes, which are added to those of the document."""
    digest = block.pop("digest", None)
    consumer = document.part(RegisteredConsumer, block, location)
    if consumer is None:
        return None
    if digest != fingerprint(block):
        message = f"the block of {quoted(consumer.name)} does not match its digest: it was edited, or merged by hand"
        document.add((*location, "digest"), message)
        return None
    if not is_consumer_name(consumer.name):
        document.add((*location, "name"), f"{quoted(consumer.name)} is not the name of a consumer")
    for key in ("source", "ref", "commit"):
        text = getattr(consumer, key)
        if text is not None and not text.isprintable():
            document.add((*location, key), f"{key} has unprintable characters")
    names = [environment.name for environment in consumer.environments]
    _note_duplicates(document, (*location, "environments"), names, "environment")
    for index, environment in enumerate(consumer.environments):
        _check_environment(document, environment, (*location, "environments", index))
    return consumer


def _check_environment(document: Document, environment: RegisteredEnvironment, location: KeyPath) -> None:
    if not is_environment_name(environment.name):
        document.add((*location, "name"), f"{quoted(environment.name)} is not the name of an environment")
    mistake = host_mistake(environment.host) if environment.host is not None else None
    if mistake is not None:
        document.add((*location, "host"), mistake)
    _note_duplicates(document, (*location, "uses"), [use.name for use in environment.uses], "use")
    for index, use in enumerate(environment.uses):
        _check_use(document, use, (*location, "uses", index))


def _check_use(document: Document, use: RegisteredUse, location: KeyPath) -> None:
    if not is_endpoint_name(use.name):
        document.add((*location, "name"), f"{quoted(use.name)} is not the name of an endpoint")
    if use.version is not None and not 1 <= use.version <= _LARGEST:
        document.add((*location, "version"), f"version must be a whole number from 1 to {_LARGEST}")
    if (use.version is None) != (use.endpoint_id is None):
        document.add((*location, "endpoint_id"), "version and endpoint_id must be both set, or both null")


def _note_duplicates(document: Document, location: KeyPath, names: list[str], what: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            document.add((*location, index, "name"), f"the {what} {quoted(name)} occurs twice")
