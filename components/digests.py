"""Keyed digests that may be public: they change when a secret does, and reveal nothing else about it.

This is the only place in the program that makes something derived from a secret public on purpose.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import pulumi

from components.arguments import RefusedArgumentError


def keyed_digest(key: str, values: Sequence[str]) -> str:
    """HMAC-SHA-256 over `values`, 64 hexadecimal digits.

    `key` is a random secret of at least 32 characters kept in the state (a plain hash of a low-entropy secret could be
    guessed offline). Each value is preceded by its length, so that moving text from one value to the next changes the
    digest. Raises `RefusedArgumentError` for a short key.
    """
    check_digest_key(key)
    message = b"".join(len(text).to_bytes(8, "big") + text for text in (value.encode() for value in values))
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def check_digest_key(key: pulumi.Input[str]) -> None:
    """Raise `RefusedArgumentError` for a short key. `keyed_digest` checks an Output's value, once it is known."""
    if isinstance(key, str) and len(key) < 32:
        raise RefusedArgumentError(
            f"digest_key: has {len(key)} characters; pass at least 32 random ones, or secrets are guessed"
        )


def public_digest(key: pulumi.Input[str], *values: pulumi.Input[str]) -> pulumi.Output[str]:
    """`keyed_digest` of values that may be secret or unknown, with the result made public.

    This is deliberate: a secret digest in a pod annotation would hide the whole values map of a Helm release in every
    preview. It is safe, since the key never leaves the state.
    """
    digest = pulumi.Output.all(key, *values).apply(lambda resolved: keyed_digest(resolved[0], resolved[1:]))
    return pulumi.Output.unsecret(digest)


def content_checksum(*values: str) -> str:
    """SHA-256 of public text, for annotations that roll pods when a mounted file changes. 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for value in values:
        encoded = value.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
