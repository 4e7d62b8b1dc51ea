"""Settings of TAG's certificate and of the authorities that Teleport trusts, a section for each `mode`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from components.settings.formats import UNQUOTED, DnsName, ObjectName, PinnedImage, ProjectPath
from components.settings.names import CERT_MANAGER_GROUP, DEFAULT_KUBECTL_IMAGE
from components.settings.rules import DISTINCT, Section, Switch, Text, WholeNumber, between, matching, setting
from components.settings.unions import by_mode, tag

# 397 days: the longest that every client takes of a server certificate, whoever signed it (Apple's limit is 398). What
# public authorities may give is less (200 days since March 2026, CA/Browser Forum ballot SC-081), and theirs alone.
LONGEST_CERTIFICATE_HOURS = 397 * 24
TEN_YEARS_HOURS = 10 * 365 * 24
# Beyond 50 years ASN.1 changes its format of times, and no one remembers the key.
LONGEST_AUTHORITY_HOURS = 50 * 365 * 24
# What public authorities settled on, and cert-manager's own default.
ISSUED_CERTIFICATE_HOURS = 90 * 24

_CERTIFICATE_HOURS = between(
    1,
    LONGEST_CERTIFICATE_HOURS,
    "hours",
    lambda value: "is more than 397 days, which strict verifiers refuse" if value > LONGEST_CERTIFICATE_HOURS else None,
)
_AUTHORITY_HOURS = between(24, LONGEST_AUTHORITY_HOURS, "hours")
_AUTHORITY_RENEWAL = between(1, LONGEST_AUTHORITY_HOURS, "hours")
_CERTIFICATE_RENEWAL = between(1, LONGEST_CERTIFICATE_HOURS, "hours")
_GENERATION = between(1, 1_000_000)
_KIND = matching(r"[A-Z][A-Za-z0-9]{0,62}", "a kind of Kubernetes resource", "give it such as ClusterIssuer")

_ALGORITHM_WHY = "kind of the keys: ECDSA P-256, or RSA of 4096 bits if a policy asks for it"
_TRUST_WHY = "bundle gives Teleport the authorities' certificates; system: Teleport's trust store has them already"
_NAMES_WHY = "further names in TAG's certificate, for a LoadBalancer or another cluster"

Algorithm = Literal["ECDSA", "RSA"]
Trust = Literal["bundle", "system"]


class AuthoritySettings(Section):
    """Which certificate authority signs, and how far it has taken over from the one before it."""

    generation: Annotated[WholeNumber, _GENERATION] = setting(
        1, why="number of the newest authority's key; a renewal with the same key is no new generation"
    )
    phase: Literal["stable", "introduce", "switch", "retire"] = setting(
        "stable",
        why="step of a change of authority; one `up` each, in this order: introduce the next generation, switch "
        "to it, retire the one before, stable again",
    )
    previous_algorithm: Algorithm | None = setting(
        None, why="algorithm of the former authority, if `algorithm` changes with the generation"
    )


class GeneratedTlsSettings(Section):
    """An authority and a server certificate that the stack makes and renews."""

    mode: Literal["generated"] = setting(why="where the certificate comes from", example="generated")
    algorithm: Algorithm = setting("ECDSA", why=f"{_ALGORITHM_WHY}; for the newest authority")
    ca_validity_hours: Annotated[WholeNumber, _AUTHORITY_HOURS] = setting(
        TEN_YEARS_HOURS, why="life of the authority, ten years by default, because replacing it touches Teleport"
    )
    ca_early_renewal_hours: Annotated[WholeNumber, _AUTHORITY_RENEWAL] = setting(
        365 * 24, why="an `up` renews the authority in this time before its end, by default the last year"
    )
    certificate_validity_hours: Annotated[WholeNumber, _CERTIFICATE_HOURS] = setting(
        LONGEST_CERTIFICATE_HOURS, why="life of the server certificate; the default, 397 days, is also the longest"
    )
    certificate_early_renewal_hours: Annotated[WholeNumber, _CERTIFICATE_RENEWAL] = setting(
        30 * 24, why="an `up` renews the certificate in this time before its end, by default the last 30 days"
    )
    authority: AuthoritySettings = setting({}, why="generation and phase of the authority")
    trust: Trust = setting("bundle", why=_TRUST_WHY)
    trust_bundle_file: ProjectPath | None = setting(
        None, why="further authorities that Teleport is to trust, on the way to or from another mode"
    )
    extra_dns_names: Annotated[tuple[DnsName, ...], DISTINCT] = setting(
        (), why=f"{_NAMES_WHY}; the Service's name is always in it"
    )
    protect: Switch = setting(True, why="whether the engine refuses to delete the key of an authority in use")


class NextAuthoritySettings(Section):
    """An authority of the stack's own that Teleport trusts ahead of a move to `mode: generated`, with its settings
    there."""

    generation: Annotated[WholeNumber, _GENERATION] = setting(1, why="as `authority.generation` will be")
    algorithm: Algorithm = setting("ECDSA", why="as `algorithm` will be")
    ca_validity_hours: Annotated[WholeNumber, _AUTHORITY_HOURS] = setting(
        TEN_YEARS_HOURS, why="as `caValidityHours` will be"
    )
    ca_early_renewal_hours: Annotated[WholeNumber, _AUTHORITY_RENEWAL] = setting(
        365 * 24, why="as `caEarlyRenewalHours` will be"
    )


class RestarterSettings(Section):
    """A CronJob of the stack's own that restarts TAG after its Secret has changed."""

    mode: Literal["restarter"] = setting(why="who restarts TAG after a renewal", example="restarter")
    image: PinnedImage = setting(
        DEFAULT_KUBECTL_IMAGE,
        why="image with kubectl, sh, base64, sha256sum and cut; name your mirror if you mirror images",
    )
    every_minutes: Annotated[WholeNumber, between(1, 59, "minutes")] = setting(
        5, why="how often it looks at the Secret; renewals come days before the end, so seldom is enough"
    )


