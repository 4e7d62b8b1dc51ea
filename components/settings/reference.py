"""Writes docs/configuration.md: every setting with its key, type, default, rule and reason, from the models themselves.

`python -m components.settings.reference` prints it; with `--write` it writes the file. A test fails when that is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from components.settings.configuration import SECRET_KEYS, Configuration
from components.settings.loader import RELATIONS
from components.settings.places import fields_by_key, is_section, plain_type, rules_of, union_members
from components.settings.rules import Section

DOCUMENT = Path("docs/configuration.md")

HEADING = """\
# Configuration

<!-- Made by `python -m components.settings.reference --write` from the code: change it there. -->

Settings stand in `Pulumi.<stack>.yaml` under the namespace `teleport-access-graph:`, one object for each concern. The
program reads them once, before it registers anything, and reports everything that is wrong with them together: the key,
the value, the rule and the remedy. `Pulumi.dev.yaml` is a small environment, `Pulumi.prod.yaml` a hardened one.

- An unknown key is refused, and the nearest known one named. So is a key in a namespace that is nearly this one.
- What all environments share may stand in `Pulumi.yaml` as a key's `default`. A stack's own value replaces it as a
  whole. `python -m operations` reads these defaults too, but not what an `environment` of Pulumi ESC adds.
- A map that has modes always names its `mode`; a key of another mode is refused.
- Paths are relative to the directory of `Pulumi.yaml`. The files must exist, and hold 1 MiB at most.
- Put these texts in quotes, because YAML changes them: `true` (a boolean), `1.30` and `1e3` (numbers), dates (another
  text), `012345678901` (loses the zero).
- In the tables `<cluster>` is a name, `[]` an item of a list, and `{file}` a mode or shape in which a key is known.
- `pulumi config set --path 'teleport-access-graph:database.port' 6432` sets one key of an object. Put a name with dots
  in brackets: `'teleport-access-graph:teleport["teleport.example.com"].adopt'`. For a text that is all digits, such as
  `aws.accountId`, add `--type string`.
- Do not use `--config` of `pulumi up` and `preview` for a key of an object, not even with `--config-path`: it replaces
  the whole object in `Pulumi.<stack>.yaml` by one with that key alone, and saves it.

## Secrets

Secrets have keys of their own. A secret given in plain text is refused, and so is a plain setting given as a secret.
Secrets never pass through plain Python values. `pulumi config set --secret databaseUri` reads one from the terminal.

| key | what it is |
| --- | --- |
"""

COLUMNS = "| key | type | default | rule | why |\n| --- | --- | --- | --- | --- |\n"


def reference() -> str:
    """The whole document."""
    text = HEADING + "".join(f"| `{key}` | {what} |\n" for key, what in SECRET_KEYS.items())
    for key, field in fields_by_key(Configuration).items():
        text += f"\n## `{key}`\n\n{_sentence(field.description)}{_presence(field)}\n"
        text += _body(key, field.annotation)
    text += "\n## Rules between settings\n\n"
    return text + "".join(f"- {_sentence(relation.__doc__)}\n" for relation in RELATIONS)


def _body(key: str, annotation: Any) -> str:
    """The tables of what is under a top-level key."""
    inner = plain_type(annotation)
    if _is_mapping(inner):
        _, value = get_args(inner)
        if not union_members(value):
            return f"\n{COLUMNS}{_row(f'{key}.<key>', _typed(value), '', '; '.join(_statements(annotation)), '')}"
        return _modes(f"{key}.<cluster>", union_members(value))
    if union_members(annotation):
        return _modes(key, union_members(annotation))
    return f"\n{COLUMNS}{''.join(_rows(key, inner))}"


def _modes(key: str, members: Mapping[str, type[Section]]) -> str:
    return "".join(
        f"\n### `{key}` with `mode: {mode}`\n\n{_sentence(section.__doc__)}\n\n{COLUMNS}{''.join(_rows(key, section))}"
        for mode, section in members.items()
    )


def _is_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _rows(prefix: str, section: type[Section]) -> Iterator[str]:
    fields = fields_by_key(section)
    for key in sorted(fields, key=lambda name: name != "mode"):  # the mode decides what else there is
        yield from _field_rows(f"{prefix}.{key}", fields[key])


def _field_rows(path: str, field: FieldInfo) -> Iterator[str]:
    annotation = field.annotation
    statements = [rule.statement for rule in rules_of(annotation, field.metadata)]
    yield _row(path, _typed(annotation), _default(field), "; ".join(statements), field.description or "")
    members = union_members(annotation)
    for mode, section in members.items():
        for key, inner in fields_by_key(section).items():
            if key != "mode":
                yield from _field_rows(f"{path}{{{mode}}}.{key}", inner)
    inner_type = plain_type(annotation)
    if is_section(inner_type):
        yield from _rows(path, inner_type)
    if get_origin(inner_type) is tuple and is_section(plain_type(get_args(inner_type)[0])):
        yield from _rows(f"{path}[]", plain_type(get_args(inner_type)[0]))


def _row(path: str, kind: str, default: str, rule: str, why: str) -> str:
    cells = (f"`{path}`", kind, default, rule, why)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def _statements(annotation: Any) -> list[str]:
    return [rule.statement for rule in rules_of(annotation)]


def _typed(annotation: Any) -> str:
    inner = plain_type(annotation)
    members = union_members(inner)
    if members:
        modal = all("mode" in fields_by_key(section) for section in members.values())
        return f"map with a mode: {_codes(members)}" if modal else f"map, a {' or a '.join(members)}"
    if get_origin(inner) is Literal:
        return _codes(get_args(inner))
    if get_origin(inner) is tuple:
        return f"list of {_plural(_typed(get_args(inner)[0]))}"
    if _is_mapping(inner):
        key, value = get_args(inner)
        return f"map of {_plural(_typed(key))} to {_plural(_typed(value))}"
    if is_section(inner):
        return "map"
    return {str: "text", int: "whole number", bool: "`true` or `false`"}[inner]


def _plural(kind: str) -> str:
    return {"text": "texts", "map": "maps"}.get(kind, kind)


def _codes(values: Any) -> str:
    return " or ".join(f"`{value}`" for value in values)


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    text = extra.get("default_text") if isinstance(extra, dict) else None
    if isinstance(text, str):
        return text
    if field.is_required():
        return "**required**"
    if field.default is None:
        return "none"
    if is_section(plain_type(field.annotation)):
        return "as below"
    if field.default in ((), {}):
        return "empty"
    return f"`{json.dumps(field.default)}`"


def _presence(field: FieldInfo) -> str:
    return " Required." if field.is_required() else ""


def _sentence(text: str | None) -> str:
    sentence = " ".join((text or "").split())
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())
