"""The random values themselves: strings of requested characters, their bcrypt hashes, ids in four notations."""

from __future__ import annotations

import base64
import ctypes
import secrets
import string
import threading
from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"
# Go's default cost, which the official plugin uses.
BCRYPT_COST: Final = 10
# bcrypt reads no more than this; the official plugin truncates here.
BCRYPT_BYTES: Final = 72
BCRYPT_ALPHABET: Final = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits

# `crypt` returns its result in one buffer per process, and the engine asks for several passwords at once.
_CRYPT = threading.Lock()


def random_string(wanted: Mapping[str, Any]) -> str:
    """The minimum of each class, the rest from all classes, then shuffled. `wanted` holds the inputs with their
    defaults."""
    special = wanted.get("overrideSpecial") or SPECIAL
    classes = (
        ("upper", "minUpper", string.ascii_uppercase),
        ("lower", "minLower", string.ascii_lowercase),
        ("numeric", "minNumeric", string.digits),
        ("special", "minSpecial", special),
    )
    characters = [secrets.choice(alphabet) for _, minimum, alphabet in classes for _ in range(wanted[minimum])]
    everything = "".join(alphabet for enabled, _, alphabet in classes if wanted[enabled])
    characters += [secrets.choice(everything) for _ in range(wanted["length"] - len(characters))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)


def bcrypt_hash(password: str) -> str:
    """Uses the C library's own `crypt`, which Python no longer exposes as of 3.13."""
    salt = "".join(secrets.choice(BCRYPT_ALPHABET) for _ in range(21)) + secrets.choice(".Oeu")
    setting = f"$2b${BCRYPT_COST:02d}${salt}".encode()
    for name in ("libcrypt.so.1", "libcrypt.so.2", None):
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        with _CRYPT:
            hashed = crypt(password.encode()[:BCRYPT_BYTES], setting)
        if hashed and hashed.startswith(b"$2b$"):
            # The same hash under Go's prefix: $2a$ and $2b$ differ only in a bug that neither implementation has.
            return "$2a$" + str(hashed[4:].decode())
    raise ResourceError("this machine's libcrypt knows no bcrypt; install libxcrypt or the official random plugin")


def id_outputs(raw: bytes, prefix: str) -> Properties:
    return {
        "b64Std": prefix + base64.b64encode(raw).decode(),
        "b64Url": prefix + url_base64(raw),
        "dec": prefix + str(int.from_bytes(raw, "big")),
        "hex": prefix + raw.hex(),
    }


def url_base64(raw: bytes) -> str:
    """URL-safe, without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
