"""Two sides of one endpoint, before and after, and the findings of many such pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from endpoints_gitops.contract.compare import compare_all
from endpoints_gitops.contract.context import Context
from endpoints_gitops.contract.contract import Contract
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.plan.meaning import Key, Meaning, same
from endpoints_gitops.workspace.plugins import installed


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side has. `label` says where, `version` which of a server's; `loaded` is None where there is no file."""

    label: str
    contract: Callable[[], Contract]
    meaning: Meaning
    version: int | None = None
    loaded: LoadedDefinition | None = None

    @cached_property
    def promise(self) -> Contract:
        return self.contract()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDifference:
    """One key that differs; None for a side that says nothing of it."""

    key: Key
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One endpoint in one environment. None: it is not there on that side."""

    name: str
    environment: str
    before: Side | None
    after: Side | None

    @property
    def differences(self) -> tuple[Key, ...]:
        """The keys in which the sides differ in meaning.

        A server says something of every key, and a file may leave some alone: those are no difference.
        """
        if self.before is None or self.after is None:
            return ()
        old, new = self.before.meaning, self.after.meaning
        keys = new.keys() & old.keys() if self.before.loaded is None else new.keys() | old.keys()
        return tuple(key for key in Key if key in keys and not _same(key, new, old))


def _same(key: Key, new: Meaning, old: Meaning) -> bool:
    return key in new and key in old and same(key, new[key], old[key])


def judge(
    pairs: Iterable[Pair], callers: Callers, *, is_move: bool = False, is_unknown_error: bool = False
) -> tuple[Finding, ...]:
    """The findings of all pairs, of the catalogue and of custom rules. Raises PluginFailed."""
    found: list[Finding] = []
    by_environment: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_environment.setdefault(pair.environment, []).append(pair)
    for environment, some in by_environment.items():
        context_of = _context_of(
            environment, some, callers, Context(is_move=is_move, is_unknown_error=is_unknown_error)
        )
        found += _judged(some, context_of)
    return in_order({one.fingerprint: one for one in found}.values())


def _judged(pairs: list[Pair], context_of: Callable[[str], Context]) -> Iterator[Finding]:
    before = {pair.name: pair.before.promise for pair in pairs if pair.before}
    after = {pair.name: pair.after.promise for pair in pairs if pair.after}
    yield from compare_all(before, after, context_of)
    if plugins := installed():
        for pair in pairs:
            yield from plugins.of_change(before.get(pair.name), after.get(pair.name), context_of(pair.name))


def _context_of(environment: str, pairs: Iterable[Pair], callers: Callers, base: Context) -> Callable[[str], Context]:
    using = _using(pairs)

    def context_of(name: str) -> Context:
        sharing = {code: tuple(other for other in names if other != name) for code, names in using.items()}
        return replace(base, callers=callers.of(environment, name), sharing=sharing)

    return context_of


def _using(pairs: Iterable[Pair]) -> Mapping[str, list[str]]:
    """The endpoints that use each shared variable."""
    using: dict[str, list[str]] = {}
    for pair in pairs:
        side = pair.after or pair.before
        for variable in side.promise.inputs if side else ():
            using.setdefault(variable.name, []).append(pair.name)
    return using
