"""Texts that are secrets by their own form, wherever they stand: keys, tokens, and URLs with a password."""

from __future__ import annotations

import re

_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(ghp|gho|ghs|github_pat|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@"
)
# Of what is about to be shown it is enough that it might be one: a URL with whatever before an @, a name and its
# password before one (but an image with a tag before its digest), a name and a value.
_PERHAPS_SECRET = re.compile(
    r"://\S*@|:[^\s@]{0,256}@(?!sha256:)|PRIVATE KEY|(password|secret|token)\s*[=:]", re.IGNORECASE
)


def is_secret_text(text: str) -> bool:
    """Whether `text` has a secret in it, as far as its form tells."""
    return bool(_SECRET_TEXT.search(text))


def may_be_shown(text: str) -> bool:
    """Whether `text` may stand in an error or a log."""
    return not _PERHAPS_SECRET.search(text) and not is_secret_text(text)
