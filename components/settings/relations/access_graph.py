"""Rules between the access graph's settings and its names."""

from __future__ import annotations

from components.settings.charts import RepositoryChart
from components.settings.formats import LONGEST_DNS_NAME, memory_bytes
from components.settings.names import CHART_NAME, service_name
from components.settings.relations import Draft, Findings, finding

# Made by Kubernetes itself, shared by all: the stack labels the namespace as `restricted` and deletes it in the end.
_SHARED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def chart_is_of_the_access_graph(draft: Draft) -> Findings:
    """`accessGraph.chart.version` is of the chart's own 1.x series, not Teleport's number."""
    chart = draft.configuration.access_graph.chart
    if isinstance(chart, RepositoryChart):
        yield from access_graph_version("accessGraph.chart.version", chart.version)


def access_graph_version(key: str, version: str) -> Findings:
    """The chart has numbers of its own: a Teleport number is the commonest mistake."""
    major = int(version.split(".")[0])
    if major == 1:
        return
    reason = f"is not of the 1.x series of {CHART_NAME}"
    if major >= 14:
        reason += ", which does not follow Teleport's numbers"
    yield finding(key, version, reason, "give a version of that chart, such as 1.30.2")


def drains_are_possible(draft: Draft) -> Findings:
    """`accessGraph.podDisruptionBudget.minAvailable` is below `replicas`."""
    settings = draft.configuration.access_graph
    budget = settings.pod_disruption_budget
    if settings.has_disruption_budget and budget.min_available >= settings.replicas:
        yield finding(
            "accessGraph.podDisruptionBudget.minAvailable",
            budget.min_available,
            f"is not below the {settings.replicas} of accessGraph.replicas, so no node with a TAG pod could be drained",
            "lower it, raise the replicas, or set accessGraph.podDisruptionBudget.enabled to false",
            "accessGraph.replicas",
            "accessGraph.podDisruptionBudget.enabled",
        )


def memory_request_fits_limit(draft: Draft) -> Findings:
    """`accessGraph.resources.memoryRequest` is at most `memoryLimit`."""
    resources = draft.configuration.access_graph.resources
    if memory_bytes(resources.memory_request) > memory_bytes(resources.memory_limit):
        yield finding(
            "accessGraph.resources.memoryRequest",
            resources.memory_request,
            f"is more than accessGraph.resources.memoryLimit {resources.memory_limit}, which Kubernetes refuses",
            "lower the request or raise the limit",
            "accessGraph.resources.memoryLimit",
        )


def namespace_is_its_own(draft: Draft) -> Findings:
    """`accessGraph.namespace` is none of Kubernetes' own."""
    graph = draft.configuration.access_graph
    if graph.namespace in _SHARED_NAMESPACES:
        rule, remedy = "is a namespace of Kubernetes' own", "give one for TAG"
        if graph.create_namespace:
            rule, remedy = (
                f"{rule}, and the stack makes, labels and deletes TAG's",
                "give one that does not exist yet, or set accessGraph.createNamespace to false with one of yours",
            )
        yield finding("accessGraph.namespace", graph.namespace, rule, remedy, "accessGraph.createNamespace")


def names_fit(draft: Draft) -> Findings:
    """TAG's Service has a name that begins with a letter, and a DNS name of at most 253 characters."""
    settings = draft.configuration.access_graph
    name = service_name(settings.release)
    if not name[0].isalpha():
        yield finding(
            "accessGraph.release",
            settings.release,
            f"makes the Service {name}, and a Service's name begins with a letter",
            "begin it with a letter",
        )
    length = len(settings.service_host)
    if length > LONGEST_DNS_NAME:
        yield finding(
            "accessGraph.clusterDomain",
            settings.cluster_domain,
            f"makes TAG's name {length} characters long, and a DNS name has at most {LONGEST_DNS_NAME}",
            "shorten it, or the namespace or release",
            "accessGraph.release",
            "accessGraph.namespace",
        )


def tolerations_are_complete(draft: Draft) -> Findings:
    """A toleration has a value only with `Equal`, a key with `Equal`, an end only with `NoExecute`."""
    for index, toleration in enumerate(draft.configuration.access_graph.tolerations):
        key = f"accessGraph.tolerations[{index}]"
        about = "accessGraph.tolerations"
        if toleration.operator == "Exists" and toleration.value is not None:
            yield finding(
                f"{key}.value",
                toleration.value,
                "is set, and operator Exists compares no value",
                "remove it, or set the operator to Equal",
                about,
            )
        if toleration.operator == "Equal" and toleration.key is None:
            yield finding(
                f"{key}.key",
                ...,
                "is missing, and operator Equal compares the taint of a key",
                "set it, or the operator to Exists",
                about,
            )
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            yield finding(
                f"{key}.tolerationSeconds",
                toleration.toleration_seconds,
                "is set, and only effect NoExecute has an end",
                "remove it, or set the effect to NoExecute",
                about,
            )


RULES = (
    chart_is_of_the_access_graph,
    drains_are_possible,
    memory_request_fits_limit,
    namespace_is_its_own,
    names_fit,
    tolerations_are_complete,
)
