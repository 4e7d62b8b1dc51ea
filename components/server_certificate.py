"""What the rest of the stack needs to know about TAG's certificate, whatever its source."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.expiry import Expiring


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """Either a pair, which `credentials` stores in a Secret, or the name of a Secret that somebody else fills.

    All fields but the dates resolve only if the step from the recorded state to this one is allowed.
    """

    certificate_pem: pulumi.Output[str] | None
    private_key_pem: pulumi.Output[str] | None
    """PEM, secret."""

    secret_name: pulumi.Output[str] | None
    """Of type kubernetes.io/tls, in TAG's namespace; None exactly where the pair is given."""

    trust_bundle: pulumi.Output[str] | None
    """PEM of every authority that may sign the certificate; None where the stack does not know them."""

    ca_not_after: pulumi.Output[str] | None
    """RFC 3339: when the first authority of the bundle ends. None without a bundle."""

    certificate_not_after: pulumi.Output[str | None] | None
    """RFC 3339. For a certificate that cert-manager renews, the end that the engine saw last, which is no later than
    the real one. None, or an Output of None, where the stack has not seen it."""

    ready: pulumi.Output[bool] | None
    """Resolves once the certificate is as asked for; None where the stack does not make it."""

    expiring: tuple[pulumi.Output[Expiring | None], ...]
    """What previews warn of, known to them and not secret. An Output of None stands for something without an end
    yet."""
