"""The parts that need no running cloud: how requests are read, certificates issued, names resolved, and programs
placed."""

from __future__ import annotations

import datetime
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from psycopg.conninfo import conninfo_to_dict

from operations.address_book import AddressBook
from sandbox import control_plane
from sandbox.cloud import aws_cli, landing_zone, parameters, programs, server
from sandbox.cloud.authority import RdsAuthority, needs_renewal
from sandbox.cloud.calls import read_call
from sandbox.cloud.launchers import install_launchers
from sandbox.cloud.psql import resolved
from sandbox.home import CHECKOUT

pytestmark = pytest.mark.unit

NAME = "db.aaaaaaaaaa.us-east-1.rds.amazonaws.com"


# Requests


def environment(body: bytes, **headers: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/rds/aws4_request, Signature=s",
        **headers,
    }


def test_a_query_call_is_read_and_its_body_is_left_to_be_read_again() -> None:
    body = b"Action=CreateDBInstance&DBInstanceIdentifier=one&Version=2014-10-31"
    request = environment(body, CONTENT_TYPE="application/x-www-form-urlencoded; charset=utf-8")
    call = read_call(request)
    assert (call.service, call.action, call.resource, call.writes) == ("rds", "CreateDBInstance", "one", True)
    assert (call.region, call.access_key_id) == ("eu-west-1", "AKID")
    assert request["wsgi.input"].read() == body


def test_a_json_call_is_named_by_its_target() -> None:
    request = environment(
        b'{"SecretId": "name"}',
        CONTENT_TYPE="application/x-amz-json-1.1",
        HTTP_X_AMZ_TARGET="secretsmanager.GetSecretValue",
        HTTP_X_AMZ_SECURITY_TOKEN="token",
    )
    call = read_call(request)
    assert (call.action, call.resource, call.writes) == ("GetSecretValue", "name", False)
    assert call.session_token == "token"
    assert call.speaks_json


def test_an_unsigned_call_to_sts_is_sts() -> None:
    request = environment(
        b"Action=AssumeRoleWithWebIdentity&RoleArn=r", CONTENT_TYPE="application/x-www-form-urlencoded"
    )
    del request["HTTP_AUTHORIZATION"]
    call = read_call(request)
    assert (call.service, call.writes) == ("sts", False)


@pytest.mark.parametrize(
    ("action", "writes"),
    [
        ("DescribeDBInstances", False),
        ("ListTagsForResource", False),
        ("GetCallerIdentity", False),
        ("GenerateDataKeyWithoutPlaintext", False),
        ("Decrypt", False),
        ("CreateGrant", True),
        ("PutRetentionPolicy", True),
        ("AddTagsToResource", True),
        ("SetSubscriptionAttributes", True),
        ("RotateSecret", True),
    ],
)
def test_what_writes(action: str, writes: bool) -> None:
    request = environment(b"{}", CONTENT_TYPE="application/x-amz-json-1.1", HTTP_X_AMZ_TARGET=f"Service.{action}")
    assert read_call(request).writes is writes


# Certificates


@pytest.mark.slow
def test_the_root_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first = RdsAuthority.at(tmp_path, "us-east-1").bundle.read_bytes()
    assert RdsAuthority.at(tmp_path, "us-east-1").bundle.read_bytes() == first
    assert stat.S_IMODE((tmp_path / "rds-ca.key").stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("identifier", "kind"),
    [("rds-ca-rsa2048-g1", ("rsa", 2048)), ("rds-ca-ecc384-g1", ("ecdsa", 384))],
)
def test_a_server_certificate_is_for_its_endpoint_alone(tmp_path: Path, identifier: str, kind: tuple[str, int]) -> None:
    authority = RdsAuthority.at(tmp_path, "us-east-1")
    issued = authority.issue(NAME, identifier)
    certificate, root = x509.load_pem_x509_certificates(issued.certificate)
    certificate.verify_directly_issued_by(root)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    public_key = certificate.public_key()
    assert public_key.key_size == kind[1]  # type: ignore[union-attr]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert not needs_renewal(issued.certificate, now)
    assert needs_renewal(issued.certificate, now + datetime.timedelta(days=340))


# Names


@pytest.fixture
def book() -> AddressBook:
    return AddressBook(entries={NAME: {"5432": ["127.70.200.1:5432"], "6000": ["127.70.200.2:41234"]}})


def test_psql_dials_the_books_address_and_keeps_the_name(book: AddressBook) -> None:
    uri = f"postgres://user:p%40ss@{NAME}:5432/db?sslmode=verify-full"
    arguments, changed = resolved([uri, "-c", "SELECT 1"], {"OTHER": "kept"}, book)
    assert arguments == [uri, "-c", "SELECT 1"]
    assert changed == {"OTHER": "kept", "PGHOSTADDR": "127.70.200.1"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-h", NAME, "-d", "db"],
        [f"--host={NAME}", "db"],
        ["-X", "-v", "ON_ERROR_STOP=1", f"host={NAME} dbname=db"],
    ],
)
def test_a_host_is_found_wherever_psql_takes_it(book: AddressBook, arguments: list[str]) -> None:
    assert resolved(arguments, {}, book) == (arguments, {"PGHOSTADDR": "127.70.200.1"})


def test_a_host_may_come_from_the_environment(book: AddressBook) -> None:
    given = {"PGHOST": NAME, "PGPORT": "6000"}
    arguments, changed = resolved(["-c", "SELECT 1"], given, book)
    assert arguments == ["-c", "SELECT 1"]
    assert changed == {"PGHOST": NAME, "PGHOSTADDR": "127.70.200.2", "PGPORT": "41234"}


