"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.

Owns their certificates, flags, ports and the kubeconfigs. The kubelet stand-in handles nodes, scheduling and pods.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox.home import SECRET_FILE_MODE, Home
from sandbox.network import free_port, is_free
from sandbox.pki import Authority, Pair, create_signing_key
from sandbox.supervisor import NotReady, Part, Supervisor
from sandbox.toolchain import Toolchain

CONTEXT = "sandbox"
ADDRESS = "127.0.0.1"
# Outside every home's pod network (10.64 to 10.250), whose second number is that of its loopback network.
SERVICE_RANGE = "10.32.0.0/16"
_KUBERNETES_SERVICE_ADDRESS = "10.32.0.1"
# In the audit log, writes by this user are the operator's: engine, Helm, kubectl.
ADMINISTRATOR = "sandbox-administrator"
KUBELET_USER = "sandbox-kubelet"

_ISSUER = "https://kubernetes.default.svc"

# Ends at 20000 + 250 * 50 = 32500, below the range of ports for outgoing connections.
_FIRST_PORT = 20000
_PORTS_PER_HOME = 50

# There are no metrics and no cloud here: these controllers would only log that, or wait.
_CONTROLLERS_LEFT_OUT = (
    "horizontal-pod-autoscaler-controller",
    "persistentvolume-attach-detach-controller",
    "node-ipam-controller",
    "service-lb-controller",
)

