"""`dataclass` as in the standard library, for modules of which a command creates hundreds of classes.

The standard decorator compiles about seven methods for each class, which is a quarter of the time of a short command.
This one compiles `__init__` alone; the other methods are closures over the field names. Fields, `replace`, `asdict`,
equality, hashes, pickling and errors are those of the standard library, and so is what type checkers see.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> type | Callable[[type], type]:
        """Return the class with the methods of a dataclass; without a class, a decorator. Raises what `dataclasses`
        raises.

        With options that few classes use, the standard decorator does all the work.
        """
        decorate = _decorate if options.keys() <= _OPTIONS else dataclasses.dataclass
        return partial(decorate, **options) if cls is None else decorate(cls, **options)


_OPTIONS: Final = {"eq", "frozen", "kw_only", "repr", "slots"}


def _decorate(cls: type, *, eq: bool = True, repr: bool = True, frozen: bool = False, **options: bool) -> type:  # noqa: A002 - the standard name
    cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard library formats the signature
    cls = dataclasses.dataclass(cls, init=False, repr=False, eq=False, **options)
    for name, method in _methods(cls, has_repr=repr, has_eq=eq, is_frozen=frozen).items():
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, method)
        elif name in {"__setattr__", "__delattr__"}:
            raise TypeError(f"cannot overwrite {name} of the frozen class {cls.__name__}")
    return cls


def _methods(cls: type, *, has_repr: bool, has_eq: bool, is_frozen: bool) -> dict[str, Any]:
    fields = dataclasses.fields(cls)
    methods: dict[str, Any] = {"__init__": _init(cls, fields, is_frozen=is_frozen)}
    if has_repr:
        methods["__repr__"] = _repr([field.name for field in fields if field.repr])
    if has_eq:
        values = _values([field.name for field in fields if field.compare])
        methods |= {"__eq__": _eq(values), "__hash__": (lambda self: hash(values(self))) if is_frozen else None}
    if is_frozen:
        names = frozenset(field.name for field in fields)
        methods |= {"__setattr__": _refuse(cls, names, "assign to"), "__delattr__": _refuse(cls, names, "delete")}
        if "__slots__" in cls.__dict__:
            methods |= _pickling([field.name for field in fields])
    return methods


def _init(cls: type, fields: Sequence[dataclasses.Field[Any]], *, is_frozen: bool) -> Callable[..., None]:
    outer: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    positional: list[str] = []
    keywords: list[str] = []
    body: list[str] = []
    for field in fields:
        name, value = field.name, field.name
        parameter = name
        if field.default is not dataclasses.MISSING:
            outer[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            outer[f"_factory_{name}"] = field.default_factory
            parameter = f"{name}=_missing"
            value = f"_factory_{name}() if {name} is _missing else {name}"
        if field.init:
            (keywords if field.kw_only else positional).append(parameter)
        elif field.default_factory is not dataclasses.MISSING:
            value = f"_factory_{name}()"
        else:
            continue
        body.append(f"_set(self, {name!r}, {value})" if is_frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*"] if keywords else []), *keywords])
    lines = "".join(f"  {line}\n" for line in body or ["pass"])
    text = f"def create({', '.join(outer)}):\n def __init__({parameters}):\n{lines} return __init__"
    made: dict[str, Any] = {}
    exec(text, sys.modules[cls.__module__].__dict__, made)  # noqa: S102 - names of fields, as the standard library does
    init: Callable[..., None] = made["create"](**outer)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in fields if field.init} | {"return": None}
    return init


def _values(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """The function that returns the values of these attributes, as a tuple also where there are fewer than two."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _repr(names: Sequence[str]) -> Callable[[object], str]:
    def __repr__(self: object) -> str:  # noqa: N807 - as it is called in a traceback
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _eq(values: Callable[[object], tuple[Any, ...]]) -> Callable[[object, object], bool]:
    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - as it is called in a traceback
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return __eq__


def _refuse(cls: type, names: frozenset[str], verb: str) -> Callable[..., None]:
    """Refuse every attribute of the class itself, and the fields in a subclass."""
    fallback = "__setattr__" if verb == "assign to" else "__delattr__"

    def refuse(self: object, name: str, *value: object) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot {verb} field {name!r}")
        getattr(super(cls, self), fallback)(name, *value)

    return refuse


def _pickling(names: Sequence[str]) -> dict[str, Any]:
    def __getstate__(self: object) -> list[Any]:  # noqa: N807 - as it is called in a traceback
        return [getattr(self, name) for name in names]

    def __setstate__(self: object, state: Sequence[Any]) -> None:  # noqa: N807 - as it is called in a traceback
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}
