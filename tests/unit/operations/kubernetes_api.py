"""A Kubernetes API server for tests: it keeps objects in a dict and answers the commands' requests over HTTP on
loopback."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Document = dict[str, Any]

PLURALS = {
    "Secret": ("/api/v1", "secrets"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "Namespace": ("/api/v1", "namespaces"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Job": ("/apis/batch/v1", "jobs"),
    "CronJob": ("/apis/batch/v1", "cronjobs"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
}
IDENTIFIER = "00000000-0000-4000-8000-000000000001"


class KubernetesApi:
    """Objects by path. `refuse` maps the end of a path to an HTTP status; `logs` maps `pod` (or `pod:previous`) to
    text.

    `logs["pod:recent"]` is the answer to requests for the last seconds; without this key, every line counts as recent.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.logs: dict[str, str] = {}
        self.refuse: dict[str, int] = {}
        self.deleted: list[str] = []
        self.orphaning: list[str] = []
        """Paths of the Jobs whose deletion left their pods behind: the default of batch/v1 when the request sets no
        propagation policy."""
        self.may_not: set[tuple[str, str]] = set()
        """Pairs of verb and resource that a review of access refuses."""
        self.reviews: list[Document] = []
        self.held: set[str] = set()  # paths of the objects that a finalizer keeps after a DELETE
        self.minor = "36"
        self.page = ""
        """The page that answers every request instead of JSON."""
        self.put("Namespace", "kube-system", uid=IDENTIFIER)

    def put(self, kind: str, name: str, namespace: str | None = None, *, uid: str = "uid", **body: Any) -> Document:
        root, plural = PLURALS[kind]
        scope = f"/namespaces/{namespace}" if namespace else ""
        metadata = {"name": name, "uid": uid, **body.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        document = {"kind": kind, "apiVersion": root.split("/", 2)[2], "metadata": metadata, **body}
        self.objects[f"{root}{scope}/{plural}/{name}"] = document
        return document

    def review(self, body: bytes) -> tuple[int, str]:
        """Answer a SelfSubjectAccessReview as the API server does: with the question, and a status added."""
        asked = json.loads(body)
        self.reviews.append(asked["spec"]["resourceAttributes"])
        attributes = self.reviews[-1]
        allowed = (attributes["verb"], attributes["resource"]) not in self.may_not
        return 201, json.dumps({**asked, "status": {"allowed": allowed}})

    def patch(self, target: str, body: bytes) -> tuple[int, str]:
        """Apply a JSON patch to an object's metadata. Only the operations `test` and `replace` are known."""
        document = self.objects[target]
        for operation in json.loads(body):
            _, metadata, key = operation["path"].split("/")
            if operation["op"] == "test" and document[metadata].get(key) != operation["value"]:
                return 422, json.dumps({"kind": "Status", "reason": "Invalid", "code": 422})
            document[metadata][key] = operation["value"]
        return 200, json.dumps(document)

    def answer(self, method: str, target: str) -> tuple[int, str]:
        if self.page:
            return 200, self.page
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for end, status in self.refuse.items():
            if url.path.endswith(end):
                return status, json.dumps({"kind": "Status", "message": "refused", "code": status})
        if url.path.rstrip("/") == "/version":
            return 200, json.dumps({"major": "1", "minor": self.minor, **dict.fromkeys(VERSION_FIELDS, "x")})
        if url.path.endswith("/log"):
            pod = url.path.split("/")[-2] + (":previous" if query.get("previous", "").lower() == "true" else "")
            if "sinceSeconds" in query and f"{pod}:recent" in self.logs:
                pod += ":recent"
            return (200, self.logs[pod]) if pod in self.logs else (400, "{}")
        if url.path in self.objects:
            if method == "DELETE":
                self.deleted.append(url.path)
                if "/jobs/" in url.path and query.get("propagationPolicy") not in ("Background", "Foreground"):
                    self.orphaning.append(url.path)
                deleted = self.objects[url.path] if url.path in self.held else self.objects.pop(url.path)
                if deleted["kind"] == "Service":  # the API server answers with the deleted object
                    return 200, json.dumps(deleted)
                return 200, json.dumps({"kind": "Status", "status": "Success"})
            return 200, json.dumps(self.objects[url.path])
        if url.path.split("/")[-1] in {plural for _, plural in PLURALS.values()}:
            wanted = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
            items = [
                document
                for path, document in self.objects.items()
                if path.rpartition("/")[0] == url.path
                and wanted.items() <= document["metadata"].get("labels", {}).items()
            ]
            return 200, json.dumps({"kind": "List", "metadata": {}, "items": items})
        return 404, json.dumps({"kind": "Status", "reason": "NotFound", "code": 404})


VERSION_FIELDS = ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")


@contextlib.contextmanager
def serving(api: KubernetesApi, kubeconfig: Path, context: str = "test") -> Iterator[str]:
    """Serve the API and write a kubeconfig whose context points to it. Yields the name of the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            reviewed = self.path.startswith("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            if self.command == "PATCH":
                assert self.headers["Content-Type"] == "application/json-patch+json"
                status, text = api.patch(self.path, body)
            else:
                status, text = api.review(body) if reviewed else api.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_DELETE = do_GET
        do_POST = do_GET
        do_PATCH = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    write_kubeconfig(kubeconfig, context, f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield context
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(path: Path, context: str, url: str) -> None:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": context,
                "clusters": [{"name": context, "cluster": {"server": url}}],
                "users": [{"name": context, "user": {}}],
                "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            }
        ),
        encoding="utf-8",
    )


def put_release(
    api: KubernetesApi,
    revision: int,
    status: str,
    values: dict[str, Any],
    name: str = "teleport",
    namespace: str = "teleport",
    description: str = "",
    updated: str = "2026-06-01T12:00:30.123456789Z",
    deleted: str = "",
    chart: str = "teleport-cluster",
    manifest: str = "---\n",
) -> None:
    """Put the record of a release in the form in which Helm 3 keeps it."""
    record = {
        "name": name,
        "namespace": namespace,
        "version": revision,
        "info": {"status": status, "description": description, "last_deployed": updated, "deleted": deleted},
        "chart": {"metadata": {"name": chart, "version": "18.10.3", "appVersion": "18.10.3"}},
        "config": values,
        "manifest": manifest,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(record).encode()))
    api.put(
        "Secret",
        f"sh.helm.release.v1.{name}.v{revision}",
        namespace,
        metadata={"labels": {"owner": "helm", "name": name, "status": status, "version": str(revision)}},
        type="helm.sh/release.v1",
        data={"release": base64.b64encode(packed).decode()},
    )