def test_a_server_on_another_port_than_its_names_is_dialled_there(book: AddressBook) -> None:
    uri = f"postgres://user:p%40ss@{NAME}:6000/db?sslmode=verify-full"
    (rewritten,), changed = resolved([uri], {}, book)
    parsed = conninfo_to_dict(rewritten)
    assert parsed == {
        "host": NAME,
        "port": "41234",
        "user": "user",
        "password": "p@ss",
        "dbname": "db",
        "sslmode": "verify-full",
    }
    assert changed["PGHOSTADDR"] == "127.70.200.2"
    arguments, changed = resolved(["-h", NAME, "-p", "6000", "db"], {}, book)
    assert arguments == ["-h", NAME, "db"]
    assert changed["PGPORT"] == "41234"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["-h", "elsewhere.example", "db"], {}),
        (["-h", "/run/postgresql", "db"], {}),
        (["--no-such-option"], {}),
        (["--version"], {}),
        (["-h", NAME, "db"], {"PGHOSTADDR": "127.0.0.1"}),
        ([f"host={NAME} hostaddr=127.0.0.1"], {}),
    ],
)
def test_what_the_book_has_no_say_in_is_left_as_it_is(
    book: AddressBook, arguments: list[str], given: dict[str, str]
) -> None:
    assert resolved(arguments, given, book) == (arguments, given)


# Launchers


@pytest.mark.slow
def test_the_launchers_run_from_anywhere(tmp_path: Path) -> None:
    psql, aws = install_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT)
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    plain = {"PATH": "/usr/bin:/bin"}
    printed = subprocess.run([psql, "--version"], cwd=tmp_path, env=plain, capture_output=True, text=True, check=True)
    assert printed.stdout.startswith("psql (PostgreSQL) 17")
    refused = subprocess.run([aws, "s3", "ls"], cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
    assert refused.returncode == aws_cli.USAGE_ERROR
    assert "this stand-in knows only" in refused.stderr


# Parameters


@pytest.fixture
def wheel() -> programs.Installation:
    found = programs.find_installation("17")
    assert found is not None
    return found


def test_ssl_is_forced_from_15_on_unless_the_group_says_otherwise(wheel: programs.Installation) -> None:
    older = programs.Installation(14, "14.1", wheel.bin)
    assert parameters.for_server({}, wheel).force_ssl
    assert not parameters.for_server({}, older).force_ssl
    assert parameters.for_server({"rds.force_ssl": "1"}, older).force_ssl
    assert not parameters.for_server({"rds.force_ssl": "0"}, wheel).force_ssl


def test_only_what_the_server_can_act_on_is_passed_to_it(wheel: programs.Installation) -> None:
    group = {
        "rds.force_ssl": "1",
        "rds.log_retention_period": "4320",
        "shared_preload_libraries": "pg_stat_statements,pgaudit_of_rds",
        "shared_buffers": "{DBInstanceClassMemory/32768}",
        "work_mem": "8192",
    }
    assert parameters.for_server(group, wheel).settings == {
        "shared_preload_libraries": "pg_stat_statements",
        "work_mem": "8192",
    }


# Programs


def test_an_engine_version_is_a_major_or_exact(wheel: programs.Installation) -> None:
    assert programs.find_installation(wheel.version) == wheel
    assert programs.find_installation("17.0") is None
    assert programs.find_installation("7") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another user")
def test_programs_below_a_private_directory_are_copied_to_where_their_user_reaches(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "install" / "bin").mkdir(parents=True)
    (private / "install" / "bin" / "postgres").write_text("#!/bin/sh\n")
    private.chmod(0o700)
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    place = programs.Place.prepare(cloud)
    try:
        hidden = programs.Installation(99, "99.1", private / "install" / "bin")
        reached = place.reachable(hidden)
        assert reached.bin != hidden.bin
        assert programs.may_traverse(reached.bin, place.user)
        assert (reached.bin / "postgres").exists()
        assert stat.S_IMODE(place.root.stat().st_mode) == 0o700, "private to the servers' user"
        assert programs.Place.prepare(cloud) == place, "found again by the link"
    finally:
        programs.remove_place(cloud)
    assert not place.root.exists()
    assert list(cloud.iterdir()) == []


def test_a_place_that_is_not_ours_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    (cloud / programs.SCRATCH_LINK).symlink_to(precious)
    programs.remove_place(cloud)
    assert precious.is_dir()


@pytest.mark.parametrize(
    ("printed", "kind", "status"),
    [
        ('FATAL:  could not write to file "pg_wal/x": No space left on device', server.StorageFull, "storage-full"),
        ("LOG:  could not bind IPv4 address: Address already in use", server.PortBusy, "incompatible-network"),
        (
            'FATAL:  configuration file "/x/postgresql.conf" contains errors',
            server.BadParameters,
            "incompatible-parameters",
        ),
        ("FATAL:  something else", server.ServerFailure, "failed"),
    ],
)
def test_what_postgres_prints_becomes_rds_word_for_it(
    printed: str, kind: type[server.ServerFailure], status: str
) -> None:
    failure = server.failure_from(printed, "it ended")
    assert type(failure) is kind
    assert failure.status == status
    assert printed in str(failure), "the reason is PostgreSQL's own"


def test_the_provider_is_the_issuer_that_the_cluster_writes_into_its_tokens() -> None:
    assert control_plane._ISSUER == landing_zone.OIDC_ISSUER
