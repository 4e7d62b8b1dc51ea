"""The schema's descriptions of components, for readers of SDKs in other languages: docstrings as plain text, with the
schema's names, and with the defaults, which somebody without the class finds nowhere else.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def describe(resource: Schema, arguments: type[Any], names: Mapping[str, str]) -> None:
    """Rewrite the descriptions of `resource`, a component in a schema, and add to each input its default in
    `arguments`, a dataclass.

    `names` are the component's inputs and outputs: names in the schema -> Python names.
    """
    _write_plainly(resource, names)
    fields = {field.name: field for field in dataclasses.fields(arguments)}
    for name, description in resource["inputProperties"].items():
        default = _default(fields[names[name]])
        if default is not None:
            said = description.get("description")
            description["description"] = f"{said} {default}" if said else default


def by_schema_names(text: str, names: Mapping[str, str]) -> str:
    """`text` about arguments, with their names in the schema; `names` as above."""
    for schema_name, python_name in names.items():
        text = re.sub(rf"\b{python_name}\b", schema_name, text)
    return text


def _write_plainly(part: Any, names: Mapping[str, str]) -> None:
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key == "description" and isinstance(value, str):
            # The further lines of a docstring are indented, which Markdown takes for code.
            part[key] = by_schema_names(inspect.cleandoc(value).strip(), names)
        else:
            _write_plainly(value, names)


def _default(field: dataclasses.Field[Any]) -> str | None:
    """The default as a program writes it; None where there is none, or an empty one."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING or value is None or value in ("", (), [], {}):
        return None
    return f"Default: `{value if isinstance(value, str) else json.dumps(value)}`."
