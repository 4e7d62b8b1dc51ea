"""Rules of the certificates that the stack issues."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rules import Properties, ResourceRule

LEAF = frozenset({"tls:index/locallySignedCert:LocallySignedCert"})
ISSUED = LEAF | {"tls:index/selfSignedCert:SelfSignedCert"}
KEY = frozenset({"tls:index/privateKey:PrivateKey"})

LONGEST_LEAF_HOURS = 397 * 24
LEAST_RSA_BITS = 2048


def short_lived(properties: Properties) -> Iterator[str]:
    hours = properties["validityPeriodHours"]
    if hours > LONGEST_LEAF_HOURS:
        yield f"validityPeriodHours is {hours:.0f}: clients refuse a server certificate of over {LONGEST_LEAF_HOURS}"


def renewed_in_time(properties: Properties) -> Iterator[str]:
    early = properties.get("earlyRenewalHours") or 0
    if early <= 0:
        yield "earlyRenewalHours is not set: nothing would renew it before its end"
    elif early >= properties["validityPeriodHours"]:
        yield "earlyRenewalHours is its whole life: every up would issue it anew"


def strong(properties: Properties) -> Iterator[str]:
    if properties.get("algorithm") == "RSA" and (properties.get("rsaBits") or LEAST_RSA_BITS) < LEAST_RSA_BITS:
        yield f"rsaBits is {properties['rsaBits']:.0f}: {LEAST_RSA_BITS} is the least that is still accepted"
    if properties.get("algorithm") == "ECDSA" and properties.get("ecdsaCurve") == "P224":
        yield "ecdsaCurve is P224, which TLS has no use for: take P256"


RULES = (
    ResourceRule(
        name="certificate-is-short-lived",
        statement="A server certificate lives 397 days at most.",
        types=LEAF,
        violations=short_lived,
    ),
    ResourceRule(
        name="certificate-is-renewed-in-time",
        statement="An up before the end of a certificate renews it.",
        types=ISSUED,
        violations=renewed_in_time,
    ),
    ResourceRule(
        name="key-is-strong",
        statement="A key is one that clients accept.",
        types=KEY,
        violations=strong,
    ),
)
