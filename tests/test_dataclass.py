"""The decorator `dataclass` behaves like the one of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any, ClassVar

import pytest

from endpoints_gitops import dataclass as ours

_OPTIONS = (
    {},
    {"frozen": True},
    {"slots": True, "kw_only": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "kw_only": True, "eq": False},
    {"kw_only": True, "eq": False, "repr": False},
    {"frozen": True, "slots": True, "order": True},
)


def _class(decorate: Callable[..., Any], options: dict[str, bool]) -> Any:
    @decorate(**options)
    class Pet:
        """A pet."""

        kind: ClassVar[str] = "animal"
        name: str
        age: int = 3
        tricks: list[str] = field(default_factory=list, compare=False)
        secret: str = field(default="bone", repr=False)
        told: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

        def __post_init__(self) -> None:
            self.told.append(self.name)

        @property
        def label(self) -> str:
            return f"{self.name}!"

    return Pet


def _behavior(cls: Any, options: dict[str, bool]) -> dict[str, Any]:
    """What the class does, in values that can be compared between two classes of the same text."""
    first, same, other = cls(name="Rex"), cls(name="Rex", tricks=["sit"]), cls(name="Rex", age=4)
    names = [part.name for part in fields(cls)]
    return {
        "repr": repr(first) if options.get("repr", True) else "",
        "equal": (first == same, first == other, first == 1, first != same),
        "hash": _outcome(lambda: hash(first) == hash(same)),
        "fields": [(part.name, part.type, part.kw_only, part.init, part.compare) for part in fields(cls)],
        "values": asdict(first),
        "label": first.label,
        "fresh": first.tricks is not cls(name="Rex").tricks,
        "replaced": asdict(replace(first, age=9)),
        "copied": [asdict(copied(other)) for copied in (copy.copy, copy.deepcopy)],
        "signature": str(inspect.signature(cls)).replace("<factory>", "_").replace(repr(dataclasses.MISSING), "_"),
        "annotations": cls.__init__.__annotations__,
        "match": cls.__match_args__,
        "slots": getattr(cls, "__slots__", None),
        "doc": cls.__doc__,
        "positional": _outcome(lambda: asdict(cls("Rex", 4))),
        "missing": _outcome(lambda: cls()),
        "unknown": _outcome(lambda: cls(name="Rex", color="red")),
        "not an argument": _outcome(lambda: cls(name="Rex", told=[])),
        "assigned": [_outcome(lambda name=name: setattr(first, name, "x")) for name in names],
        "deleted": [_outcome(lambda name=name: delattr(other, name)) for name in names],
    }


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (TypeError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("options", _OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_a_class_behaves_like_one_of_the_standard_library(options: dict[str, bool]) -> None:
    standard, faster = (_class(decorate, options) for decorate in (dataclasses.dataclass, ours.dataclass))
    assert _behavior(faster, options) == _behavior(standard, options)


@ours.dataclass(frozen=True, slots=True, kw_only=True)
class Pickled:
    name: str
    size: int = 2


def test_a_frozen_class_refuses_a_name_that_is_no_field() -> None:
    with pytest.raises(FrozenInstanceError, match="color"):
        Pickled(name="x").color = "red"  # type: ignore[attr-defined]  # no field


def test_a_frozen_class_with_slots_can_be_pickled() -> None:
    value = Pickled(name="x", size=3)
    assert pickle.loads(pickle.dumps(value)) == value


def test_a_frozen_class_refuses_changes_in_a_subclass_too() -> None:
    @ours.dataclass(frozen=True)
    class Base:
        name: str

    class Loose(Base):
        pass

    loose = Loose("x")
    loose.color = "red"  # type: ignore[attr-defined]  # no field
    assert loose.color == "red"  # type: ignore[attr-defined]  # no field
    with pytest.raises(FrozenInstanceError):
        loose.name = "y"  # type: ignore[misc]  # a frozen field


def test_methods_of_the_class_stay() -> None:
    @ours.dataclass(frozen=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named)

    @ours.dataclass(frozen=True)
    class Hashed:
        name: str

        def __hash__(self) -> int:
            return 7

    assert repr(Named("x")) == "<x>"
    assert Named("x") == Named("y")
    assert hash(Named("x")) == hash(Named("x"))
    assert hash(Hashed("x")) == 7


def test_a_class_with_one_field_or_none_compares_as_tuples_do() -> None:
    @ours.dataclass(frozen=True)
    class Single:
        value: float

    @ours.dataclass(frozen=True)
    class Empty:
        pass

    missing = float("nan")
    assert Single(missing) == Single(missing)
    assert hash(Single(1.5)) == hash((1.5,))
    assert Empty() == Empty()
    assert repr(Empty()).endswith("Empty()")


def test_a_method_that_freezing_would_overwrite_is_refused() -> None:
    with pytest.raises(TypeError, match="__setattr__"):

        @ours.dataclass(frozen=True)
        class Setting:
            name: str

            def __setattr__(self, name: str, value: object) -> None:
                """Nothing is set."""


def test_a_subclass_adds_fields() -> None:
    @ours.dataclass(frozen=True, slots=True, kw_only=True)
    class Base:
        name: str

    @ours.dataclass(frozen=True, slots=True, kw_only=True)
    class Longer(Base):
        size: int = 1

    assert asdict(Longer(name="x")) == {"name": "x", "size": 1}
    assert Longer(name="x") != Base(name="x")
    with pytest.raises(FrozenInstanceError):
        Longer(name="x").name = "y"  # type: ignore[misc]  # a frozen field
