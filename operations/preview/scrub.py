"""Removes secrets from what the engine printed, wherever they are: in values, in texts within values, in logs.

The engine masks known secrets as `[secret]`; this catches those that came in as plain text. It may remove too much,
never too little. Certificates stay: they are public, and reviewers need their fingerprints.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from components.values_files import names_secret

MASKED = "[secret]"  # the engine's own mask
SCRUBBED = "[scrubbed]"

# How the engine wraps a secret in a serialised value (pulumi/pulumi, sdk/go/common/resource/sig).
ENVELOPE = "4dabf18193072939515e22adb298388d"

# The engine's placeholders for values known only after the apply, one per type (pulumi's
# sdk/go/common/resource/plugin).
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
# Over HTTP, a user without a password is a token; a database's user is no secret.
_TOKEN_USER = re.compile(r"(?i)(https?://)[^/:@\s\"'<>]+@")
_NAMES = (
    # Without a hyphen, `secretKey` is a chart value that names the key within a Secret.
    r"(?:passwords?|passwd|pwd|(?<![a-z])(?:pw|pass)|passphrases?|tokens?|secret|secret[_-]key|(?:api|access|account|license)[_-]?key"
    r"|client[_-]?secret|client-key-data|private[_-]?key(?:[_-]?pem)?|encryption[_-]?key|x-amz-signature"
    # A shared access signature.
    r"|(?<![a-z])sig(?==))"
)
# Inner quotes are doubled or escaped, JSON within a text has escaped ones of its own, and the last may be cut off. A
# list or map on one line is taken whole.
_VALUE = r"(?:\\+\"[^\"\n]+\"?|\"(?:[^\"\\\n]|\\.)+\"?|'(?:[^'\n]|'')+'?|\[[^\[\]\n]*\]|\{[^{}\n]*\}|[^\s\"',;&]+)"
_ASSIGNED = re.compile(
    rf"(?i)((?<!\d{{12}}:){_NAMES}(?:\\*[\"'])?\s*(?:=>|[:=])\s*)"
    # Not what is already masked, nor what follows the type in a URN. The look-behind above excludes an ARN's
    # `:secret:`.
    r"(?!\[s(?:ecret|crubbed)\](?![ \t]*=>)|:)"
    # The values before and after.
    rf"{_VALUE}(?:[ \t]*=>[ \t]*{_VALUE})?"
)
# Unquoted YAML: the whole line, because a password may contain blanks.
_LINE = re.compile(
    rf"(?im)^([ \t]*(?:[-+~][ \t]+)*[\w.-]{{0,128}}?{_NAMES}[ \t]*:[ \t]+)(?!\[s(?:ecret|crubbed)\])[^\s\"'\[{{|>].*"
)
# A YAML block, or the items of a list: every line indented further than the key.
_BLOCK = re.compile(
    # The look-ahead fixes the indent; without it the pattern would retry with fewer blanks, again and again.
    rf"(?im)^(?=([ \t]*))(\1.*?{_NAMES}[\"']?[ \t]*:[ \t]*(?:[|>][0-9+-]*)?[ \t]*\n)(?:\1(?:[ \t]+|- ).*(?:\n|\Z))+"
)
# Only from the beginning of a word, however many hyphens it has.
_HYPHENS = r"(?<![a-z0-9-])[a-z0-9]{0,64}-[a-z0-9-]{0,128}?"
_OPTIONS = r"(?:password|passwd|passphrase|token|[a-z]-secret|(?:api|access|account|secret)-?key)"
_OPTION = re.compile(rf"(?i)((?:{_HYPHENS}|(?<=-)){_OPTIONS}[ \t]+)(?![-\[])[^\s\"',;]+")
# An option in a list of arguments, with its value as the next item: in JSON, whose quotes may be escaped, and in YAML.
_OPTION_ITEM = re.compile(rf"(?i)({_HYPHENS}{_OPTIONS}(\\*[\"'])\s{{0,64}},\s{{0,64}}\2)(?![-\[])(?:(?!\2)[^\n])+")
_OPTION_LINE = re.compile(rf"(?im)(^([ \t]*)- [\"']?{_HYPHENS}{_OPTIONS}[\"']?[ \t]*\n\2- )(?![\"']?[-\[])[^\n]+")
_OPTION_ALONE = re.compile(rf"(?i){_HYPHENS}{_OPTIONS}")
# A container's variable, in JSON or YAML that may itself be within a text.
_SECRET_NAMES = r"(?:password|passwd|passphrase|pwd|(?<![a-z])pass|token|secret|api_?key|access_key|private_?key)"
_VARIABLE = re.compile(
    rf"(?i)(\bname\\*[\"']?\s{{0,64}}:\s{{0,64}}\\*[\"']?[\w.-]{{0,128}}?{_SECRET_NAMES}\\*[\"']?"
    rf"(?:[\s,]|\\+n){{1,64}}\\*[\"']?value\\*[\"']?[ \t]{{0,64}}:[ \t]{{0,64}})"
    rf"(?!\\*[\"']?\[s(?:ecret|crubbed)\])(?:{_VALUE})"
)
# The same in unquoted YAML: the whole line, or block.
_VARIABLE_LINES = re.compile(
    rf"(?im)(^([ \t]*)(?:- )?name[ \t]*:[ \t]*[\"']?[\w.-]{{0,128}}?{_SECRET_NAMES}[\"']?[ \t]*\r?\n"
    r"[ \t]*value[ \t]*:[ \t]+)"
    r"(?![\"'\[{]|\[s(?:ecret|crubbed)\])(?:[|>][0-9+-]*[ \t]*\r?\n(?:\2[ \t]+[^\n]*(?:\n|\Z))+|[^\n]+)"
)
# The content of a Secret, whatever its keys: a YAML block, or the JSON map within a text.
_SECRET_KIND = re.compile(r"kind\\*[\"']?\s{0,64}:\s{0,64}\\*[\"']?Secret\b|stringData")
_SECRET_BLOCK = re.compile(
    r"(?m)^([ \t]*)((?:string)?[dD]ata:[ \t]*(?:#.*|\r)?\n)(?!\1[ \t]+\[s(?:ecret|crubbed)\])"
    r"(?:\1[ \t]+.*(?:\n|\Z)|[ \t]*(?:#.*|\r)?\n)+"
)
_SECRET_MAP = re.compile(r"((?:string)?[dD]ata\\*[\"']?\s{0,64}:\s{0,64}\{)[^{}]+")
# curl's options with user and password.
_USER = re.compile(
    r"((?<![\w-])(?:-[uU]|--(?:proxy-)?user)[= \t]*)([\"'])?([^\s\"':]{1,256}:)(?(2)(?:(?!\2).)+|[^\s\"']+)"
)
# `-p` of `docker login` and the like, and of MySQL's commands; elsewhere it is a port.
_LOGIN_OPTION = re.compile(
    r"(\blogin\b[^\n|;&]{0,512}?[ \t]-p[= \t]*"
    r"|\b(?:mysql|mariadb)[a-z-]{0,32}(?![a-z-])[^\n|;&]{0,512}?[ \t]-p)([\"'])?(?![ \t])"
    r"(?(2)(?:(?!\2).)+|[^\s\"']+)"
)
_NETRC = re.compile(r"(\blogin\s+\S{1,256}\s+password\s+)(?!\[s(?:ecret|crubbed)\])\S+")
# host:port:database:user:password, `*` meaning any: on a line of its own, where the password may contain blanks, or
# among words.
_PGPASS_FIELDS = r"(?:[\w.-]{1,253}|\*):(?:\d{1,5}|\*)(?::(?:[A-Za-z_][\w.-]{0,62}|\*)){2}:"
_PGPASS_LINE = re.compile(rf"(?m)^([ \t]*{_PGPASS_FIELDS})[^\n]+")
_PGPASS = re.compile(rf"([\s\"']{_PGPASS_FIELDS})[^\s\"']+")
_ELEMENT = re.compile(rf"(?i)(<[\w.:-]{{0,128}}?{_NAMES}(?:\s[^<>]{{0,512}})?>)(?!\[s(?:ecret|crubbed)\])[^<]+(?=</)")
_COOKIES = re.compile(r"(?i)(cookie\\*[\"']?\s*:\s*\[?\s*\\*[\"']?)[^\s=;\"']{1,256}=[^\"'\n]+")
_SQL = re.compile(r"(?i)(\bpassword\s+)(?:[eu]?&?'[^'\n]*'|(\$\w*\$).*?\2)")
_REGISTRY = re.compile(r"(\"auth\\*\"\s*:\s*\\*\")[A-Za-z0-9+/=]{8,}")
# A URN or a type token, in which `privateKey:PrivateKey::name` is no assignment.
_IDENTIFIER = re.compile(r"urn:pulumi:\S+|[a-z][a-z0-9-]*:[A-Za-z0-9./_-]+:[A-Z][A-Za-z0-9]*")
_AUTHORIZATION = re.compile(
    r"(?i)\b((?:authorization\s*[:=]\s*)?(?:bearer|basic)\s+|authorization\s*[:=]\s*token\s+)[A-Za-z0-9._~+/=-]{8,}"
)
_TOKENS = re.compile(
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"  # JSON Web Token, as Kubernetes' tokens are
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bpul-[0-9a-f]{40}\b"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/services/[A-Za-z0-9/]{10,}"
    r"|\bglpat-[A-Za-z0-9_-]{16,}|\bnpm_[A-Za-z0-9]{36}|\bhvs\.[A-Za-z0-9_-]{20,}|\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}|\bIQoJb3JpZ2[A-Za-z0-9+/=]{20,}"
    # A password's stored hash can be attacked offline.
    r"|\bSCRAM-SHA-256\$[^\s\"']+|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
)
_KUBECONFIG = re.compile(r"kind[\"']?\s*:\s*[\"']?Config\b")
# On one line, or wrapped as base64(1) and PEM do.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{20,}(?:(?:\\n|\r?\n)[ \t]*[A-Za-z0-9+/]{4,})*={0,2}")
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
_WRAPPED = re.compile(r"(?:\\n|\r?\n)[ \t]*")
# A private key begins with its version (PKCS #1 and #8, SEC 1), as does a key store; a certificate begins with another
# sequence.
_VERSIONS = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x03")
_OPENSSH = b"openssh-key-v1"
_DEEPEST_BASE64 = 2  # registry credentials within a Secret's `data` are encoded twice

_SECRET_KEY = re.compile(
    r"(?:passwords?|passwordwo|passwd|passphrase|pwd|(?:^|db|user|admin|root|master)pass|tokens?|privatekey|privatekeypem"
    r"|privatekeyopenssh|accesskey|accountkey|(?:client|shared|webhook)secret|secretstring|secretbinary|secretstringwo"
    r"|apikey|connectionstring|kubeconfig|clientkeydata|bcrypthash|tlskey|licensepem|licensekey|cookie)$"
)
# Secret only when it is a text: as maps these are a volume's source and a Teleport value.
_SECRET_TEXT = frozenset({"secret", "auth"})
# The key within a Secret, as charts name it; and AWS's service, as a key of its endpoint.
_PUBLIC_TEXT = frozenset({"secretkey", "secretsmanager"})
_SECRET_VARIABLE = re.compile(rf"(?i){_SECRET_NAMES}$")
_DEEPEST = 64  # ten times what real documents have; deeper values are dropped, not followed
_JSON = json.JSONDecoder()
_MOST_FAILURES = 1_000  # attempts to read JSON in one text: each takes time proportional to the text before it
_OBJECT = re.compile(r"\{\s{0,64}\"(?:[^\"\\\n]|\\.){0,256}\"\s{0,64}:")


def scrub(text: str) -> str:
    """`text` with every secret in it replaced; `[secret]` and certificates are unchanged."""
    return _scrub_text(text, 0)


def _scrub_text(text: str, depth: int) -> str:
    if depth <= _DEEPEST:
        text = _scrub_documents(text, depth)
    return _scrub(text, _DEEPEST_BASE64)


def _scrub_documents(text: str, depth: int) -> str:
    """Replaces secrets by their place in JSON objects within the text: `kubectl apply` keeps a whole object in an
    annotation."""
    parts: list[str] = []
    done, end, failures = 0, 0, 0
    while failures < _MOST_FAILURES and (begin := _OBJECT.search(text, end)):
        at = begin.start()
        try:
            value, end = _JSON.raw_decode(text, at)
        except RecursionError:
            break
        except ValueError as error:
            failures += 1
            # Skip what was read, or a text that is cut off at its end would be tried from each of its braces.
            end = max(at + 1, getattr(error, "pos", 0))
            continue
        cleaned = scrub_value(value, depth + 1)
        if cleaned != value:
            parts += [text[done:at], json.dumps(cleaned, ensure_ascii=False)]
            done = end
    return "".join([*parts, text[done:]])


@functools.lru_cache(maxsize=4096)
def _scrub(text: str, layers: int) -> str:
    """Decodes up to `layers` layers of base64. Cached, because types, URNs, labels and keys recur many times in a
    document."""
    if "clusters" in text and "users" in text and _KUBECONFIG.search(text):
        return f"{SCRUBBED} (a kubeconfig)"
    text = _PRIVATE_KEY.sub(f"{SCRUBBED} (a private key)", text)
    if "://" in text and "@" in text:
        text = _WORD.sub(_scrub_uri, text)
        text = _TOKEN_USER.sub(rf"\1{SCRUBBED}@", text)
    text = _AUTHORIZATION.sub(rf"\1{SCRUBBED}", text)
    if "\n" in text:
        text = _BLOCK.sub(rf"\2\1  {SCRUBBED}\n", text)
    text = _LINE.sub(rf"\1{SCRUBBED}", text)
    text = _ASSIGNED.sub(_scrub_identifier if _IDENTIFIER.fullmatch(text) else rf"\1{SCRUBBED}", text)
    text = _VARIABLE_LINES.sub(rf"\1{SCRUBBED}\n", text)
    text = _VARIABLE.sub(rf"\1{SCRUBBED}", text)
    if _SECRET_KIND.search(text):
        text = _SECRET_BLOCK.sub(rf"\1\2\1  {SCRUBBED}\n", text)
        text = _SECRET_MAP.sub(rf"\1{SCRUBBED}", text)
    text = _OPTION.sub(rf"\1{SCRUBBED}", text)
    text = _OPTION_ITEM.sub(rf"\1{SCRUBBED}", text)
    text = _OPTION_LINE.sub(rf"\1{SCRUBBED}", text)
    text = _USER.sub(rf"\1\2\3{SCRUBBED}", text)
    text = _LOGIN_OPTION.sub(rf"\1\2{SCRUBBED}", text)
    text = _NETRC.sub(rf"\1{SCRUBBED}", text)
    text = _PGPASS_LINE.sub(rf"\1{SCRUBBED}", text)
    text = _PGPASS.sub(rf"\1{SCRUBBED}", text)
    text = _ELEMENT.sub(rf"\1{SCRUBBED}", text)
    text = _COOKIES.sub(rf"\1{SCRUBBED}", text)
    text = _SQL.sub(rf"\1{SCRUBBED}", text)
    text = _REGISTRY.sub(rf"\1{SCRUBBED}", text)
    text = _TOKENS.sub(SCRUBBED, text)
    return _BASE64.sub(lambda match: _scrub_base64(match.group(), layers), text) if layers else text


def _scrub_uri(match: re.Match[str]) -> str:
    """Up to the word's last `@`, because a password may contain `@`, `:` and `/`."""
    credentials, at, rest = match.group().rpartition("@")
    user = _URI_USER.search(credentials)
    if not at or user is None or credentials[user.end() :] in (MASKED, SCRUBBED):
        return match.group()
    return f"{credentials[: user.end()]}{SCRUBBED}@{rest}"


