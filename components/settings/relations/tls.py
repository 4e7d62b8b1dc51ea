"""Rules between the certificate's settings, and between them and the names by which TAG is called."""

from __future__ import annotations

from typing import Any

from components.settings.names import CERT_MANAGER_GROUP, CERT_MANAGER_ISSUERS, ISSUED_SECRET_NAME, TLS_SECRET_NAME
from components.settings.relations import Draft, Findings, finding
from components.settings.tls import (
    CertManagerTlsSettings,
    ExistingIssuerSettings,
    ExistingSecretTlsSettings,
    GeneratedTlsSettings,
)


def load_balancer_has_a_name(draft: Draft) -> Findings:
    """`accessGraph.serviceType: LoadBalancer` comes with a name in `tls.extraDnsNames`."""
    configuration = draft.configuration
    tls = configuration.tls
    if isinstance(tls, ExistingSecretTlsSettings) or tls.extra_dns_names:
        return
    if configuration.access_graph.service_type == "LoadBalancer":
        yield finding(
            "accessGraph.serviceType",
            "LoadBalancer",
            "is for agents outside the cluster, and the certificate has no name by which they could dial it",
            "add the load balancer's DNS name to tls.extraDnsNames",
            "tls.extraDnsNames",
            "tls.mode",
        )


def lives_are_in_order(draft: Draft) -> Findings:
    """Renewals begin before the end, and a certificate ends before its authority."""
    tls = draft.configuration.tls
    if isinstance(tls, GeneratedTlsSettings):
        yield from _renewal(tls, "tls", "ca", "authority")
    elif tls.next_authority is not None:
        yield from _renewal(tls.next_authority, "tls.nextAuthority", "ca", "authority")
    if not isinstance(tls, ExistingSecretTlsSettings):
        yield from _renewal(tls, "tls", "certificate", "certificate")
    if isinstance(tls, GeneratedTlsSettings) and tls.certificate_validity_hours >= tls.ca_validity_hours:
        yield finding(
            "tls.certificateValidityHours",
            tls.certificate_validity_hours,
            f"is not below the {tls.ca_validity_hours} of tls.caValidityHours, and it cannot outlast its authority",
            "shorten it or lengthen the authority's",
            "tls.caValidityHours",
        )


def _renewal(section: Any, key: str, prefix: str, what: str) -> Findings:
    early = getattr(section, f"{prefix}_early_renewal_hours")
    life = getattr(section, f"{prefix}_validity_hours")
    if early >= life:
        yield finding(
            f"{key}.{prefix}EarlyRenewalHours",
            early,
            f"is not below the {life} of {key}.{prefix}ValidityHours, so the {what} would be due for renewal at once",
            f"set less than {life}",
            f"{key}.{prefix}ValidityHours",
        )


def authority_takes_over_from_one(draft: Draft) -> Findings:
    """`tls.authority.phase` other than stable has a `generation` of 2 or more, and `previousAlgorithm` such a phase."""
    tls = draft.configuration.tls
    if not isinstance(tls, GeneratedTlsSettings):
        return
    authority = tls.authority
    if authority.phase != "stable" and authority.generation < 2:
        yield finding(
            "tls.authority.generation",
            authority.generation,
            f"is the first generation, and phase {authority.phase} needs one before it to take over from",
            "set the next generation (2 in a stack that has one authority), or phase stable",
            "tls.authority.phase",
        )
    if authority.phase == "stable" and authority.previous_algorithm is not None:
        yield finding(
            "tls.authority.previousAlgorithm",
            authority.previous_algorithm,
            "is set, and in phase stable there is no previous authority",
            "remove it",
            "tls.authority.phase",
        )


def extra_names_are_extra(draft: Draft) -> Findings:
    """`tls.extraDnsNames` leaves out the Service's own name."""
    host, tls = draft.configuration.access_graph.service_host, draft.configuration.tls
    if isinstance(tls, ExistingSecretTlsSettings):
        return
    if host in tls.extra_dns_names:
        yield finding(
            "tls.extraDnsNames",
            host,
            "is the Service's own name, which the certificate always has",
            "remove it",
            "accessGraph.release",
            "accessGraph.namespace",
            "accessGraph.clusterDomain",
        )


