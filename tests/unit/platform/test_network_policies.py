"""Who may call whom: each policy allows everything that its pods need, and leaves open what is unknown."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from components.intake import read_intake
from components.network_policies import (
    NetworkPoliciesArgs,
    access_graph_policy,
    database_jobs_policy,
    restarter_policy,
)
from components.settings import load_settings
from components.surroundings import network_policies_args
from tests.samples import (
    OTHER_CLUSTER_IDENTIFIER,
    STACK,
    TELEPORT_CLUSTER,
    existing_configuration,
    minimal_configuration,
    release_entry,
)
from tests.unit.program.stack import host_authority, values_file
from tests.unit.settings.cases_tls import EXISTING, FILES

pytestmark = pytest.mark.unit

CALLER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "teleport"}},
    "podSelector": {
        "matchLabels": {"app.kubernetes.io/instance": "teleport"},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["auth", "proxy"]}],
    },
}
SERVICE = "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"
GRPC = [{"protocol": "TCP", "port": 9090}]
DNS = {
    "ports": [
        {"protocol": "UDP", "port": 53},
        {"protocol": "TCP", "port": 53},
        {"protocol": "UDP", "port": 5353},
        {"protocol": "TCP", "port": 5353},
    ]
}
POSTGRES = {"ports": [{"protocol": "TCP", "port": 5432}]}
HTTPS = {"ports": [{"protocol": "TCP", "port": 443}]}
MANUAL = {
    "mode": "manual",
    "hostAuthorities": {"mode": "proxy", "address": "t.example.com:443"},
}


def of(config: dict[str, Any], tmp_path: Path | None = None) -> NetworkPoliciesArgs:
    """The arguments that the program makes from a configuration."""
    for name, text in FILES.items() if tmp_path else ():
        (tmp_path / name).write_text(text)  # type: ignore[operator]
    return network_policies_args(load_settings(config, (), root=tmp_path or Path(), stack=STACK), "graph")


def with_policy(config: dict[str, Any], **policy: Any) -> dict[str, Any]:
    config["accessGraph"]["networkPolicy"] = {"enabled": True, **policy}
    return config


def callers(config: dict[str, Any]) -> Any:
    """The peers allowed on port 9090; None without a rule for the port, [] for a rule that names no peers and so admits
    all."""
    rules = access_graph_policy(of(config)).get("ingress", [])
    found = [rule.get("from", []) for rule in rules if rule["ports"] == GRPC]
    return found[0] if found else None


def test_the_access_graphs_pods_answer_auth_and_proxy_and_call_their_database() -> None:
    assert access_graph_policy(of(minimal_configuration())) == {
        "podSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "teleport-access-graph",
                "app.kubernetes.io/instance": "teleport-access-graph",
            }
        },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [CALLER], "ports": GRPC}],
        "egress": [DNS, POSTGRES],
    }


def test_callers_that_are_named_join_those_that_are_known() -> None:
    config = with_policy(minimal_configuration(), clientNamespaces=["agents"], clientCidrs=["10.9.0.0/16"])
    assert callers(config) == [
        CALLER,
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "agents"}}},
        {"ipBlock": {"cidr": "10.9.0.0/16"}},
    ]


def test_a_teleport_that_is_told_the_services_own_endpoint_is_known_as_one_that_is_told_nothing() -> None:
    own = release_entry(endpoint=SERVICE)
    config = with_policy(minimal_configuration(teleport={TELEPORT_CLUSTER: own}), clientNamespaces=["agents"])
    assert callers(config)[0] == CALLER
    assert callers(minimal_configuration(teleport={TELEPORT_CLUSTER: own})) == [CALLER]


def elsewhere(endpoint: str = "graph.example.com:443") -> dict[str, Any]:
    return release_entry(
        kubernetes={"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}, endpoint=endpoint
    )


NAMED: dict[str, Any] = {"tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]}}


@pytest.mark.parametrize(
    "changes",
    [
        {"teleport": {TELEPORT_CLUSTER: release_entry(), "other": MANUAL}},
        {"teleport": {TELEPORT_CLUSTER: elsewhere()}, **NAMED},
        # As with a mesh that makes one cluster's Services available in the other.
        {"teleport": {TELEPORT_CLUSTER: elsewhere(SERVICE)}},
        {"teleport": {TELEPORT_CLUSTER: release_entry(endpoint="graph.example.com:443")}, **NAMED},
    ],
    ids=["without-a-chart", "in-another-cluster", "in-another-cluster-by-the-services-name", "by-another-name"],
)
def test_a_teleport_of_which_nothing_is_known_is_not_locked_out(changes: dict[str, Any]) -> None:
    """Nobody can guess the addresses of its pods. Until the settings name them, everybody may call (and has to present
    a certificate)."""
    config = minimal_configuration(**changes)
    assert callers(config) == []
    closed = callers(with_policy(config, clientCidrs=["10.9.0.0/16"]))
    assert closed[-1] == {"ipBlock": {"cidr": "10.9.0.0/16"}}
    here = [entry for entry in changes["teleport"].values() if entry["mode"] == "release" and "kubernetes" not in entry]
    assert closed[:-1] == [CALLER for _ in here]


def test_a_teleport_here_is_let_in_before_and_after_it_is_told_another_name() -> None:
    """The policy is the first thing that an `up` changes, and auth dials the former name until the end of the `up`."""
    for endpoint in (SERVICE, "graph.example.com:443"):
        config = minimal_configuration(teleport={TELEPORT_CLUSTER: release_entry(endpoint=endpoint)}, **NAMED)
        assert CALLER in callers(with_policy(config, clientCidrs=["10.9.0.0/16"]))


def test_an_up_that_switches_the_access_graph_off_locks_nobody_out_of_it() -> None:
    """Auth still calls until it has its own values back, and the access graph runs until the end of the `up`."""
    config = with_policy(minimal_configuration(), clientCidrs=["10.9.0.0/16"])
    on = callers(config)
    config["accessGraph"]["enabled"] = False
    assert callers(config) == on == [CALLER, {"ipBlock": {"cidr": "10.9.0.0/16"}}]


@pytest.mark.parametrize("graph", [{"external": {"hostname": "graph.example.com"}}, {"serviceType": "LoadBalancer"}])
def test_a_load_balancer_hides_who_calls(graph: dict[str, Any]) -> None:
    config = minimal_configuration(**NAMED)
    config["accessGraph"] |= graph
    assert callers(config) == []
    assert callers(with_policy(config, clientCidrs=["10.9.0.0/16"])) == [CALLER, {"ipBlock": {"cidr": "10.9.0.0/16"}}]


@pytest.mark.parametrize(
    ("graph", "changes", "policy", "callers"),
    [
        ({}, {}, {}, None),
        ({}, {"teleport": {TELEPORT_CLUSTER: elsewhere()}}, {}, f"teleport.{TELEPORT_CLUSTER} brings"),
        ({"external": {"hostname": "graph.example.com"}}, {}, {}, "accessGraph.external brings"),
        ({"serviceType": "LoadBalancer"}, {}, {}, "accessGraph.serviceType brings"),
        (
            {"external": {"hostname": "graph.example.com"}},
            {"teleport": {TELEPORT_CLUSTER: elsewhere()}},
            {},
            f"teleport.{TELEPORT_CLUSTER}, accessGraph.external bring",
        ),
        ({"serviceType": "LoadBalancer"}, {}, {"clientCidrs": ["10.9.0.0/16"]}, None),
        ({"serviceType": "LoadBalancer"}, {}, {"clientNamespaces": []}, None),
        ({"serviceType": "LoadBalancer", "enabled": False}, {}, {}, None),
    ],
)
def test_namespaces_alone_are_warned_of_where_calls_come_from_outside(
    graph: dict[str, Any], changes: dict[str, Any], policy: dict[str, Any], callers: str | None, tmp_path: Path
) -> None:
    """Callers from outside belong to no namespace, and nothing reports that a policy rejects them."""
    entries = {TELEPORT_CLUSTER: release_entry()} | changes.get("teleport", {})
    inline = {"mode": "inline", "certificates": [host_authority()]}
    values = {"valuesFiles": [values_file(tmp_path)], "hostAuthorities": inline}
    teleport = {cluster: {**entry, **values} for cluster, entry in entries.items()}
    config = minimal_configuration(**NAMED, teleport=teleport)
    config["accessGraph"] |= {**graph, "networkPolicy": {"enabled": True, "clientNamespaces": ["agents"], **policy}}
    settings = load_settings(config, (), root=tmp_path, stack=STACK)
    found = read_intake(settings, datetime.now(timezone.utc)).warnings
    assert [text for text in found if f"{callers} calls from elsewhere; " not in text] == []
    assert len(found) == (0 if callers is None else 1)


def test_without_any_teleport_nobody_calls() -> None:
    config = minimal_configuration(teleport={})
    config["accessGraph"]["enabled"] = False
    assert callers(config) is None
    assert access_graph_policy(of(config))["policyTypes"] == ["Ingress", "Egress"]


def test_metrics_are_read_from_named_namespaces_or_all() -> None:
    config = minimal_configuration()
    config["accessGraph"]["metrics"] = True
    metrics = [{"protocol": "TCP", "port": 3000}]
    assert access_graph_policy(of(config))["ingress"][1] == {"ports": metrics}
    named = with_policy(config, metricsNamespaces=["monitoring"])
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert access_graph_policy(of(named))["ingress"][1] == {"from": [peer], "ports": metrics}


def test_the_databases_subnets_narrow_its_port() -> None:
    config = with_policy(minimal_configuration(), databaseCidrs=["10.20.0.0/24", "10.20.1.0/24"])
    config["database"]["port"] = 5499
    rule = {
        "to": [{"ipBlock": {"cidr": "10.20.0.0/24"}}, {"ipBlock": {"cidr": "10.20.1.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 5499}],
    }
    assert access_graph_policy(of(config))["egress"] == [DNS, rule]
    assert database_jobs_policy(of(config))["egress"] == [DNS, rule, HTTPS]


def test_a_database_that_exists_is_called_freely_until_its_subnets_are_said() -> None:
    """The database's URI is secret, so the program does not read the port from it."""
    open_ = access_graph_policy(of(existing_configuration()))
    assert (open_["policyTypes"], "egress" in open_) == (["Ingress"], False)
    config = with_policy(existing_configuration(), databaseCidrs=["10.20.0.0/24"], databasePort=6432)
    assert access_graph_policy(of(config))["egress"] == [
        DNS,
        {"to": [{"ipBlock": {"cidr": "10.20.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 6432}]},
    ]
    assert of(existing_configuration()).job_name is None
    # The program does not know either whether the URI logs in by IAM; with `awsCidrs` the user says that it does.
    by_iam = with_policy(existing_configuration(), databaseCidrs=["10.20.0.0/24"], awsCidrs=["10.30.0.0/24"])
    assert access_graph_policy(of(by_iam))["egress"][2:] == [{"to": [{"ipBlock": {"cidr": "10.30.0.0/24"}}], **HTTPS}]


def test_a_login_by_iam_lets_the_pods_call_aws() -> None:
    config = minimal_configuration()
    config["database"]["authentication"] = "iam"
    assert access_graph_policy(of(config))["egress"] == [DNS, POSTGRES, HTTPS]
    narrowed = with_policy(config, awsCidrs=["10.30.0.0/24"])
    assert access_graph_policy(of(narrowed))["egress"][2] == {"to": [{"ipBlock": {"cidr": "10.30.0.0/24"}}], **HTTPS}


def test_pod_identity_is_an_agent_on_the_node() -> None:
    config = minimal_configuration()
    config["aws"]["workloadIdentity"] = {"mode": "podIdentity", "clusterName": "prod"}
    assert database_jobs_policy(of(config))["egress"] == [
        DNS,
        POSTGRES,
        HTTPS,
        {
            "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}],
            "ports": [{"protocol": "TCP", "port": 80}],
        },
    ]


def test_a_job_is_called_by_nobody_and_calls_aws_for_a_managed_password_alone() -> None:
    config = minimal_configuration()
    policy = database_jobs_policy(of(config))
    assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "teleport-access-graph-database-jobs"}}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    config["database"]["masterPassword"] = "generated"
    assert database_jobs_policy(of(config))["egress"] == [DNS, POSTGRES]


def test_a_job_calls_freely_where_nobody_says_the_databases_port() -> None:
    """For another program that uses the component: with a rule for a guessed port, such a Job could not reach its
    database."""
    args = NetworkPoliciesArgs(namespace="graph", release="graph", job_name="jobs", jobs_call_aws=True)
    assert database_jobs_policy(args) == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "jobs"}},
        "policyTypes": ["Ingress"],
    }


def test_the_restarter_calls_freely_until_the_api_servers_address_is_said(tmp_path: Path) -> None:
    config = minimal_configuration(tls=EXISTING)
    selector = {"matchLabels": {"app.kubernetes.io/name": "teleport-access-graph-certificate-restarter"}}
    assert restarter_policy(of(config, tmp_path)) == {"podSelector": selector, "policyTypes": ["Ingress"]}
    said = with_policy(config, apiServerCidrs=["10.0.0.10/32"])
    assert restarter_policy(of(said, tmp_path)) == {
        "podSelector": selector,
        "policyTypes": ["Ingress", "Egress"],
        "egress": [DNS, {"to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]}],
    }
    assert of(minimal_configuration()).restarter_name is None
    by_others = minimal_configuration(tls={**EXISTING, "reloader": {"mode": "external"}})
    assert of(by_others, tmp_path).restarter_name is None
