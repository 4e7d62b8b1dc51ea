"""Reads and merges Helm values files as Helm does, and finds what looks like a secret in them.

Pure, no Pulumi. `teleport_values` adds the access graph's values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.go_yaml import HelmLoader
from components.nesting import DEEPEST_VALUES
from components.settings.secret_texts import is_secret_text

# People write values files by hand, and the API server refuses a release Secret above 1 MiB anyway.
LARGEST_FILE = 1024 * 1024
# After aliases are expanded: Helm and the API server refuse more.
MOST_VALUES = 100_000


class ValuesFileError(ValueError):
    """One or more values files cannot be used; `problems` has a line for each file."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def parse_values(text: str) -> dict[str, Any]:
    """The values in one YAML document; an empty document is `{}`. Raises `ValuesFileError` with the line."""
    try:
        values = yaml.load(text, Loader=HelmLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValuesFileError(f"{line}{_in_own_words(error)}") from None
    except yaml.reader.ReaderError as error:
        raise ValuesFileError(
            f"character {error.position} is a control character, which YAML does not allow; remove it"
        ) from None
    except RecursionError:
        raise ValuesFileError(_TOO_DEEP) from None
    except (yaml.YAMLError, ValueError):
        raise ValuesFileError("holds a number or a date that cannot be read; put it in quotes") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        raise ValuesFileError(f"holds {kind}; write a map of keys, as in a chart's own values.yaml")
    _check_plain(values)
    own: dict[str, Any] = own_copy(values)
    return own


def values_document(values: Mapping[str, Any]) -> str:
    """The values as a document that every YAML reader reads alike: JSON, in which no word can mean something else. Ends
    with a line break."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    # JSON writes a character above U+FFFF as two escapes, which YAML cannot read; YAML refuses some lower ones
    # unescaped.
    return re.sub(r"[\x7f-\uffff]", lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n"


_TOO_DEEP = f"goes deeper than {DEEPEST_VALUES} levels, or an alias contains itself; write the value out"


def _in_own_words(error: yaml.MarkedYAMLError) -> str:
    """YAML's error without the text of the file at that place, which may be a secret."""
    problem = str(error.problem or error.context or "not YAML")
    if "undefined alias" in problem:
        return "an alias of which there is no anchor; put text that begins with * in quotes"
    if "undefined tag handle" in problem or "could not determine a constructor" in problem:
        return "a tag that values do not have; put text that begins with ! in quotes"
    if "another document" in problem:
        return "a second document begins; put it into a file of its own"
    if problem == "second occurrence":
        return "an anchor that there was before; give it another name"
    return f"{problem}; correct the YAML there"


def _check_plain(values: Any) -> None:
    """Check that the values are what JSON has, within Helm's limits of depth and number. Raises `ValuesFileError`."""
    left = MOST_VALUES
    level = [values]
    for _ in range(DEEPEST_VALUES):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                _check_text(*value)
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, str):
                _check_text(value)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise ValuesFileError("holds a value with a tag such as !!binary or !!set; write plain text")
            # Counted level by level: an alias of an alias of an alias is one line, and a billion values.
            if len(inner) > left:
                raise ValuesFileError(f"holds more than {MOST_VALUES} values, by aliases of aliases; write them out")
        if not inner:
            return
        left -= len(inner)
        level = inner
    raise ValuesFileError(_TOO_DEEP)


def _check_text(*texts: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValuesFileError("holds half of a character (\\ud800 to \\udfff); write the whole one") from None


def load_values_files(paths: Sequence[str | Path], root: Path) -> dict[str, Any]:
    """The values that `helm -f first -f second ...` would pass to the chart. Relative paths start from `root`.

    A null is kept, because Helm needs it to remove a default of the chart. Raises `ValuesFileError` that names every
    unusable file.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for path in paths:
        try:
            values = merge_values(values, parse_values(_read_text(root / path)))
        except ValuesFileError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ValuesFileError(*problems)
    return values


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValuesFileError(f"larger than {LARGEST_FILE} bytes; a values file is never that long")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValuesFileError(f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise ValuesFileError(f"cannot be read: {error.strerror}; give a path relative to the project") from None


def merge_values(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Helm's merge of two sets of values: maps merge, everything else (lists, null) in `over` replaces."""
    merged: dict[str, Any] = own_copy(base)
    for key, value in over.items():
        present = merged.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[key] = merge_values(present, value)
        else:
            merged[key] = own_copy(value)
    return merged


def own_copy(value: Any) -> Any:
    """A deep copy in plain dicts and lists, without the shared objects that YAML aliases create."""
    if isinstance(value, Mapping):
        return {key: own_copy(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [own_copy(inner) for inner in value]
    return value


_SECRET_KEY = re.compile(
    r"(password|passwd|passphrase|secret|token|credential|private_?key|api_?key|access_?key|connection_?string|license_?key)",
    re.IGNORECASE,
)
# Short forms count only as whole words: `bypass` is not one.
_SECRET_SHORT_KEY = re.compile(r"(^|[_-])(pass|pwd)$|(Pass|Pwd)$")
# Only under these keys is a number a secret as well: `tokens: 3` is not.
_SECRET_NUMBER_KEY = re.compile(r"(password|passwd|passphrase|secret|token)$", re.IGNORECASE)
# Keys that only say where a secret is, how long it lives or of which kind it is.
_NO_SECRET_KEY = re.compile(
    r"^existing|pullsecrets?$|(name|names|ref|refs|path|file|url|uri|namespace|type|method|ttl|id|enabled|annotations?|labels?|mount|mounts|duration|policy|class)$",
    re.IGNORECASE,
)
_PLAIN_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def find_secret_values(values: Mapping[str, Any]) -> list[str]:
    """Paths (`auth.extraEnv[0].value`) of texts and numbers that look like secrets, by key or by form."""
    return [path for path, key, text in _texts(values, "", "") if text and _looks_secret(key, text)]


def _looks_secret(key: str, text: str) -> bool:
    return is_secret_text(text) or names_secret(key)


def names_secret(key: str) -> bool:
    """Whether any text under `key` is taken for a secret."""
    # An annotation's domain tells only its owner: secret.reloader.stakater.com/reload holds the name of a Secret.
    key = key.rpartition("/")[2]
    named = _SECRET_KEY.search(key) or _SECRET_SHORT_KEY.search(key)
    return bool(named) and not _NO_SECRET_KEY.search(key)


def _texts(value: Any, path: str, key: str) -> Iterator[tuple[str, str, str]]:
    """Each text with its path and the name that tells its meaning: the key, or an environment variable's own name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            # {name: DB_PASSWORD, value: ...}: the name beside the value tells its meaning.
            meaning = str(value["name"]) if name == "value" and isinstance(value.get("name"), str) else str(name)
            # {secretName: x, secretKey: uri}: this names a key inside a Secret, and is not a secret key.
            if name == "secretKey" and "secretName" in value:
                meaning = "secretKeyName"
            yield from _texts(inner, join_path(path, str(name)), meaning)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]", key)
    elif isinstance(value, str) or (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (_SECRET_NUMBER_KEY.search(key) or _SECRET_SHORT_KEY.search(key))
    ):
        yield path, key, str(value)


def join_path(path: str, key: str) -> str:
    """`path.key`, or `path["key"]` where the key itself has a dot or another sign."""
    if _PLAIN_KEY.match(key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'