def certificate_has_a_name(draft: Draft) -> Findings:
    """`tls.includeServiceName: false` comes with `tls.extraDnsNames`, and with an `endpoint` for each Teleport."""
    configuration = draft.configuration
    tls = configuration.tls
    if not isinstance(tls, CertManagerTlsSettings) or tls.include_service_name:
        return
    if not tls.extra_dns_names:
        yield finding(
            "tls.includeServiceName",
            False,
            "is set, and tls.extraDnsNames is empty: the certificate would have no name",
            "add the name by which Teleport dials TAG to tls.extraDnsNames",
            "tls.extraDnsNames",
        )
        return
    for cluster, entry in configuration.teleport.items():
        if entry.endpoint is None:
            yield finding(
                f"teleport.{cluster}.endpoint",
                ...,
                "is missing, and tls.includeServiceName is false: Teleport would dial a name that is not in the "
                "certificate",
                "set host:port, with a host of tls.extraDnsNames",
                "tls.includeServiceName",
            )


def issuer_is_of_its_group(draft: Draft) -> Findings:
    """`tls.issuer.kind` other than `Issuer` and `ClusterIssuer` comes with the `group` that has it."""
    tls = draft.configuration.tls
    if not isinstance(tls, CertManagerTlsSettings) or not isinstance(tls.issuer, ExistingIssuerSettings):
        return
    # cert-manager's webhook refuses the Certificate, by then beside a database that is being made.
    if tls.issuer.group == CERT_MANAGER_GROUP and tls.issuer.kind not in CERT_MANAGER_ISSUERS:
        yield finding(
            "tls.issuer.kind",
            tls.issuer.kind,
            f"is not a kind of issuer in {CERT_MANAGER_GROUP}, the group in tls.issuer.group",
            f"set {' or '.join(CERT_MANAGER_ISSUERS)}, or tls.issuer.group to the group of that kind, such as "
            "awspca.cert-manager.io",
            "tls.issuer.group",
            "tls.mode",
        )


def bundle_is_given(draft: Draft) -> Findings:
    """`tls.trustBundleFile` is there where the stack does not sign, and with `trust: system` no bundle at all."""
    tls = draft.configuration.tls
    if tls.trust == "bundle":
        if tls.trust_bundle_file is None and not isinstance(tls, GeneratedTlsSettings):
            yield finding(
                "tls.trustBundleFile",
                ...,
                f"is missing, and in mode {tls.mode} the stack does not know which authorities Teleport is to trust",
                "name a PEM file with the issuer's authorities, or set tls.trust to system where Teleport's trust "
                "store has them",
                "tls.trust",
                "tls.mode",
            )
        return
    given = {"trustBundleFile": tls.trust_bundle_file is not None}
    if not isinstance(tls, GeneratedTlsSettings):
        given["nextAuthority"] = tls.next_authority is not None
    for key, is_given in given.items():
        if is_given:
            yield finding(
                f"tls.{key}",
                ...,
                "is set, and with tls.trust system Teleport gets no bundle of authorities",
                "remove it, or set tls.trust to bundle",
                "tls.trust",
            )


def secret_is_somebody_elses(draft: Draft) -> Findings:
    """`tls.secretName` and `tls.issuer.secretName` are none of the Secrets that the stack fills itself."""
    tls = draft.configuration.tls
    named = {}
    if isinstance(tls, ExistingSecretTlsSettings):
        named["tls.secretName"] = tls.secret_name
    if isinstance(tls, CertManagerTlsSettings) and tls.issuer.mode == "ca":
        named["tls.issuer.secretName"] = tls.issuer.secret_name
    for key, name in named.items():
        if name in (TLS_SECRET_NAME, ISSUED_SECRET_NAME):
            yield finding(
                key,
                name,
                "is a Secret that the stack fills in another tls.mode, and deletes when that mode ends",
                "give your Secret another name",
            )


RULES = (
    load_balancer_has_a_name,
    lives_are_in_order,
    authority_takes_over_from_one,
    extra_names_are_extra,
    certificate_has_a_name,
    issuer_is_of_its_group,
    bundle_is_given,
    secret_is_somebody_elses,
)
