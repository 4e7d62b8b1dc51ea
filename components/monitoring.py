"""The access graph's monitoring, as objects of the Prometheus Operator (monitoring.coreos.com/v1).

Owns the alerts and their sources: metrics of kube-state-metrics and cert-manager, as their documentation lists them,
and ends of certificates that the stack knows. It uses no metrics of TAG or Teleport: neither documents one that shows a
rejected caller. Previews do not need the operator's CRDs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.expiry import read_time
from components.handed_on import waiting
from components.settings.names import CHART_NAME, METRICS_PORT_NAME, service_name

API_VERSION = "monitoring.coreos.com/v1"
OBJECT_NAME = CHART_NAME

# A rollout with two replicas never has none ready; with a single replica it takes less than this.
AWAY_FOR = "5m"
# A restarting exporter does not count as missing.
UNKNOWN_FOR = "15m"
SECONDS_A_DAY = 24 * 60 * 60
_ENDS = {"certificate": "AccessGraphCertificateEnds", "authority": "AccessGraphAuthorityEnds"}


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's namespace."""

    release: str
    """Name of TAG's Helm release."""

    service_monitor: bool = False
    """Whether Prometheus reads TAG's metrics, by a ServiceMonitor."""

    rules: bool = False
    """Whether Prometheus gets the alerts, by a PrometheusRule."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels by which Prometheus selects these objects."""

    scrape_interval_seconds: int = 30
    expiry_days: int = 21
    """How many days before the end of a certificate or an authority the alert fires."""

    certificate_not_after: pulumi.Input[str] | None = None
    """RFC 3339: the end of a certificate that only an `up` renews."""

    authority_not_after: pulumi.Input[str] | None = None
    """RFC 3339: the earliest end of an authority that Teleport trusts."""

    issued_certificate: str | None = None
    """Name of cert-manager's Certificate, which is renewed between `up`s."""

    certificate_end: str | None = None
    """PromQL for the end, in Unix seconds, of a certificate that somebody else renews, from an exporter of theirs."""


class Monitoring(pulumi.ComponentResource):
    """A ServiceMonitor and a PrometheusRule, each of them optional."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = MonitoringArgs.from_input(args)
        super().__init__("teleport-access-graph:index:Monitoring", name, {}, waiting(opts))
        child = pulumi.ResourceOptions(parent=self)
        metadata = labelled({"name": OBJECT_NAME, "namespace": args.namespace}, args.labels)
        if args.service_monitor:
            kubernetes.apiextensions.CustomResource(
                f"{name}-service-monitor",
                api_version=API_VERSION,
                kind="ServiceMonitor",
                metadata=metadata,
                spec=service_monitor_spec(args),
                opts=child,
            )
        if args.rules:
            rules = pulumi.Output.all(args.namespace, args.certificate_not_after, args.authority_not_after).apply(
                lambda known: alerts(args, *known)
            )
            prometheus_rule(f"{name}-rules", metadata=metadata, rules=rules, opts=child)
        self.register_outputs({})


def labelled(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """`metadata` with `labels`, if there are any. The API server drops an empty map, and every preview of a custom
    resource would then add it again."""
    return {**metadata, "labels": dict(labels)} if labels else dict(metadata)


def prometheus_rule(
    name: str,
    *,
    metadata: Mapping[str, Any],
    rules: pulumi.Input[Sequence[Mapping[str, Any]]],
    opts: pulumi.ResourceOptions,
) -> kubernetes.apiextensions.CustomResource:
    """One group of rules, evaluated at Prometheus's default interval."""
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind="PrometheusRule",
        metadata=metadata,
        spec={"groups": [{"name": CHART_NAME, "rules": rules}]},
        opts=opts,
    )


