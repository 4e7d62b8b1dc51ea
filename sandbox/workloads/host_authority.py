"""Makes Teleport's host CA and the identities it issues, as files in a data directory.

Runs as a process of its own, so that the long-running programs need no cryptography library.

    <data>/authorities/active/*.pem       certificate and key; the first one by name issues
    <data>/authorities/additional/*.pem   also trusted: the other side of a rotation
    <data>/host-identity.pem              auth's own certificate and key, with which it dials Teleport Access Graph

`python -m sandbox.workloads.host_authority {ensure,issue,web} ...`
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.workloads.journal import StartRefused, run_program

IDENTITY = "host-identity.pem"
# As in Teleport: the CA and host certificates are valid for ten years.
_LIFETIME = timedelta(days=3650)
# Machines with slow clocks must accept certificates issued a moment ago.
_BACKDATED = timedelta(minutes=1)


def active_directory(data: Path) -> Path:
    return data / "authorities" / "active"


def additional_directory(data: Path) -> Path:
    return data / "authorities" / "additional"


def create_authority(path: Path, cluster: str) -> None:
    """A self-signed CA whose CN and O are the cluster's name, as Teleport's are."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster), x509.NameAttribute(NameOID.COMMON_NAME, cluster)]
    )
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(path, _pem(certificate), _pem_key(key))


def issue(data: Path, cluster: str, role: str, names: list[str]) -> bytes:
    """Certificate and key (PEM) for a Teleport host of that role (`Auth`, `Proxy`), signed by the first active CA."""
    authorities = sorted(active_directory(data).glob("*.pem"))
    if not authorities:
        raise StartRefused(f"no active host CA in {active_directory(data)}")
    issuer, issuer_key = _load(authorities[0])
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{uuid.uuid4()}.{cluster}"),
        ]
    )
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(subject, issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=False)
        # As in Go: while two CAs of the same name are trusted, this extension tells them apart.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(_alternative_names([*names, "teleport.cluster.local", "*.teleport.cluster.local"]), False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(certificate) + _pem_key(key)


def web_certificate(names: list[str]) -> bytes:
    """The self-signed certificate, for its public names, of a proxy that has none of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(_alternative_names(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate) + _pem_key(key)


def ensure(data: Path, cluster: str, names: list[str]) -> None:
    """Creates the data directory's CA and identity once, then keeps them; refuses those of another cluster."""
    active = active_directory(data)
    active.mkdir(parents=True, exist_ok=True, mode=0o700)
    additional_directory(data).mkdir(parents=True, exist_ok=True, mode=0o700)
    if not list(active.glob("*.pem")):
        create_authority(active / "0001.pem", cluster)
    authorities = sorted(active.glob("*.pem"))
    for authority in authorities:
        (owner,) = _load(authority)[0].subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if owner.value != cluster:
            raise StartRefused(
                f"cluster_name: {cluster!r} does not match {str(owner.value)!r} in the data directory; "
                "a cluster keeps its name"
            )
    identity = data / IDENTITY
    if not identity.exists() or not _issued_by(identity, authorities[0]):
        _write(identity, issue(data, cluster, "Auth", names))


def _issued_by(identity: Path, authority: Path) -> bool:
    try:
        _load(identity)[0].verify_directly_issued_by(_load(authority)[0])
    except Exception:  # the library raises a different exception per reason; each means: issue anew
        return False
    return True


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
    )


def _alternative_names(names: list[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _load(path: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    text = path.read_bytes()
    key = serialization.load_pem_private_key(text, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(text), key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, *parts: bytes) -> None:
    """Atomic: an auth that is killed here must not find half a CA at its next start."""
    temporary = path.with_suffix(".writing")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(parts))
    temporary.replace(path)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sandbox.workloads.host_authority")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("ensure", "issue"):
        sub = commands.add_parser(command)
        sub.add_argument("--data", type=Path, required=True)
        sub.add_argument("--cluster", required=True)
        sub.add_argument("--role", default="Auth")
    commands.add_parser("web")
    for sub in commands.choices.values():
        sub.add_argument("--name", action="append", default=[])
    given = parser.parse_args(arguments)
    if given.command == "ensure":
        ensure(given.data, given.cluster, given.name)
    elif given.command == "issue":
        sys.stdout.buffer.write(issue(given.data, given.cluster, given.role, given.name))
    else:
        sys.stdout.buffer.write(web_certificate(given.name))
    return 0


if __name__ == "__main__":
    sys.exit(run_program(lambda: main(sys.argv[1:])))
