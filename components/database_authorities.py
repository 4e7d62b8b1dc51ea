"""The certificate authorities that sign the server certificates of Amazon RDS, by region.

Owns the reading of the shipped PEM file; `components/data/README.md` gives its origin. The database's clients do the
verification.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

AUTHORITIES_FILE = Path(__file__).parent / "data" / "rds-authorities.pem"

_ENTRY = re.compile(
    r"^# Amazon RDS (?P<region>[a-z0-9-]+) Root CA (?P<algorithm>\w+) G1\n"
    r"(?P<pem>-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----)$",
    re.MULTILINE,
)


class UnknownRegion(ValueError):
    """No authority is shipped for the region."""


@functools.lru_cache(maxsize=1)
def authorities_by_region() -> dict[str, tuple[str, ...]]:
    """The shipped roots: region -> PEM certificates, one for each key algorithm that AWS offers in the region."""
    regions: dict[str, list[str]] = {}
    for entry in _ENTRY.finditer(AUTHORITIES_FILE.read_text(encoding="ascii")):
        regions.setdefault(entry["region"], []).append(entry["pem"])
    return {region: tuple(certificates) for region, certificates in regions.items()}


def ca_bundle(region: str) -> str:
    """PEM bundle of the roots that an RDS instance of `region` may present, about 5 kB.

    Contains only that region's, so that clients refuse a server of another region, and the ConfigMap stays small.
    Raises `UnknownRegion` for a region that the shipped file does not have.
    """
    certificates = authorities_by_region().get(region)
    if certificates is None:
        raise UnknownRegion(
            f"aws.region: no RDS certificate authority is shipped for {region}; set database.caBundleFile to the "
            f"region's bundle, which AWS publishes (RDS user guide, 'Using SSL/TLS to encrypt a connection')"
        )
    return "".join(f"{certificate}\n" for certificate in certificates)
