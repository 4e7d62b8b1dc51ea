"""Discovery agents that send what they find to the access graph, and an alarm before its certificate ends.

What it needs of the other stack it reads by `components.outputs_reader`: typed, and refused where that stack is none of
Teleport Access Graph's or of a version that is not known.
"""

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

# Beside the program's own checkout; a repository of its own installs the package instead (docs/package.md).
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
    """The part of a Discovery agent's `teleport.yaml` by which it dials the access graph itself."""
    access_graph = {"enabled": True, "endpoint": endpoint, "ca": f"{CA_DIRECTORY}/ca.pem"}
    return yaml.safe_dump({"access_graph": access_graph}, sort_keys=False)


def seconds_before(moment: str, days: int) -> str:
    """PromQL: true from `days` before `moment` (RFC 3339) on. Of two scalars it would be no expression of an alert."""
    end = datetime.fromisoformat(re.sub(r"\.\d+", "", moment).replace("Z", "+00:00"))
    return f"vector(time()) > {(end - timedelta(days=days)).timestamp():.0f}"


# Agents mount it at CA_DIRECTORY, and merge teleport.yaml into their own.
agents = kubernetes.core.v1.ConfigMap(
    "agents",
    metadata={"name": "access-graph-agents", "namespace": namespace},
    data={
        "teleport.yaml": graph.endpoint.apply(agent_configuration),
        "ca.pem": graph.known(graph.ca_bundle, "caBundle"),
    },
    opts=cluster,
)

# Nothing has to be scraped for it: the end is known here, and every `up` of this stack brings the rule up to date.
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
