"""Kubernetes RBAC from the tables of objects, limited to one stack's namespaces: Roles in them, and a ClusterRole for
cluster-wide resources.

An administrator applies the documents. What RBAC cannot limit is reported with them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from components.settings import (
    CertManagerTlsSettings,
    ExistingIssuerSettings,
    ManualTeleportSettings,
    ReleaseTeleportSettings,
    Settings,
)
from components.settings.clusters import KubernetesSettings
from components.settings.names import CERT_MANAGER_GROUP
from components.values_files import load_values_files
from operations.privileges import chart_objects
from operations.privileges.iam import Unscoped
from operations.privileges.kubernetes_objects import (
    AWAITED,
    DEPLOYMENTS,
    LOGS,
    NAMESPACES,
    OBJECTS,
    PATCHES,
    PORT_FORWARD,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    Place,
    Resource,
)
from operations.privileges.purposes import Purpose

Document: TypeAlias = dict[str, Any]
Rights: TypeAlias = dict[Resource, set[str]]

READ = frozenset({"get", "list", "watch"})
# For objects that the program makes.
MANAGE = READ | {"create", "delete", "patch"}
# Helm updates its records by replacement: helm.sh/helm/v3/pkg/storage/driver/secrets.go.
RECORD = MANAGE | {"update"}
# The verbs of a dry run.
ASK = frozenset({"create", "patch"})
# No dry runs of these. A dry run returns the whole object, which for a Secret means reading it; and the API server
# refuses a role with rights that the caller lacks.
_NEVER_ASKED = (SECRETS, ROLES, ROLE_BINDINGS)
# Everything a dry run may be about, in any stack, now or formerly: a Role of an earlier configuration stays until
# somebody deletes it, and stacks of the same name share a group.
_EVER_ASKED = sorted({resource for resource, _ in (*OBJECTS.values(), *PATCHES.values())} - {*_NEVER_ASKED})

_RBAC = "rbac.authorization.k8s.io"
_NAME = re.compile(r"[^a-z0-9.-]+")

_SECRETS = (
    "RBAC can limit by neither a name's prefix nor a Secret's type: Helm's records of a release have a name for each "
    "revision, so whoever may read them may read every Secret of the namespace"
)
_CREATE = "RBAC cannot limit `create` to a name, for the object has none yet"
_NAMESPACE = (
    "accessGraph.createNamespace is true, and a Role cannot be in a namespace that is still to be made: the rights in "
    "TAG's namespace hold in every namespace; make the namespace beforehand and set createNamespace to false"
)
# https://github.com/pulumi/pulumi-kubernetes/issues/4580, and provider/pkg/await/informers/factory.go there.
_NAMESPACES_WATCHED = (
    "to see the namespace go, the plugin lists all namespaces, without a name; where it may not, it waits for ever"
)
_DEFINITIONS = (
    "the operator's kinds are cluster-wide, more with each version of the chart: install them as an administrator and "
    "set operator.installCRDs to never in the release's values"
)
_OPERATOR = (
    "the operator's role has rights that a deployment does not have, and whoever makes it must be allowed to give "
    "them; install the release as an administrator and set adopt to true"
)
_IMPERSONATION = (
    "Teleport's auth may impersonate every user of the cluster, and whoever makes its role must be allowed to give "
    "that; install the release as an administrator and set adopt to true"
)


@dataclass(kw_only=True)
class ClusterRights:
    """The rights in one Kubernetes cluster."""

    context: str
    namespaces: dict[str, Rights] = field(default_factory=dict)
    everywhere: Rights = field(default_factory=dict)
    """For all namespaces, and for resources outside namespaces."""
    named: dict[tuple[Resource, tuple[str, ...]], set[str]] = field(default_factory=dict)
    """Cluster-wide objects by name."""
    unscoped: list[Unscoped] = field(default_factory=list)
    only_dry_runs: bool = False


def rights(settings: Settings, purpose: Purpose) -> list[ClusterRights]:
    """One for each Kubernetes cluster, TAG's first; empty for a consumer, who only reads the stack's outputs."""
    if not purpose.reads_world:
        return []
    clusters = {settings.kubernetes.cluster_identifier: _new(settings.kubernetes, purpose)}
    graph = settings.access_graph
    own = clusters[settings.kubernetes.cluster_identifier]
    made_here = graph.create_namespace
    _add(own.everywhere if made_here else own.namespaces.setdefault(graph.namespace, {}), _in_graph(purpose))
    named = (NAMESPACES, (graph.namespace,))
    _name(own, named, {"get"})
    if made_here:
        _name(own, named, _managed(purpose, Resource("", "namespaces")))
        if purpose.writes:
            own.everywhere.setdefault(NAMESPACES, set()).update({"create", "list", "watch"})
            own.unscoped.append(Unscoped(right="create namespaces", why=_CREATE))
            own.unscoped.append(Unscoped(right="list and watch namespaces", why=_NAMESPACES_WATCHED))
        own.unscoped.append(Unscoped(right=f"all of namespace {graph.namespace}, in every namespace", why=_NAMESPACE))
    for issuer in _cluster_issuers(settings):
        # `preflight` asks whether the issuer is ready.
        _name(own, (Resource(CERT_MANAGER_GROUP, "clusterissuers"), (issuer,)), {"get"})
    # The UID of kube-system identifies the cluster: components/providers.py.
    _name(own, (NAMESPACES, ("kube-system",)), {"get"})
    if purpose.reads_secrets:
        own.unscoped.append(Unscoped(right=f"read secrets of namespace {graph.namespace}", why=_SECRETS))
    for cluster, entry in settings.teleport.items():
        if isinstance(entry, ManualTeleportSettings):
            continue
        target = settings.kubernetes_of(cluster)
        place = clusters.setdefault(target.cluster_identifier, _new(target, purpose))
        _name(place, (NAMESPACES, ("kube-system",)), {"get"})
        _name(place, (NAMESPACES, (entry.namespace,)), {"get"})
        _add(place.namespaces.setdefault(entry.namespace, {}), _beside_teleport(purpose))
        if purpose.writes:
            # `preflight` checks the licence, and the values of the release that runs.
            _add(place.namespaces[entry.namespace], [(SECRETS, frozenset({"get", "list"}))])
            place.unscoped.append(Unscoped(right=f"read secrets of namespace {entry.namespace}", why=_SECRETS))
        if isinstance(entry, ReleaseTeleportSettings):
            _release(place, entry, load_values_files(entry.values_files, settings.root), purpose)
    return list(clusters.values())


def _cluster_issuers(settings: Settings) -> Iterator[str]:
    """Names of cert-manager's own ClusterIssuers. Issuers in TAG's namespace are covered by its objects."""
    tls = settings.tls
    if isinstance(tls, CertManagerTlsSettings) and isinstance(tls.issuer, ExistingIssuerSettings):
        issuer = tls.issuer
        if issuer.group == CERT_MANAGER_GROUP and issuer.kind == "ClusterIssuer":
            yield issuer.name


def _new(kubernetes: KubernetesSettings, purpose: Purpose) -> ClusterRights:
    return ClusterRights(context=kubernetes.context, only_dry_runs=purpose is Purpose.VALIDATED_PREVIEW)


def _in_graph(purpose: Purpose) -> Iterator[tuple[Resource, frozenset[str]]]:
    yield from _objects(Place.GRAPH, purpose)
    for resource in chart_objects.ACCESS_GRAPH:
        yield resource, MANAGE if purpose.writes else READ
    yield from _watched(purpose)
    if purpose.writes:
        yield SECRETS, RECORD
        yield PORT_FORWARD, frozenset({"create", "get"})


def _beside_teleport(purpose: Purpose) -> Iterator[tuple[Resource, frozenset[str]]]:
    yield from _objects(Place.TELEPORT, purpose)
    yield DEPLOYMENTS, READ
    yield Resource("", "services"), READ
    for resource, places in PATCHES.values():
        if Place.TELEPORT in places:
            yield resource, READ | (ASK - {"create"} if _asks(purpose) else frozenset())
    yield from _watched(purpose)


def _watched(purpose: Purpose) -> Iterator[tuple[Resource, frozenset[str]]]:
    if purpose.writes or purpose is Purpose.DRIFT:
        for resource in AWAITED:
            yield resource, READ
    if purpose.writes:
        yield LOGS, frozenset({"get"})


def _release(place: ClusterRights, entry: ReleaseTeleportSettings, values: Mapping[str, Any], purpose: Purpose) -> None:
    """The rights that Helm needs for the teleport-cluster release."""
    namespace = place.namespaces[entry.namespace]
    verbs = MANAGE if purpose.writes else READ
    resources = [*chart_objects.TELEPORT_CLUSTER, *chart_objects.asked_for(values)]
    _add(namespace, ((resource, verbs) for resource in resources))
    if purpose.reads_secrets:
        _add(namespace, [(SECRETS, RECORD if purpose.writes else READ)])
    if purpose is Purpose.DRIFT:
        place.unscoped.append(Unscoped(right=f"read secrets of namespace {entry.namespace}", why=_SECRETS))
    if purpose.writes:
        _operator(place, entry, values)
    roles = (chart_objects.CLUSTER_ROLES, tuple(chart_objects.cluster_role_names(entry.namespace, entry.release)))
    bindings = (
        chart_objects.CLUSTER_ROLE_BINDINGS,
        tuple(chart_objects.cluster_role_binding_names(entry.namespace, entry.release)),
    )
    for one in (roles, bindings):
        # A new chart version changes labels. A change to what the role allows is refused: it would grant rights that
        # the deployment lacks.
        _name(place, one, {"get", "patch"} if purpose.writes else {"get"})
    if purpose.writes and not entry.adopt:
        for one in (roles, bindings):
            _name(place, one, {"delete"})
            place.everywhere.setdefault(one[0], set()).add("create")
        place.everywhere[chart_objects.CLUSTER_ROLES].add("escalate")
        _name(place, (chart_objects.CLUSTER_ROLES, (chart_objects.DELEGATOR, *roles[1])), {"bind"})
        place.unscoped.append(Unscoped(right="create and escalate clusterroles", why=_IMPERSONATION))
        place.unscoped.append(Unscoped(right="create clusterrolebindings", why=_CREATE))


def _operator(place: ClusterRights, entry: ReleaseTeleportSettings, values: Mapping[str, Any]) -> None:
    """For the operator's objects in the teleport-cluster chart, and for what the chart looks up without an operator."""
    _name(place, (chart_objects.DEFINITIONS, (chart_objects.LOOKED_UP,)), {"get"})
    if chart_objects.makes_definitions(values):
        verbs = {"create", "get", "patch"} | (set() if entry.adopt else {"delete"})
        place.everywhere.setdefault(chart_objects.DEFINITIONS, set()).update(verbs)
        place.unscoped.append(Unscoped(right="make and change customresourcedefinitions", why=_DEFINITIONS))
    if chart_objects.has_operator(values) and not entry.adopt:
        _add(place.namespaces[entry.namespace], [(ROLES, frozenset({"bind", "escalate"}))])
        place.unscoped.append(Unscoped(right=f"escalate roles of namespace {entry.namespace}", why=_OPERATOR))


