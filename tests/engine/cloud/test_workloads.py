"""What a pod does with the cloud: it reads the master's password by its own identity, and runs psql with it."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cloud.landing_zone import OIDC_AUDIENCE, OIDC_ISSUER
from sandbox.cloud.launchers import install_launchers
from sandbox.home import CHECKOUT
from tests.engine.cloud.conftest import MASTER, Cloud
from tests.engine.cloud.test_web_identity import SUBJECT, Cluster

pytestmark = pytest.mark.engine

ROLE = "reads-the-master-password"


@pytest.fixture(scope="module")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bin")
    install_launchers(directory, Path(sys.executable), CHECKOUT)
    return directory


@pytest.fixture(scope="module")
def cluster(cloud: Cloud) -> Iterator[Cluster]:
    """The published keys of an API server, and the kubeconfig by which the cloud part finds them."""
    signing = Cluster()

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.rstrip("/") == "/openid/v1/jwks"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(signing.keys()).encode() if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "sandbox",
    }
    cloud.home.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
    yield signing
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def role(cloud: Cloud, database: dict[str, Any]) -> str:
    """The ARN of a role that one service account may assume, to read one secret."""
    issuer = OIDC_ISSUER.removeprefix("https://")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": cloud.facts["oidcProviderArn"]},
                "Condition": {"StringEquals": {f"{issuer}:sub": SUBJECT, f"{issuer}:aud": OIDC_AUDIENCE}},
            }
        ],
    }
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": database["MasterUserSecret"]["SecretArn"],
            }
        ],
    }
    iam = cloud.client("iam")
    arn = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="read", PolicyDocument=json.dumps(rights))
    return str(arn)


def read_secret(
    cloud: Cloud, launchers: Path, tmp_path: Path, role: str, token: str, secret: str
) -> subprocess.CompletedProcess[str]:
    token_file = tmp_path / "token"
    token_file.write_text(token)
    environment = {
        "PATH": f"{launchers}:/usr/bin:/bin",
        "AWS_ENDPOINT_URL": cloud.facts["url"],
        "AWS_REGION": cloud.facts["region"],
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = ["aws", "secretsmanager", "get-secret-value", "--secret-id", secret, "--query", "SecretString"]
    return subprocess.run(
        [*command, "--output", "text"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_pod_reads_the_master_password_by_its_role_and_psql_takes_it(
    cloud: Cloud, cluster: Cluster, role: str, database: dict[str, Any], launchers: Path, tmp_path: Path
) -> None:
    secret = database["MasterUserSecret"]["SecretArn"]
    read = read_secret(cloud, launchers, tmp_path, role, cluster.token(), secret)
    assert read.returncode == 0, read.stderr
    password = json.loads(read.stdout)["password"]

    endpoint = database["Endpoint"]
    target = (
        f"host={endpoint['Address']} port={endpoint['Port']} user={MASTER} dbname=access_graph "
        f"sslmode=verify-full sslrootcert={cloud.facts['rdsCaBundle']}"
    )
    environment = {
        "PATH": f"{launchers}:/usr/bin:/bin",
        "PGPASSWORD": password,
        "ACCESS_GRAPH_ADDRESS_BOOK": str(cloud.home.names),
    }
    done = subprocess.run(
        ["psql", "-XAt", "-c", "SELECT current_user", target],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, MASTER), done.stderr


def test_another_service_account_gets_no_credentials(
    cloud: Cloud, cluster: Cluster, role: str, database: dict[str, Any], launchers: Path, tmp_path: Path
) -> None:
    token = cluster.token(sub="system:serviceaccount:default:default")
    secret = database["MasterUserSecret"]["SecretArn"]
    read = read_secret(cloud, launchers, tmp_path, role, token, secret)
    assert read.returncode != 0
    assert "AccessDenied" in read.stderr
    assert read.stdout == ""


def test_the_role_reads_no_other_secret(
    cloud: Cloud, cluster: Cluster, role: str, launchers: Path, tmp_path: Path
) -> None:
    other = cloud.client("secretsmanager").create_secret(Name="other", SecretString="x")["ARN"]
    read = read_secret(cloud, launchers, tmp_path, role, cluster.token(), other)
    assert read.returncode != 0
    assert "AccessDeniedException" in read.stderr


def test_a_persons_shell_reads_it_with_the_environments_keys(
    cloud: Cloud, database: dict[str, Any], launchers: Path
) -> None:
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": cloud.facts["url"],
        "AWS_REGION": cloud.facts["region"],
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
    }
    done = subprocess.run(
        [
            launchers / "aws",
            "secretsmanager",
            "get-secret-value",
            "--secret-id",
            database["MasterUserSecret"]["SecretArn"],
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["SecretString"])["username"] == MASTER
