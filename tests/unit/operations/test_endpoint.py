"""The endpoint's proofs, against real TLS servers on loopback: a sound server passes all, a faulty one fails the proof
about its fault."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from operations.address_book import AddressBook
from operations.checks.endpoint import check_endpoint, check_trust
from operations.cluster import Cluster, ClusterError, NotAllowed
from operations.findings import WRITTEN_BACK, Finding, Outcome
from operations.handshake import Answer, Way, shake_hands, ways_to_service
from tests.unit.operations.certificates import Authority, authority
from tests.unit.operations.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow

HOST = "graph.ns.svc.cluster.local"
CLUSTER = "teleport.example.com"
SETTINGS = bytes(3) + b"\x04" + bytes(5)


@contextlib.contextmanager
def server(
    directory: Path,
    *,
    name: str = "replica",
    hosts: tuple[str, ...] = (HOST,),
    issuer: Authority | None = None,
    clients: str | None = CLUSTER,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    serve: Callable[[ssl.SSLSocket], None] | None = None,
) -> Iterator[tuple[Way, str]]:
    """A replica that behaves like the access graph's: mutual TLS with one host CA (None accepts any client), and as in
    gRPC for Go, no word to a client that does not ask for HTTP/2 by ALPN. Also returns its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    identity = (issuer or authority("graph-1")).issue(directory, name, hosts)
    context.load_cert_chain(identity)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority(clients).pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(plain,), daemon=True).start()

    def one(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            if connection.selected_alpn_protocol() == "h2":
                (serve or answer)(connection)

    threading.Thread(target=accept, daemon=True).start()
    address = listener.getsockname()
    try:
        yield Way("replica", lambda: socket.create_connection(address, 5)), identity.read_text(encoding="ascii")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answer(connection: ssl.SSLSocket) -> None:
    if connection.recv(4096).startswith(b"PRI * HTTP/2.0"):
        connection.sendall(SETTINGS)


def check(ways: list[Way], current: str, tmp_path: Path, *, identity: bool = True) -> dict[str, Finding]:
    findings = check_endpoint(
        ways,
        host=HOST,
        trust=authority("graph-1").pem,
        identity=authority(CLUSTER).issue(tmp_path, "auth") if identity else None,
        cluster=CLUSTER,
        current_certificate=current,
    )
    return {finding.check.removeprefix("endpoint."): finding for finding in findings}


def outcomes(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.outcome.value for name, finding in findings.items()}


ALL = {
    "name": "pass",
    "wrong-name": "pass",
    "host-certificate": "pass",
    "no-certificate": "pass",
    "foreign-certificate": "pass",
    "current-certificate": "pass",
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_right_server_passes_everything(tmp_path: Path, version: ssl.TLSVersion) -> None:
    with server(tmp_path, version=version) as (way, current):
        assert outcomes(check([way, way], current, tmp_path)) == ALL


def test_a_server_that_speaks_first_passes_everything_too(tmp_path: Path) -> None:
    def first(connection: ssl.SSLSocket) -> None:
        connection.sendall(SETTINGS)
        connection.recv(4096)

    with server(tmp_path, serve=first) as (way, current):
        assert outcomes(check([way], current, tmp_path)) == ALL


def test_a_certificate_whose_common_name_alone_is_right_is_for_no_name(tmp_path: Path) -> None:
    """Go ignores the common name when it verifies. The certificate still counts as the one in the Secret."""
    with server(tmp_path, name=HOST, hosts=()) as (way, current):
        findings = check([way], current, tmp_path)
    assert findings["name"].outcome is Outcome.FAIL
    assert "replica wrong name" in findings["name"].reason
    assert findings["current-certificate"].outcome is Outcome.PASS
    assert findings["current-certificate"].reason.endswith("..., for no DNS name")


def test_an_intermediate_authority_in_the_bundle_is_an_anchor(tmp_path: Path) -> None:
    """Go accepts any certificate in the bundle as a trust anchor, self-signed or not, and comments in any script."""
    intermediate = authority("root").intermediate("graph-intermediate")
    trust = f"# für Teleport\n{intermediate.pem}"
    with server(tmp_path, issuer=intermediate) as (way, _):
        found = check_trust([way], host=HOST, cluster=CLUSTER, trust=trust, where="the ConfigMap", identity=None)
    assert found.outcome is Outcome.PASS, found.reason


def test_a_server_that_asks_for_no_certificate_lets_anybody_in(tmp_path: Path) -> None:
    with server(tmp_path, clients=None) as (way, current):
        findings = check([way], current, tmp_path)
    assert outcomes(findings) == {**ALL, "no-certificate": "fail", "foreign-certificate": "fail"}
    assert "replica accepted (the server answered)" in findings["no-certificate"].reason


def test_a_stale_host_ca_turns_teleport_away(tmp_path: Path) -> None:
    with server(tmp_path, clients="rebuilt") as (way, current):
        findings = check([way], current, tmp_path)
    assert outcomes(findings) == {**ALL, "host-certificate": "fail"}
    assert "replica refused (tlsv1 alert unknown ca)" in findings["host-certificate"].reason


def test_a_certificate_for_another_name_fails(tmp_path: Path) -> None:
    with server(tmp_path, hosts=("other.example",)) as (way, current):
        findings = check([way], current, tmp_path)
    assert findings["name"].outcome is Outcome.FAIL
    assert "replica wrong name" in findings["name"].reason


def test_a_certificate_for_any_name_fails(tmp_path: Path) -> None:
    with server(tmp_path, hosts=(HOST, f"*.{HOST}")) as (way, current):
        assert outcomes(check([way], current, tmp_path)) == {**ALL, "wrong-name": "fail"}


def test_a_certificate_of_another_authority_fails(tmp_path: Path) -> None:
    with server(tmp_path, issuer=authority("graph-2")) as (way, current):
        findings = check([way], current, tmp_path)
        trust = check_trust(
            [way], host=HOST, cluster=CLUSTER, trust=authority("graph-1").pem, where="the ConfigMap", identity=None
        )
        both = check_trust(
            [way],
            host=HOST,
            cluster=CLUSTER,
            trust=authority("graph-1").pem + authority("graph-2").pem,
            where="the ConfigMap",
            identity=None,
        )
    assert findings["name"].outcome is Outcome.FAIL
    assert "untrusted" in findings["name"].reason
    assert trust.outcome is Outcome.FAIL
    assert trust.reason.endswith(f"if somebody changed the ConfigMap, run {WRITTEN_BACK}")
    assert both.outcome is Outcome.PASS


def test_a_replica_that_was_not_rolled_is_found_among_others(tmp_path: Path) -> None:
    with server(tmp_path) as (old, _), server(tmp_path) as (new, current):
        findings = check([Way("old", old.connect), Way("new", new.connect)], current, tmp_path)
    assert outcomes(findings) == {**ALL, "current-certificate": "fail"}
    assert findings["current-certificate"].reason.startswith("old serves another")


@pytest.mark.parametrize("held", ["", "-----BEGIN CERTIFICATE-----"], ids=["nothing", "half of one"])
def test_a_secret_without_a_whole_certificate_proves_nothing_of_what_is_served(tmp_path: Path, held: str) -> None:
    with server(tmp_path) as (way, _):
        findings = check([way], held, tmp_path)
    assert outcomes(findings) == {**ALL, "current-certificate": "fail"}
    assert findings["current-certificate"].reason.startswith("the Secret has no certificate in tls.crt")


def test_one_replica_that_is_down_fails_what_is_said_of_all(tmp_path: Path) -> None:
    with server(tmp_path) as (way, current):
        findings = check([way, Way("down", lambda: socket.create_connection(("127.0.0.1", 9), 1))], current, tmp_path)
    assert set(outcomes(findings).values()) == {"fail"}
    assert "1 of 2 replicas do otherwise: down unreachable" in findings["no-certificate"].reason


def test_hanging_up_is_no_refusal(tmp_path: Path) -> None:
    with server(tmp_path, clients=None, serve=lambda connection: None) as (way, current):
        findings = check([way], current, tmp_path)
        trust = check_trust(
            [way], host=HOST, cluster=CLUSTER, trust=authority("graph-1").pem, where="the ConfigMap", identity=None
        )
    assert outcomes(findings)["no-certificate"] == "fail"
    assert outcomes(findings)["host-certificate"] == "fail"
    # Nor does a connection that the server drops prove that the server was verified.
    assert outcomes(findings)["name"] == "fail"
    assert trust.outcome is Outcome.FAIL


def test_without_an_identity_its_acceptance_is_not_proven(tmp_path: Path) -> None:
    with server(tmp_path) as (way, current):
        assert outcomes(check([way], current, tmp_path, identity=False)) == {**ALL, "host-certificate": "not proven"}


def test_nobody_behind_the_endpoint_and_no_ca_fail(tmp_path: Path) -> None:
    assert outcomes(check([], "", tmp_path)) == {"reached": "fail"}
    absent = check_trust([], host=HOST, cluster=CLUSTER, trust=None, where="the ConfigMap", identity=None)
    assert absent.outcome is Outcome.FAIL
    assert absent.reason.startswith("the ConfigMap does not exist")


def test_a_silent_server_is_told_from_one_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.handshake.TIMEOUT", 0.3)
    monkeypatch.setattr("operations.handshake._LISTEN", 0.1)
    with server(
        tmp_path, clients=None, serve=lambda connection: connection.recv(4096) and threading.Event().wait(2)
    ) as (
        way,
        _,
    ):
        seen = shake_hands(way, server_name=HOST, trust=None, expect_refusal=True)
    assert seen.answer is Answer.SILENT


def blocked(error: ClusterError) -> Way:
    def connect() -> socket.socket:
        raise error

    return Way("graph-0", connect)


def test_a_pod_that_nothing_leads_to_is_out_of_reach_with_the_reason(tmp_path: Path) -> None:
    gone = blocked(ClusterError("test: cannot forward port 9090 of graph-0: 500 Internal Server Error"))
    seen = shake_hands(gone, server_name=HOST, trust=None)
    assert seen.answer is Answer.UNREACHABLE
    assert "500 Internal Server Error" in seen.detail
    with server(tmp_path) as (way, current):
        findings = check([way, gone], current, tmp_path)
    assert set(outcomes(findings).values()) == {"fail"}
    assert findings["current-certificate"].reason == f"none came from graph-0 ({seen.detail})"


def test_what_may_not_be_asked_says_nothing_of_the_access_graph(tmp_path: Path) -> None:
    """A role that only reads may not forward a port. The pods may be as they should."""
    way = blocked(NotAllowed("test: not allowed to forward port 9090 of graph-0 (403); use a context that may"))
    with server(tmp_path) as (_, current):
        findings = check([way], current, tmp_path)
    trust = check_trust(
        [way], host=HOST, cluster=CLUSTER, trust=authority("graph-1").pem, where="the ConfigMap", identity=None
    )
    for finding in (*findings.values(), trust):
        assert (finding.outcome, "not allowed to forward" in finding.reason) == (Outcome.NOT_PROVEN, True), finding
        assert "somebody changed" not in finding.reason


def test_the_ways_are_those_of_the_book_else_those_of_the_ready_pods(api: KubernetesApi, cluster: Cluster) -> None:
    book = AddressBook(entries={HOST: {"443": ["127.0.0.1:1", "127.0.0.1:2"]}})
    known = ways_to_service(HOST, 443, book=book, cluster=cluster, namespace="ns", service="graph")
    assert [way.label for way in known] == ["127.0.0.1:1", "127.0.0.1:2"]

    with pytest.raises(ClusterError, match="there is no Service graph in ns"):
        ways_to_service(HOST, 443, book=AddressBook(), cluster=cluster, namespace="ns", service="graph")
    api.put(
        "Service",
        "graph",
        "ns",
        spec={"selector": {"app": "graph"}, "ports": [{"port": 443, "targetPort": "grpc"}, {"port": 80}]},
    )
    container = {"name": "graph", "image": "x", "ports": [{"name": "grpc", "containerPort": 9090}]}
    for name, ready in (("graph-a", "True"), ("graph-b", "False")):
        api.put(
            "Pod",
            name,
            "ns",
            metadata={"labels": {"app": "graph"}},
            spec={"containers": [container]},
            status={"conditions": [{"type": "Ready", "status": ready}]},
        )
    ways = ways_to_service(HOST, 443, book=AddressBook(), cluster=cluster, namespace="ns", service="graph")
    assert [way.label for way in ways] == ["graph-a"]
    with pytest.raises(ClusterError, match="no port 8443"):
        ways_to_service(HOST, 8443, book=AddressBook(), cluster=cluster, namespace="ns", service="graph")