def _objects(place: Place, purpose: Purpose) -> Iterator[tuple[Resource, frozenset[str]]]:
    for resource, places in OBJECTS.values():
        if place in places and (resource != SECRETS or purpose.reads_secrets):
            yield resource, _managed(purpose, resource)


def _managed(purpose: Purpose, resource: Resource) -> frozenset[str]:
    if purpose.writes:
        return MANAGE
    return READ | ASK if _asks(purpose) and resource not in _NEVER_ASKED else READ


def _asks(purpose: Purpose) -> bool:
    return purpose.writes or purpose is Purpose.VALIDATED_PREVIEW


def _add(to: Rights, more: Iterable[tuple[Resource, frozenset[str]]]) -> None:
    for resource, verbs in more:
        to.setdefault(resource, set()).update(verbs)


def _name(to: ClusterRights, what: tuple[Resource, tuple[str, ...]], verbs: Iterable[str]) -> None:
    # RBAC cannot limit `create` to names.
    to.named.setdefault(what, set()).update(set(verbs) - {"create"})


def documents(found: ClusterRights, *, stack: str, purpose: Purpose, group: str | None = None) -> list[Document]:
    """Roles and their bindings to `group`; for dry runs alone, first the policy that refuses everything else. Applied
    in this order, nobody has the rights before the policy exists."""
    name = object_name(stack, purpose)
    subject = group or group_name(stack, purpose)
    made: list[Document] = []
    wide = [*_rules(found.everywhere), *_named_rules(found.named)]
    if wide:
        made += [_role("ClusterRole", name, None, wide), _binding("ClusterRole", name, None, subject)]
    for namespace, allowed in sorted(found.namespaces.items()):
        made += [_role("Role", name, namespace, _rules(allowed)), _binding("Role", name, namespace, subject)]
    if found.only_dry_runs:
        return [*dry_run_policy(_policy_name(name, subject, stack, purpose), subject), *made]
    return made


