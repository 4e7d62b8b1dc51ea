"""Rules between what a platform asks of objects and namespaces, the way in from outside, and the network policies."""

from __future__ import annotations

from collections.abc import Mapping

from components.arguments import camel_case
from components.settings.database import RdsDatabaseSettings
from components.settings.errors import join, shown
from components.settings.object_metadata import MOST_ANNOTATION_BYTES, metadata_bytes
from components.settings.relations import Draft, Findings, finding
from components.settings.teleport import ManualTeleportSettings
from components.settings.tls import ExistingSecretTlsSettings, GeneratedTlsSettings, certificate_names


def namespace_that_is_kept_is_made(draft: Draft) -> Findings:
    """`accessGraph.keepNamespace` belongs to a namespace that the stack makes."""
    graph = draft.configuration.access_graph
    if graph.keep_namespace and not graph.create_namespace:
        yield finding(
            "accessGraph.keepNamespace",
            True,
            "is set, and with accessGraph.createNamespace false the stack has no namespace to keep",
            "remove it: the stack does not delete a namespace that it has not made",
            "accessGraph.createNamespace",
        )


def outside_name_is_in_the_certificate(draft: Draft) -> Findings:
    """`accessGraph.external.hostname` is a name of the certificate."""
    configuration = draft.configuration
    external = configuration.access_graph.external
    names = certificate_names(configuration.tls, configuration.access_graph.service_host)
    if external is not None and names is not None and external.hostname not in names:
        yield finding(
            "accessGraph.external.hostname",
            external.hostname,
            "is not a name of TAG's certificate, and callers verify it",
            "add it to tls.extraDnsNames",
            "tls.extraDnsNames",
            "tls.mode",
            "accessGraph.release",
            "accessGraph.namespace",
            "accessGraph.clusterDomain",
        )


def outside_name_is_one_of_its_own(draft: Draft) -> Findings:
    """`accessGraph.external.hostname` is another name than TAG's inside the cluster."""
    graph = draft.configuration.access_graph
    if graph.external is not None and graph.external.hostname == graph.service_host:
        yield finding(
            "accessGraph.external.hostname",
            graph.external.hostname,
            "is TAG's name inside the cluster, which nobody outside can look up",
            "give a name of your own DNS, such as graph.example.com, with it in tls.extraDnsNames",
            "accessGraph.release",
            "accessGraph.namespace",
            "accessGraph.clusterDomain",
        )


def one_load_balancer(draft: Draft) -> Findings:
    """`accessGraph.external` leaves the chart's own Service a `ClusterIP`."""
    graph = draft.configuration.access_graph
    if graph.external is not None and graph.service_type == "LoadBalancer":
        yield finding(
            "accessGraph.serviceType",
            graph.service_type,
            "makes a second load balancer beside the one of accessGraph.external",
            "set it to ClusterIP, or remove accessGraph.external",
            "accessGraph.external",
        )


def metadata_agree(draft: Draft) -> Findings:
    """`accessGraph.external.annotations` agree with `annotations`, and `monitoring.labels` with `labels`."""
    configuration = draft.configuration
    external = configuration.access_graph.external
    annotations = {} if external is None else external.annotations
    yield from _agree("accessGraph.external.annotations", annotations, "annotations", configuration.annotations)
    yield from _agree("monitoring.labels", configuration.monitoring.labels, "labels", configuration.labels)


def annotations_fit_in_one_object(draft: Draft) -> Findings:
    """`annotations` and `accessGraph.external.annotations` have at most 131072 bytes together: one Service has both."""
    configuration = draft.configuration
    external = configuration.access_graph.external
    both = {} if external is None else {**configuration.annotations, **external.annotations}
    if metadata_bytes(both) > MOST_ANNOTATION_BYTES:
        yield finding(
            "accessGraph.external.annotations",
            ...,
            f"have more than {MOST_ANNOTATION_BYTES} bytes together with annotations, which every object gets",
            "shorten either: Kubernetes allows an object 262144 bytes in all, others' annotations included",
            "annotations",
        )


def _agree(section: str, own: Mapping[str, str], everywhere_section: str, everywhere: Mapping[str, str]) -> Findings:
    for key, value in own.items():
        if everywhere.get(key, value) != value:
            other = shown(everywhere[key]) or "another value"
            yield finding(
                join(section, key),
                value,
                f"conflicts with {other} in {everywhere_section}, which every object gets",
                "set it in one place",
                join(everywhere_section, key),
            )


