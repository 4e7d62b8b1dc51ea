"""Finds, for a location in the configuration, the section, field and modes that the models have there.

One walk over the models serves the wording of errors, their mending, and the reference.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag
from pydantic.fields import FieldInfo

from components.settings.configuration import Configuration
from components.settings.errors import join
from components.settings.rules import Rule, Section
from components.settings.unions import mode_of


@dataclass(frozen=True)
class Place:
    """Where a location leads. `parts` are the user's keys, without what pydantic puts between them."""

    parts: tuple[str | int, ...]
    section: type[Section] | None
    """The innermost section on the way, in which the last key is to be looked for."""

    siblings: Mapping[str, type[Section]]
    """The sections of the union that `section` was chosen from, by mode; empty where there is none."""

    field: FieldInfo | None
    """The innermost field on the way."""

    annotation: Any
    """The type of what is there, or None beyond the models."""

    rules: tuple[Rule, ...]
    """The rules of what is there."""

    mendable: tuple[tuple[str | int, ...], FieldInfo | None]
    """Keys of the innermost part that can be left out or replaced as a whole, and its field if it is one."""

    @property
    def key(self) -> str:
        return join(*self.parts)


def fields_by_key(section: type[Section]) -> dict[str, FieldInfo]:
    """The fields of a section by the keys they have in YAML."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def plain_type(annotation: Any) -> Any:
    """`annotation` without its rules and without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return plain_type(members[0])
    return annotation


def union_members(annotation: Any) -> dict[str, type[Section]]:
    """The sections of a union by mode; empty for anything else."""
    annotation = plain_type(annotation)
    if get_origin(annotation) not in (Union, types.UnionType):
        return {}
    members = {}
    for member in get_args(annotation):
        for mark in get_args(member)[1:]:
            mode = mode_of(mark.tag) if isinstance(mark, Tag) else None
            if mode is not None:
                members[mode] = plain_type(member)
    return members


def rules_of(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[Rule]:
    """The rules of a type, its own before those of what it holds."""
    yield from (mark for mark in metadata if isinstance(mark, Rule))
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        yield from rules_of(base, marks)
    elif get_origin(annotation) is not None and not union_members(annotation):
        for argument in get_args(annotation):
            yield from rules_of(argument)


def _is_map(annotation: Any) -> bool:
    origin = get_origin(plain_type(annotation))
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def place_of(location: Sequence[str | int]) -> Place:
    """The place of a location as pydantic reports it, tags of modes included."""
    annotation: Any = Configuration
    section: type[Section] | None = None
    siblings: dict[str, type[Section]] = {}
    field: FieldInfo | None = None
    metadata: Sequence[Any] = ()
    parts: tuple[str | int, ...] = ()
    mendable: tuple[tuple[str | int, ...], FieldInfo | None] = ((), None)
    for part in location:
        # Pydantic's mark that it is the key itself that is wrong; right under a map it is a key of that very name.
        if part == "[key]" and not _is_map(annotation):
            annotation = None
            continue
        mode = mode_of(part)
        if mode is not None:
            siblings = union_members(annotation)
            annotation = siblings.get(mode)
            section = annotation
            continue
        parts = (*parts, part)
        current, metadata = plain_type(annotation), ()
        if is_section(current):
            if section is not current:
                section, siblings = current, {}
            field = fields_by_key(current).get(str(part))
            annotation, metadata = (None, []) if field is None else (field.annotation, field.metadata)
            mendable = (parts, field)
        elif _is_map(current):
            annotation = get_args(current)[1]
            mendable = (parts, None)
        elif get_origin(current) is tuple:
            annotation = get_args(current)[0]
        else:
            annotation = None
    current = plain_type(annotation)
    if is_section(current) and section is not current:
        section, siblings = current, {}
    return Place(parts, section, siblings, field, annotation, tuple(rules_of(annotation, metadata)), mendable)
