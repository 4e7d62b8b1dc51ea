"""What is left of a cloud part that stops, that is killed, and that is removed."""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest

from sandbox.cloud.service import remove
from tests.engine.cloud.conftest import MASTER, SETTLE_SECONDS, Cloud, wait_until

pytestmark = pytest.mark.engine


def _answers(cloud: Cloud, instance: dict[str, Any]) -> bool:
    try:
        with cloud.connect(instance) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    except psycopg.OperationalError:
        return False
    return tables == [("durable",)]


def test_everything_survives_a_stop_and_a_kill_and_nothing_survives_a_removal(own_cloud: Cloud) -> None:
    own_cloud.start()
    first = own_cloud.create("durable")
    with own_cloud.connect(first) as connection:
        connection.execute("CREATE TABLE durable AS SELECT 1")
    password = own_cloud.master_password(first)
    facts = {name: value for name, value in own_cloud.facts.items() if name != "pid"}

    # A stop ends every server, and the next start starts them all again.
    assert own_cloud.stop() == 0
    assert own_cloud.servers() == []
    assert not (own_cloud.home.run / "cloud.ready.json").exists()
    own_cloud.start()
    assert facts.items() <= own_cloud.facts.items(), "the same network, provider and URL"
    again = own_cloud.settled("durable")
    assert again["DbiResourceId"] == first["DbiResourceId"]
    assert again["MasterUserSecret"]["SecretArn"] == first["MasterUserSecret"]["SecretArn"]
    assert own_cloud.master_password(again) == password
    wait_until(lambda: _answers(own_cloud, again), SETTLE_SECONDS)

    # A kill in the middle of a creation loses neither the existing instance nor the one being created.
    own_cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="halfway",
        Engine="postgres",
        EngineVersion="17",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        MasterUsername=MASTER,
        ManageMasterUserPassword=True,
        DBName="access_graph",
    )
    own_cloud.stop(signal.SIGKILL)
    own_cloud.start()
    own_cloud.connect(own_cloud.settled("halfway")).close()
    wait_until(lambda: _answers(own_cloud, own_cloud.settled("durable")), SETTLE_SECONDS)
    assert len(own_cloud.servers()) == 2, "servers that outlived the kill are kept, not started twice"

    # A removal ends what a kill left and deletes the data, wherever they are.
    databases = (own_cloud.home.cloud / "databases").resolve()
    assert databases.is_dir()
    own_cloud.stop(signal.SIGKILL)
    remove(own_cloud.home)
    assert own_cloud.servers() == []
    assert not databases.exists()
