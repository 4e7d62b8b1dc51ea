"""Who can log in to a live database by a token and who cannot; everybody else is authenticated by the server itself."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import psycopg
import pytest

from sandbox.cloud import startup
from sandbox.cloud.landing_zone import ACCOUNT
from tests.engine.cloud.conftest import MASTER, Cloud

pytestmark = pytest.mark.engine

USER = "graph_iam"
DATABASE = "access_graph"
REFUSED = f'FATAL:  PAM authentication failed for user "{USER}"'
Instance = dict[str, Any]
Credentials = dict[str, str]
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}}


@pytest.fixture(scope="module")
def instance(cloud: Cloud) -> Instance:
    made = cloud.create("by-iam", EnableIAMDatabaseAuthentication=True, Port=6543)
    with cloud.connect(made) as connection:
        connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD 'a-password'")
        connection.execute(f"GRANT rds_iam TO {USER}")
        connection.execute("CREATE ROLE by_password LOGIN PASSWORD 'a-password'")
    return made


def policy_document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def dbuser(instance: Instance, user: str = USER) -> str:
    return f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:{instance['DbiResourceId']}/{user}"


@pytest.fixture(scope="module")
def role(cloud: Cloud, instance: Instance) -> str:
    """An IAM role that may log in as one database user."""
    iam = cloud.client("iam")
    arn = iam.create_role(RoleName="client", AssumeRolePolicyDocument=policy_document(TRUST))["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "rds-db:connect", "Resource": dbuser(instance)}
    iam.put_role_policy(RoleName="client", PolicyName="login", PolicyDocument=policy_document(allowed))
    return str(arn)


@pytest.fixture(scope="module")
def session(cloud: Cloud, role: str) -> Credentials:
    return assume(cloud, role)


def assume(cloud: Cloud, role: str) -> Credentials:
    found = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="pod")["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


def token(instance: Instance, credentials: Credentials, user: str = USER, region: str = "us-east-1") -> str:
    endpoint = instance["Endpoint"]
    client = boto3.client("rds", region_name=region, **credentials)
    return str(client.generate_db_auth_token(DBHostname=endpoint["Address"], Port=endpoint["Port"], DBUsername=user))


def log_in(cloud: Cloud, instance: Instance, password: str, user: str = USER, **changes: Any) -> str:
    with cloud.connect(instance, user=user, password=password, **changes) as connection:
        row = connection.execute("SELECT session_user::text").fetchone()
        assert row is not None
        return str(row[0])


def refusal(cloud: Cloud, instance: Instance, password: str, user: str = USER, **changes: Any) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        log_in(cloud, instance, password, user, **changes)
    return str(caught.value)


def test_a_token_of_a_role_that_may_logs_its_user_in_over_tls(
    cloud: Cloud, instance: Instance, session: Credentials
) -> None:
    with cloud.connect(instance, user=USER, password=token(instance, session)) as connection:
        row = connection.execute(
            "SELECT session_user::text, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == (USER, DATABASE, True)


def test_the_password_of_a_member_of_rds_iam_is_worth_nothing(cloud: Cloud, instance: Instance) -> None:
    assert REFUSED in refusal(cloud, instance, "a-password")


def test_a_token_without_tls_is_not_even_asked_for(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    said = refusal(cloud, instance, token(instance, session), sslmode="disable")
    assert f'FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "{USER}"' in said
    assert f'database "{DATABASE}", no encryption' in said


def test_a_tampered_token_is_refused(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    good = token(instance, session)
    assert REFUSED in refusal(cloud, instance, good[:-1] + ("0" if good[-1] != "0" else "1"))
    assert REFUSED in refusal(cloud, instance, good.replace("X-Amz-Expires=900", "X-Amz-Expires=300"))
    assert REFUSED in refusal(cloud, instance, token(instance, session, region="us-east-2"))
    assert REFUSED in refusal(cloud, instance, token(instance, {**session, "aws_secret_access_key": "x" * 40}))
    assert REFUSED in refusal(cloud, instance, token(instance, {**session, "aws_session_token": "another"}))
    assert REFUSED in refusal(cloud, instance, token(instance, session, user="by_password"))
    assert log_in(cloud, instance, good) == USER, "as it came it is good again"


def test_a_token_is_for_one_instance(
    cloud: Cloud, instance: Instance, database: Instance, session: Credentials
) -> None:
    assert REFUSED in refusal(cloud, instance, token(database, session))


def test_the_role_decides_for_which_users(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    with cloud.connect(instance) as connection:
        connection.execute("CREATE ROLE other_iam LOGIN")
        connection.execute("GRANT rds_iam TO other_iam")
    said = refusal(cloud, instance, token(instance, session, "other_iam"), "other_iam")
    assert 'PAM authentication failed for user "other_iam"' in said
    assert f"is not authorized to perform: rds-db:connect on resource: {dbuser(instance, 'other_iam')}" in (
        cloud.log_file.read_text()
    )


def test_a_users_key_and_a_boundary_count_as_well(cloud: Cloud, instance: Instance) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="operator")
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    assert REFUSED in refusal(cloud, instance, token(instance, credentials))
    statement = {"Effect": "Allow", "Action": "rds-db:*", "Resource": "*"}
    policy = iam.create_policy(PolicyName="login", PolicyDocument=policy_document(statement))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="operator", PolicyArn=policy)
    assert log_in(cloud, instance, token(instance, credentials)) == USER
    iam.update_access_key(UserName="operator", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert REFUSED in refusal(cloud, instance, token(instance, credentials))

    narrow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    boundary = iam.create_policy(PolicyName="narrow", PolicyDocument=policy_document(narrow))["Policy"]["Arn"]
    role = iam.create_role(
        RoleName="bounded", AssumeRolePolicyDocument=policy_document(TRUST), PermissionsBoundary=boundary
    )["Role"]["Arn"]
    iam.attach_role_policy(RoleName="bounded", PolicyArn=policy)
    assert REFUSED in refusal(cloud, instance, token(instance, assume(cloud, role)))


def test_iam_authentication_of_the_instance_can_be_turned_off(cloud: Cloud, session: Credentials, role: str) -> None:
    plain = cloud.create("without-iam", EnableIAMDatabaseAuthentication=False)
    with cloud.connect(plain) as connection:
        connection.execute(f"CREATE ROLE {USER} LOGIN")
        connection.execute(f"GRANT rds_iam TO {USER}")
    allowed = {"Effect": "Allow", "Action": "rds-db:connect", "Resource": dbuser(plain)}
    document = policy_document(allowed)
    cloud.client("iam").put_role_policy(RoleName="client", PolicyName="plain", PolicyDocument=document)
    assert REFUSED in refusal(cloud, plain, token(plain, session))
    cloud.client("rds").modify_db_instance(
        DBInstanceIdentifier="without-iam", EnableIAMDatabaseAuthentication=True, ApplyImmediately=True
    )
    plain = cloud.settled("without-iam")
    assert log_in(cloud, plain, token(plain, session)) == USER


def test_a_master_that_gives_rds_iam_keeps_its_password_and_one_that_has_it_does_not(cloud: Cloud) -> None:
    made = cloud.create("lost-master", EnableIAMDatabaseAuthentication=True)
    with cloud.connect(made) as connection:
        connection.execute("CREATE ROLE somebody LOGIN")
        connection.execute("GRANT rds_iam TO somebody")
    with cloud.connect(made) as connection:
        # Whoever may act as a member of rds_iam is a member too.
        connection.execute(f"GRANT somebody TO {MASTER} WITH INHERIT FALSE, SET TRUE")
    password = cloud.master_password(made)
    assert f'PAM authentication failed for user "{MASTER}"' in refusal(cloud, made, password, MASTER)


# Everybody else


def test_others_log_in_by_scram_bound_to_the_certificate(cloud: Cloud, instance: Instance) -> None:
    assert log_in(cloud, instance, "a-password", "by_password", channel_binding="require") == "by_password"
    assert 'password authentication failed for user "by_password"' in refusal(cloud, instance, "x", "by_password")


def test_the_server_sees_the_clients_address(cloud: Cloud, instance: Instance) -> None:
    with cloud.connect(instance, user="by_password", password="a-password") as connection:
        assert connection.execute("SELECT host(inet_client_addr())").fetchone() == ("127.0.0.1",)
        assert connection.execute("SELECT inet_server_port()").fetchone() == (6543,)


def test_large_results_come_through_whole(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    for user, password in (("by_password", "a-password"), (USER, token(instance, session))):
        with cloud.connect(instance, user=user, password=password) as connection:
            row = connection.execute("SELECT repeat('graph', 4000000)").fetchone()
            assert row == ("graph" * 4_000_000,)
            assert connection.execute("SELECT length(%s)", ["x" * 10_000_000]).fetchone() == (10_000_000,)


def test_a_query_can_be_cancelled(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    with cloud.connect(instance, user=USER, password=token(instance, session)) as connection:
        threading.Timer(0.5, connection.cancel).start()
        begun = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - begun < 10


def test_many_short_connections_at_once_are_all_served(cloud: Cloud, instance: Instance, session: Credentials) -> None:
    password = token(instance, session)

    def one(number: int) -> str:
        by_iam = number % 2 == 0
        return log_in(cloud, instance, password if by_iam else "a-password", USER if by_iam else "by_password")

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(one, range(400)))
    print(f"{400 / (time.monotonic() - begun):.0f} connections a second")
    assert (users.count(USER), users.count("by_password")) == (200, 200)


def test_nobody_passes_the_front_with_a_certificate_of_their_own(cloud: Cloud, instance: Instance) -> None:
    """The server behind the front admits those whom the front vouches for, by certificates that only the service can
    make."""
    host, port = cloud.address_of(instance)
    # The address of the server behind the front; its second part identifies the network, and may be any number.
    first, network, _, last = host.split(".")
    behind = f"{first}.{network}.202.{last}"
    with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|no password supplied"):
        psycopg.connect(host=behind, port=port, user="other_iam", dbname=DATABASE, sslmode="require", password="x")
    raw = socket.create_connection((behind, port), source_address=(behind, 0), timeout=10)
    raw.sendall(startup.SSL_REQUEST)
    assert raw.recv(1) == startup.ACCEPTED
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(raw) as secured:
        body = struct.pack("!I", 196608) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
        secured.sendall(struct.pack("!I", len(body) + 4) + body)
        assert b"connection requires a valid client certificate" in secured.recv(4096)
