"""Reads Helm values files as Helm reads them, merges them as Helm does, and finds what looks like a secret in them.

Pure, no Pulumi. What the access graph adds to the values is `teleport_values`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.go_yaml import HelmLoader

# A values file is typed by people; the API server refuses a release Secret above 1 MiB anyway.
LARGEST_FILE = 1024 * 1024


class ValuesFileError(ValueError):
    """One or more values files cannot be used; the text has one line for each file."""


def parse_values(text: str) -> dict[str, Any]:
    """The values in one YAML document; an empty one is `{}`. Raises `ValuesFileError` with the line."""
    try:
        values = yaml.load(text, Loader=HelmLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValuesFileError(f"{line}{error.problem or error.context or 'not YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValuesFileError(f"not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValuesFileError(f"holds a {type(values).__name__}; values are a map of keys")
    try:
        own: dict[str, Any] = own_copy(values)
    except RecursionError:
        raise ValuesFileError("an alias contains itself; write the value out") from None
    return own


def load_values_files(paths: Sequence[str | Path], root: Path) -> dict[str, Any]:
    """What `helm -f first -f second ...` would pass to the chart. Relative paths are taken from `root`.

    A null is kept: Helm needs it to take the chart's own default away.
    Raises `ValuesFileError` that names every unusable file.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for path in paths:
        try:
            values = merge_values(values, parse_values(_read_text(root / path)))
        except ValuesFileError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ValuesFileError("\n".join(problems))
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
    """A deep copy in plain dicts and lists in which no two places share an object, as YAML aliases make them do."""
    if isinstance(value, Mapping):
        return {key: own_copy(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [own_copy(inner) for inner in value]
    return value


_SECRET_KEY = re.compile(
    r"(password|passwd|passphrase|secret|token|credential|private_?key|api_?key|access_?key|connection_?string|license_?key)",
    re.IGNORECASE,
)
# Keys that only say where a secret is, or how long or of which kind one is.
_NO_SECRET_KEY = re.compile(
    r"^existing|pullsecrets?$|(name|names|ref|refs|path|file|url|uri|namespace|type|method|ttl|id|enabled|annotations?|labels?|mount|mounts|duration|policy)$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(ghp|gho|ghs|github_pat|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@"
)
_PLAIN_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def find_secret_values(values: Mapping[str, Any]) -> list[str]:
    """Paths (`auth.extraEnv[0].value`) of texts that look like secrets, by their key's name or by their own form."""
    return [path for path, key, text in _texts(values, "", "", values) if text and _looks_secret(key, text)]


def _looks_secret(key: str, text: str) -> bool:
    if _SECRET_TEXT.search(text):
        return True
    return bool(_SECRET_KEY.search(key)) and not _NO_SECRET_KEY.search(key)


def _texts(value: Any, path: str, key: str, parent: Any) -> Iterator[tuple[str, str, str]]:
    """Each text with its path and the name that says what it is: the key, or an environment variable's own name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            # {name: DB_PASSWORD, value: ...}: the sibling says what the value is.
            meaning = str(value["name"]) if name == "value" and isinstance(value.get("name"), str) else str(name)
            # {secretName: x, secretKey: uri}: the key inside a Secret, not a key.
            if name == "secretKey" and "secretName" in value:
                meaning = "secretKeyName"
            yield from _texts(inner, join_path(path, str(name)), meaning, value)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]", key, parent)
    elif isinstance(value, str):
        yield path, key, value


def join_path(path: str, key: str) -> str:
    """`path.key`, or `path["key"]` where the key itself has a dot or another sign."""
    if _PLAIN_KEY.match(key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'