def _scrub_identifier(match: re.Match[str]) -> str:
    return match.group() if match.group(1).rstrip().endswith(":") else f"{match.group(1)}{SCRUBBED}"


def _scrub_base64(encoded: str, layers: int) -> str:
    """What is secret once decoded is secret, as in a Secret's `data`. A certificate's body decodes to no text."""
    lines = _WRAPPED.split(encoded)
    # Only the last line may have another length, unless it is a word that follows.
    last = next((position for position, line in enumerate(lines) if len(line) != len(lines[0])), len(lines) - 1)
    for end in (last + 1, last):
        if _is_secret("".join(lines[:end]), layers):
            return SCRUBBED
    if len(lines) > 1:
        return _BASE64_LINE.sub(lambda match: _scrub_base64(match.group(), layers), encoded)
    return encoded


def _is_secret(encoded: str, layers: int) -> bool:
    encoded = encoded.rstrip("=")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        if _is_private_key(decoded):
            return True
        text = decoded.decode()
    except (binascii.Error, ValueError):
        return False
    return bool(text) and _scrub(text, layers - 1) != text


def _is_private_key(decoded: bytes) -> bool:
    """By the first bytes (DER, or OpenSSH's own format)."""
    if decoded[:1] != b"\x30" or len(decoded) < 2:
        return decoded.startswith(_OPENSSH)
    length_bytes = decoded[1] & 0x7F if decoded[1] & 0x80 else 0
    return decoded[2 + length_bytes : 5 + length_bytes] in _VERSIONS


