"""One `up` may change where TAG's certificate comes from, or which authorities Teleport trusts, but not both.

Pure. `authority_phases` has the rules for the succession of the stack's own authorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.settings.errors import Problem

GENERATED = "generated"
DOCUMENT = "docs/certificates.md"


@dataclass(frozen=True, kw_only=True)
class TrustRecord:
    """What the last complete `up` left, or what this one will make."""

    mode: str
    """`tls.mode`."""

    authorities: frozenset[str] | None
    """`authority_identities` of the trust bundle; None where Teleport verifies by its system's trust store."""

    protected: bool = False
    """Whether the stack has keys that the engine refuses to delete."""

    ends: str | None = None
    """When the last of the authorities ends, RFC 3339; None where that is not known."""

    def stored(self) -> dict[str, Any]:
        """The form that the ledger keeps; not secret."""
        return {
            "mode": self.mode,
            "authorities": None if self.authorities is None else sorted(self.authorities),
            "protected": self.protected,
            "ends": self.ends,
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any] | None) -> TrustRecord | None:
        """The record that `stored` wrote, or None for a ledger without one."""
        if stored is None:
            return None
        authorities = stored.get("authorities")
        return cls(
            mode=str(stored["mode"]),
            authorities=None if authorities is None else frozenset(authorities),
            protected=bool(stored.get("protected")),
            ends=stored.get("ends"),
        )


def trust_problem(recorded: TrustRecord | None, wanted: TrustRecord, *, verified: bool = True) -> Problem | None:
    """Why `wanted` may not follow `recorded` (None: nothing runs yet), or None. With `verified` False no Teleport
    verifies by the recorded authorities, so changing what is trusted breaks nothing."""
    if recorded is None:
        return None
    if wanted.mode != recorded.mode:
        ahead = _ahead_problem(recorded, wanted) if verified else None
        return ahead or _key_problem(recorded, wanted)
    before, after = recorded.authorities, wanted.authorities
    if verified and before is not None and after is not None and not before & after:
        return Problem(
            "tls.trustBundleFile",
            "has none of the authorities that Teleport trusts now, so calls would fail on one side of the change",
            "first `up` with the old and the new one in it, have the certificate issued by the new one, and then "
            f"remove the old one ({DOCUMENT})",
        )
    return None


def _ahead_problem(recorded: TrustRecord, wanted: TrustRecord) -> Problem | None:
    if recorded.authorities == wanted.authorities:
        return None
    ahead = (
        f"tls.nextAuthority in mode {recorded.mode}"
        if wanted.mode == GENERATED
        else f"the new authorities in tls.trustBundleFile, still in mode {recorded.mode}"
    )
    return Problem(
        "tls.mode",
        f"differs from {recorded.mode}, the stack's present mode, and Teleport would trust other authorities: calls "
        "would fail until both have changed everywhere",
        f"first `up` with {ahead}; then change the mode, with all authorities trusted by then (the output caBundle) in "
        f"tls.trustBundleFile; then remove those no longer needed, or set tls.trust to system ({DOCUMENT})",
        wanted.mode,
    )


def _key_problem(recorded: TrustRecord, wanted: TrustRecord) -> Problem | None:
    if recorded.mode != GENERATED or not recorded.protected:
        return None
    return Problem(
        "tls.mode",
        "would delete the protected key of the stack's own authority",
        "set tls.protect to false, `up`, and then change the mode",
        wanted.mode,
    )
