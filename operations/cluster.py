"""A Kubernetes cluster through a kubeconfig context: objects as plain JSON maps, logs, a way into a pod's port.

Owns the talk with the API server and its errors. What is looked for, and what it means, is its callers'.
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

# Seconds for one question: whoever waits for an answer sits before a terminal.
TIMEOUT = 15.0
# Kind to where its objects are: the path of its group and version, and its plural.
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
}
# In place of an answer for what the server does not have: that is an error.
_AN_ERROR = object()
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ClusterError(Exception):
    """The API server cannot be asked, or refuses; the text says which context, why, and what to do."""


class NotAllowed(ClusterError):
    """Whom the context stands for may not ask that: nothing is known of what was asked for."""


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
            _check_plugin(context)
            with _logged_errors() as errors:
                config.load_kube_config(context=context, client_configuration=settings, persist_config=False)
            name = context or config.list_kube_config_contexts()[1]["name"]
        except yaml.YAMLError as error:
            # The parser's own text may quote the file, which holds credentials.
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
            # On a terminal the program writes there itself, and the library stumbles over the text that it did not get.
            said = " ".join(errors[0].removeprefix("exec: ").split())[:300] if errors[0].startswith("exec: ") else ""
            raise ClusterError(
                f"{name}: the program that the kubeconfig gets its credentials by gave none "
                f"({said or 'what it said is above'}); log in again where it does, or use another context"
            )
        return cls(_api(settings, name), name)

    def kubectl(self, namespace: str = "") -> str:
        """The beginning of a command for people, which reaches this cluster whatever their current context is."""
        at = f" --namespace {namespace}" if namespace else ""
        return f"kubectl --context {shlex.quote(self.context)}{at}"

    def helm(self, namespace: str) -> str:
        """As `kubectl`."""
        return f"helm --kube-context {shlex.quote(self.context)} --namespace {namespace}"

    @staticmethod
    def knows(kind: str) -> bool:
        """Whether `get`, `list` and `delete` can be asked for objects of that kind."""
        return kind in _KINDS

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """The object, or None when there is none of that name."""
        found: Document | None = self._ask(
            "GET", _path(*_KINDS[kind], namespace, name), f"read {kind} {name}", missing=None
        )
        return found

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether there are objects of that kind: a definition may not be installed."""
        answer = self._ask("GET", f"/apis/{api_version}", f"read {api_version}", missing={})
        return any(one.get("kind") == kind for one in answer.get("resources") or [])

    def get_custom(self, api_version: str, plural: str, name: str, namespace: str | None = None) -> Document | None:
        """The object of a kind that a definition brought, or None; None too when there is no such kind."""
        path = _path(f"/apis/{api_version}", plural, namespace, name)
        found: Document | None = self._ask("GET", path, f"read {plural} {name}", missing=None)
        return found

    def list(self, kind: str, namespace: str, labels: str = "") -> list[Document]:
        """The objects of a namespace that match the selector, by name."""
        query = {"labelSelector": labels}
        answer = self._ask("GET", _path(*_KINDS[kind], namespace), f"list {kind}s in {namespace}", query)
        return sorted(answer.get("items") or [], key=name_of)

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete the object and what belongs to it; one that is gone already is no error."""
        path = _path(*_KINDS[kind], namespace, name)
        self._ask("DELETE", path, f"delete {kind} {name}", {"propagationPolicy": "Background"}, missing={})

    def set_managed_fields(self, kind: str, found: Document, entries: Sequence[Document]) -> None:
        """Write who owns which field of an object, as it was `found`; of one that has changed since, it is an error."""
        metadata = found["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            # The server takes no empty list for an answer, but a list with nothing in its one entry:
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
        """The end of a container's log, or of its last `since` seconds (its node's clock); empty when there is none."""
        path = _path(*_KINDS["Pod"], namespace, pod) + "/log"
        query = {"container": container, "previous": str(previous).lower(), "tailLines": str(lines)}
        if since is not None:
            query["sinceSeconds"] = str(since)
        try:
            return self._send("GET", path, query).decode("utf-8", "replace")
        except ApiException as error:
            # No such container yet, or no run before this one.
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
        """UID of the namespace kube-system: what stays the same for the cluster's whole life."""
        namespace = self.get("Namespace", "kube-system")
        return str((namespace or {}).get("metadata", {}).get("uid", ""))

    def may(self, verb: str, *, group: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
        """Whether whom the context stands for may do `verb`; `resource` is a plural, with `/` before a part of it."""
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
            raise self._refused(error, f"forward port {port} of {pod}") from None
        # TLS needs a socket of the system, which the client library wraps.
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
        """The answer as JSON. `body` is sent, a list as a JSON patch; `missing` is the answer where the server has
        nothing there. `what`, an infinitive, is said in errors."""
        try:
            answer = self._send(method, path, query, body)
        except ApiException as error:
            if error.status == 404 and missing is not _AN_ERROR:
                return missing
            raise self._refused(error, what) from None
        except (urllib3.exceptions.HTTPError, ConfigException) as error:
            raise self._unreachable(error) from None
        except ValueError:
            # Its text quotes them.
            raise ClusterError(
                f"{self.context}: cannot {what}: the credentials cannot be sent, for no header takes their characters "
                "(the end of a line, say); correct the token in the kubeconfig, or log in again where it comes from"
            ) from None
        try:
            return json.loads(answer)
        except ValueError:
            # As of a proxy's page for people to log in.
            raise ClusterError(
                f"{self.context}: cannot {what}: no JSON came back, so this is not a Kubernetes API server; "
                "check the context and the way to it"
            ) from None

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Document | Sequence[Document] | None = None
    ) -> bytes:
        """By the client library's own way to the server and past its models: those take half a second to load, and
        refuse what a newer server has added."""
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
            # The client library's word for a handshake that broke off: nobody has answered.
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
    """What the client library logs meanwhile: of a program that gives no credentials it says so there alone, and asks
    without any."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    # The library logs as the root itself; what others log on the way, as of a refused token, is not what failed.
    handler.addFilter(lambda record: record.name == "root")
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)


def _api(settings: client.Configuration, context: str) -> client.ApiClient:
    """Raises `ClusterError` where the way to the server is by a proxy that cannot be used."""
    if settings.proxy and "://" not in settings.proxy:
        # As what is written in Go takes it: kubectl, Helm, the engine's plugins.
        settings.proxy = f"http://{settings.proxy}"
    try:
        return client.ApiClient(settings)
    except ImportError:
        raise ClusterError(
            f"{context}: the way to it is by a SOCKS proxy, and a package for that is missing; `pip install PySocks`"
        ) from None
    except (urllib3.exceptions.HTTPError, ValueError):
        # Its text quotes the URL, which may have a password.
        raise ClusterError(
            f"{context}: the proxy on the way to it is no URL as http://<host>:<port>; correct HTTPS_PROXY, or "
            "proxy-url in the kubeconfig"
        ) from None


def _check_plugin(context: str | None) -> None:
    """Whether the program is there that the context gets its credentials by. The client library logs that it is not,
    and asks without any. Raises `ClusterError`, and what the library does for a kubeconfig that is none."""
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
    # A relative path is the library's to find, from the kubeconfig's directory.
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
