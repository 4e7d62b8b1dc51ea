"""A Kubernetes cluster through a kubeconfig context: objects as plain JSON maps, logs, a way into a pod's port.

Owns the talk with the API server and its errors. What is looked for, and what it means, is its callers'.
"""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

import urllib3.exceptions
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward

Document: TypeAlias = dict[str, Any]

# Seconds for one question: whoever waits for an answer sits before a terminal.
TIMEOUT = 15.0
# Kind to API class and the name of the kind in its methods.
_KINDS = {
    "Namespace": ("CoreV1Api", "namespace"),
    "Secret": ("CoreV1Api", "secret"),
    "ConfigMap": ("CoreV1Api", "config_map"),
    "Service": ("CoreV1Api", "service"),
    "Pod": ("CoreV1Api", "pod"),
    "Event": ("CoreV1Api", "event"),
    "ServiceAccount": ("CoreV1Api", "service_account"),
    "Role": ("RbacAuthorizationV1Api", "role"),
    "RoleBinding": ("RbacAuthorizationV1Api", "role_binding"),
    "Deployment": ("AppsV1Api", "deployment"),
    "Job": ("BatchV1Api", "job"),
    "CronJob": ("BatchV1Api", "cron_job"),
    "NetworkPolicy": ("NetworkingV1Api", "network_policy"),
}


class ClusterError(Exception):
    """The API server cannot be asked, or refuses; the text says which context, why, and what to do."""


