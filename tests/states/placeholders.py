"""A state without its secrets, and with fresh ones: what differs from one sandbox to the next, and what nobody may
keep, is a marker in the recorded file.

Owns the markers. Recording is `record`'s, what is done with a filled state the tests'.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

# How `pulumi stack export --show-secrets` writes a secret.
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
PLAINTEXT = "plaintext"
MARK = "${%s}"
Json = Any


def is_envelope(value: Json) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def secret_texts(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in an envelope with its path."""
    if is_envelope(value):
        yield from _texts(json.loads(value[PLAINTEXT]), path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from secret_texts(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from secret_texts(item, f"{path}/{index}")


def _texts(value: Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}/{index}")
    elif isinstance(value, str) and value:
        yield path, value


def normalised(deployment: Json, facts: Mapping[str, str]) -> Json:
    """`deployment` with a marker for each of the `facts` (name -> text of this sandbox) and for every secret text."""
    replacements = {text: MARK % name for name, text in facts.items() if text}
    for index, (_, text) in enumerate(secret_texts(deployment)):
        if text not in replacements and not text.startswith("-----BEGIN CERTIFICATE"):
            replacements[text] = MARK % f"secret-{index}"
    # The longest first: a text may be in another.
    ordered = sorted(replacements.items(), key=lambda pair: -len(pair[0]))
    return _map(copy.deepcopy(deployment), ordered)


def filled(recorded: Json, facts: Mapping[str, str]) -> Json:
    """`recorded` with the facts of this sandbox, and a fresh text for each secret."""
    text = json.dumps(recorded)
    for name, value in facts.items():
        text = text.replace(MARK % name, json.dumps(json.dumps(value)[1:-1])[1:-1] if "\n" in value else value)
    index = 0
    while (start := text.find("${secret-")) >= 0:
        marker = text[start : text.index("}", start) + 1]
        text = text.replace(marker, f"fresh-{index}-{secrets.token_hex(20)}")
        index += 1
    return json.loads(text)


def _map(value: Json, replacements: list[tuple[str, str]]) -> Json:
    if is_envelope(value):
        plain = _map(json.loads(value[PLAINTEXT]), replacements)
        return {**value, PLAINTEXT: json.dumps(plain)}
    if isinstance(value, dict):
        return {_text(key, replacements): _map(item, replacements) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(item, replacements) for item in value]
    return _text(value, replacements) if isinstance(value, str) else value


def _text(text: str, replacements: list[tuple[str, str]]) -> str:
    for old, new in replacements:
        text = text.replace(old, new)
    return text


def renewed(recorded: Json, now: datetime | None = None) -> Json:
    """Certificates that are as young as on the day of the recording: else the engine would renew them one day."""
    start = now or datetime.now(timezone.utc)
    for resource in recorded["deployment"]["resources"]:
        outputs = resource.get("outputs", {})
        if "validityEndTime" in outputs:
            end = start + timedelta(hours=float(outputs["validityPeriodHours"]))
            outputs["validityStartTime"] = start.strftime("%Y-%m-%dT%H:%M:%SZ")
            outputs["validityEndTime"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
            outputs["readyForRenewal"] = False
    return recorded
