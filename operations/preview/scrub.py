"""Takes secrets out of what the engine printed, wherever they are: in values, in texts within values, in logs.

The engine masks what it knows to be secret, as `[secret]`; this is the net below it, for what came in as plain text.
It may take too much, never too little. Certificates stay: they are public, and reviewers need their fingerprints.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

MASKED = "[secret]"  # the engine's own mask
SCRUBBED = "[scrubbed]"

# How the engine wraps a secret in a serialised value (pulumi/pulumi, sdk/go/common/resource/sig).
_ENVELOPE = "4dabf18193072939515e22adb298388d"

# What stands for a value that is known only after the apply, by its type (pulumi's sdk/go/common/resource/plugin).
UNKNOWNS = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL)
_WORD = re.compile(r"[^\s\"'<>]+")
_URI_USER = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^/:@]*:")
_ASSIGNED = re.compile(
    r"(?i)((?<!\d{12}:)"
    r"(?:password|passwd|pwd|passphrase|token|secret|secret[_-]?access[_-]?key|api[_-]?key|client[_-]?secret"
    r"|client-key-data|private[_-]?key)[\"']?\s*[:=]\s*)"
    # Not what is masked already, nor what follows the type in a URN; nor, above, an ARN's `:secret:`.
    r"(?!\[s(?:ecret|crubbed)\]|:)"
    r"(\"[^\"\n]+\"|'[^'\n]+'|[^\s\"',;&]+)"
)
# A URN or a type token: `privateKey:PrivateKey::name` is no assignment there.
_IDENTIFIER = re.compile(r"urn:pulumi:\S+|[a-z][a-z0-9-]*:[A-Za-z0-9./_-]+:[A-Z][A-Za-z0-9]*")
_AUTHORIZATION = re.compile(r"(?i)\b((?:authorization\s*[:=]\s*)?(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
_TOKENS = re.compile(
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"  # JSON Web Token; Kubernetes' are
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bpul-[0-9a-f]{40}\b"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"
)
_KUBECONFIG = re.compile(r"kind[\"']?\s*:\s*[\"']?Config\b")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")

_SECRET_KEY = re.compile(
    r"(?:password|passwd|passphrase|token|privatekey|privatekeypem|privatekeyopenssh|secretaccesskey|clientsecret"
    r"|apikey|connectionstring|kubeconfig|clientkeydata|bcrypthash)$"
)
_SECRET_VARIABLE = re.compile(r"(?i)(?:password|passwd|passphrase|token|secret|api_?key|access_key|private_?key)$")
_DEEPEST = 64  # real documents are a tenth of it; deeper ones are dropped rather than followed


def scrub(text: str) -> str:
    """`text` with every secret in it replaced; `[secret]` and certificates are untouched."""
    return _scrub(text, decode=True)


def _scrub(text: str, *, decode: bool) -> str:
    if "clusters" in text and "users" in text and _KUBECONFIG.search(text):
        return f"{SCRUBBED} (a kubeconfig)"
    text = _PRIVATE_KEY.sub(f"{SCRUBBED} (a private key)", text)
    if "://" in text and "@" in text:
        text = _WORD.sub(_scrub_uri, text)
    text = _AUTHORIZATION.sub(rf"\1{SCRUBBED}", text)
    text = _ASSIGNED.sub(_scrub_identifier if _IDENTIFIER.fullmatch(text) else rf"\1{SCRUBBED}", text)
    text = _TOKENS.sub(SCRUBBED, text)
    return _BASE64.sub(_scrub_base64, text) if decode else text


def _scrub_uri(match: re.Match[str]) -> str:
    """A password may itself have `@`, `:` and `/`: up to the last `@` of the word."""
    credentials, at, rest = match.group().rpartition("@")
    user = _URI_USER.search(credentials)
    if not at or user is None or credentials[user.end() :] in (MASKED, SCRUBBED):
        return match.group()
    return f"{credentials[: user.end()]}{SCRUBBED}@{rest}"


def _scrub_identifier(match: re.Match[str]) -> str:
    return match.group() if match.group(1).rstrip().endswith(":") else f"{match.group(1)}{SCRUBBED}"


def _scrub_base64(match: re.Match[str]) -> str:
    """What is secret once decoded is secret: a Secret's `data` has it so. A certificate's body decodes to no text."""
    encoded = match.group().rstrip("=")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return match.group()
    return match.group() if _scrub(decoded, decode=False) == decoded else SCRUBBED


def scrub_value(value: Any, depth: int = 0) -> Any:
    """A JSON value without secrets: in its texts, under keys that name one, in a Kubernetes Secret, in an envelope."""
    if isinstance(value, str):
        return scrub(value)
    if depth > _DEEPEST:
        return SCRUBBED
    if isinstance(value, Mapping):
        if _ENVELOPE in value:
            return MASKED
        cleaned = {scrub(str(key)): _scrub_entry(str(key), entry, depth) for key, entry in value.items()}
        if value.get("kind") == "Secret":
            cleaned |= {key: _hide(cleaned[key], depth) for key in ("data", "stringData") if key in cleaned}
        if isinstance(value.get("name"), str) and _SECRET_VARIABLE.search(value["name"]) and "value" in cleaned:
            cleaned["value"] = _hide(cleaned["value"], depth)
        return cleaned
    if isinstance(value, (list, tuple)):
        return [scrub_value(entry, depth + 1) for entry in value]
    return value


def _scrub_entry(key: str, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(re.sub(r"[^a-z0-9]", "", key.lower())):
        return _hide(value, depth)
    return scrub_value(value, depth + 1)


def _hide(value: Any, depth: int) -> Any:
    """Every text in `value` gone; whether something is set at all may be seen."""
    if isinstance(value, str):
        return value if value in ("", MASKED) or value in UNKNOWNS else SCRUBBED
    if depth > _DEEPEST:
        return SCRUBBED
    if isinstance(value, Mapping):
        return {str(key): _hide(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(entry, depth + 1) for entry in value]
    return value if isinstance(value, bool) or value is None else SCRUBBED
