"""A cloud part for the tests: a real process with a home and a loopback network that nothing else uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from sandbox.cloud.service import remove
from sandbox.home import CHECKOUT, Cache, Home
from sandbox.network import loopback_prefix

READY_SECONDS = 180.0
SETTLE_SECONDS = 180.0
MASTER = "tag_admin"


class Cloud:
    """One home's cloud part, as the supervisor would start it."""

    def __init__(self, home: Home):
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}

    def start(self) -> None:
        ready = self.home.run / "cloud.ready.json"
        ready.unlink(missing_ok=True)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.cloud", "--home", str(self.home.root)],
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: ready.exists() or self.process.poll() is not None, READY_SECONDS)
        assert ready.exists(), self.log_file.read_text()
        self.facts = json.loads(ready.read_text())

    @property
    def log_file(self) -> Path:
        return self.home.root / "cloud.log"

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=180)

    def client(self, service: str, **credentials: str) -> Any:
        credentials = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.facts["url"], region_name=self.facts["region"], **credentials)

    def instance(self, identifier: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)
        return answer["DBInstances"][0]

    def create(self, identifier: str, **changes: Any) -> dict[str, Any]:
        """Create a small instance as the program would, and wait until it is available."""
        options: dict[str, Any] = {
            "DBInstanceIdentifier": identifier,
            "Engine": "postgres",
            "EngineVersion": "17",
            "DBInstanceClass": "db.t4g.medium",
            "AllocatedStorage": 20,
            "MasterUsername": MASTER,
            "ManageMasterUserPassword": True,
            "DBName": "access_graph",
            **changes,
        }
        self.client("rds").create_db_instance(**{name: value for name, value in options.items() if value is not None})
        return self.settled(identifier)

    def settled(self, identifier: str, status: str = "available") -> dict[str, Any]:
        wait_until(lambda: self.instance(identifier)["DBInstanceStatus"] in (status, "failed"), SETTLE_SECONDS)
        found = self.instance(identifier)
        assert found["DBInstanceStatus"] == status, self.log_file.read_text()
        return found

    def deleted(self, identifier: str) -> None:
        wait_until(lambda: identifier not in self.identifiers(), SETTLE_SECONDS)

    def identifiers(self) -> list[str]:
        return [one["DBInstanceIdentifier"] for one in self.client("rds").describe_db_instances()["DBInstances"]]

    def master_password(self, instance: dict[str, Any]) -> str:
        held = self.client("secretsmanager").get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])
        secret = json.loads(held["SecretString"])
        assert secret["username"] == MASTER
        password: str = secret["password"]
        return password

    def address_of(self, instance: dict[str, Any]) -> tuple[str, int]:
        book = json.loads((self.home.names / "databases.json").read_text())
        endpoint = instance["Endpoint"]
        host, _, port = book[endpoint["Address"]][str(endpoint["Port"])][0].rpartition(":")
        return host, int(port)

    def connect(self, instance: dict[str, Any], **changes: Any) -> psycopg.Connection:
        """Connect as a workload does: the endpoint's name, verified with the bundle, dialled at the book's address."""
        host, port = self.address_of(instance)
        options: dict[str, Any] = {
            "host": instance["Endpoint"]["Address"],
            "hostaddr": host,
            "port": port,
            "user": MASTER,
            "dbname": "access_graph",
            "sslmode": "verify-full",
            "sslrootcert": self.facts["rdsCaBundle"],
            "connect_timeout": 10,
            **changes,
        }
        if "password" not in options:
            options["password"] = self.master_password(instance)
        return psycopg.connect(autocommit=True, **options)

    def servers(self) -> list[int]:
        """Process ids of the PostgreSQL servers whose data are in this home."""
        data = os.path.realpath(self.home.cloud / "databases").encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if data in command and b"postgres\0-D" in command:
                    found.append(int(entry.name))
        return found


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.05)


def _make_cloud(root: Path) -> Cloud:
    home = Home.at(root / "home")
    home.create()
    loopback_prefix(home, Cache(root / "cache"))
    return Cloud(home)


def _end(cloud: Cloud) -> None:
    if cloud.process is not None and cloud.process.poll() is None:
        cloud.stop()
    remove(cloud.home)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A part that the tests share; each test uses its own instances."""
    with tempfile.TemporaryDirectory(prefix="cloud-test-") as root:
        made = _make_cloud(Path(root))
        made.start()
        yield made
        _end(made)


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A part that a test may stop and kill; not yet started."""
    made = _make_cloud(tmp_path)
    yield made
    _end(made)


@pytest.fixture(scope="session")
def database(cloud: Cloud) -> dict[str, Any]:
    """An instance with a managed master password; tests may connect to it but must not change it."""
    return cloud.create("shared")