class Cluster:
    """One cluster. Every method raises `ClusterError` when it cannot be answered."""

    def __init__(self, api: client.ApiClient, context: str) -> None:
        self._api = api
        self.context = context

    @classmethod
    def connect(cls, context: str | None = None) -> Cluster:
        """By a context of the kubeconfig (`KUBECONFIG`, else ~/.kube/config); None means the current one."""
        settings = client.Configuration()
        # One try: an unreachable cluster is an answer, too, and three tries take a minute.
        settings.retries = False
        try:
            config.load_kube_config(context=context, client_configuration=settings, persist_config=False)
            name = context or config.list_kube_config_contexts()[1]["name"]
        except (ConfigException, OSError, ValueError, TypeError) as error:
            what = f"the context {context!r}" if context else "the current context"
            raise ClusterError(
                f"kubeconfig: {what} cannot be used ({error}); look at `kubectl config get-contexts`"
            ) from None
        return cls(client.ApiClient(settings), name)

    @staticmethod
    def knows(kind: str) -> bool:
        """Whether `get`, `list` and `delete` can be asked for objects of that kind."""
        return kind in _KINDS

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """The object, or None when there is none of that name."""
        api, noun = _KINDS[kind]
        scope = () if namespace is None else (namespace,)
        method = getattr(getattr(client, api)(self._api), f"read_{'namespaced_' if scope else ''}{noun}")
        found: Document | None = self._ask(
            lambda: method(name, *scope, _request_timeout=TIMEOUT), f"read {kind} {name}", missing=None
        )
        return found

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether there are objects of that kind: a definition may not be installed."""
        group, _, version = api_version.partition("/")
        api = client.CustomObjectsApi(self._api)
        answer = self._ask(
            lambda: api.get_api_resources(group, version, _request_timeout=TIMEOUT), f"read {api_version}", missing={}
        )
        return any(one.get("kind") == kind for one in answer.get("resources") or [])

    def get_custom(self, api_version: str, plural: str, name: str, namespace: str | None = None) -> Document | None:
        """The object of a kind that a definition brought, or None; None too when there is no such kind."""
        group, _, version = api_version.partition("/")
        api = client.CustomObjectsApi(self._api)
        found: Document | None = self._ask(
            lambda: (
                api.get_cluster_custom_object(group, version, plural, name, _request_timeout=TIMEOUT)
                if namespace is None
                else api.get_namespaced_custom_object(group, version, namespace, plural, name, _request_timeout=TIMEOUT)
            ),
            f"read {plural} {name}",
            missing=None,
        )
        return found

    def list(self, kind: str, namespace: str, labels: str = "", fields: str = "") -> list[Document]:
        """The objects of a namespace that match the selectors, by name."""
        api, noun = _KINDS[kind]
        method = getattr(getattr(client, api)(self._api), f"list_namespaced_{noun}")
        answer = self._ask(
            lambda: method(namespace, label_selector=labels, field_selector=fields, _request_timeout=TIMEOUT),
            f"list {kind}s in {namespace}",
        )
        return sorted(answer.get("items") or [], key=name_of)

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete the object and what belongs to it; one that is gone already is no error."""
        api, noun = _KINDS[kind]
        scope = () if namespace is None else (namespace,)
        method = getattr(getattr(client, api)(self._api), f"delete_{'namespaced_' if scope else ''}{noun}")
        self._ask(
            lambda: method(name, *scope, propagation_policy="Background", _request_timeout=TIMEOUT),
            f"delete {kind} {name}",
            missing={},
        )

    def logs(self, pod: str, namespace: str, container: str, *, previous: bool = False, lines: int = 2000) -> str:
        """The end of a container's log; empty when there is none yet."""
        api = client.CoreV1Api(self._api)
        try:
            # Raw, for the client would otherwise try to read the text as JSON.
            response = api.read_namespaced_pod_log(
                pod,
                namespace,
                container=container,
                previous=previous,
                tail_lines=lines,
                _preload_content=False,
                _request_timeout=TIMEOUT,
            )
            return bytes(response.data).decode("utf-8", "replace")
        except ApiException as error:
            # No such container yet, or no run before this one.
            if error.status in (400, 404):
                return ""
            raise self._refused(error, f"read the log of {pod}") from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None

    def version(self) -> tuple[int, int]:
        """Kubernetes' major and minor version."""
        answer = self._ask(lambda: client.VersionApi(self._api).get_code(_request_timeout=TIMEOUT), "read the version")
        # Managed clusters write the minor version as `29+`.
        return int(answer["major"]), int("".join(filter(str.isdigit, answer["minor"])))

    def identifier(self) -> str:
        """UID of the namespace kube-system: what stays the same for the cluster's whole life."""
        namespace = self.get("Namespace", "kube-system")
        return str((namespace or {}).get("metadata", {}).get("uid", ""))

    def may(self, verb: str, *, group: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
        """Whether whom the context stands for may do `verb`; `resource` is a plural, with `/` before a part of it."""
        plural, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": part, "name": name}
        spec = {"resourceAttributes": {**attributes, "namespace": namespace or ""}}
        answer = self._ask(
            lambda: client.AuthorizationV1Api(self._api).create_self_subject_access_review(
                {"spec": spec}, _request_timeout=TIMEOUT
            ),
            f"ask whether {verb} {resource} is allowed",
        )
        return bool(answer["status"]["allowed"])

    def open_port(self, pod: str, namespace: str, port: int) -> socket.socket:
        """A stream to a port of a pod, through the API server."""
        api = client.CoreV1Api(self._api)
        try:
            forward = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        except ApiException as error:
            raise self._refused(error, f"forward port {port} of {pod}") from None
        # TLS needs a socket of the system, which the client library wraps.
        stream = forward.socket(port)
        plain: socket.socket = getattr(stream, "_socket", stream)
        plain.settimeout(TIMEOUT)
        return plain

    def _ask(self, question: Callable[[], Any], what: str, **default: Any) -> Any:
        try:
            return self._api.sanitize_for_serialization(question())
        except ApiException as error:
            if error.status == 404 and "missing" in default:
                return default["missing"]
            raise self._refused(error, what) from None
        except (urllib3.exceptions.HTTPError, ConfigException) as error:
            raise self._unreachable(error) from None

    def _refused(self, error: ApiException, what: str) -> ClusterError:
        if not error.status:
            # The client library's word for a handshake that broke off: nobody has answered.
            return self._unreachable(error)
        if error.status in (401, 403):
            return ClusterError(f"{self.context}: not allowed to {what} ({error.status}); use a context that may")
        return ClusterError(f"{self.context}: cannot {what}: {error.status} {error.reason}")

    def _unreachable(self, error: Exception) -> ClusterError:
        reason = getattr(error, "reason", None) or error
        return ClusterError(
            f"{self.context}: the cluster cannot be reached ({reason}); check the context and the way to it"
        )


def name_of(document: Document) -> str:
    return str(document.get("metadata", {}).get("name", ""))


def secret_data(secret: Document | None) -> dict[str, bytes]:
    """The values of a Secret, decoded; nothing for none."""
    try:
        return {key: base64.b64decode(value) for key, value in ((secret or {}).get("data") or {}).items()}
    except (binascii.Error, ValueError):
        return {}


def condition(document: Document, kind: str) -> Document:
    """A condition in the status of an object; empty when it has none of that type."""
    for one in document.get("status", {}).get("conditions") or []:
        if one.get("type") == kind:
            return dict(one)
    return {}


def is_ready(pod: Document) -> bool:
    return condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod.get("metadata", {})
