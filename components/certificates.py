"""The certificate authorities of the stack and the certificate that Teleport Access Graph serves.

Owns the keys, the issuing and the early renewal. `authority_phases` (pure) says which authority signs, and which are
trusted, in each step. `credentials` stores the pair; `teleport` hands the trusted authorities to Teleport. This
component needs neither Kubernetes nor the database, so it waits for neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_tls as tls

from components.applied import applied, made
from components.arguments import ComponentArgs
from components.authority_phases import STABLE, AuthorityStep, algorithms
from components.handed_on import waiting
from components.known_after import known_after
from components.settings.tls import LONGEST_CERTIFICATE_HOURS
from components.trust_bundles import joined

# RFC 5280, appendix A.1 (ub-common-name) allows 64 characters. A Service name may be longer, so it is in the SAN alone.
SERVER_COMMON_NAME = "Teleport Access Graph"

KEY_ALGORITHMS: dict[str, dict[str, Any]] = {
    "ECDSA": {"algorithm": "ECDSA", "ecdsa_curve": "P256"},
    "RSA": {"algorithm": "RSA", "rsa_bits": 4096},
}

AUTHORITY_USES = ["cert_signing", "crl_signing"]

# clientAuth follows the vendor's own issuing script. Key encipherment is for RSA keys only (RFC 5480, section 3).
SERVER_USES = {
    "ECDSA": ["digital_signature", "server_auth", "client_auth"],
    "RSA": ["digital_signature", "key_encipherment", "server_auth", "client_auth"],
}


@dataclass(frozen=True, kw_only=True)
class CertificatesArgs(ComponentArgs):
    dns_names: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Subject alternative names, the Service's computed name first. Teleport verifies the host part of its endpoint
    against them. At least one, where a server certificate is made."""

    algorithm: str = "ECDSA"
    """`ECDSA` (P-256, small and fast) or `RSA` (4096 bits, for policies that ask for it). For the newest authority, and
    for the server's key once that authority signs. A change makes new keys, so combine it with a new generation."""

    previous_algorithm: str | None = None
    """Algorithm of the authority before the newest, while both exist; `algorithm` when none."""

    ca_validity_hours: pulumi.Input[int] = 87600
    """Ten years: an authority outlives many server certificates, and a change of authority touches Teleport."""

    ca_early_renewal_hours: int = 8760
    """A year before the end, the next `up` re-signs the authority with the same key. Below `ca_validity_hours`. Plain,
    like the server certificate's below: the tls plugin looks at it while previewing, and refuses what is not known."""

    certificate_validity_hours: pulumi.Input[int] = LONGEST_CERTIFICATE_HOURS
    """At most 397 days (9528 hours), the longest that every client accepts."""

    certificate_early_renewal_hours: int = 720
    """30 days before the end, the next `up` issues a new certificate. Below `certificate_validity_hours`."""

    generation: int = 1
    """Number of the authority, from 1; each has its own key. A renewal with the same key is no new generation."""

    phase: str = STABLE
    """How far `generation` has taken over from the one before it: `stable`, `introduce`, `switch` or `retire`."""

    serves: bool = True
    """Whether a server certificate is made. Without one, the authority is there only to be trusted in advance."""

    further_authorities: pulumi.Input[str] | None = None
    """PEM of somebody else's authorities that join the trust bundle."""

    protect: bool = True
    """Whether Pulumi refuses to delete the key of an authority in use: whoever trusts it would have to be told of
    another."""

    permitted: pulumi.Input[bool] = True
    """Nothing is made until this resolves: a guard that fails stops the step before it begins."""


