"""Configures Discovery agents to send what they find to the access graph, and an alarm before its certificate ends.

Reads the outputs of the access graph's stack by `components.outputs_reader`, which types them, and refuses a stack of
another kind or of an unknown output version.
"""

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

# Makes the checkout importable. A program in a repository of its own installs the package instead (docs/package.md).
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from components.outputs_reader import AccessGraphOutputs

CA_DIRECTORY = "/var/run/access-graph"

config = pulumi.Config()
graph = AccessGraphOutputs(config.require("accessGraph"))
namespace = config.require("namespace")
cluster = pulumi.ResourceOptions(
    provider=kubernetes.Provider(
        "kubernetes",
        kubeconfig="",
        context=config.require("context"),
        cluster_identifier=config.require("clusterIdentifier"),
        enable_config_map_mutable=True,
    )
)


def agent_configuration(endpoint: str) -> str:
    """The part of a Discovery agent's `teleport.yaml` that makes the agent dial the access graph itself."""
    access_graph = {"enabled": True, "endpoint": endpoint, "ca": f"{CA_DIRECTORY}/ca.pem"}
    return yaml.safe_dump({"access_graph": access_graph}, sort_keys=False)


def seconds_before(moment: str, days: int) -> str:
    """PromQL that is true from `days` before `moment` (RFC 3339) on.

    `vector`, because a comparison of two scalars is not valid as an alert's expression.
    """
    end = datetime.fromisoformat(re.sub(r"\.\d+", "", moment).replace("Z", "+00:00"))
    return f"vector(time()) > {(end - timedelta(days=days)).timestamp():.0f}"


# Agents mount this ConfigMap at CA_DIRECTORY, and merge its teleport.yaml into their own.
agents = kubernetes.core.v1.ConfigMap(
    "agents",
    metadata={"name": "access-graph-agents", "namespace": namespace},
    data={
        "teleport.yaml": graph.endpoint.apply(agent_configuration),
        "ca.pem": graph.known(graph.ca_bundle, "caBundle"),
    },
    opts=cluster,
)

# The alarm needs no scraped metric: the certificate's end is an output, and every `up` of this stack updates the rule.
alarm = kubernetes.apiextensions.CustomResource(
    "certificate-alarm",
    api_version="monitoring.coreos.com/v1",
    kind="PrometheusRule",
    metadata={"name": "access-graph-certificate", "namespace": namespace},
    spec={
        "groups": [
            {
                "name": "access-graph-certificate",
                "rules": [
                    {
                        "alert": "AccessGraphCertificateEnds",
                        "expr": graph.known(graph.certificate_not_after, "certificateNotAfter").apply(
                            lambda moment: seconds_before(moment, config.require_int("alarmDays"))
                        ),
                        "labels": {"severity": "warning"},
                        "annotations": {
                            "summary": pulumi.Output.format(
                                "The certificate of {0} ends soon, and no `up` of its stack has renewed it",
                                graph.endpoint,
                            )
                        },
                    }
                ],
            }
        ]
    },
    opts=cluster,
)

pulumi.export("agentConfiguration", agents.metadata["name"])
pulumi.export("alarm", alarm.metadata["name"])