def object_name(stack: str, purpose: Purpose) -> str:
    """The name of all objects for one purpose of a stack."""
    return f"teleport-access-graph-{_NAME.sub('-', stack.lower()).strip('-.')}-{purpose.value}"


def _policy_name(name: str, group: str, stack: str, purpose: Purpose) -> str:
    """A different name for a different group: replacing another group's policy would leave that group free to write
    wherever it has Roles."""
    if group == group_name(stack, purpose) and name == f"teleport-access-graph-{stack}-{purpose.value}":
        return name
    return f"{name}-{hashlib.sha256(group.encode()).hexdigest()[:10]}"


def group_name(stack: str, purpose: Purpose) -> str:
    """The Kubernetes group of the users; an EKS access entry, for example, assigns it to an IAM role."""
    return f"teleport-access-graph:{stack}:{purpose.value}"


def dry_run_policy(name: str, group: str) -> list[Document]:
    """RBAC treats a dry run as the write it simulates. Admission can tell them apart: real writes by members of the
    group are refused, whatever the stack's settings are.
    https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ (Kubernetes 1.30)"""
    quoted = group.replace("\\", "\\\\").replace("'", "\\'")
    written: dict[str, set[str]] = {}
    for resource in _EVER_ASKED:
        written.setdefault(resource.group, set()).add(resource.name)
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [api_group],
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
                            "resources": sorted(resources),
                        }
                        for api_group, resources in sorted(written.items())
                    ]
                },
                "matchConditions": [
                    {
                        "name": "members",
                        "expression": f"has(request.userInfo.groups) && '{quoted}' in request.userInfo.groups",
                    }
                ],
                "validations": [
                    {
                        "expression": "has(request.dryRun) && request.dryRun",
                        "message": "previews may ask what would happen, and write nothing",
                    }
                ],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


def _rules(allowed: Rights) -> list[Document]:
    """Merge resources of one group with the same verbs into one rule."""
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for resource, verbs in sorted(allowed.items()):
        merged.setdefault((resource.group, tuple(sorted(verbs))), []).append(resource.name)
    return [
        {"apiGroups": [group], "resources": names, "verbs": list(verbs)} for (group, verbs), names in merged.items()
    ]


def _named_rules(named: Mapping[tuple[Resource, tuple[str, ...]], set[str]]) -> list[Document]:
    return [
        {
            "apiGroups": [resource.group],
            "resources": [resource.name],
            "resourceNames": list(names),
            "verbs": sorted(verbs),
        }
        for (resource, names), verbs in sorted(named.items(), key=lambda one: one[0])
    ]


def _role(kind: str, name: str, namespace: str | None, rules: list[Document]) -> Document:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules}


def _binding(kind: str, name: str, namespace: str | None, group: str) -> Document:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
    }
