"""The stand-ins behave as the real programs do: whom they trust, what they refuse, and with which messages."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest
import yaml

from sandbox.workloads import access_graph, host_authority, psql, teleport
from sandbox.workloads.access_graph_database import (
    PRIMARY,
    REPLICA,
    Database,
    parse_connection_string,
    schema_name,
)
from sandbox.workloads.auth import Auth
from sandbox.workloads.certificates import certificates_in, fingerprint
from sandbox.workloads.endpoint import DialFailed, client_context, dial, parse_settings
from sandbox.workloads.journal import Journal, StartRefused
from sandbox.workloads.surroundings import image_version, inside, listening_address

pytestmark = pytest.mark.unit

CLUSTER = "teleport.example.com"
SERVICE = "teleport-access-graph.teleport-access-graph.svc.cluster.local"


class NoDatabase:
    """Takes the place of the service's database, because only the service itself is tested here."""

    def __init__(self, *_: object) -> None:
        self.clusters: list[str] = []

    def open(self) -> None:
        pass

    def create_objects(self, clusters: list[str]) -> None:
        self.clusters = clusters


@pytest.fixture
def data(tmp_path) -> Path:
    directory = tmp_path / "auth"
    host_authority.ensure(directory, CLUSTER, ["127.0.0.1"])
    return directory


@pytest.fixture
def pair(tmp_path) -> Path:
    path = tmp_path / "server.pem"
    path.write_bytes(host_authority.web_certificate([SERVICE]))
    return path


def authority_of(data: Path) -> str:
    (der,) = certificates_in((data / "authorities/active/0001.pem").read_text())
    return ssl.DER_cert_to_PEM_cert(der)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def service(tmp_path, monkeypatch, data, pair, port):
    """A TAG that knows the cluster's host CA, and an address book that leads to it."""
    monkeypatch.setattr(access_graph, "Database", NoDatabase)
    monkeypatch.setenv("TAG_POSTGRES_CONNECTION", "postgres://db/x")
    book = tmp_path / "names.json"
    book.write_text(json.dumps({SERVICE: {"443": [f"127.0.0.1:{port}"]}}))
    monkeypatch.setenv("ACCESS_GRAPH_ADDRESS_BOOK", str(book))
    (tmp_path / "cas.pem").write_text(authority_of(data))
    config = {
        "address": f"127.0.0.1:{port}",
        "tls": {"cert": str(pair), "key": str(pair)},
        "registration_cas": [str(tmp_path / "cas.pem")],
    }
    running = access_graph.Service(config, Journal("access-graph"))
    running.start()
    return running


SETTINGS = parse_settings({"enabled": True, "endpoint": f"{SERVICE}:443", "ca": "/ca.pem"})


def test_a_host_certificate_of_a_registered_cluster_is_answered(service, data, pair, capfd):
    connection = dial(SETTINGS, client_context(SETTINGS, pair.read_text(), data / "host-identity.pem"))
    assert connection.certificate_fingerprint == fingerprint(certificates_in(pair.read_text())[0])
    connection.ping()
    connection.close()
    assert service._database.clusters == [CLUSTER]
    assert f".{CLUSTER}" in said(capfd, "client connected")


def test_a_host_certificate_of_another_cluster_gets_the_alert_that_teleport_reports(service, tmp_path, pair, capfd):
    other = tmp_path / "other"
    host_authority.ensure(other, "other.example.com", [])
    with pytest.raises(DialFailed) as failure:
        dial(SETTINGS, client_context(SETTINGS, pair.read_text(), other / "host-identity.pem"))
    assert failure.value.authority_unknown
    assert "unable to get local issuer" in said(capfd, "TLS handshake failed")


