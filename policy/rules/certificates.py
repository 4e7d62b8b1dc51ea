"""Rules of the certificates that the stack issues."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rules import Properties, ResourceRule

LEAF = frozenset({"tls:index/locallySignedCert:LocallySignedCert"})
ISSUED = LEAF | {"tls:index/selfSignedCert:SelfSignedCert"}
KEY = frozenset({"tls:index/privateKey:PrivateKey"})

LONGEST_LEAF_HOURS = 397 * 24
LEAST_RSA_BITS = 2048
# The plugin's own choice for an ECDSA key that is not told its curve. The inputs, which a rule sees, do not show it.
DEFAULT_CURVE = "P224"


def short_lived(properties: Properties) -> Iterator[str]:
    if properties.get("isCaCertificate") is True:
        return  # an authority, which clients trust for as long as they are told to
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
    if properties.get("algorithm") == "ECDSA":
        curve = properties.get("ecdsaCurve")
        if (curve or DEFAULT_CURVE) == "P224":
            said = "ecdsaCurve is" if curve else "ecdsaCurve is not set, and the plugin takes"
            yield f"{said} P224, which TLS has no use for: take P256"


RULES = (
    ResourceRule(
        name="certificate-is-short-lived",
        statement="A server certificate lives 397 days at most.",
        types=ISSUED,  # one that signs itself may be a server's
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
