"""What waits for what when the database has everything that it may have: a replica, alarms on a topic of its own,
logins by IAM and clients of every kind. The rest of the graph is the default one's."""

from __future__ import annotations

from pathlib import Path

from tests.unit.program.stack import configuration, run_program
from tests.unit.program.test_graph import EDGES

HEARD = {"database-topic", "database-topic-policy"}
INGRESS = {
    "database-ingress-sg-0123456789abcdef0",
    "database-ingress-pl-0123456789abcdef0",
    "database-ingress-10.0.0.0-16",
}
REACHED = {"database-instance", *INGRESS}
NAMESPACE = {"namespace-namespace"}
ALARMS = ("storage", "cpu", "connections")

# Direct dependencies of resources that are not in the default graph, or that wait for something else there.
OTHER_EDGES: dict[str, set[str]] = {
    "database-master-password": set(),
    "database-instance": EDGES["database-instance"] | {"database-master-password"},
    **{name: {"database-security-group"} for name in INGRESS - EDGES.keys()},
    **{f"database-replica-log-{log}": {"database-key"} for log in ("postgresql", "upgrade")},
    "database-replica": {
        "database-instance",
        "database-key",
        "database-monitoring-role",
        "database-parameter-group",
        "database-replica-log-postgresql",
        "database-replica-log-upgrade",
        "database-security-group",
    },
    "database-topic": {"database-key"},
    "database-topic-policy": {"database-topic"},
    "database-topic-email-operators@example.com": {"database-topic"},
    # RDS refuses a subscription while its topic does not let RDS publish.
    "database-events-instance": {"database-instance", "database-replica", *HEARD},
    "database-events-parameters": {"database-parameter-group", *HEARD},
    "database-events-security": HEARD,
    **{f"database-alarm-{alarm}": {"database-instance", *HEARD} for alarm in ALARMS},
    **{f"database-replica-alarm-{alarm}": {"database-replica", *HEARD} for alarm in ALARMS},
    "database-access-client-role": NAMESPACE,
    "database-access-client-replica-policy": {"database-access-client-role", "database-replica"},
    "database-access-client-role-policy": {
        "database-access-client-replica-policy",
        "database-access-client-role",
        "database-instance",
    },
    "database-access-service-account": NAMESPACE,
    # If the run left out the password, it left out the instance too, and the instance has no password to give.
    "database-access-secret": {"database-instance", "database-master-password", *NAMESPACE},
    "database-access-job": {
        "database-access-secret",
        "database-access-service-account",
        "database-master-password",
        "digest-key",
        "namespace-database-ca",
        *REACHED,
        *NAMESPACE,
    },
    "credentials-postgres-iam": {"database-access-job", "database-replica", *REACHED, *NAMESPACE},
    "credentials-postgres-iam-replica": {"database-access-job", "database-replica", *INGRESS, *NAMESPACE},
    # The release also waits for the rights with which its pods log in.
    "access-graph-release": {
        "certificates-server",
        "certificates-server-key",
        "credentials-postgres-iam",
        "credentials-postgres-iam-replica",
        "credentials-tls",
        "database-access-client-replica-policy",
        "database-access-client-role",
        "database-access-client-role-policy",
        "database-access-job",
        "database-replica",
        "digest-key",
        "namespace-database-ca",
        *REACHED,
        *NAMESPACE,
    },
    "database-logins-job": EDGES["database-logins-job"] | INGRESS,
}
GONE = {"database-access-login-a", "database-access-role", "database-access-role-policy", "credentials-postgres"}


def test_every_edge_of_a_database_with_all_that_it_may_have_is_a_decision(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config["database"] |= {
        "masterPassword": "generated",
        "authentication": "iam",
        "replica": {},
        "notifications": {"mode": "ownTopic", "emails": ["operators@example.com"]},
        "alarms": {"freeStorageGib": 10, "cpuPercent": 80, "connections": 100},
    }
    config["database"]["network"] |= {
        "clientPrefixListIds": ["pl-0123456789abcdef0"],
        "clientCidrs": ["10.0.0.0/16"],
    }
    edges = run_program(config, tmp_path).edges()
    assert {name: before for name, before in edges.items() if EDGES.get(name) != before} == OTHER_EDGES
    assert EDGES.keys() - edges.keys() == GONE
