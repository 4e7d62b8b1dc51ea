"""A cluster reached through a kubeconfig: objects that exist, are missing, may not be read, or cannot be reached."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from operations.cluster import TIMEOUT, Cluster, ClusterError, NotAllowed, secret_data
from operations.helm_releases import deployed_release, list_revisions
from tests.unit.operations.kubernetes_api import IDENTIFIER, KubernetesApi, put_release, write_kubeconfig


def test_objects_are_read_as_they_are(api: KubernetesApi, cluster: Cluster) -> None:
    api.put("Secret", "tls", "ns", data={"tls.crt": base64.b64encode(b"pem").decode()})
    assert secret_data(cluster.get("Secret", "tls", "ns")) == {"tls.crt": b"pem"}
    assert cluster.get("Secret", "absent", "ns") is None
    assert secret_data(None) == {}
    assert cluster.identifier() == IDENTIFIER
    api.minor = "29+"
    assert cluster.version() == (1, 29)


def test_what_a_newer_server_has_added_is_no_obstacle(api: KubernetesApi, cluster: Cluster) -> None:
    pod = api.put("Pod", "a", "ns", spec={"invented": {"later": 1}, "containers": None})
    assert cluster.get("Pod", "a", "ns") == pod
    assert cluster.list("Pod", "ns") == [pod]


def test_a_page_for_people_is_no_api_server(api: KubernetesApi, cluster: Cluster) -> None:
    api.page = "<html>Log in</html>"
    with pytest.raises(ClusterError, match="test: cannot read Secret tls: no JSON came back"):
        cluster.get("Secret", "tls", "ns")


def test_lists_are_by_label_and_in_order_of_names(api: KubernetesApi, cluster: Cluster) -> None:
    spec: dict[str, Any] = {"containers": [{"name": "x", "image": "x"}]}
    for name, app in (("b", "x"), ("a", "x"), ("c", "y")):
        api.put("Pod", name, "ns", metadata={"labels": {"app": app}}, spec=spec)
    assert [pod["metadata"]["name"] for pod in cluster.list("Pod", "ns", labels="app=x")] == ["a", "b"]


def test_logs_are_text_and_empty_before_the_first_line(api: KubernetesApi, cluster: Cluster) -> None:
    api.logs["auth-0"] = '{"not": "parsed"}\n'
    assert cluster.logs("auth-0", "ns", "teleport") == '{"not": "parsed"}\n'
    assert cluster.logs("auth-0", "ns", "teleport", previous=True) == ""


def test_deleting_what_is_gone_is_no_error(api: KubernetesApi, cluster: Cluster) -> None:
    api.put("ConfigMap", "x", "ns")
    cluster.delete("ConfigMap", "x", "ns")
    cluster.delete("ConfigMap", "x", "ns")
    assert api.deleted == ["/api/v1/namespaces/ns/configmaps/x"]


def test_a_job_is_deleted_with_its_pods(api: KubernetesApi, cluster: Cluster) -> None:
    api.put("Job", "x", "ns")
    cluster.delete("Job", "x", "ns")
    assert api.deleted == ["/apis/batch/v1/namespaces/ns/jobs/x"]
    assert api.orphaning == []


def test_what_may_not_be_read_says_so(api: KubernetesApi, cluster: Cluster) -> None:
    api.refuse = {"/secrets/tls": 403, "/configmaps/x": 500, "/secrets/other": 401}
    with pytest.raises(NotAllowed, match=r"test: not allowed to read Secret tls \(403\)"):
        cluster.get("Secret", "tls", "ns")
    with pytest.raises(ClusterError, match="test: cannot read ConfigMap x: 500"):
        cluster.get("ConfigMap", "x", "ns")
    # A 401 is no matter of rights: another context with more rights would not help.
    with pytest.raises(ClusterError, match=r"Secret other: the API server .* \(401\); log in again") as unknown:
        cluster.get("Secret", "other", "ns")
    assert not isinstance(unknown.value, NotAllowed)


def test_the_api_server_is_asked_what_is_allowed(api: KubernetesApi, cluster: Cluster) -> None:
    api.may_not = {("delete", "namespaces")}
    assert cluster.may("get", group="", resource="pods/log", namespace="ns")
    assert not cluster.may("delete", group="", resource="namespaces", name="ns")
    assert api.reviews == [
        {"verb": "get", "group": "", "resource": "pods", "subresource": "log", "name": "", "namespace": "ns"},
        {"verb": "delete", "group": "", "resource": "namespaces", "subresource": "", "name": "ns", "namespace": ""},
    ]


def test_an_unreachable_cluster_and_an_unknown_context_are_told_at_once(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match="the context 'other' cannot be used"):
        Cluster.connect("other")
    write_kubeconfig(tmp_path / "kubeconfig", "gone", "http://127.0.0.1:9")
    with pytest.raises(ClusterError, match="gone: the cluster cannot be reached"):
        Cluster.connect("gone").identifier()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users:\n- token: 'hunter2\n", "^kubeconfig: is no YAML, line 3; look at it, or name another by KUBECONFIG$"),
        ("- hunter2", "^kubeconfig: the current context cannot be used"),
        ("clusters: 3", "^kubeconfig: the current context cannot be used"),
    ],
)
def test_a_kubeconfig_that_is_none_is_one_error_and_is_not_quoted(
    api: KubernetesApi, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ClusterError, match=said) as refused:
        Cluster.connect()
    assert "hunter2" not in str(refused.value)


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "nosuchplugin", "args": ["get-token"]}


@pytest.mark.parametrize("command", ["nosuchplugin", "/nowhere/nosuchplugin"])
def test_a_credential_plugin_that_is_missing_is_named(
    api: KubernetesApi, tmp_path: Path, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    change_user(tmp_path / "kubeconfig", exec={**PLUGIN, "command": command})
    for context in (None, "test"):
        with pytest.raises(
            ClusterError, match=f"^test: the kubeconfig gets its credentials by {command}, which is not"
        ):
            Cluster.connect(context)
    assert caplog.records == []


def test_a_plugin_that_is_there_or_is_not_needed_is_no_obstacle(api: KubernetesApi, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    change_user(kubeconfig, exec=PLUGIN, token="x")
    assert Cluster.connect().identifier() == IDENTIFIER
    status = {"apiVersion": PLUGIN["apiVersion"], "kind": "ExecCredential", "status": {"token": "x"}}
    plugin = tmp_path / "bin" / "nosuchplugin"
    plugin.parent.mkdir()
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(status)}'\n")
    plugin.chmod(0o755)
    change_user(kubeconfig, exec={**PLUGIN, "env": [{"name": "PATH", "value": f"{plugin.parent}:/bin:/usr/bin"}]})
    assert Cluster.connect("test").identifier() == IDENTIFIER
    for users in ([], [{"name": "other", "user": {}}]):
        document = yaml.safe_load(kubeconfig.read_text())
        kubeconfig.write_text(yaml.safe_dump({**document, "users": users}))
        assert Cluster.connect("test").identifier() == IDENTIFIER


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "echo 'The SSO session has expired;' >&2; echo 'run aws sso login' >&2; exit 255",
            "process returned 255. The SSO session has expired; run aws sso login",
        ),
        ("echo no JSON", "failed to decode process output: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_a_plugin_that_gives_no_credentials_is_what_is_wrong(
    api: KubernetesApi, tmp_path: Path, program: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As when a login has expired: the plugin's failure is reported, not the server's refusal of a caller without
    credentials."""
    change_user(tmp_path / "kubeconfig", exec={**PLUGIN, "command": "sh", "args": ["-c", program]})
    with pytest.raises(ClusterError) as refused:
        Cluster.connect()
    assert str(refused.value) == (
        f"test: the kubeconfig's credential program gave no credentials ({said}); log in again with it, "
        "or use another context"
    )
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_speaks_to_the_terminal_itself_is_not_quoted(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    change_user(tmp_path / "kubeconfig", exec={**PLUGIN, "command": "sh", "args": ["-c", "echo expired >&2; exit 1"]})
    with pytest.raises(ClusterError, match=r"gave no credentials \(what it said is above\); log in again"):
        Cluster.connect()


def test_a_kubeconfig_that_lacks_something_of_a_plugin_is_one_error(api: KubernetesApi, tmp_path: Path) -> None:
    change_user(tmp_path / "kubeconfig", exec={**PLUGIN, "env": [{"name": "AWS_PROFILE"}]})
    with pytest.raises(ClusterError, match=r"^kubeconfig: something in it lacks 'value'; "):
        Cluster.connect()


@pytest.mark.parametrize("token", ["hunter2\n", "hunter2\u0142"])
def test_credentials_that_cannot_be_sent_are_what_is_wrong(api: KubernetesApi, tmp_path: Path, token: str) -> None:
    """The fault is in the credentials; the server was never asked."""
    change_user(tmp_path / "kubeconfig", token=token)
    with pytest.raises(
        ClusterError, match=r"^test: cannot read the version: the credentials cannot be sent"
    ) as refused:
        Cluster.connect().version()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("written", ["{host}", "http://{host}"])
def test_a_proxy_is_taken_without_a_scheme_as_kubectl_takes_it(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    asked = []
    with taking_one_call(lambda client: asked.append(client.recv(65536))) as port:
        monkeypatch.setenv("HTTPS_PROXY", written.format(host=f"127.0.0.1:{port}"))
        write_kubeconfig(tmp_path / "kubeconfig", "far", "https://kubernetes.test:6443")
        with pytest.raises(ClusterError, match=r"^far: the cluster cannot be reached"):
            Cluster.connect("far").version()
    assert asked[0].startswith(b"CONNECT kubernetes.test:6443 ")


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.DependencyWarning")
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("foo://user:hunter2@proxy:3128", "far: the proxy on the way to it is no URL as http://<host>:<port>; "),
        ("http://user:hunter2@proxy:hunter2", "far: the proxy on the way to it is no URL as http://<host>:<port>; "),
        ("socks5://user:hunter2@proxy:1080", "far: the way to it is by a SOCKS proxy, and a package for that is "),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_error_and_is_not_quoted(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    write_kubeconfig(tmp_path / "kubeconfig", "far", "https://kubernetes.test:6443")
    with pytest.raises(ClusterError, match=f"^{said}") as refused:
        Cluster.connect("far")
    assert "hunter2" not in str(refused.value)


def change_user(kubeconfig: Path, **user: Any) -> None:
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"] = [{"name": "test", "user": user}]
    kubeconfig.write_text(yaml.safe_dump(document))


@contextmanager
def taking_one_call(meet: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port on which somebody accepts one connection and calls `meet` with it."""
    server = socket.create_server(("127.0.0.1", 0))

    def take() -> None:
        client, _ = server.accept()
        meet(client)
        client.close()

    thread = threading.Thread(target=take)
    thread.start()
    yield server.getsockname()[1]
    thread.join()
    server.close()


def test_a_handshake_that_breaks_off_is_a_cluster_that_cannot_be_reached(api: KubernetesApi, tmp_path: Path) -> None:
    """As behind a load balancer that has no API server to forward to."""
    # Read the whole request: closing with unread data would send a reset instead of an end.
    with taking_one_call(lambda client: client.recv(65536)) as port:
        write_kubeconfig(tmp_path / "kubeconfig", "cut", f"https://127.0.0.1:{port}")
        with pytest.raises(ClusterError, match=r"^cut: the cluster cannot be reached \(SSLError"):
            Cluster.connect("cut").identifier()


def test_a_cluster_that_takes_the_call_and_never_answers_is_given_up(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops the answers: without a limit the command would wait forever."""
    monkeypatch.setattr("operations.cluster.TIMEOUT", 0.2)
    given_up = threading.Event()
    with taking_one_call(lambda client: given_up.wait(3)) as port:
        write_kubeconfig(tmp_path / "kubeconfig", "silent", f"http://127.0.0.1:{port}")
        with pytest.raises(ClusterError, match=r"^silent: the cluster cannot be reached \(.*timed out"):
            Cluster.connect("silent").identifier()
        given_up.set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "test: not allowed to forward port 9090 of graph-0 (403); use a context that may"),
        (404, "test: cannot forward port 9090 of graph-0: 404 Not Found"),
        (500, "test: cannot forward port 9090 of graph-0: 500 Internal Server Error"),
    ],
)
def test_a_port_that_the_api_server_does_not_forward_is_told_by_its_answer(
    api: KubernetesApi, cluster: Cluster, status: int, said: str
) -> None:
    """The client library hides the answer in the text of a failed handshake."""
    api.refuse = {"/portforward": status}
    with pytest.raises(ClusterError) as refused:
        cluster.open_port("graph-0", "ns", 9090)
    assert str(refused.value) == said
    assert isinstance(refused.value, NotAllowed) == (status == 403)


@pytest.mark.slow
def test_a_port_of_a_cluster_that_is_gone_is_out_of_reach_and_an_interrupt_ends_the_command(
    api: KubernetesApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ApiException(status=0, reason="") from None

    monkeypatch.setattr("operations.cluster.portforward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cluster.open_port("graph-0", "ns", 9090)
    monkeypatch.undo()
    cluster._api.configuration.host = "http://127.0.0.1:9"
    with pytest.raises(ClusterError, match=r"^test: the cluster cannot be reached \(\[Errno 111\]"):
        cluster.open_port("graph-0", "ns", 9090)


@pytest.mark.slow
def test_a_stream_to_a_pod_that_says_nothing_comes_to_an_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr("operations.cluster.portforward", lambda *_, **__: SimpleNamespace(socket=lambda port: ours))
    with ours, theirs:
        assert cluster.open_port("graph-0", "ns", 9090).gettimeout() == TIMEOUT


def test_the_deployed_revision_is_the_one_that_counts(api: KubernetesApi, cluster: Cluster) -> None:
    for revision, status in ((1, "superseded"), (9, "deployed"), (10, "failed"), (11, "pending-upgrade")):
        put_release(api, revision, status, {"revision": revision})
    put_release(api, 1, "deployed", {}, name="other")
    release = deployed_release(cluster, "teleport", "teleport")
    assert release is not None
    assert (release.revision, release.values, release.chart_version) == (9, {"revision": 9}, "18.10.3")
    assert [one.revision for one in list_revisions(cluster, "teleport", "teleport")] == [1, 9, 10, 11]
    assert deployed_release(cluster, "teleport", "absent") is None


def test_a_record_that_is_not_helms_is_named(api: KubernetesApi, cluster: Cluster) -> None:
    api.put("Secret", "odd", "teleport", metadata={"labels": {"owner": "helm", "name": "x"}}, data={"release": "eA=="})
    with pytest.raises(ClusterError, match="Secret odd in teleport is no record of Helm ") as refused:
        list_revisions(cluster, "teleport", "x")
    assert str(refused.value).endswith(", kubectl --context test --namespace teleport delete secret odd")


def test_a_damaged_record_is_not_quoted(api: KubernetesApi, cluster: Cluster) -> None:
    """The record holds the release's values, secret ones included."""
    record = gzip.compress(b'{"config": {"password": "canary", "name": "\xff"}}')
    packed = base64.b64encode(base64.b64encode(record)).decode()
    api.put("Secret", "odd", "teleport", metadata={"labels": {"owner": "helm", "name": "x"}}, data={"release": packed})
    with pytest.raises(ClusterError, match="Secret odd in teleport is no record of Helm ") as refused:
        list_revisions(cluster, "teleport", "x")
    assert "canary" not in str(refused.value)
