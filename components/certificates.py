"""The certificate authority of the stack and the certificate that Teleport Access Graph serves.

Owns the keys, the issuing and the early renewal. Where the pair is stored is `credentials`' concern, who trusts the
authority is `teleport`'s. Kubernetes and the database are not needed here, so nothing of this waits for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_tls as tls

from components.arguments import ComponentArgs

# RFC 5280, appendix A.1: ub-common-name. A computed Service name may be longer, so the name goes to the SAN alone.
SERVER_COMMON_NAME = "Teleport Access Graph"

# CA/Browser Forum's limit for a server certificate, 397 days plus nothing: clients in the field start to refuse
# longer ones.
MAXIMUM_SERVER_VALIDITY_HOURS = 397 * 24

KEY_ALGORITHMS: dict[str, dict[str, Any]] = {
    "ECDSA": {"algorithm": "ECDSA", "ecdsa_curve": "P256"},
    "RSA": {"algorithm": "RSA", "rsa_bits": 4096},
}

AUTHORITY_USES = ["cert_signing", "crl_signing"]

# clientAuth as the vendor's own issuing script has it; key encipherment is an RSA key's use only (RFC 5480, section 3).
SERVER_USES = {
    "ECDSA": ["digital_signature", "server_auth", "client_auth"],
    "RSA": ["digital_signature", "key_encipherment", "server_auth", "client_auth"],
}


@dataclass(frozen=True, kw_only=True)
class CertificatesArgs(ComponentArgs):
    dns_names: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Subject alternative names, the Service's computed name first. Teleport verifies the host part of its endpoint
    against them."""

    algorithm: str = "ECDSA"
    """`ECDSA` (P-256, small and fast) or `RSA` (4096 bits, for those whose policy asks for it). Changing it makes new
    keys."""

    ca_validity_hours: pulumi.Input[int] = 87600
    """Ten years: an authority outlives many server certificates, and changing one touches Teleport."""

    ca_early_renewal_hours: pulumi.Input[int] = 8760
    """A year before the end, the next `up` re-signs the authority with the same key."""

    certificate_validity_hours: pulumi.Input[int] = MAXIMUM_SERVER_VALIDITY_HOURS
    """At most 397 days (9528 hours)."""

    certificate_early_renewal_hours: pulumi.Input[int] = 720
    """30 days before the end, the next `up` issues a new certificate."""

    generation: int = 1
    """Counts authorities with different keys, from 1. A renewal with the same key is no new generation."""

    protect: bool = True
    """Whether Pulumi refuses to delete the authority's key: whoever trusts the authority would have to be told of
    another."""


class Certificates(pulumi.ComponentResource):
    """An authority, and a server certificate that it signed."""

    trust_bundle: pulumi.Output[str]
    """PEM of every authority that clients have to trust."""
    ca_pem: pulumi.Output[str]
    """PEM of the authority that signed the server certificate."""
    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]
    """PEM, secret."""
    ca_not_after: pulumi.Output[str]
    """RFC 3339."""
    certificate_not_after: pulumi.Output[str]
    """RFC 3339."""

    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = CertificatesArgs.from_input(args)
        if args.algorithm not in KEY_ALGORITHMS:
            raise ValueError(f"algorithm: {args.algorithm!r} is not one of {', '.join(KEY_ALGORITHMS)}")
        super().__init__("teleport-access-graph:index:Certificates", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        key_arguments = KEY_ALGORITHMS[args.algorithm]

        authority_name = f"{name}-ca-{args.generation}"
        authority_key = tls.PrivateKey(
            f"{authority_name}-key",
            **key_arguments,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        authority = tls.SelfSignedCert(
            authority_name,
            private_key_pem=authority_key.private_key_pem,
            # The generation is in the subject so that two authorities in one bundle are told apart by name.
            subject={"common_name": f"Teleport Access Graph CA {args.generation}"},
            is_ca_certificate=True,
            set_subject_key_id=True,
            allowed_uses=AUTHORITY_USES,
            validity_period_hours=args.ca_validity_hours,
            early_renewal_hours=args.ca_early_renewal_hours,
            opts=child,
        )
        server_key = tls.PrivateKey(f"{name}-server-key", **key_arguments, opts=child)
        request = tls.CertRequest(
            f"{name}-server-request",
            private_key_pem=server_key.private_key_pem,
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
            allowed_uses=SERVER_USES[args.algorithm],
            validity_period_hours=args.certificate_validity_hours,
            early_renewal_hours=args.certificate_early_renewal_hours,
            opts=child,
        )

        self.trust_bundle = authority.cert_pem
        self.ca_pem = authority.cert_pem
        self.certificate_pem = certificate.cert_pem
        self.private_key_pem = pulumi.Output.secret(server_key.private_key_pem)
        self.ca_not_after = authority.validity_end_time
        self.certificate_not_after = certificate.validity_end_time
        self.register_outputs(
            {
                "trust_bundle": self.trust_bundle,
                "ca_pem": self.ca_pem,
                "certificate_pem": self.certificate_pem,
                "private_key_pem": self.private_key_pem,
                "ca_not_after": self.ca_not_after,
                "certificate_not_after": self.certificate_not_after,
            }
        )