def test_a_server_of_another_authority_or_name_is_refused_by_the_client(service, tmp_path, data, pair):
    foreign = host_authority.web_certificate([SERVICE]).decode()
    with pytest.raises(DialFailed, match="failed to verify certificate") as failure:
        dial(SETTINGS, client_context(SETTINGS, foreign, data / "host-identity.pem"))
    assert not failure.value.authority_unknown
    book = json.loads((tmp_path / "names.json").read_text())
    (tmp_path / "names.json").write_text(json.dumps({**book, "graph.example.com": book[SERVICE]}))
    misnamed = parse_settings({"enabled": True, "endpoint": "graph.example.com:443"})
    with pytest.raises(DialFailed, match="Hostname mismatch"):
        dial(misnamed, client_context(misnamed, pair.read_text(), data / "host-identity.pem"))


def test_without_a_client_certificate_there_is_no_answer(service, pair, port):
    context = ssl.create_default_context(cafile=str(pair))
    plain = socket.create_connection(("127.0.0.1", port), 5)
    with context.wrap_socket(plain, server_hostname=SERVICE) as connection:
        # In TLS 1.3 the client finishes its handshake before the server has checked the client's certificate.
        assert connection.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            connection.recv(100)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_refused(service, pair, port):
    context = ssl.create_default_context(cafile=str(pair))
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port), 5) as plain, pytest.raises(OSError, match="PROTOCOL"):
        context.wrap_socket(plain, server_hostname=SERVICE)


def test_any_other_client_with_a_host_certificate_learns_what_is_served(service, data, pair, port):
    context = client_context(SETTINGS, pair.read_text(), data / "host-identity.pem")
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=SERVICE) as connection,
    ):
        connection.sendall(b"hello\n")
        answer = json.loads(connection.recv(1000))
    assert answer["certificate"] == fingerprint(certificates_in(pair.read_text())[0])


def test_nothing_is_reloaded(service, data, pair):
    served = fingerprint(certificates_in(pair.read_text())[0])
    old = pair.read_text()
    pair.write_bytes(host_authority.web_certificate([SERVICE]))
    connection = dial(SETTINGS, client_context(SETTINGS, old, data / "host-identity.pem"))
    assert connection.certificate_fingerprint == served
    connection.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tls": {}}, "tls.cert is required"),
        ({"tls": {"cert": "/no.crt", "key": "/no.key"}}, "open /no.crt: no such file"),
        ({"registration_cas": []}, "registration_cas is empty"),
        ({"registration_cas": ["/no.pem"]}, "No such file"),
        ({"registration_cas": ["{empty}"]}, "no certificate in"),
        ({"tls": {"cert": "{pair}", "key": "{other}"}}, "failed to load key pair"),
    ],
)
def test_tag_does_not_start_on_half_of_what_it_needs(tmp_path, monkeypatch, pair, data, change, message):
    monkeypatch.setattr(access_graph, "Database", NoDatabase)
    monkeypatch.setenv("TAG_POSTGRES_CONNECTION", "postgres://db/x")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "other").write_bytes(host_authority.web_certificate(["x"]))
    (tmp_path / "cas.pem").write_text(authority_of(data))
    config = {"tls": {"cert": str(pair), "key": str(pair)}, "registration_cas": [str(tmp_path / "cas.pem")], **change}
    text = json.dumps(config)
    for name, path in (("{pair}", pair), ("{other}", tmp_path / "other"), ("{empty}", tmp_path / "empty")):
        text = text.replace(name, str(path))
    with pytest.raises(StartRefused, match=message):
        access_graph.Service(json.loads(text), Journal("access-graph"))


def test_a_uri_is_read_as_pgx_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SANDBOX_ROOT", str(tmp_path))
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/bundle.pem").write_text("x")
    uri = "postgres://us%40er:p%2Fw@db.example.com:5433/graph?sslmode=verify-full&sslrootcert=%2Fca%2Fbundle.pem"
    parsed = parse_connection_string(uri + "&pool_max_conns=4&application_name=x&channelbinding=1")
    assert (parsed.host, parsed.port, parsed.database) == ("db.example.com", 5433, "graph")
    assert (parsed.user, parsed.password) == ("us@er", "p/w")
    assert parsed.settings == {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca/bundle.pem")}
    assert parsed.server_settings == {"application_name": "x", "channelbinding": "1"}, (
        "the server refuses what is unknown"
    )


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mysql://x/y", "not a postgres:// URI"),
        ("postgres:///y", "names no host"),
        ("postgres://h:notaport/y", "cannot parse"),
        ("postgres://h/y?sslmode=strict", "sslmode is invalid: strict"),
        ("postgres://u:geheim@h/y?sslmode=verify-full&sslrootcert=/no/such.pem", "unable to read CA file"),
    ],
)
@pytest.mark.parametrize("variable", [PRIMARY, REPLICA])
def test_a_uri_that_cannot_be_used_is_refused_without_showing_it(uri, message, variable):
    with pytest.raises(StartRefused, match=message) as refusal:
        parse_connection_string(uri, variable)
    assert str(refusal.value).startswith(f"{variable}: ")
    assert "geheim" not in str(refusal.value)