def policies_that_are_described_are_there(draft: Draft) -> Findings:
    """`accessGraph.networkPolicy` has `enabled: true` as soon as it says more."""
    policy = draft.configuration.access_graph.network_policy
    said = sorted(policy.model_fields_set - {"enabled"})
    if said and not policy.enabled:
        yield finding(
            "accessGraph.networkPolicy.enabled",
            policy.enabled,
            f"leaves {camel_case(said[0])} without effect",
            "set it to true, or remove the other keys of accessGraph.networkPolicy",
            *(f"accessGraph.networkPolicy.{camel_case(field)}" for field in said),
        )


def database_port_is_unknown(draft: Draft) -> Findings:
    """`accessGraph.networkPolicy.databasePort` is of a database that exists, and comes with `databaseCidrs`."""
    policy = draft.configuration.access_graph.network_policy
    key = "accessGraph.networkPolicy.databasePort"
    if policy.database_port is None:
        return
    if isinstance(draft.configuration.database, RdsDatabaseSettings):
        rule = "is set, and with database.mode rds the port is database.port"
        yield finding(key, policy.database_port, rule, "remove it", "database.mode")
    elif not policy.database_cidrs:
        rule = "is set, and without databaseCidrs calls to the database are not restricted"
        about = "accessGraph.networkPolicy.databaseCidrs"
        yield finding(
            key, policy.database_port, rule, "set databaseCidrs to the database's blocks, or remove it", about
        )


def metrics_are_served_to_be_read(draft: Draft) -> Findings:
    """`monitoring.serviceMonitor` comes with `accessGraph.metrics`."""
    configuration = draft.configuration
    if configuration.monitoring.service_monitor and not configuration.access_graph.metrics:
        yield finding(
            "monitoring.serviceMonitor",
            True,
            "is set, and TAG serves no metrics",
            "set accessGraph.metrics to true",
            "accessGraph.metrics",
        )


def alarm_follows_the_renewal(draft: Draft) -> Findings:
    """`monitoring.expiryDays` lie within the time in which a certificate, and the stack's own authority, is renewed."""
    days, tls = draft.configuration.monitoring.expiry_days, draft.configuration.tls
    renewals: dict[str, int] = {}
    if not isinstance(tls, ExistingSecretTlsSettings):
        renewals["tls.certificateEarlyRenewalHours"] = tls.certificate_early_renewal_hours
    if isinstance(tls, GeneratedTlsSettings):
        renewals["tls.caEarlyRenewalHours"] = tls.ca_early_renewal_hours
    elif tls.next_authority is not None:
        renewals["tls.nextAuthority.caEarlyRenewalHours"] = tls.next_authority.ca_early_renewal_hours
    if not renewals or not draft.configuration.monitoring.rules:
        return
    key, hours = min(renewals.items(), key=lambda renewal: renewal[1])
    if days * 24 >= hours:
        yield finding(
            "monitoring.expiryDays",
            days,
            f"is not less than the {hours} hours of {key}, so the alert would fire before the renewal can be late",
            "set fewer days, or renew earlier",
            "monitoring.rules",
            "tls.mode",
            *renewals,
        )


def exporter_is_of_a_foreign_certificate(draft: Draft) -> Findings:
    """`monitoring.certificateEnd` belongs to `tls.mode: existingSecret`, and to `monitoring.rules`."""
    monitoring = draft.configuration.monitoring
    key = "monitoring.certificateEnd"
    if monitoring.certificate_end is None:
        return
    if not isinstance(draft.configuration.tls, ExistingSecretTlsSettings):
        rule = f"is set, and in tls.mode {draft.configuration.tls.mode} the end is known without it"
        yield finding(key, monitoring.certificate_end, rule, "remove it", "tls.mode")
    elif not monitoring.rules:
        rule = "is set, and there are no alerts"
        yield finding(
            key, monitoring.certificate_end, rule, "set monitoring.rules to true", "tls.mode", "monitoring.rules"
        )


def watch_has_a_log_to_read(draft: Draft) -> Findings:
    """`monitoring.lockoutWatch` comes with a Teleport of the chart."""
    configuration = draft.configuration
    if configuration.monitoring.lockout_watch is not None and all(
        isinstance(entry, ManualTeleportSettings) for entry in configuration.teleport.values()
    ):
        yield finding(
            "monitoring.lockoutWatch",
            ...,
            "is set, and no Teleport has mode release or values, so there is no auth log for it to read",
            "remove it",
            "teleport",
        )


RULES = (
    namespace_that_is_kept_is_made,
    outside_name_is_in_the_certificate,
    outside_name_is_one_of_its_own,
    one_load_balancer,
    metadata_agree,
    annotations_fit_in_one_object,
    policies_that_are_described_are_there,
    database_port_is_unknown,
    metrics_are_served_to_be_read,
    alarm_follows_the_renewal,
    exporter_is_of_a_foreign_certificate,
    watch_has_a_log_to_read,
)
