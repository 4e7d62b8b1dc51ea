"""A TLS handshake as a Teleport host makes it, and the server's reaction.

Owns the client's side of one connection. In TLS 1.3 the client's handshake ends before the server has checked its
certificate: only what the client reads afterwards tells whether it was accepted.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from operations.address_book import AddressBook
from operations.cluster import Cluster, ClusterError, Document, NotAllowed, is_ready, name_of

# A gRPC client's first bytes: the HTTP/2 preface and an empty SETTINGS frame. A server answers with its own SETTINGS.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
# Seconds for one connection. A handshake takes milliseconds, on an overloaded replica a few seconds.
TIMEOUT = 10.0
# Seconds to wait for an alert.
_LISTEN = 1.0


class Answer(str, Enum):
    ACCEPTED = "accepted"  # the server spoke to this client
    REFUSED = "refused"  # by a TLS alert
    CLOSED = "closed"  # without a word: a refusal or a fault
    UNTRUSTED = "untrusted"  # the client does not trust the server's certificate
    WRONG_NAME = "wrong name"  # the server's certificate is for other names
    UNREACHABLE = "unreachable"
    SILENT = "silent"  # connected, then nothing


@dataclass(frozen=True)
class Handshake:
    answer: Answer
    detail: str
    certificate: bytes | None = None  # DER of the server's certificate, when it was received


@dataclass(frozen=True)
class Way:
    """A way to one replica behind an endpoint."""

    label: str
    connect: Callable[[], socket.socket]


def ways_to_service(
    host: str, port: int, *, book: AddressBook, cluster: Cluster, namespace: str, service: str
) -> list[Way]:
    """A way to each replica: the address book's addresses when it knows the name, else through the API server to each
    ready pod behind the Service. Raises `ClusterError`."""
    known = book.find(host, port)
    if known is not None:
        return [Way(f"{address}:{number}", _dialer((address, number))) for address, number in known]
    found = cluster.get("Service", service, namespace)
    if found is None:
        raise ClusterError(
            f"{cluster.context}: there is no Service {service} in {namespace}; if an `up` has made the release, "
            "somebody deleted it, and `diagnose` prints the command that brings it back"
        )
    selector = ",".join(f"{key}={value}" for key, value in sorted((found["spec"].get("selector") or {}).items()))
    pods = [pod for pod in cluster.list("Pod", namespace, labels=selector) if is_ready(pod)]
    return [
        Way(name_of(pod), _forwarder(cluster, name_of(pod), namespace, _target_port(found, pod, port))) for pod in pods
    ]


def shake_hands(
    way: Way, *, server_name: str, trust: str | None, identity: Path | None = None, expect_refusal: bool = False
) -> Handshake:
    """Connect, verify the server against `trust` (PEM; None: not at all) and `server_name`, present `identity` (a file
    with certificate and key) and read the server's answer.

    With `expect_refusal` the client listens before it sends: a server that closes with unread bytes resets the
    connection, and the alert may be lost. Raises `NotAllowed` where the way may not be used: that says nothing of the
    server.
    """
    context = _context(trust, identity)
    try:
        plain = way.connect()
    except NotAllowed:
        raise
    except (OSError, ClusterError) as error:
        return Handshake(Answer.UNREACHABLE, str(getattr(error, "strerror", None) or error))
    certificate: bytes | None = None
    try:
        with context.wrap_socket(plain, server_hostname=server_name) as connection:
            certificate = connection.getpeercert(binary_form=True)
            spoken = _read_answer(connection, expect_refusal=expect_refusal)
    except ssl.SSLCertVerificationError as error:
        # 62 is X509_V_ERR_HOSTNAME_MISMATCH.
        answer = Answer.WRONG_NAME if error.verify_code == 62 else Answer.UNTRUSTED
        return Handshake(answer, error.verify_message, certificate)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        alert = "ALERT" in reason.upper()
        return Handshake(Answer.REFUSED if alert else Answer.CLOSED, reason.lower().replace("_", " "), certificate)
    except TimeoutError:
        return Handshake(Answer.SILENT, f"nothing within {TIMEOUT:g} s", certificate)
    except OSError as error:
        return Handshake(Answer.CLOSED, error.strerror or str(error), certificate)
    finally:
        plain.close()
    if not spoken:
        return Handshake(Answer.CLOSED, "the server hung up", certificate)
    return Handshake(Answer.ACCEPTED, "the server answered", certificate)


@contextmanager
def foreign_identity(cluster: str) -> Iterator[Path]:
    """A certificate like that of a host of `cluster`, but from an authority made just now under the same name."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, cluster[:64]),
        ]
    )
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Auth")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        yield path


def _read_answer(connection: ssl.SSLSocket, *, expect_refusal: bool) -> bytes:
    if expect_refusal:
        connection.settimeout(_LISTEN)
        try:
            return connection.recv(4096)
        except TimeoutError:
            pass  # no alert: a server that waits for the client's first bytes has let it in
        connection.settimeout(TIMEOUT)
    try:
        connection.sendall(_HELLO)
    except OSError:
        pass  # already refused; the alert can still be read
    return connection.recv(4096)


def _context(trust: str | None, identity: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As Go verifies: only alternative names count, and any certificate of the bundle is an anchor.
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    if trust is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        # Python's ssl takes only ASCII text, and comments between certificates may hold anything.
        context.load_verify_locations(cadata=trust.encode("ascii", "replace").decode("ascii"))
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def _dialer(address: tuple[str, int]) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(address, TIMEOUT)


def _forwarder(cluster: Cluster, pod: str, namespace: str, port: int) -> Callable[[], socket.socket]:
    return lambda: cluster.open_port(pod, namespace, port)


def _target_port(service: Document, pod: Document, port: int) -> int:
    """The pod's port behind the Service's port; a named one is looked up among the pod's ports."""
    for one in service["spec"].get("ports") or []:
        if one.get("port") != port:
            continue
        target = one.get("targetPort", port)
        if isinstance(target, int):
            return target
        for container in pod["spec"]["containers"]:
            for named in container.get("ports") or []:
                if named.get("name") == target:
                    return int(named["containerPort"])
    raise ClusterError(f"the Service {name_of(service)} has no port {port} that leads to a port of {name_of(pod)}")
