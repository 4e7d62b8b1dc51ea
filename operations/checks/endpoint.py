"""Proves by handshakes which clients TAG's endpoint accepts, which it refuses, and which certificate it serves."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cryptography import x509

from operations.checks.certificate import dns_names
from operations.cluster import NotAllowed
from operations.findings import WRITTEN_BACK, Finding, Outcome, failed, not_proven, passed
from operations.handshake import Answer, Handshake, Way, foreign_identity, shake_hands

_END = "-----END CERTIFICATE-----"


def check_endpoint(
    ways: Sequence[Way],
    *,
    host: str,
    trust: str | None,
    identity: Path | None,
    cluster: str,
    current_certificate: str | None,
) -> list[Finding]:
    """The checks of the endpoint that are the same for all Teleport clusters.

    `trust` is the CA bundle (PEM; None: this machine's own store), `identity` a host certificate with its key,
    `cluster` the Teleport cluster that issued it, `current_certificate` the PEM that the pods should serve.
    """
    name = f"the access graph serves a certificate for {host}"
    if not ways:
        return [failed("endpoint.reached", name, "no ready pod stands behind the endpoint; look at the pods' events")]
    trust = system_trust() if trust is None else trust

    def refused(check: str, statement: str, presented: Path | None) -> Finding:
        attempt = partial(shake_hands, server_name=host, trust=trust, identity=presented, expect_refusal=True)
        return _judged(check, statement, ways, attempt, lambda seen: seen.answer is Answer.REFUSED)

    dial = partial(shake_hands, server_name=host, trust=trust, identity=identity)
    findings = [
        _judged("endpoint.name", name, ways, dial, server_was_verified),
        _judged(
            "endpoint.wrong-name",
            "a client that asks for another name turns away",
            ways,
            partial(dial, server_name=f"wrong.{host}"),
            lambda seen: seen.answer is Answer.WRONG_NAME,
        ),
    ]
    check, accepted = "endpoint.host-certificate", f"a host certificate of {cluster} is accepted"
    if identity is None:
        remedy = "name with --host-identity a file with a certificate of Teleport's host CA and its key"
        findings.append(not_proven(check, accepted, f"none was given; {remedy}"))
    else:
        findings.append(_judged(check, accepted, ways, dial, lambda seen: seen.answer is Answer.ACCEPTED))
    findings.append(refused("endpoint.no-certificate", "a client without a certificate is refused", None))
    with foreign_identity(cluster) as foreign:
        statement = "a certificate of another authority that calls itself the same is refused"
        findings.append(refused("endpoint.foreign-certificate", statement, foreign))
    findings.append(_current(ways, host, identity, current_certificate))
    return findings


def check_trust(
    ways: Sequence[Way],
    *,
    host: str,
    cluster: str,
    trust: str | None,
    where: str,
    identity: Path | None,
    is_own: bool = True,
) -> Finding:
    """Whether the CA that Teleport's auth trusts verifies the certificate that TAG serves. `where` says where `trust`
    was read; `is_own`: the stack wrote it there."""
    statement = f"the CA that Teleport {cluster} trusts signed what the access graph serves"
    check = f"teleport.{cluster}.trust"
    if trust is None:
        return failed(check, statement, f"{where} does not exist, and auth cannot start without it; run `up --refresh`")
    if not ways:
        return failed(check, statement, "no ready pod stands behind the endpoint")
    dial = partial(shake_hands, server_name=host, trust=trust, identity=identity)
    finding = _judged(check, statement, ways, dial, server_was_verified)
    if finding.outcome is not Outcome.FAIL or not is_own:
        return finding
    return replace(finding, reason=f"{finding.reason}; if somebody changed {where}, run {WRITTEN_BACK}")


def server_was_verified(seen: Handshake) -> bool:
    """A client checks the server's certificate first, so even a refusal of the client proves that it was verified."""
    return seen.answer in (Answer.ACCEPTED, Answer.REFUSED)


def system_trust() -> str:
    """PEM of this machine's trust store, which may differ from that of Teleport's image."""
    store = ssl.create_default_context()
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in store.get_ca_certs(binary_form=True))


def _judged(
    check: str,
    statement: str,
    ways: Sequence[Way],
    attempt: Callable[[Way], Handshake],
    holds: Callable[[Handshake], bool],
) -> Finding:
    """Try one statement at every replica: a renewed certificate or CA may have reached only some of them."""
    try:
        seen = [(way, attempt(way)) for way in ways]
    except NotAllowed as error:
        return not_proven(check, statement, str(error))
    except (ssl.SSLError, OSError, ValueError) as error:
        return failed(check, statement, f"cannot be tried: {error}; is the PEM whole?")
    wrong = [(way, one) for way, one in seen if not holds(one)]
    if wrong:
        where = "; ".join(f"{way.label} {one.answer.value} ({one.detail})" for way, one in wrong)
        return failed(check, statement, f"{len(wrong)} of {len(seen)} replicas do otherwise: {where}")
    details = ", ".join(dict.fromkeys(f"{one.answer.value} ({one.detail})" for _, one in seen))
    return passed(check, statement, f"{len(seen)} of {len(seen)} replicas: {details}")


def _current(ways: Sequence[Way], host: str, identity: Path | None, current: str | None) -> Finding:
    """Pods load their certificate once, so a pod that was not restarted still serves the former one."""
    statement = "the access graph serves the certificate that its Secret holds now"
    check = "endpoint.current-certificate"
    if not current or _END not in current:
        return failed(check, statement, f"the Secret has no certificate in tls.crt; run {WRITTEN_BACK}")
    wanted = ssl.PEM_cert_to_DER_cert(current[: current.index(_END) + len(_END)].lstrip())
    try:
        seen = [(way, shake_hands(way, server_name=host, trust=None, identity=identity)) for way in ways]
    except NotAllowed as error:
        return not_proven(check, statement, str(error))
    mute = [f"{way.label} ({one.detail})" for way, one in seen if one.certificate is None]
    wrong = [way.label for way, one in seen if one.certificate not in (None, wanted)]
    if wrong:
        return failed(
            check, statement, f"{', '.join(wrong)} serves another; restart the Deployment and read its events"
        )
    if mute:
        return failed(check, statement, f"none came from {', '.join(mute)}")
    listed = ", ".join(dns_names(x509.load_der_x509_certificate(wanted)) or ["no DNS name"])
    return passed(check, statement, f"SHA-256 {hashlib.sha256(wanted).hexdigest()[:16]}..., for {listed}")