class ExternalReloaderSettings(Section):
    """Somebody else restarts TAG after its Secret has changed."""

    mode: Literal["external"] = setting(why="who restarts TAG after a renewal", example="external")


ReloaderSettings = Annotated[
    Annotated[RestarterSettings, Tag(tag("restarter"))] | Annotated[ExternalReloaderSettings, Tag(tag("external"))],
    Discriminator(by_mode),
]
_RELOADER_WHY = "what restarts TAG when its certificate has changed between `up`s; TAG reads it only at its start"


class ExistingIssuerSettings(Section):
    """An issuer that is there."""

    mode: Literal["existing"] = setting(why="whose issuer it is", example="existing")
    name: ObjectName = setting(why="name of the issuer", example="internal-ca")
    kind: Annotated[Text, _KIND] = setting("ClusterIssuer", why="ClusterIssuer, Issuer, or a kind of another group")
    group: DnsName = setting(CERT_MANAGER_GROUP, why="API group, for issuers that are not cert-manager's own")


class CaIssuerSettings(Section):
    """An Issuer that the stack makes in TAG's namespace, of an authority whose pair is in a Secret there."""

    mode: Literal["ca"] = setting(why="whose issuer it is", example="ca")
    secret_name: ObjectName = setting(
        why="the Secret with the authority's tls.crt and tls.key; cert-manager waits until it is there",
        example="internal-ca",
    )


IssuerSettings = Annotated[
    Annotated[ExistingIssuerSettings, Tag(tag("existing"))] | Annotated[CaIssuerSettings, Tag(tag("ca"))],
    Discriminator(by_mode),
]

_GIVEN_BUNDLE_WHY = "PEM of the authorities that Teleport is to trust; never read from the issued Secret"
_NEXT_WHY = "an authority of the stack's own that joins the bundle before a move to `mode: generated`"


class CertManagerTlsSettings(Section):
    """A certificate that cert-manager issues and renews."""

    mode: Literal["certManager"] = setting(why="where the certificate comes from", example="certManager")
    issuer: IssuerSettings = setting(why="who signs", example={"mode": "existing", "name": "internal-ca"})
    algorithm: Algorithm = setting("ECDSA", why=_ALGORITHM_WHY)
    certificate_validity_hours: Annotated[WholeNumber, _CERTIFICATE_HOURS] = setting(
        ISSUED_CERTIFICATE_HOURS, why="life that is asked for, 90 days by default; the issuer may give less"
    )
    certificate_early_renewal_hours: Annotated[WholeNumber, _CERTIFICATE_RENEWAL] = setting(
        30 * 24, why="how long before its end cert-manager renews the certificate"
    )
    trust: Trust = setting("bundle", why=_TRUST_WHY)
    trust_bundle_file: ProjectPath | None = setting(None, why=_GIVEN_BUNDLE_WHY)
    next_authority: NextAuthoritySettings | None = setting(None, why=_NEXT_WHY)
    reloader: ReloaderSettings = setting({"mode": "restarter"}, why=_RELOADER_WHY)
    extra_dns_names: Annotated[tuple[DnsName, ...], DISTINCT] = setting((), why=_NAMES_WHY)
    include_service_name: Switch = setting(
        True,
        why="whether the Service's name is in the certificate; set false for a public authority, which "
        "signs no names of a cluster",
    )


class ExistingSecretTlsSettings(Section):
    """A certificate in a Secret that somebody else fills and renews."""

    mode: Literal["existingSecret"] = setting(why="where the certificate comes from", example="existingSecret")
    secret_name: Annotated[ObjectName, UNQUOTED] = setting(
        why="a Secret of type kubernetes.io/tls in TAG's namespace", example="access-graph-certificate"
    )
    trust: Trust = setting("bundle", why=_TRUST_WHY)
    trust_bundle_file: ProjectPath | None = setting(None, why=_GIVEN_BUNDLE_WHY)
    next_authority: NextAuthoritySettings | None = setting(None, why=_NEXT_WHY)
    reloader: ReloaderSettings = setting({"mode": "restarter"}, why=_RELOADER_WHY)


TlsSettings = Annotated[
    Annotated[GeneratedTlsSettings, Tag(tag("generated"))]
    | Annotated[CertManagerTlsSettings, Tag(tag("certManager"))]
    | Annotated[ExistingSecretTlsSettings, Tag(tag("existingSecret"))],
    Discriminator(by_mode),
]


def certificate_names(tls: TlsSettings, service_host: str) -> tuple[str, ...] | None:
    """The names that the certificate is to have, the Service's first; None where somebody else decides them."""
    if isinstance(tls, ExistingSecretTlsSettings):
        return None
    if isinstance(tls, CertManagerTlsSettings) and not tls.include_service_name:
        return tls.extra_dns_names
    return (service_host, *tls.extra_dns_names)
