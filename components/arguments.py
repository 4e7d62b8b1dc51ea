"""How a component takes its arguments: as a frozen dataclass, or as the plain mapping that a component host passes.

Owns the conversion and its errors. Each component's own `XArgs` documents its fields.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from types import UnionType
from typing import Any, ForwardRef, TypeVar, Union, get_args, get_origin

import pulumi

ArgumentsType = TypeVar("ArgumentsType", bound="ComponentArgs")


class RefusedArgumentError(ValueError):
    """An argument that cannot work, found out once its value is known. It has its own type, because an error that comes
    out of Outputs no longer tells where it was raised."""


class ComponentArgs:
    """Base of every `XArgs`. Subclasses are `@dataclass(frozen=True, kw_only=True)`.

    Modules of components do not use `from __future__ import annotations`, because a component host reads the
    annotations as types.
    """

    def __init_subclass__(cls) -> None:
        """Tell a component host that a field with a default may be left out, which its schema expresses only by
        `Optional`."""
        super().__init_subclass__()
        annotations = inspect.get_annotations(cls)
        cls.__annotations__ = {
            name: annotation | None if name in cls.__dict__ else annotation for name, annotation in annotations.items()
        }

    def __post_init__(self) -> None:
        """Replace None by the field's default, if any, and a whole number such as 2.0 by an `int`: hosts know only one
        sort of numbers, and 2.0 would be written into names and scripts as it is. An Output stays. An awaitable becomes
        one, because a coroutine gives its value only once, and components ask more often.

        Raises `TypeError` for a value of another type than the field's. Without this check, an Output in place of plain
        text would put the text of its error message into the cluster, and a name would pass as a list of letters.
        """
        problems = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None and not is_required(field):
                object.__setattr__(self, field.name, _default(field))
            elif not _is_of(value, field.type):
                problems.append(f"{type(self).__name__}: {field.name}: {_rule(value, field.type)}")
            elif isinstance(value, Awaitable):
                object.__setattr__(self, field.name, pulumi.Output.from_input(value))
            elif isinstance(value, float) and int in (get_args(field.type) or (field.type,)):
                object.__setattr__(self, field.name, int(value))
        if problems:
            raise TypeError("\n".join(problems))

    @classmethod
    def from_input(cls: type[ArgumentsType], args: ArgumentsType | Mapping[str, Any]) -> ArgumentsType:
        """Return `args` as an instance of this class.

        A mapping's keys may be snake_case (a Python caller) or camelCase (a component host, another language). None
        stands for the default, where there is one.
        Raises `TypeError` for a value of another type, an unknown key (naming the nearest known one), a key given
        in both spellings and a required one that is missing.
        """
        if isinstance(args, cls):
            return args
        if not isinstance(args, Mapping):
            raise TypeError(
                f"{cls.__name__}: got {type(args).__name__}; pass {cls.__name__} or a mapping of its fields"
            )
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        by_spelling = {spelling: name for name in fields for spelling in (name, camel_case(name))}
        values: dict[str, Any] = {}
        for key, value in args.items():
            name = by_spelling.get(key)
            if name is None:
                nearest = difflib.get_close_matches(key, list(by_spelling), n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(sorted(fields))}"
                raise TypeError(f"{cls.__name__}: unknown argument {key!r}{hint}")
            if name in values:
                raise TypeError(
                    f"{cls.__name__}: argument {name!r} is given twice, as {name!r} and {camel_case(name)!r}"
                )
            if value is not None or is_required(fields[name]):
                values[name] = value
        missing = [name for name, field in fields.items() if name not in values and is_required(field)]
        if missing:
            raise TypeError(f"{cls.__name__}: missing {', '.join(repr(name) for name in missing)}")
        return cls(**values)


def camel_case(name: str) -> str:
    """`not_after` -> `notAfter`."""
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a dataclass field has neither a default nor a default factory."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _is_of(value: Any, kind: Any) -> bool:
    """Whether `value` fits the annotation `kind`. Does not check the content of lists and maps: they may hold Outputs,
    and pods take some of them as they are."""
    origin = get_origin(kind)
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if isinstance(kind, ForwardRef):
        # `pulumi.Input` quotes its Output, so it is a forward reference.
        return isinstance(value, pulumi.Output)
    plain = origin or kind
    if plain is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    if plain in (list, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if plain in (dict, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, plain)


# Words for types that a programmer in any language understands.
_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def _rule(value: Any, kind: Any) -> str:
    """What is wrong with `value`, which may be secret, and what to pass."""
    alternatives = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    words = []
    for one in alternatives:
        plain = get_origin(one) or one
        if plain in (list, Sequence):
            words.append("a list")
        elif plain in (dict, Mapping):
            words.append("a map")
        elif plain in _WORDS:
            words.append(_WORDS[plain])
    wanted = " or ".join(words)
    if isinstance(value, (pulumi.Output, Awaitable)):
        return f"is an Output, and has to be known while the program runs; pass {wanted} that is plain"
    if value is None:
        return f"is None; pass {wanted}"
    return f"is of type {type(value).__name__}; pass {wanted}"
