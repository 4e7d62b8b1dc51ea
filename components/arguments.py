"""How a component takes its arguments: a frozen dataclass, or the plain mapping that a component host passes.

Owns the conversion and its errors. What the fields mean is said by each component's own `XArgs`.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

ArgumentsType = TypeVar("ArgumentsType", bound="ComponentArgs")


class ComponentArgs:
    """Base of every `XArgs`. Subclasses are `@dataclass(frozen=True, kw_only=True)`.

    Modules of components do without `from __future__ import annotations`: a component host reads the annotations as
    types.
    """

    def __init_subclass__(cls) -> None:
        """Let a component host see that a field with a default may be left out: its schema knows only `Optional` for
        that."""
        super().__init_subclass__()
        annotations = inspect.get_annotations(cls)
        cls.__annotations__ = {
            name: annotation | None if name in cls.__dict__ else annotation for name, annotation in annotations.items()
        }

    @classmethod
    def from_input(cls: type[ArgumentsType], args: ArgumentsType | Mapping[str, Any]) -> ArgumentsType:
        """Return `args` as an instance of this class.

        A mapping's keys may be snake_case (a Python caller) or camelCase (a component host, another language); a None
        stands for the default where there is one.
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