def test_a_login_by_iam_without_a_role_is_said_and_never_tries_another_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    uri = "postgres://access_graph_iam:left-over@127.0.0.1:9/graph?sslmode=require"
    database = Database(uri, {"aws": {"region": "eu-west-1"}}, Journal("access-graph", "INFO"))
    with pytest.raises(StartRefused, match="failed to build an authentication token: Unable to locate credentials"):
        database.open()


def test_schema_names_fit_postgresql():
    assert schema_name("tele.example.com") == "cluster_tele_example_com"
    assert len(schema_name("x" * 200)) == 63


GOOD = {
    "version": "v3",
    "auth_service": {"enabled": True, "cluster_name": CLUSTER},
    "proxy_service": {"enabled": False},
}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"enabled": True}, "endpoint is required"),
        ({"enabled": True, "endpoint": "host"}, "is not host:port"),
        ({"enabled": True, "endpoint": "host:99999"}, "is not host:port"),
        ({"enabled": True, "endpoint": "h:443", "certificate": "x"}, "field certificate not found in access_graph"),
        ({"enabled": "yes please"}, "must be true or false"),
        ({"audit_log": {"start": "x"}}, "field start not found in access_graph.audit_log"),
        ([], "must be a map"),
    ],
)
def test_configure_refuses_what_teleport_would(tmp_path, section, message):
    path = tmp_path / "teleport.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "access_graph": section}))
    with pytest.raises(StartRefused, match=message):
        teleport.main(["configure", "--test", str(path)])


def test_configure_parses_and_opens_no_file(tmp_path):
    path = tmp_path / "teleport.yaml"
    section = {"enabled": True, "endpoint": "h:443", "ca": "/no/such.pem", "audit_log": {"enabled": True}}
    path.write_text(yaml.safe_dump({**GOOD, "access_graph": section}))
    assert teleport.main(["configure", "--test", str(path)]) == 0
    path.write_text("a: [")
    with pytest.raises(StartRefused, match="failed to parse"):
        teleport.main(["configure", "--test", str(path)])
    path.write_text("acess_graph: {}")
    with pytest.raises(StartRefused, match="field acess_graph not found"):
        teleport.main(["configure", "--test", str(path)])


def test_wait_ends_when_a_name_leads_nowhere(tmp_path, monkeypatch):
    (tmp_path / "names.json").write_text(json.dumps({"old.teleport.svc": {"0": []}}))
    monkeypatch.setenv("ACCESS_GRAPH_ADDRESS_BOOK", str(tmp_path))
    assert teleport.main(["wait", "no-resolve", "old.teleport.svc"]) == 0
    began = time.monotonic()
    assert teleport.main(["wait", "duration", "50ms"]) == 0
    assert time.monotonic() - began >= 0.05


def auth_config(tmp_path, **access) -> dict:
    (tmp_path / "license.pem").write_text("licence\n")
    return {
        "teleport": {"data_dir": str(tmp_path / "data")},
        "auth_service": {"enabled": True, "cluster_name": CLUSTER, "license_file": str(tmp_path / "license.pem")},
        **({"access_graph": access} if access else {}),
    }


