"""A Kubernetes cluster, reached through a kubeconfig context: objects as plain JSON maps, logs, streams to pods' ports.

Owns the conversation with the API server and its errors. Callers decide what to look for and what it means.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import shlex
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote

import urllib3.exceptions
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import kube_config
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward

Document: TypeAlias = dict[str, Any]

# Seconds for one request: somebody at a terminal is waiting for the answer.
TIMEOUT = 15.0
# Where the objects of each kind are: the path of the API group and version, and the plural.
_KINDS = {
    "Namespace": ("/api/v1", "namespaces"),
    "Secret": ("/api/v1", "secrets"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Job": ("/apis/batch/v1", "jobs"),
    "CronJob": ("/apis/batch/v1", "cronjobs"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
}
# The kinds above that are in no namespace.
_CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding")
# Default of `missing` in `_ask`: an object that the server does not have is then an error.
_AN_ERROR = object()
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ClusterError(Exception):
    """The API server cannot be asked, or refuses; the text names the context, the reason and the remedy."""


class NotAllowed(ClusterError):
    """The context's user may not ask this, so nothing is known of the object."""


class Cluster:
    """One cluster. Every method raises `ClusterError` when it gets no answer."""

    def __init__(self, api: client.ApiClient, context: str) -> None:
        self._api = api
        self.context = context

    @classmethod
    def connect(cls, context: str | None = None) -> Cluster:
        """Connect by a context of the kubeconfig (`KUBECONFIG`, else ~/.kube/config); None means the current
        context."""
        settings = client.Configuration()
        # No retries: an unreachable cluster is an answer too, and three tries take a minute.
        settings.retries = False
        try:
            _check_plugin(context)
            with _logged_errors() as errors:
                config.load_kube_config(context=context, client_configuration=settings, persist_config=False)
            name = context or config.list_kube_config_contexts()[1]["name"]
        except yaml.YAMLError as error:
            # The parser's message may quote the file, which holds credentials.
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}"
            raise ClusterError(f"kubeconfig: is no YAML{where}; look at it, or name another by KUBECONFIG") from None
        except KeyError as error:
            raise ClusterError(f"kubeconfig: something in it lacks {error}; write it there, or name another") from None
        except (ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
            what = f"the context {context!r}" if context else "the current context"
            raise ClusterError(
                f"kubeconfig: {what} cannot be used ({error}); look at `kubectl config get-contexts`"
            ) from None
        if errors:
            # On a terminal the credential program writes straight to it, and the library then fails for lack of
            # captured text.
            said = " ".join(errors[0].removeprefix("exec: ").split())[:300] if errors[0].startswith("exec: ") else ""
            raise ClusterError(
                f"{name}: the kubeconfig's credential program gave no credentials "
                f"({said or 'what it said is above'}); log in again with it, or use another context"
            )
        return cls(_api(settings, name), name)

    def kubectl(self, namespace: str = "") -> str:
        """The beginning of a command for people. It reaches this cluster whatever their current context is."""
        at = f" --namespace {namespace}" if namespace else ""
        return f"kubectl --context {shlex.quote(self.context)}{at}"

    def helm(self, namespace: str) -> str:
        """The same for `helm`."""
        return f"helm --kube-context {shlex.quote(self.context)} --namespace {namespace}"

    @staticmethod
    def knows(kind: str) -> bool:
        """Whether `get`, `list` and `delete` accept this kind."""
        return kind in _KINDS

    def exists(self, document: Document, namespace: str) -> bool | None:
        """Whether the object that a manifest describes exists; `namespace` is where it is if the manifest names none.
        None when that cannot be told: `get` does not know its kind, or the context's user may not read it."""
        kind = str(document.get("kind"))
        group, _, _ = str(document.get("apiVersion")).rpartition("/")
        # Other groups have kinds of the same names, such as Knative's Service.
        if kind not in _KINDS or _KINDS[kind][0].rpartition("/")[0] != (f"/apis/{group}" if group else "/api"):
            return None
        try:
            return self.get(kind, name_of(document), place_of(document, namespace)) is not None
        except NotAllowed:
            return None

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """The object, or None when none has that name."""
        found: Document | None = self._ask(
            "GET", _path(*_KINDS[kind], namespace, name), f"read {kind} {name}", missing=None
        )
        return found

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the server knows the kind: its CustomResourceDefinition may not be installed."""
        answer = self._ask("GET", f"/apis/{api_version}", f"read {api_version}", missing={})
        return any(one.get("kind") == kind for one in answer.get("resources") or [])

    def get_custom(self, api_version: str, plural: str, name: str, namespace: str | None = None) -> Document | None:
        """An object of a custom kind; None when it does not exist, or its kind does not."""
        path = _path(f"/apis/{api_version}", plural, namespace, name)
        found: Document | None = self._ask("GET", path, f"read {plural} {name}", missing=None)
        return found

    def list(self, kind: str, namespace: str, labels: str = "") -> list[Document]:
        """The objects of a namespace that match the selector, sorted by name."""
        query = {"labelSelector": labels}
        answer = self._ask("GET", _path(*_KINDS[kind], namespace), f"list {kind}s in {namespace}", query)
        return sorted(answer.get("items") or [], key=name_of)

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete the object and its dependents; an object that is already gone is no error."""
        path = _path(*_KINDS[kind], namespace, name)
        self._ask("DELETE", path, f"delete {kind} {name}", {"propagationPolicy": "Background"}, missing={})

    def set_managed_fields(self, kind: str, found: Document, entries: Sequence[Document]) -> None:
        """Replace the managedFields of an object as it was `found`; raises when the object has changed since."""
        metadata = found["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            # The server ignores an empty list. A list with one empty entry clears the field:
            # https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields
            {"op": "replace", "path": "/metadata/managedFields", "value": [*entries] or [{}]},
        ]
        path = _path(*_KINDS[kind], metadata.get("namespace"), name_of(found))
        self._ask("PATCH", path, f"write the owners of {kind} {name_of(found)}", body=patch)

    def logs(
        self,
        pod: str,
        namespace: str,
        container: str,
        *,
        previous: bool = False,
        lines: int = 2000,
        since: int | None = None,
    ) -> str:
        """The end of a container's log, or its last `since` seconds (by the node's clock); empty when there is no
        log."""
        path = _path(*_KINDS["Pod"], namespace, pod) + "/log"
        query = {"container": container, "previous": str(previous).lower(), "tailLines": str(lines)}
        if since is not None:
            query["sinceSeconds"] = str(since)
        try:
            return self._send("GET", path, query).decode("utf-8", "replace")
        except ApiException as error:
            # The container does not exist yet, or has had no earlier run.
            if error.status in (400, 404):
                return ""
            raise self._refused(error, f"read the log of {pod}") from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None

    def version(self) -> tuple[int, int]:
        """Kubernetes' major and minor version."""
        answer = self._ask("GET", "/version", "read the version")
        # Managed clusters write the minor version as `29+`.
        return int(answer["major"]), int("".join(filter(str.isdigit, answer["minor"])))

    def identifier(self) -> str:
        """UID of the namespace kube-system, which stays the same for the cluster's whole life."""
        namespace = self.get("Namespace", "kube-system")
        return str((namespace or {}).get("metadata", {}).get("uid", ""))

    def may(self, verb: str, *, group: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
        """Whether the context's user may do `verb`. `resource` is a plural, or `plural/subresource`."""
        plural, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": part, "name": name}
        spec = {"resourceAttributes": {**attributes, "namespace": namespace or ""}}
        answer = self._ask("POST", _REVIEWS, f"ask whether {verb} {resource} is allowed", body={"spec": spec})
        return bool(answer["status"]["allowed"])

    def open_port(self, pod: str, namespace: str, port: int) -> socket.socket:
        """A stream to a port of a pod, through the API server."""
        api = client.CoreV1Api(self._api)
        try:
            forward = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        except ApiException as error:
            # The client library reports whatever it meets as status 0, an interrupt by the user too.
            met = error.__context__
            if isinstance(met, KeyboardInterrupt):
                raise met from None
            answered = getattr(met, "status_code", error.status)
            told = ApiException(status=answered, reason=getattr(met, "status_message", error.reason))
            raise self._refused(told, f"forward port {port} of {pod}") from None
        # TLS needs the operating system's socket, which the client library wraps.
        stream = forward.socket(port)
        plain: socket.socket = getattr(stream, "_socket", stream)
        plain.settimeout(TIMEOUT)
        return plain

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str] = MappingProxyType({}),
        *,
        body: Document | Sequence[Document] | None = None,
        missing: Any = _AN_ERROR,
    ) -> Any:
        """The answer as JSON. `body` is sent as JSON, a list of operations as a JSON patch. `missing` is returned when
        the server answers 404. `what`, an infinitive, completes error texts."""
        try:
            answer = self._send(method, path, query, body)
        except ApiException as error:
            if error.status == 404 and missing is not _AN_ERROR:
                return missing
            raise self._refused(error, what) from None
        except (urllib3.exceptions.HTTPError, ConfigException) as error:
            raise self._unreachable(error) from None
        except ValueError:
            # The library's message quotes the credentials.
            raise ClusterError(
                f"{self.context}: cannot {what}: the credentials cannot be sent, for no header takes their characters "
                "(the end of a line, say); correct the token in the kubeconfig, or log in again where it comes from"
            ) from None
        try:
            return json.loads(answer)
        except ValueError:
            # For example a proxy's login page.
            raise ClusterError(
                f"{self.context}: cannot {what}: no JSON came back, so this is not a Kubernetes API server; "
                "check the context and the way to it"
            ) from None

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Document | Sequence[Document] | None = None
    ) -> bytes:
        """Use the client library's connection but not its models: they take half a second to load, and reject fields
        that a newer server has added."""
        sent = "json" if body is None or isinstance(body, Mapping) else "json-patch+json"
        request = self._api.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in query.items() if value],
            header_params={"Accept": "application/json, */*", "Content-Type": f"application/{sent}"},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._api.call_api(*request, _request_timeout=TIMEOUT)
        response.read()
        if not 200 <= response.status <= 299:
            raise ApiException.from_response(http_resp=response, body=None, data=None)
        return bytes(response.data)

    def _refused(self, error: ApiException, what: str) -> ClusterError:
        if not error.status:
            # The client library reports a broken handshake as status 0: nobody has answered.
            return self._unreachable(error)
        if error.status == 401:
            return ClusterError(
                f"{self.context}: cannot {what}: the API server does not accept these credentials (401); log in again "
                "where the kubeconfig gets them, or use another context"
            )
        if error.status == 403:
            return NotAllowed(f"{self.context}: not allowed to {what} (403); use a context that may")
        return ClusterError(f"{self.context}: cannot {what}: {error.status} {error.reason}")

    def _unreachable(self, error: Exception) -> ClusterError:
        reason = getattr(error, "reason", None) or error
        return ClusterError(
            f"{self.context}: the cluster cannot be reached ({reason}); check the context and the way to it"
        )


@contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Collect the errors that the client library logs. When a credential program gives no credentials, the library only
    logs that, and sends its requests without any."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    # The library logs as the root logger itself. What other loggers report, such as a refused token, is not the failure
    # that is looked for here.
    handler.addFilter(lambda record: record.name == "root")
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)


def _api(settings: client.Configuration, context: str) -> client.ApiClient:
    """Raises `ClusterError` when the proxy on the way to the server cannot be used."""
    if settings.proxy and "://" not in settings.proxy:
        # Programs written in Go read a proxy without a scheme this way: kubectl, Helm, the engine's plugins.
        settings.proxy = f"http://{settings.proxy}"
    try:
        return client.ApiClient(settings)
    except ImportError:
        raise ClusterError(
            f"{context}: the way to it is by a SOCKS proxy, and a package for that is missing; `pip install PySocks`"
        ) from None
    except (urllib3.exceptions.HTTPError, ValueError):
        # The library's message quotes the URL, which may have a password.
        raise ClusterError(
            f"{context}: the proxy on the way to it is no URL as http://<host>:<port>; correct HTTPS_PROXY, or "
            "proxy-url in the kubeconfig"
        ) from None


def _check_plugin(context: str | None) -> None:
    """Check that the context's credential program is installed. When it is missing, the client library only logs that,
    and sends its requests without credentials. Raises `ClusterError`, and whatever the library raises for an invalid
    kubeconfig."""
    merged = kube_config.KubeConfigMerger(kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    if merged is None or "users" not in merged:
        return
    name = context or merged["current-context"]
    user = merged["contexts"].get_with_name(name)["context"].safe_get("user")
    found = merged["users"].get_with_name(user, safe=True) if user else None
    credentials = (found.value.get("user") if found is not None else None) or {}
    plugin = credentials.get("exec")
    if not plugin or credentials.get("token") or credentials.get("tokenFile"):
        return
    command, given = str(plugin.get("command")), {one["name"]: one["value"] for one in plugin.get("env") or []}
    # The library resolves a relative path, from the kubeconfig's directory.
    if (os.path.dirname(command) and not os.path.isabs(command)) or shutil.which(command, path=given.get("PATH")):
        return
    raise ClusterError(
        f"{name}: the kubeconfig gets its credentials by {command}, which is not here; install it, put it on PATH, or "
        "use another context"
    )


def _path(group: str, plural: str, namespace: str | None, name: str = "") -> str:
    parts = [*(("namespaces", namespace) if namespace is not None else ()), plural, *((name,) if name else ())]
    return "/".join([group, *(quote(part, safe="") for part in parts)])


def name_of(document: Document) -> str:
    return str(document.get("metadata", {}).get("name", ""))


def place_of(document: Document, namespace: str) -> str | None:
    """The namespace of an object: the one that its manifest names, otherwise `namespace`; None for what is in none."""
    if document.get("kind") in _CLUSTER_WIDE:
        return None
    return str((document.get("metadata") or {}).get("namespace") or namespace)


def secret_data(secret: Document | None) -> dict[str, bytes]:
    """The decoded values of a Secret; empty for None, and when a value is not base64."""
    try:
        return {key: base64.b64decode(value) for key, value in ((secret or {}).get("data") or {}).items()}
    except (binascii.Error, ValueError):
        return {}


def condition(document: Document, kind: str) -> Document:
    """The condition of type `kind` in the object's status; empty when there is none."""
    for one in document.get("status", {}).get("conditions") or []:
        if one.get("type") == kind:
            return dict(one)
    return {}


def is_ready(pod: Document) -> bool:
    return condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod.get("metadata", {})