def scrub_value(value: Any, depth: int = 0) -> Any:
    """A JSON value without secrets: in its texts, below keys that name secrets, in Kubernetes Secrets, in the engine's
    envelopes."""
    if isinstance(value, str):
        return _scrub_text(value, depth)
    if depth > _DEEPEST:
        return SCRUBBED
    if isinstance(value, Mapping):
        if ENVELOPE in value:
            return MASKED
        cleaned = {_scrub_text(str(key), depth): _scrub_entry(str(key), entry, depth) for key, entry in value.items()}
        if value.get("kind") == "Secret":
            cleaned |= {key: _hide(cleaned[key], depth) for key in ("data", "stringData") if key in cleaned}
        if _is_secret_variable(value.get("name")) and "value" in cleaned:
            cleaned["value"] = _hide(cleaned["value"], depth)
        return cleaned
    if isinstance(value, (list, tuple)):
        return [
            _hide(entry, depth) if _follows_option(before, entry) else scrub_value(entry, depth + 1)
            for before, entry in zip((None, *value), value, strict=False)
        ]
    return value


def _is_secret_variable(name: Any) -> bool:
    return isinstance(name, str) and (_SECRET_VARIABLE.search(name) is not None or names_secret(name))


def _follows_option(before: Any, entry: Any) -> bool:
    """Whether `entry` is the value of an option that names a secret, in a list of arguments."""
    if not isinstance(before, str) or not isinstance(entry, str) or entry.startswith("-"):
        return False
    return _OPTION_ALONE.fullmatch(before) is not None


def _scrub_entry(key: str, value: Any, depth: int) -> Any:
    name = re.sub(r"[^a-z0-9]", "", key.lower())
    if _SECRET_KEY.search(name) or (name in _SECRET_TEXT and isinstance(value, str)):
        return _hide(value, depth)
    # Keys that a values file may not have in plain text. An annotation's name with a slash is only a topic:
    # `checksum/credentials`. Providers write booleans as texts.
    if name not in _PUBLIC_TEXT and "/" not in key and names_secret(key):
        if isinstance(value, (list, tuple)) and depth <= _DEEPEST:
            return [_scrub_entry(key, entry, depth + 1) for entry in value]
        if isinstance(value, str) and value not in ("true", "false"):
            return _hide(value, depth)
    return scrub_value(value, depth + 1)


def _hide(value: Any, depth: int) -> Any:
    """`value` with every text hidden; whether something is set remains visible."""
    if isinstance(value, str):
        return value if value in ("", MASKED) or value in UNKNOWNS else SCRUBBED
    if depth > _DEEPEST:
        return SCRUBBED
    if isinstance(value, Mapping):
        return {str(key): _hide(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(entry, depth + 1) for entry in value]
    return value if isinstance(value, bool) or value is None else SCRUBBED