def service_monitor_spec(args: MonitoringArgs) -> dict[str, Any]:
    """For the chart's own Service; the Service for callers from outside has other labels, and no metrics port."""
    return {
        "selector": {"matchLabels": {"app.kubernetes.io/name": CHART_NAME, "app.kubernetes.io/instance": args.release}},
        "endpoints": [{"port": METRICS_PORT_NAME, "interval": f"{args.scrape_interval_seconds}s"}],
    }


def alert(name: str, expression: str, lasting: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    """A rule of a PrometheusRule, in wire form. `lasting` is a Prometheus duration, such as `5m`."""
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }


def absence(name: str, series: str, summary: str, source: str) -> dict[str, Any]:
    """An alert for a missing metric, without which the alerts that use it are silent. `source` exports the metric."""
    description = f"Prometheus has no {series}: {source} does not run, is not read, or does not see it"
    return alert(name, f"absent({series})", UNKNOWN_FOR, "warning", summary, description)


def alerts(
    args: MonitoringArgs, namespace: str, certificate_not_after: str | None, authority_not_after: str | None
) -> list[dict[str, Any]]:
    """The alerts, in order of importance."""
    found = _availability(namespace, service_name(args.release))
    if certificate_not_after:
        remedy = "an `up` renews it, and none has since its renewal was due"
        found.append(_end("certificate", _constant(certificate_not_after), args.expiry_days, remedy))
    if args.issued_certificate is not None:
        remedy = "cert-manager has not renewed it: kubectl describe certificate"
        series = _issued(namespace, args.issued_certificate)
        found += [_end("certificate", series, args.expiry_days, remedy), _unknown_end(series, "cert-manager")]
    if args.certificate_end is not None:
        remedy = "whoever fills its Secret has not renewed it"
        series = f"({args.certificate_end})"
        found += [_end("certificate", series, args.expiry_days, remedy), _unknown_end(series, "the exporter")]
    if authority_not_after:
        remedy = (
            "an `up` renews the stack's own; of others, add the successor to tls.trustBundleFile, have the certificate "
            "issued by it, and only then take the old one out, which ends this alert"
        )
        found.append(_end("authority", _constant(authority_not_after), args.expiry_days, remedy))
    return found


def _issued(namespace: str, certificate: str) -> str:
    """cert-manager's metric and Prometheus both set the label `namespace`; `honorLabels` decides whose is renamed."""
    series = "certmanager_certificate_expiration_timestamp_seconds"
    either = (
        f'{series}{{{label}="{namespace}",name="{certificate}"}}' for label in ("namespace", "exported_namespace")
    )
    return f"({' or '.join(either)})"


def _availability(namespace: str, deployment: str) -> list[dict[str, Any]]:
    selector = f'{{namespace="{namespace}",deployment="{deployment}"}}'
    series = f"kube_deployment_status_replicas_available{selector}"
    return [
        alert(
            "AccessGraphUnavailable",
            f"{series} < 1",
            AWAY_FOR,
            "critical",
            "No pod of Teleport Access Graph is available",
            f"kubectl -n {namespace} get pods; `python -m operations diagnose` reads what they and their events say",
        ),
        absence("AccessGraphUnknown", series, "Whether Teleport Access Graph runs is not known", "kube-state-metrics"),
    ]


def _end(what: Literal["certificate", "authority"], value: str, days: int, remedy: str) -> dict[str, Any]:
    return alert(
        _ENDS[what],
        f"{value} - time() < {days * SECONDS_A_DAY}",
        UNKNOWN_FOR,
        "critical",
        f"The {what} of Teleport Access Graph is about to end",
        f"it ends within {days} days; {remedy}",
    )


def _unknown_end(series: str, source: str) -> dict[str, Any]:
    summary = "When the certificate of Teleport Access Graph ends is not known"
    return absence("AccessGraphCertificateUnknown", series, summary, source)


def _constant(moment: str) -> str:
    """A time that the stack knows, as a PromQL value: no exporter has to measure it."""
    return f"vector({int(read_time(moment).timestamp())})"
