"""Puts what the models refuse into words: key, value, rule and remedy, with nothing of the validator's own language."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from components.settings.configuration import SECRET_KEYS
from components.settings.errors import Problem, join, shown, shown_key
from components.settings.names import PROJECT
from components.settings.places import Place, fields_by_key, is_section, place_of, plain_type, union_members
from components.settings.rules import Section

# `pulumi config set --path` too makes a boolean of true and a number of digits, unless it is told a type.
_YAML_BOOLEAN = (
    "quote it if it is meant as text (`pulumi config set`: --type string): YAML reads an unquoted true or false as a "
    "boolean"
)
_SECRET_KEY = re.compile(r"password|secret|token", re.IGNORECASE)
# A slip of two letters, other marks between the words; not another project that is named after this one.
NEARLY_THE_PROJECT = 0.88
_LABEL = re.compile(r"[A-Za-z0-9-]{1,63}")
_YAML_NUMBER = (
    "put it in quotes (`pulumi config set`: --type string): YAML reads it as a number, and drops leading zeros"
)


def problem_of(error: Mapping[str, Any]) -> tuple[Problem, Place]:
    """The problem that one of pydantic's errors stands for, and where it is."""
    place = place_of(error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "refused":
        context = error["ctx"]
        text = None if context["secret"] else shown(value)
        return Problem(place.key, context["rule"], context["remedy"], text), place
    if kind == "missing":
        return _missing(place), place
    if kind == "extra_forbidden":
        return _unknown(place), place
    if kind == "literal_error":
        return _no_choice(place, value), place
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _no_mode(place, value), place
    return _wrong_type(place, value), place


def nearest(key: str, known: Collection[str]) -> str | None:
    """The known key that `key` was most likely meant to be; case and underscores do not matter."""
    folded = {name.casefold(): name for name in known}
    match = difflib.get_close_matches(key.replace("_", "").replace("-", "").casefold(), folded, n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def misspelt_namespaces(keys: Collection[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Those of `keys`, whole ones, that are most likely the project's, each with the `known` key that it is there: the
    engine hands every namespace on, and a default would quietly take the place of what stands in a misspelt one."""
    found = []
    for key in keys:
        namespace, _, name = key.partition(":")
        near = difflib.SequenceMatcher(None, namespace.casefold(), PROJECT).ratio() >= NEARLY_THE_PROJECT
        if near and namespace != PROJECT and name in known:
            found.append((key, name))
    return found


def suggestion(key: str, known: Collection[str]) -> str:
    """A remedy for an unknown key."""
    match = nearest(key, known)
    return f"did you mean {match}?" if match else f"the keys here are {', '.join(known)}"


def _missing(place: Place) -> Problem:
    statements = [rule.statement for rule in place.rules]
    wanted = f" ({statements[0]})" if statements else ""
    example = (place.field.examples or [None])[0] if place.field else None
    if isinstance(example, (str, int)):
        return Problem(place.key, f"is missing{wanted}", f"set it, for example to {example}")
    modes = union_members(place.annotation)
    if modes:
        return Problem(place.key, "is missing", f"set it, with {_shapes(modes)}")
    section = plain_type(place.annotation)
    if is_section(section):
        required = [key for key, field in fields_by_key(section).items() if field.is_required()]
        return Problem(place.key, "is missing", f"set it, with {_listed(required, 'and')}")
    return Problem(place.key, f"is missing{wanted}", "set it")


def _unknown(place: Place) -> Problem:
    key = str(place.parts[-1])
    own = fields_by_key(place.section) if place.section else {}
    for mode, sibling in place.siblings.items():
        if sibling is not place.section and key in fields_by_key(sibling):
            chosen = next(name for name, section in place.siblings.items() if section is place.section)
            if "mode" in own:
                return Problem(
                    place.key,
                    f"belongs to mode {mode}, and the mode is {chosen}",
                    f"remove it or set {join(*place.parts[:-1], 'mode')} to {mode}",
                )
            return Problem(
                place.key,
                f"belongs to a {mode}, and the other keys here give a {chosen}",
                f"remove it, or the keys of the {chosen}",
            )
    if key in SECRET_KEYS:
        remedy = f"set it with `pulumi config set --secret {key}`, remove it here, and replace the exposed value"
        return Problem(place.key, "is a secret, and secrets have keys of their own outside the plain settings", remedy)
    return Problem(place.key, "is not a setting", suggestion(key, own))


def _choices(place: Place) -> tuple[Any, ...]:
    annotation = plain_type(place.annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _no_choice(place: Place, value: Any) -> Problem:
    choices = [str(choice) for choice in _choices(place)]
    # What stands in place of a choice about a password may be one.
    text = None if _SECRET_KEY.search(str(place.parts[-1])) else shown(value)
    if isinstance(value, bool):
        return Problem(place.key, f"is not one of {', '.join(choices)}", _YAML_BOOLEAN, text)
    match = nearest(value, choices) if isinstance(value, str) else None
    return Problem(place.key, f"is not one of {', '.join(choices)}", f"set {match or _listed(choices)}", text)


def _no_mode(place: Place, value: Any) -> Problem:
    modes = list(union_members(place.annotation))
    if not isinstance(value, Mapping):
        return Problem(place.key, "is not a map", f"give one with {_shapes(union_members(place.annotation))}")
    key = join(*place.parts, "mode")
    if "mode" not in value:
        return _split_name(place, value) or Problem(key, "is missing", f"set {_listed(modes)}")
    mode = value["mode"]
    match = nearest(mode, modes) if isinstance(mode, str) else None
    return Problem(key, f"is not one of {', '.join(modes)}", f"set {match or _listed(modes)}", shown(mode))


def _split_name(place: Place, value: Mapping[str, Any]) -> Problem | None:
    """What `pulumi config set --path` makes of a name with dots in it that is not in quotes: a map in a map."""
    if place.field is None or get_origin(plain_type(place.field.annotation)) is not Mapping:
        return None  # it is no name that the user has chosen
    known = {key for section in union_members(place.annotation).values() for key in fields_by_key(section)}
    name = [str(place.parts[-1])]
    while isinstance(value, Mapping) and value and not value.keys() & known:
        part, value = next(iter(value.items()))
        if nearest(str(part), known) or not _LABEL.fullmatch(str(part)):
            return None
        name.append(str(part))
    if len(name) == 1 or not isinstance(value, Mapping):
        return None
    whole, where = ".".join(name), join(*place.parts[:-1])
    return Problem(
        place.key,
        f"is the first part of {shown_key(whole)}, a name that was split at its dots",
        f"set it with `pulumi config set --path '{where}[\"{whole}\"].<key>'`, and remove this with `pulumi config rm "
        f"--path {place.key}`",
    )


def _wrong_type(place: Place, value: Any) -> Problem:
    annotation = plain_type(place.annotation)
    statement = next((rule.statement for rule in place.rules), None)
    text = shown(value)
    if annotation is bool:
        return Problem(place.key, "is not true or false", "set true or false, without quotes", text)
    if annotation is int:
        return Problem(place.key, f"is not {statement or 'a whole number'}", _remedy_of_number(value), text)
    if annotation is str:
        remedy = f"give {statement or 'text'}"
        if isinstance(value, bool):
            remedy = _YAML_BOOLEAN
        elif isinstance(value, (int, float)):
            broken = next((rule for rule in place.rules if not rule.accepts(str(value))), None)
            if broken is not None:
                # Quotes alone would lead to the next refusal.
                remedy = broken.remedy or f"give {broken.statement}"
                remedy = remedy if "quotes" in remedy else f"{remedy}, in quotes"
            else:
                remedy = _YAML_NUMBER
        elif value is None:
            remedy = f"{remedy}, or leave the key out"
        return Problem(
            place.key, f"is not {statement or 'text'}" if isinstance(value, str) else "is not text", remedy, text
        )
    if get_origin(annotation) is tuple:
        return Problem(place.key, "is not a list", "write a YAML list: each item on a line that begins with '- '", text)
    if is_section(annotation) or get_origin(annotation) is not None:
        # Text in place of a map may be a secret that was put one level too high.
        text = None if isinstance(value, str) else text
        return Problem(place.key, "is not a map", "write a YAML map: each key on a line of its own", text)
    return Problem(
        place.key, "is not a valid key", "use letters, digits and hyphens, in quotes where YAML asks for them"
    )


def _remedy_of_number(value: Any) -> str:
    if isinstance(value, bool):
        return "give a number: YAML reads an unquoted true or false as a boolean"
    if isinstance(value, float):
        return "write all its digits, without point and exponent"
    return "write its digits alone, without unit"


def _shapes(members: Mapping[str, type[Section]]) -> str:
    if all("mode" in fields_by_key(section) for section in members.values()):
        return f"a mode of {_listed(members)}"
    return f"a {' or a '.join(members)}"


def _listed(words: Collection[str], last: str = "or") -> str:
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail


def problems_of(errors: Sequence[Mapping[str, Any]]) -> tuple[list[Problem], list[Place]]:
    """All of pydantic's errors, worded, with their places."""
    pairs = [problem_of(error) for error in errors]
    return [problem for problem, _ in pairs], [place for _, place in pairs]
