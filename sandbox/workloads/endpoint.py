"""Dials Teleport Access Graph as Teleport does: mutual TLS with the host certificate, checking the endpoint's name.

Owns one attempt and the reason of its failure. Auth and the proxies decide when to try and what to log.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations.address_book import AddressBook
from sandbox.workloads.certificates import certificates_in, fingerprint, trusting
from sandbox.workloads.journal import StartRefused

# What a gRPC client sends first: the HTTP/2 preface and an empty SETTINGS frame.
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTTP2_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"

_TIMEOUT_SECONDS = 5.0
_KNOWN_KEYS = {"enabled", "endpoint", "ca", "insecure", "audit_log"}
_KNOWN_AUDIT_LOG_KEYS = {"enabled", "start_date"}


@dataclass(frozen=True)
class AccessGraphSettings:
    """`access_graph` of teleport.yaml. `ca` is a path in the container's own file system."""

    enabled: bool
    endpoint: str
    ca: str | None
    insecure: bool

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoint.rpartition(":")
        return host.strip("[]"), int(port)


def parse_settings(section: Any) -> AccessGraphSettings:
    """The section, checked as Teleport does at its start; does not open the CA file. Raises StartRefused."""
    if section is None:
        return AccessGraphSettings(False, "", None, False)
    if not isinstance(section, dict):
        raise StartRefused("access_graph: must be a map")
    for known, keys, where in (
        (_KNOWN_KEYS, section, "access_graph"),
        (_KNOWN_AUDIT_LOG_KEYS, section.get("audit_log") or {}, "access_graph.audit_log"),
    ):
        if not isinstance(keys, dict):
            raise StartRefused(f"{where}: must be a map")
        for key in keys:
            if key not in known:
                raise StartRefused(f"failed to parse Teleport configuration: field {key} not found in {where}")
    for key in ("enabled", "insecure"):
        if not isinstance(section.get(key, False), bool):
            raise StartRefused(f"access_graph.{key}: must be true or false")
    settings = AccessGraphSettings(
        section.get("enabled", False),
        str(section.get("endpoint") or ""),
        section.get("ca") or None,
        section.get("insecure", False),
    )
    if settings.enabled:
        host, _, port = settings.endpoint.rpartition(":")
        if not settings.endpoint:
            raise StartRefused("access_graph.endpoint is required when access_graph is enabled")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise StartRefused(f"access_graph.endpoint: {settings.endpoint!r} is not host:port")
    return settings


class Connection:
    """An accepted connection: the server has checked our certificate and answered."""

    def __init__(self, connection: ssl.SSLSocket, address: tuple[str, int]) -> None:
        self._connection = connection
        self.address = f"{address[0]}:{address[1]}"
        certificate = connection.getpeercert(binary_form=True)
        assert certificate is not None
        self.certificate_fingerprint = fingerprint(certificate)

    def ping(self) -> None:
        """Make the server answer again. Raises OSError if the connection is gone."""
        self._connection.sendall(HTTP2_SETTINGS)
        if not self._connection.recv(65536):
            raise ConnectionResetError("the server closed the connection")

    def close(self) -> None:
        self._connection.close()


class DialFailed(Exception):
    """One attempt failed. `authority_unknown`: the server does not know the CA that issued our host certificate."""

    def __init__(self, text: str, *, authority_unknown: bool = False) -> None:
        super().__init__(text)
        self.authority_unknown = authority_unknown


def client_context(settings: AccessGraphSettings, authority: str | None, identity: Path) -> ssl.SSLContext:
    """Trusts only `authority` (PEM) if given, otherwise the system's store; presents the host certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A name in the subject alone does not count: Go looks only at the alternative names.
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(identity)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority is not None:
        trusting(context, certificates_in(authority), "access_graph.ca")
    else:
        context.set_default_verify_paths()
    return context


def dial(settings: AccessGraphSettings, context: ssl.SSLContext) -> Connection:
    """Connect, shake hands, and wait for the server's answer. Raises DialFailed."""
    host, port = settings.address
    try:
        addresses = AddressBook.from_environment().resolve(host, port)
    except OSError as error:
        raise DialFailed(f"lookup {host}: {error}") from None
    if not addresses:
        raise DialFailed(f"lookup {host}: no such host")
    failure = DialFailed("no address")
    for address in addresses:
        try:
            return _attempt(address, host, context)
        except DialFailed as error:
            failure = error
            if error.authority_unknown:
                break
    raise failure


def _attempt(address: tuple[str, int], host: str, context: ssl.SSLContext) -> Connection:
    try:
        plain = socket.create_connection(address, _TIMEOUT_SECONDS)
    except OSError as error:
        raise DialFailed(f"dial tcp {address[0]}:{address[1]}: {error.strerror or error}") from None
    opened: socket.socket = plain
    try:
        connection = context.wrap_socket(plain, server_hostname=host)
        opened = connection
        try:
            connection.sendall(HTTP2_PREFACE + HTTP2_SETTINGS)
        except OSError:
            pass  # already refused; the alert with the reason is still to be read
        # In TLS 1.3 the client is done before the server has checked its certificate: only an answer proves success.
        if not connection.recv(65536):
            raise DialFailed("the server closed the connection")
        return Connection(connection, address)
    except DialFailed:
        opened.close()
        raise
    except ssl.SSLCertVerificationError as error:
        opened.close()
        raise DialFailed(f"tls: failed to verify certificate: {error.verify_message}") from None
    except ssl.SSLError as error:
        opened.close()
        unknown = "UNKNOWN_CA" in (error.reason or "")
        raise DialFailed(f"tls: {error.reason or error}", authority_unknown=unknown) from None
    except OSError as error:
        opened.close()
        raise DialFailed(f"dial tcp {address[0]}:{address[1]}: {error.strerror or error}") from None