# Records who wrote what, without content: this proves that a second `up` of an unchanged stack writes nothing.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "events.k8s.io"}]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Ports:
    """Ports of 127.0.0.1, kept for the life of the home so that its kubeconfig stays valid."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int


class ControlPlane:
    """The three processes of one home."""

    # In starting order.
    PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")

    def __init__(self, home: Home, toolchain: Toolchain, supervisor: Supervisor, prefix: str) -> None:
        self._home = home
        self._toolchain = toolchain
        self._supervisor = supervisor
        self._prefix = prefix
        self._pki = home.pki

    def start(self) -> bool:
        """Start what does not run and wait until all serves; true if anything was started. Raises SandboxError."""
        self._prepare()
        ports = self._ports()
        self._write_kubeconfigs(ports)
        etcd, apiserver, controllers = self._etcd(ports), self._apiserver(ports), self._controller_manager(ports)
        started = self._supervisor.launch(etcd)
        # The API server waits for etcd by itself; the controllers would give up, so they start last.
        started |= self._supervisor.launch(apiserver)
        self._supervisor.await_ready(etcd)
        self._supervisor.await_ready(apiserver)
        return self._supervisor.start(controllers) or started

    def stop(self) -> None:
        """Stops in reverse order, so that each process can still reach those it depends on."""
        for name in reversed(self.PARTS):
            self._supervisor.stop(name)

    def endpoint(self) -> str:
        """URL of the API server."""
        return f"https://{ADDRESS}:{self._ports().apiserver}"

    def _prepare(self) -> None:
        """Makes certificates and policies once; after an interrupted run, makes them anew."""
        complete = self._pki / "complete"
        if complete.exists():
            return
        shutil.rmtree(self._pki, ignore_errors=True)
        self._pki.mkdir(parents=True)
        cluster = Authority.create(self._pki, "ca", "sandbox cluster authority")
        etcd = Authority.create(self._pki, "etcd-ca", "sandbox etcd authority")
        etcd.issue(self._pki, "etcd", "etcd", hosts=(ADDRESS, "localhost"))
        etcd.issue(self._pki, "etcd-client", "kube-apiserver")
        cluster.issue(
            self._pki,
            "apiserver",
            "kube-apiserver",
            hosts=(
                ADDRESS,
                "localhost",
                _KUBERNETES_SERVICE_ADDRESS,
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ),
        )
        cluster.issue(self._pki, "admin", ADMINISTRATOR, organizations=("system:masters",))
        # Scheduler, kubelet and node registration share this client, and no built-in role covers all three.
        cluster.issue(self._pki, "kubelet-client", KUBELET_USER, organizations=("system:masters",))
        cluster.issue(self._pki, "controller-manager", "system:kube-controller-manager")
        # Two certificates for fetching logs: the API server's as a client, and the kubelet's as the server.
        cluster.issue(self._pki, "apiserver-kubelet-client", "kube-apiserver", organizations=("system:masters",))
        kubelet_hosts = (ADDRESS, "localhost", f"{self._prefix}.0.1", f"{self._prefix}.0.2", f"{self._prefix}.1.1")
        cluster.issue(self._pki, "kubelet", "system:node:sandbox", organizations=("system:nodes",), hosts=kubelet_hosts)
        create_signing_key(self._pki, "service-account")
        (self._home.control_plane / "audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
        complete.touch()

    def _ports(self) -> Ports:
        record = self._home.control_plane / "ports.json"
        if record.exists():
            ports = Ports(**json.loads(record.read_text()))
            # Chosen once and kept, unless nothing of ours runs and somebody else has taken one of them meanwhile.
            if any(self._supervisor.running(name) for name in self.PARTS) or _all_free(ports):
                return ports
        taken: set[int] = set()
        # One range per network, so that two sandboxes starting at the same moment do not both find the same port free.
        first = _FIRST_PORT + int(self._prefix.partition(".")[2]) * _PORTS_PER_HOME
        ports = Ports(*(free_port(taken, first, first + _PORTS_PER_HOME) for _ in range(4)))
        record.write_text(json.dumps(ports.__dict__) + "\n")
        return ports

    def _pair(self, name: str) -> Pair:
        return Pair(self._pki / f"{name}.crt", self._pki / f"{name}.key")

    def _etcd(self, ports: Ports) -> Part:
        server, client = self._pair("etcd"), self._pair("etcd-client")
        authority = self._pki / "etcd-ca.crt"
        client_url, peer_url = f"https://{ADDRESS}:{ports.etcd}", f"https://{ADDRESS}:{ports.etcd_peer}"
        flags = {
            "name": "sandbox",
            "data-dir": self._home.etcd_data,
            "listen-client-urls": client_url,
            "advertise-client-urls": client_url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"sandbox={peer_url}",
            "cert-file": server.certificate,
            "key-file": server.key,
            "trusted-ca-file": authority,
            "client-cert-auth": "true",
            "peer-cert-file": server.certificate,
            "peer-key-file": server.key,
            "peer-trusted-ca-file": authority,
            "peer-client-cert-auth": "true",
            # A power cut may cost this home, a killed process does not; and writes are several times faster.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        probe = _https_probe(ports.etcd, "/readyz", authority, client)
        return self._part("etcd", flags, probe, timeout=30)

    def _apiserver(self, ports: Ports) -> Part:
        server, kubelet_client, etcd_client = map(self._pair, ("apiserver", "apiserver-kubelet-client", "etcd-client"))
        signing_key = self._pki / "service-account.key"
        flags = {
            "bind-address": ADDRESS,
            "secure-port": ports.apiserver,
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "client-ca-file": self._pki / "ca.crt",
            "etcd-servers": f"https://{ADDRESS}:{ports.etcd}",
            "etcd-cafile": self._pki / "etcd-ca.crt",
            "etcd-certfile": etcd_client.certificate,
            "etcd-keyfile": etcd_client.key,
            "service-cluster-ip-range": SERVICE_RANGE,
            "service-account-issuer": _ISSUER,
            "service-account-signing-key-file": signing_key,
            "service-account-key-file": signing_key,
            "authorization-mode": "RBAC",
            "anonymous-auth": "false",
            "kubelet-certificate-authority": self._pki / "ca.crt",
            "kubelet-client-certificate": kubelet_client.certificate,
            "kubelet-client-key": kubelet_client.key,
            "kubelet-preferred-address-types": "InternalIP",
            # Endpoints may not contain a loopback address, and this server has no other.
            "endpoint-reconciler-type": "none",
            "audit-policy-file": self._home.control_plane / "audit-policy.yaml",
            "audit-log-path": self._home.audit_log,
            "audit-log-maxsize": 100,
            "audit-log-maxbackup": 1,
            "profiling": "false",
        }
        probe = _https_probe(ports.apiserver, "/readyz", self._pki / "ca.crt", self._pair("admin"))
        return self._part("kube-apiserver", flags, probe, timeout=90)

    def _controller_manager(self, ports: Ports) -> Part:
        flags = {
            "kubeconfig": self._home.control_plane / "controller-manager.kubeconfig",
            "bind-address": ADDRESS,
            "secure-port": ports.controller_manager,
            "tls-cert-file": self._pki / "apiserver.crt",
            "tls-private-key-file": self._pki / "apiserver.key",
            "root-ca-file": self._pki / "ca.crt",
            "service-account-private-key-file": self._pki / "service-account.key",
            "use-service-account-credentials": "true",
            "controllers": ",".join(["*", *(f"-{name}" for name in _CONTROLLERS_LEFT_OUT)]),
            "allocate-node-cidrs": "false",
            "leader-elect": "false",
            # A laptop that has slept must not wake up to evicted pods.
            "node-monitor-grace-period": "5m",
            "profiling": "false",
        }
        probe = _https_probe(ports.controller_manager, "/healthz", self._pki / "ca.crt", self._pair("admin"))
        return self._part("kube-controller-manager", flags, probe, timeout=60)

    def _part(self, name: str, flags: Mapping[str, object], probe: Callable[[], None], timeout: float) -> Part:
        arguments = tuple(f"--{flag}={value}" for flag, value in flags.items())
        command = (str(self._toolchain.path(name)), *arguments)
        return Part(name=name, command=command, ready=probe, timeout=timeout)

    def _write_kubeconfigs(self, ports: Ports) -> None:
        server = f"https://{ADDRESS}:{ports.apiserver}"
        authority = self._pki / "ca.crt"
        for path, user, context in (
            (self._home.kubeconfig, "admin", CONTEXT),
            (self._home.kubelet_kubeconfig, "kubelet-client", CONTEXT),
            (self._home.control_plane / "controller-manager.kubeconfig", "controller-manager", CONTEXT),
        ):
            _write_kubeconfig(path, server, authority, self._pair(user), user, context)


def _write_kubeconfig(path: Path, server: str, authority: Path, pair: Pair, user: str, context: str) -> None:
    """Self-contained, so that a copy works elsewhere; mode 0600, because it contains a key."""

    def encoded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    contents = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [
                {"name": context, "cluster": {"server": server, "certificate-authority-data": encoded(authority)}}
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": encoded(pair.certificate),
                        "client-key-data": encoded(pair.key),
                    },
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        },
        sort_keys=False,
    )
    if path.exists() and path.read_text() == contents:
        return
    temporary = path.with_suffix(".writing")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_FILE_MODE), "w") as file:
        file.write(contents)
    temporary.replace(path)


def _https_probe(port: int, path: str, authority: Path, client: Pair) -> Callable[[], None]:
    def probe() -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(client.certificate, client.key)
        connection = http.client.HTTPSConnection(ADDRESS, port, timeout=5, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode(errors="replace").strip()
        except http.client.HTTPException as error:
            raise NotReady(f"{path}: {error!r}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise NotReady(f"{path} answers {response.status}: {body[-200:]}")

    return probe


def _all_free(ports: Ports) -> bool:
    return all(is_free(port) for port in (ports.etcd, ports.etcd_peer, ports.apiserver, ports.controller_manager))
