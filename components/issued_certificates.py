"""A server certificate that cert-manager issues and renews: its Certificate, and an Issuer where the stack makes one.

Owns the request. The trusted authorities are given, never read from the issued Secret: whoever could change that Secret
could choose whom Teleport trusts. `certificate_restarter` restarts TAG after a renewal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting
from components.settings.names import (
    CERT_MANAGER_API_VERSION,
    CERT_MANAGER_GROUP,
    CERT_MANAGER_ISSUERS,
    ISSUED_CERTIFICATE_NAME,
    ISSUED_SECRET_NAME,
    STACKS_ISSUER_NAME,
)

# For ECDSA, `size` is the curve. cert-manager's own default is RSA 2048.
PRIVATE_KEYS: dict[str, dict[str, Any]] = {
    "ECDSA": {"algorithm": "ECDSA", "size": 256},
    "RSA": {"algorithm": "RSA", "size": 4096},
}

# Without clientAuth: public authorities no longer issue it, and TAG never presents this certificate as a client.
USAGES = {
    "ECDSA": ["digital signature", "server auth"],
    "RSA": ["digital signature", "key encipherment", "server auth"],
}


@dataclass(frozen=True, kw_only=True)
class IssuedCertificateArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's namespace; it must exist, so take it from the Namespace's output."""

    dns_names: Sequence[str]
    """Subject alternative names, at least one."""

    issuer_kind: str = "ClusterIssuer"
    """`ClusterIssuer`, `Issuer` (of `namespace`), or a kind of another group."""

    issuer_name: str | None = None
    """An existing issuer. Pass exactly one of this and `ca_secret`."""

    issuer_group: str = CERT_MANAGER_GROUP
    """API group of the issuer's kind."""

    ca_secret: str | None = None
    """In place of an issuer: a Secret in `namespace` with an authority's pair, from which an Issuer is made."""

    algorithm: str = "ECDSA"
    """`ECDSA` (P-256) or `RSA` (4096 bits)."""

    validity_hours: int = 2160
    """90 days, cert-manager's own default; the issuer may grant less."""

    early_renewal_hours: int = 720
    """cert-manager renews the certificate 30 days before its end."""

    awaited: bool = True
    """Whether an `up` waits until the certificate is issued. It is not needed while the access graph is off, and the
    authority's Secret can be created only once the namespace exists."""

    timeout_seconds: int = 300
    """How long an `up` waits for the first certificate. An ACME challenge takes a minute or two."""


class IssuedCertificate(pulumi.ComponentResource):
    """A cert-manager Certificate in TAG's namespace. Previews do not need cert-manager's CRDs in the cluster."""

    secret_name: pulumi.Output[str]
    """The Secret of type kubernetes.io/tls that cert-manager fills; where `awaited`, known once it is filled."""
    not_after: pulumi.Output[str | None]
    """RFC 3339: the end of the certificate that the engine saw last. cert-manager renews it without the engine."""

    def __init__(self, name: str, args: IssuedCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = IssuedCertificateArgs.from_input(args)
        if args.algorithm not in PRIVATE_KEYS:
            raise ValueError(f"algorithm: {args.algorithm!r} is not one of {', '.join(PRIVATE_KEYS)}")
        if (args.issuer_name is None) == (args.ca_secret is None):
            raise ValueError("issuer_name: pass it or ca_secret, and not both; one of them has to sign")
        if not args.dns_names:
            raise ValueError("dns_names: is empty; pass the names by which Teleport dials the access graph")
        # cert-manager's webhook refuses these values, and a preview does not show its refusals.
        if args.early_renewal_hours >= args.validity_hours:
            raise ValueError(
                f"early_renewal_hours: {args.early_renewal_hours} is not below the {args.validity_hours} of "
                "validity_hours; set less"
            )
        if args.issuer_group == CERT_MANAGER_GROUP and args.issuer_kind not in CERT_MANAGER_ISSUERS:
            raise ValueError(
                f"issuer_kind: {args.issuer_kind!r} is not one of {', '.join(CERT_MANAGER_ISSUERS)}; pass issuer_group "
                "as well"
            )
        super().__init__("teleport-access-graph:index:IssuedCertificate", name, {}, waiting(opts))

        issuer = self._issuer(name, args)
        reference = (
            {"kind": args.issuer_kind, "name": args.issuer_name, "group": args.issuer_group}
            if issuer is None
            else {"kind": "Issuer", "name": STACKS_ISSUER_NAME, "group": CERT_MANAGER_GROUP}
        )
        certificate = _Certificate(
            f"{name}-certificate",
            metadata={
                "name": ISSUED_CERTIFICATE_NAME,
                "namespace": args.namespace,
                "annotations": {
                    # Without this, a release whose pods mount a missing Secret waits without saying why.
                    "pulumi.com/waitFor": "condition=Ready",
                    "pulumi.com/timeoutSeconds": str(args.timeout_seconds),
                }
                if args.awaited
                else {},
            },
            spec={
                "secretName": ISSUED_SECRET_NAME,
                "dnsNames": list(args.dns_names),
                "duration": _duration(args.validity_hours),
                "renewBefore": _duration(args.early_renewal_hours),
                # Explicit, since cert-manager 1.18 changed the default from Never. A new certificate gets a new key.
                "privateKey": {**PRIVATE_KEYS[args.algorithm], "encoding": "PKCS8", "rotationPolicy": "Always"},
                "usages": USAGES[args.algorithm],
                "issuerRef": reference,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[] if issuer is None else [issuer]),
        )
        self.secret_name = certificate.spec.apply(lambda spec: str(spec["secretName"]))
        self.not_after = certificate.status.apply(lambda status: (status or {}).get("notAfter"))
        self.register_outputs({"secret_name": self.secret_name, "not_after": self.not_after})

    def _issuer(self, name: str, args: IssuedCertificateArgs) -> kubernetes.apiextensions.CustomResource | None:
        if args.ca_secret is None:
            return None
        return kubernetes.apiextensions.CustomResource(
            f"{name}-issuer",
            api_version=CERT_MANAGER_API_VERSION,
            kind="Issuer",
            metadata={"name": STACKS_ISSUER_NAME, "namespace": args.namespace},
            spec={"ca": {"secretName": args.ca_secret}},
            opts=pulumi.ResourceOptions(parent=self),
        )


class _Certificate(pulumi.CustomResource):
    """A Certificate with its status, which the SDK's class for custom resources hides."""

    spec: pulumi.Output[dict[str, Any]]
    status: pulumi.Output[dict[str, Any] | None]

    def __init__(
        self, name: str, *, metadata: dict[str, Any], spec: dict[str, Any], opts: pulumi.ResourceOptions
    ) -> None:
        properties = {
            "apiVersion": CERT_MANAGER_API_VERSION,
            "kind": "Certificate",
            "metadata": metadata,
            "spec": spec,
            "status": None,  # declares the output; not sent
        }
        super().__init__(f"kubernetes:{CERT_MANAGER_API_VERSION}:Certificate", name, properties, opts)


def _duration(hours: int) -> str:
    """The form that Go writes, so that cert-manager stores exactly what was sent."""
    return f"{hours}h0m0s"
