"""When a Certificate must be issued, when it counts as ready, and when it is renewed.

Pure. The order, reasons and messages of the checks are those of cert-manager's policy chains, except the check for two
Certificates with one Secret. The certificate in a Secret stands for the request it was issued for, because a CA issuer
grants exactly what was requested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.engine.cert_manager.issuing import (
    EXTENDED_USAGES,
    KEY_USAGES,
    Key,
    Spec,
    duration,
    key_form,
    lifetime,
    read_key,
    usages,
)

ISSUER_NAME = "cert-manager.io/issuer-name"
ISSUER_KIND = "cert-manager.io/issuer-kind"
ISSUER_GROUP = "cert-manager.io/issuer-group"


class Violation(NamedTuple):
    reason: str
    message: str


@dataclass(frozen=True)
class Held:
    """The Secret of a Certificate."""

    data: Mapping[str, bytes]
    annotations: Mapping[str, str]
    requested: bool = True
    """Whether the Certificate has a request of its own for it: not of a Secret that another one left behind."""

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.data["tls.crt"])

    @property
    def key(self) -> Key:
        return read_key(self.data["tls.key"])


Check = Callable[[Spec, Held, datetime], Violation | None]


def to_issue(spec: Spec, held: Held | None, now: datetime) -> Violation | None:
    """Why a certificate must be issued; None if it need not be."""
    return _first(spec, held, now, (_missing, _pair, _issuer, _key_form, _request, _due))


def not_ready(spec: Spec, held: Held | None, now: datetime) -> Violation | None:
    """Why the existing certificate does not count as ready. One that is due for renewal still does."""
    return _first(spec, held, now, (_missing, _pair, _issuer, _key_form, _request, _expired))


def renewal_time(certificate: x509.Certificate, spec: Spec) -> datetime:
    """`renewBefore` before the end; if absent or not below the whole life, a third of the life before it."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    early = duration(spec.get("renewBefore"), life / 3)
    return certificate.not_valid_after_utc - (early if early < life else life / 3)


def _first(spec: Spec, held: Held | None, now: datetime, checks: tuple[Check, ...]) -> Violation | None:
    if held is None:
        return Violation("DoesNotExist", "Issuing certificate as Secret does not exist")
    return next((found for check in checks if (found := check(spec, held, now)) is not None), None)


def _missing(spec: Spec, held: Held, now: datetime) -> Violation | None:
    for key, what in (("tls.key", "a private key"), ("tls.crt", "a certificate")):
        if not held.data.get(key):
            return Violation("MissingData", f"Issuing certificate as Secret does not contain {what}")
    return None


def _pair(spec: Spec, held: Held, now: datetime) -> Violation | None:
    try:
        key = held.key
    except ValueError as error:
        return Violation("InvalidKeyPair", f"Issuing certificate as Secret contains invalid private key data: {error}")
    try:
        certificate = held.certificate
    except ValueError as error:
        text = f"Issuing certificate as Secret contains an invalid certificate: {error}"
        return Violation("InvalidCertificate", text)
    if certificate.public_key() != key.public_key():
        text = "Issuing certificate as Secret contains a private key that does not match the certificate"
        return Violation("InvalidKeyPair", text)
    return None


def _key_form(spec: Spec, held: Held, now: datetime) -> Violation | None:
    key = held.key
    has = {"RSA": isinstance(key, rsa.RSAPrivateKey), "ECDSA": isinstance(key, ec.EllipticCurvePrivateKey)}
    algorithm, size = key_form(spec.get("privateKey") or {})
    differing = [] if has.get(algorithm) else ["spec.privateKey.algorithm"]
    if not differing and key.key_size != size:
        differing = ["spec.privateKey.size"]
    if differing:
        return Violation("SecretMismatch", f"Existing private key is not up to date for spec: [{' '.join(differing)}]")
    return None


def _issuer(spec: Spec, held: Held, now: datetime) -> Violation | None:
    reference, annotations = spec["issuerRef"], held.annotations
    if not {ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP} & annotations.keys():
        return None
    was = (
        annotations.get(ISSUER_NAME, ""),
        annotations.get(ISSUER_KIND) or "Issuer",
        annotations.get(ISSUER_GROUP) or "cert-manager.io",
    )
    if was == issuer_reference(reference):
        return None
    name, kind, group = was
    text = f'Issuing certificate as Secret was previously issued by "{kind}.{group}/{name}"'
    return Violation("IncorrectIssuer", text)


def issuer_reference(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    """Name, kind and group, defaults filled in."""
    return reference["name"], reference.get("kind") or "Issuer", reference.get("group") or "cert-manager.io"


def _request(spec: Spec, held: Held, now: datetime) -> Violation | None:
    certificate = held.certificate
    found = {type(one.value): one.value for one in certificate.extensions}
    names = found.get(x509.SubjectAlternativeName)
    has_names = (
        set(names.get_values_for_type(x509.DNSName)) if isinstance(names, x509.SubjectAlternativeName) else set()
    )
    usage, extended = found.get(x509.KeyUsage), found.get(x509.ExtendedKeyUsage)
    wanted = usages(spec)
    has_flags = {name for name in _PLAIN if isinstance(usage, x509.KeyUsage) and getattr(usage, name)}
    has_extended = set(extended) if isinstance(extended, x509.ExtendedKeyUsage) else set()
    differing = []
    if has_names != set(spec.get("dnsNames") or []):
        differing.append("spec.dnsNames")
    if not held.requested:
        text = f"Issuing certificate as Existing issued Secret is not up to date for spec: [{' '.join(differing)}]"
        return Violation("SecretMismatch", text) if differing else None
    if has_flags != {KEY_USAGES[one] for one in wanted if one in KEY_USAGES} or has_extended != {
        EXTENDED_USAGES[one] for one in wanted if one in EXTENDED_USAGES
    }:
        differing.append("spec.usages")
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc != lifetime(spec):
        differing.append("spec.duration")
    if differing:
        text = f"Fields on existing CertificateRequest resource not up to date: [{' '.join(differing)}]"
        return Violation("RequestChanged", text)
    return None


# These two can be requested only of a key that is for key agreement.
_PLAIN = sorted(set(KEY_USAGES.values()) - {"encipher_only", "decipher_only"})


def _due(spec: Spec, held: Held, now: datetime) -> Violation | None:
    due = renewal_time(held.certificate, spec)
    if now < due:
        return None
    return Violation("Renewing", f"Renewing certificate as renewal was scheduled at {due:%Y-%m-%d %H:%M:%S} +0000 UTC")


def _expired(spec: Spec, held: Held, now: datetime) -> Violation | None:
    end = held.certificate.not_valid_after_utc
    return Violation("Expired", f"Certificate expired on {end:%a, %d %b %Y %H:%M:%S} UTC") if now > end else None