@pytest.mark.slow
def test_auth_needs_its_ca_file_and_its_licence_at_the_start(tmp_path, data):
    ca = tmp_path / "ca.pem"
    config = auth_config(tmp_path, enabled=True, endpoint="h:443", ca=str(ca))
    with pytest.raises(StartRefused, match="failed to read"):
        Auth(config, "")
    ca.write_text("not a certificate")
    with pytest.raises(StartRefused, match="no certificate in"):
        Auth(config, "")
    ca.write_text(authority_of(data))
    Auth(config, "")
    (tmp_path / "license.pem").unlink()
    with pytest.raises(StartRefused, match="license file not found"):
        Auth(config, "")


@pytest.mark.slow
def test_without_the_entitlement_auth_only_says_so(tmp_path, capfd):
    config = auth_config(tmp_path, enabled=True, endpoint="h:443", ca="/no/such.pem")
    (tmp_path / "license.pem").write_text("licence\naccess-graph: none\n")
    Auth(config, "")
    assert "the license does not include it" in capfd.readouterr().err


def test_a_cluster_keeps_its_authority_and_its_name(data):
    before = authority_of(data), (data / "host-identity.pem").read_text()
    host_authority.ensure(data, CLUSTER, [])
    assert (authority_of(data), (data / "host-identity.pem").read_text()) == before
    with pytest.raises(StartRefused, match="a cluster keeps its name"):
        host_authority.ensure(data, "other.example.com", [])
    assert (data / "host-identity.pem").stat().st_mode & 0o777 == 0o600


def test_the_authority_is_named_after_the_cluster(data):
    from cryptography import x509

    authority = x509.load_pem_x509_certificate(authority_of(data).encode())
    assert authority.subject.rfc4514_string() == f"CN={CLUSTER},O={CLUSTER}"
    identity = x509.load_pem_x509_certificate((data / "host-identity.pem").read_bytes())
    identity.verify_directly_issued_by(authority)


def test_paths_are_inside_the_container_once(monkeypatch):
    monkeypatch.setenv("SANDBOX_ROOT", "/pods/1/roots/c")
    assert inside("/etc/x") == Path("/pods/1/roots/c/etc/x")
    assert inside("/pods/1/roots/c/etc/x") == Path("/pods/1/roots/c/etc/x")


def test_wildcard_addresses_are_the_pods_own(monkeypatch):
    monkeypatch.setenv("POD_BIND_ADDRESS", "127.93.1.4")
    monkeypatch.setenv("SANDBOX_IMAGE", "registry:5000/teleport-ent-distroless:18.10.3")
    for address in (":9090", "0.0.0.0:9090", "[::]:9090"):
        assert listening_address(address, 1) == ("127.93.1.4", 9090)
    assert listening_address("127.0.0.1:80", 1) == ("127.0.0.1", 80)
    assert image_version("0") == "18.10.3"


def test_psql_finds_the_server_and_keeps_the_name(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps({"db.example.com": {"5432": ["127.93.200.1:6000"]}}))
    book = {"ACCESS_GRAPH_ADDRESS_BOOK": str(tmp_path)}
    arguments, environment = psql.resolve(["-c", "select 1"], {**book, "PGHOST": "db.example.com"})
    assert arguments == ["-c", "select 1"]
    assert (environment["PGHOST"], environment["PGHOSTADDR"], environment["PGPORT"]) == (
        "db.example.com",
        "127.93.200.1",
        "6000",
    )
    uri = "postgres://u:p%2Fw@db.example.com/x?sslmode=verify-full"
    (given,), environment = psql.resolve([uri], dict(book))
    assert given == "postgres://u:p%2Fw@db.example.com:6000/x?sslmode=verify-full"
    assert environment["PGHOSTADDR"] == "127.93.200.1"
    assert psql.resolve(["-h", "elsewhere"], dict(book)) == (["-h", "elsewhere"], book)


def said(capfd, text: str) -> str:
    """The log line that contains `text`; another thread may still be writing it."""
    seen = ""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        seen += capfd.readouterr().err
        for line in seen.splitlines():
            if text in line:
                return line
        time.sleep(0.02)
    raise AssertionError(f"{text!r} is not in the log: {seen}")
