"""What waits for what: the whole graph, edge by edge, and what follows for the slow branch."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, host_authority, run_program, values_file

TELEPORT = f"teleport-{TELEPORT_CLUSTER}"

# Direct dependencies of every resource of a plugin. A new edge here is a decision: it makes an `up` slower or safer.
EDGES: dict[str, set[str]] = {
    "digest-key": set(),
    "certificates-ca-1-key": set(),
    "certificates-ca-1": {"certificates-ca-1-key"},
    "certificates-server-key": set(),
    "certificates-server-request": {"certificates-server-key"},
    "certificates-server": {"certificates-ca-1", "certificates-ca-1-key", "certificates-server-request"},
    "namespace-namespace": set(),
    "namespace-database-ca": {"namespace-namespace"},
    "database-key": set(),
    "database-key-alias": {"database-key"},
    "database-log-postgresql": {"database-key"},
    "database-log-upgrade": {"database-key"},
    "database-subnet-group": set(),
    "database-security-group": set(),
    "database-ingress-sg-0123456789abcdef0": {"database-security-group"},
    "database-parameter-group": set(),
    "database-monitoring-role": set(),
    "database-monitoring-policy": {"database-monitoring-role"},
    "database-final-snapshot": {"database-key"},
    "database-instance": {
        "database-final-snapshot",
        "database-key",
        "database-log-postgresql",
        "database-log-upgrade",
        "database-monitoring-policy",
        "database-monitoring-role",
        "database-parameter-group",
        "database-security-group",
        "database-subnet-group",
    },
    "database-access-login-a": set(),
    "database-access-role": {"namespace-namespace"},
    "database-access-role-policy": {"database-access-role", "database-instance", "database-key"},
    "database-access-service-account": {"database-access-role", "namespace-namespace"},
    "database-access-secret": {"database-access-login-a", "namespace-namespace"},
    "database-access-job": {
        "database-access-login-a",
        "database-access-role",
        "database-access-role-policy",
        "database-access-secret",
        "database-access-service-account",
        "database-ingress-sg-0123456789abcdef0",
        "database-instance",
        "digest-key",
        "namespace-database-ca",
        "namespace-namespace",
    },
    "credentials-tls": {"certificates-server", "certificates-server-key", "namespace-namespace"},
    "credentials-postgres": {
        "database-access-job",
        "database-access-login-a",
        "database-ingress-sg-0123456789abcdef0",
        "database-instance",
        "namespace-namespace",
    },
    "access-graph-release": {
        "certificates-server",
        "certificates-server-key",
        "credentials-postgres",
        "credentials-tls",
        "database-access-job",
        "database-access-login-a",
        "database-ingress-sg-0123456789abcdef0",
        "database-instance",
        "digest-key",
        "namespace-database-ca",
        "namespace-namespace",
    },
    # The former login is retired once nobody uses it.
    "database-logins-job": {
        "access-graph-release",
        "database-access-job",
        "database-access-service-account",
        "database-ingress-sg-0123456789abcdef0",
        "database-instance",
        "digest-key",
        "namespace-database-ca",
        "namespace-namespace",
    },
    f"{TELEPORT}-ca": {"access-graph-release", "certificates-ca-1"},
    f"{TELEPORT}-release": {"access-graph-release", "certificates-ca-1", f"{TELEPORT}-ca"},
    # If auth has several pods, Helm waits for all but one; the last may still answer proxies with the former
    # configuration.
    f"{TELEPORT}-auth": {"certificates-ca-1", "access-graph-release", f"{TELEPORT}-release"},
    f"{TELEPORT}-proxies": {"certificates-ca-1", "access-graph-release", f"{TELEPORT}-auth"},
}

AUTH = {"name": "teleport-auth", "namespace": "teleport"}

# Everything that may wait during the ten minutes in which RDS creates an instance.
WAITS_FOR_THE_INSTANCE = {
    "database-access-role-policy",
    "database-access-job",
    "credentials-postgres",
    "access-graph-release",
    "database-logins-job",
    f"{TELEPORT}-ca",
    f"{TELEPORT}-release",
    f"{TELEPORT}-auth",
    f"{TELEPORT}-proxies",
}


def test_every_edge_is_a_decision(stack: Recording) -> None:
    assert stack.edges() == EDGES


def test_a_preview_before_anything_exists_sees_the_same_graph(first_preview: Recording) -> None:
    assert first_preview.edges() == EDGES


def test_only_what_needs_the_database_waits_for_it(stack: Recording) -> None:
    assert {name for name in EDGES if "database-instance" in stack.ancestors(name)} == WAITS_FOR_THE_INSTANCE


def test_teleport_changes_only_after_the_access_graph_is_ready(stack: Recording) -> None:
    """TAG, then the ConfigMap, then auth, then the proxies: each is an ancestor of the next."""
    order = ["access-graph-release", *(f"{TELEPORT}-{part}" for part in ("ca", "release", "auth", "proxies"))]
    for earlier, later in itertools.pairwise(order):
        assert earlier in stack.ancestors(later)
        assert later not in stack.ancestors(earlier)


def test_all_of_auth_is_awaited_before_the_proxies_ask_it(stack: Recording, tmp_path: Path) -> None:
    """If auth has several pods, Helm waits for all but one (maxUnavailable), and the last pod answers with the former
    configuration. The engine waits for the whole Deployment, because the program marks it; without the access graph,
    the mark is gone."""
    awaited = {"create": "600s", "update": "600s"}
    auth, proxies = stack[f"{TELEPORT}-auth"], stack[f"{TELEPORT}-proxies"]
    assert auth.timeouts == proxies.timeouts == awaited
    answer = proxies.plain("spec.template.metadata.annotations.checksum/access-graph")
    assert auth.plain("metadata") == {**AUTH, "annotations": {"checksum/access-graph": answer}}
    assert "spec" not in auth.inputs, "a mark in the pods' template would roll them"
    config = configuration(tmp_path)
    config["accessGraph"]["enabled"] = False
    off = run_program(config, tmp_path)[f"{TELEPORT}-auth"]
    assert (off.plain("metadata"), off.timeouts, "spec" in off.inputs) == (AUTH, awaited, False)


def test_the_uri_is_published_only_after_its_login_exists(stack: Recording) -> None:
    assert "database-access-job" in stack.ancestors("credentials-postgres")


def test_with_the_access_graph_off_teleport_waits_for_nothing_of_ours(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config["accessGraph"]["enabled"] = False
    off = run_program(config, tmp_path)
    assert off.edges()[f"{TELEPORT}-release"] == set()
    names = {registration.name for registration in off.custom()}
    assert names == set(EDGES) - {"access-graph-release", f"{TELEPORT}-proxies"}


def test_switching_off_begins_with_teleport(tmp_path: Path) -> None:
    """Until auth has its own values again, it may read the ConfigMap and call a graph whose login is still in use."""
    config = configuration(tmp_path)
    config["accessGraph"]["enabled"] = False
    edges = run_program(config, tmp_path).edges()
    assert edges[f"{TELEPORT}-ca"] == {"certificates-ca-1", f"{TELEPORT}-release", f"{TELEPORT}-auth"}
    assert {f"{TELEPORT}-release", f"{TELEPORT}-ca", "credentials-postgres"} <= edges["database-logins-job"]


def test_several_teleport_clusters_do_not_wait_for_each_other(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    second = dict(config["teleport"][TELEPORT_CLUSTER])
    second |= {
        "namespace": "second",
        "release": "second",
        "hostAuthorities": {"mode": "inline", "certificates": [host_authority("second.example.com")]},
        "valuesFiles": [values_file(tmp_path, "second.example.com")],
    }
    config["teleport"]["second.example.com"] = second
    both = run_program(config, tmp_path)
    ancestors = both.ancestors("teleport-second.example.com-proxies")
    assert not {name for name in ancestors if name.startswith(TELEPORT)}
    assert both.ancestors(f"{TELEPORT}-proxies") == (
        {name.replace("teleport-second.example.com", TELEPORT) for name in ancestors}
    )


def test_a_database_that_exists_needs_nothing_of_aws(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    del config["aws"]
    config["database"] = {"mode": "existing", "secret": {"name": "graph-database", "key": "dsn"}}
    existing = run_program(config, tmp_path)
    assert not [item.type for item in existing.registrations if "aws" in item.type]
    release = existing["access-graph-release"]
    assert release.plain("values.postgres") == {"secretName": "graph-database", "secretKey": "dsn"}
    assert "volumes" not in release.plain("values")
    assert existing.edges()["access-graph-release"] == {
        "certificates-server",
        "certificates-server-key",
        "credentials-tls",
        "digest-key",
        "namespace-namespace",
    }