class Certificates(pulumi.ComponentResource):
    """One authority, or two while one takes over from the other, and a server certificate that one of them signed."""

    trust_bundle: pulumi.Output[str]
    """PEM of every authority that clients must trust."""
    ca_pem: pulumi.Output[str]
    """PEM of the authority that signs the server certificate."""
    certificate_pem: pulumi.Output[str] | None
    """PEM; None where no server certificate is made."""
    private_key_pem: pulumi.Output[str] | None
    """PEM of the certificate's key, secret."""
    ready: pulumi.Output[bool] | None
    """Resolves once the server certificate has the names that were asked for; None where none is made."""
    ca_not_after: pulumi.Output[str]
    """RFC 3339: the end of the authority that signs, or will sign."""
    certificate_not_after: pulumi.Output[str] | None
    """RFC 3339: the end of the server certificate."""

    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = CertificatesArgs.from_input(args)
        for algorithm in (args.algorithm, args.previous_algorithm or args.algorithm):
            if algorithm not in KEY_ALGORITHMS:
                raise ValueError(f"algorithm: {algorithm!r} is not one of {', '.join(KEY_ALGORITHMS)}")
        step = AuthorityStep(args.generation, args.phase)
        if not args.serves and args.phase != STABLE:
            raise ValueError(f"phase: {args.phase!r} is for an authority that serves; pass {STABLE!r}, or serves=True")
        _check_lives(args)
        super().__init__("teleport-access-graph:index:Certificates", name, {}, waiting(opts))

        by_generation = algorithms(step, args.algorithm, args.previous_algorithm)
        # An authority that serves nothing may be given up again.
        protected = step.protected if args.protect and args.serves else ()
        authorities = {
            generation: self._authority(name, args, generation, by_generation[generation], generation in protected)
            for generation in step.existing
        }
        key, authority = authorities[step.signing]
        bundle = [_pem(authorities[generation][1]) for generation in step.trusted]
        if args.further_authorities is not None:
            bundle.append(pulumi.Output.from_input(args.further_authorities))
        self.trust_bundle = bundle[0] if len(bundle) == 1 else pulumi.Output.all(*bundle).apply(joined)
        self.ca_pem = _pem(authority)
        self.ca_not_after = made(authority, authority.validity_end_time)
        self.certificate_pem = self.private_key_pem = self.certificate_not_after = self.ready = None
        if args.serves:
            server_key, request, certificate = self._server(name, args, by_generation[step.signing], key, authority)
            self.certificate_pem = _pem(certificate)
            self.ready = applied(
                "the server certificate's names",
                pulumi.Output.from_input(args.dns_names).apply(list),
                made(request, request.dns_names),
            )
            self.private_key_pem = pulumi.Output.secret(server_key.private_key_pem)
            self.certificate_not_after = made(certificate, certificate.validity_end_time)
        self.register_outputs(
            {
                "trust_bundle": self.trust_bundle,
                "ca_pem": self.ca_pem,
                "certificate_pem": self.certificate_pem,
                "private_key_pem": self.private_key_pem,
                "ca_not_after": self.ca_not_after,
                "certificate_not_after": self.certificate_not_after,
                "ready": self.ready,
            }
        )

    def _authority(
        self, name: str, args: CertificatesArgs, generation: int, algorithm: str, protect: bool
    ) -> tuple[tls.PrivateKey, tls.SelfSignedCert]:
        key = tls.PrivateKey(
            f"{name}-ca-{generation}-key",
            **_key_arguments(algorithm, args),
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        certificate = tls.SelfSignedCert(
            f"{name}-ca-{generation}",
            private_key_pem=key.private_key_pem,
            # The generation in the subject tells two authorities in one bundle apart by name.
            subject={"common_name": f"Teleport Access Graph CA {generation}"},
            is_ca_certificate=True,
            set_subject_key_id=True,
            set_authority_key_id=True,
            allowed_uses=AUTHORITY_USES,
            validity_period_hours=args.ca_validity_hours,
            early_renewal_hours=args.ca_early_renewal_hours,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key, certificate

    def _server(
        self,
        name: str,
        args: CertificatesArgs,
        algorithm: str,
        authority_key: tls.PrivateKey,
        authority: tls.SelfSignedCert,
    ) -> tuple[tls.PrivateKey, tls.CertRequest, tls.LocallySignedCert]:
        child = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-server-key", **_key_arguments(algorithm, args), opts=child)
        request = tls.CertRequest(
            f"{name}-server-request",
            private_key_pem=key.private_key_pem,
            subject={"common_name": SERVER_COMMON_NAME},
            dns_names=args.dns_names,
            opts=child,
        )
        certificate = tls.LocallySignedCert(
            f"{name}-server",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=authority_key.private_key_pem,
            ca_cert_pem=authority.cert_pem,
            set_subject_key_id=True,
            allowed_uses=SERVER_USES[algorithm],
            validity_period_hours=args.certificate_validity_hours,
            early_renewal_hours=args.certificate_early_renewal_hours,
            opts=child,
        )
        return key, request, certificate


def _check_lives(args: CertificatesArgs) -> None:
    """Raise `ValueError` for plain values that give no certificate, or one that is always due for renewal."""
    if args.serves and isinstance(args.dns_names, Sequence) and not args.dns_names:
        raise ValueError("dns_names: is empty; pass the names by which Teleport dials the access graph")
    # Without a server certificate its lifetime does not matter.
    for prefix in ("ca", "certificate") if args.serves else ("ca",):
        validity, early = getattr(args, f"{prefix}_validity_hours"), getattr(args, f"{prefix}_early_renewal_hours")
        if isinstance(validity, int) and early >= validity:
            raise ValueError(
                f"{prefix}_early_renewal_hours: {early} is not below the {validity} of {prefix}_validity_hours, and "
                "every `up` would renew; set less"
            )
    validity = args.certificate_validity_hours
    if args.serves and isinstance(validity, int) and validity > LONGEST_CERTIFICATE_HOURS:
        raise ValueError(
            f"certificate_validity_hours: {validity} is more than 397 days, which strict verifiers refuse; set "
            f"{LONGEST_CERTIFICATE_HOURS} or less"
        )


def _pem(certificate: tls.SelfSignedCert | tls.LocallySignedCert) -> pulumi.Output[str]:
    return made(certificate, certificate.cert_pem)


def _key_arguments(algorithm: str, args: CertificatesArgs) -> dict[str, Any]:
    """The arguments of a key. Everything here is made from keys, so a key that waits keeps the whole component
    waiting."""
    arguments = KEY_ALGORITHMS[algorithm]
    return arguments | {"algorithm": known_after(arguments["algorithm"], args.permitted)}
