"""The Teleport host CAs that a change adds and removes, and whose certificates are then refused.

TAG's release values hold the CAs that it accepts, so their diff is authoritative. `components/host_authorities` reads
the CAs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from operations.preview.document import Preview
from operations.preview.property_paths import RELEASE, certificates_in, fingerprint, subject
from operations.preview.restarts import ACCESS_GRAPH
from operations.value_at import value_at


@dataclass(frozen=True)
class TrustedAuthority:
    """One host CA, by its identifying properties."""

    cluster: str  # the name in its subject
    subject: str  # RFC 4514
    fingerprint: str
    not_after: str  # RFC 3339, the day


@dataclass(frozen=True)
class TrustChange:
    comes: tuple[TrustedAuthority, ...]
    goes: tuple[TrustedAuthority, ...]
    warnings: tuple[str, ...]


def trust_change(preview: Preview) -> TrustChange:
    """The CAs that TAG newly trusts, and those that it no longer trusts."""
    before: dict[str, TrustedAuthority] = {}
    after: dict[str, TrustedAuthority] = {}
    for step in preview.changes:
        if step.type == RELEASE and step.parent_type == ACCESS_GRAPH:
            before |= _authorities(step.old_inputs)
            after |= _authorities(step.new_inputs)
    comes = tuple(after[one] for one in sorted({*after} - {*before}))
    # Deleting the release also ends its trust, but that is reported elsewhere.
    goes = tuple(before[one] for one in sorted({*before} - {*after})) if after else ()
    return TrustChange(comes, goes, tuple(_warnings(preview, comes, goes)))


def _warnings(preview: Preview, comes: tuple[TrustedAuthority, ...], goes: tuple[TrustedAuthority, ...]) -> list[str]:
    warnings = []
    for cluster in sorted({one.cluster for one in goes}):
        left = "another one takes its place" if any(one.cluster == cluster for one in comes) else "none takes its place"
        warnings.append(
            f"{cluster}: a host CA goes and {left}: from this `up` on, the access graph refuses every certificate that "
            "it issued. If Teleport is in the middle of a rotation, keep both until it is done."
        )
    for cluster in sorted({one.cluster for one in (*comes, *goes)}):
        if _intake(preview.configuration, cluster) == "proxy":
            warnings.append(
                f"{cluster}: `hostAuthorities.mode: proxy` sees active keys only. Between a rotation of the host CA "
                "and the next `up` the access graph refuses the new certificates, and after it the old ones; `file` "
                "with active and additional keys has no such gap."
            )
    return warnings


def _authorities(inputs: Mapping[str, Any]) -> dict[str, TrustedAuthority]:
    listed = value_at(inputs, "values", "clusterHostCAs")
    found = {}
    for text in listed if isinstance(listed, list) else ():
        for certificate in certificates_in(text) if isinstance(text, str) else ():
            one = TrustedAuthority(
                cluster=_cluster(certificate),
                subject=subject(certificate),
                fingerprint=fingerprint(certificate),
                not_after=certificate.not_valid_after_utc.date().isoformat(),
            )
            found[one.fingerprint] = one
    return found


def _cluster(certificate: x509.Certificate) -> str:
    try:
        for name in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
            for attribute in certificate.subject.get_attributes_for_oid(name):
                return str(attribute.value)
    except ValueError:
        pass
    return "(no name)"


def _intake(configuration: Mapping[str, Any], cluster: str) -> Any:
    return value_at(configuration, "teleport", cluster, "hostAuthorities", "mode")
