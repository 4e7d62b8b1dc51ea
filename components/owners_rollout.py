"""Waits until the owner of a Teleport release has rolled out the values that the stack handed over.

A Job in Teleport's namespace checks the auth Deployment every few seconds: the pods' annotation with the checksum of
the CA, the endpoint in auth's own configuration, and whether the rollout is complete. The Job may only read.
`teleport_values` makes the values; `teleport` decides what happens after the rollout.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.applied import made
from components.arguments import ComponentArgs
from components.awaited_job import awaited_job
from components.digests import content_checksum
from components.handed_on import waiting
from components.kubectl_pods import bound_account, kubectl_pod
from components.settings.names import ROLLOUT_NAME
from components.teleport_values import CHECKSUM_ANNOTATION

# POSIX sh with kubectl, date, grep, sleep and tr. WANTED_CHECKSUM and WANTED_ENDPOINT are empty where auth should have
# none. When the time is over, the last reason becomes the Job's message.
SCRIPT = r"""
ask() { kubectl get "$1" "$2" --namespace "$NAMESPACE" --ignore-not-found --output "jsonpath=$3"; }
tells() { printf '%s\n' "$configuration" | tr -d "\"'" | grep -qwF "endpoint: $1"; }
missing() {
  checksum=$(ask deployment "$DEPLOYMENT" '{.spec.template.metadata.annotations.ANNOTATION}') || {
    echo "it cannot be read"
    return
  }
  configuration=$(ask configmap "$CONFIG_MAP" '{.data.teleport\.yaml}') || {
    echo "ConfigMap $CONFIG_MAP cannot be read"
    return
  }
  counts=$(ask deployment "$DEPLOYMENT" \
    '{.metadata.generation} {.status.observedGeneration} {.spec.replicas} {.status.updatedReplicas}'COUNTS)
  if [ "$checksum" != "$WANTED_CHECKSUM" ]; then
    echo "its pods' annotation ANNOTATION is '$checksum', and '$WANTED_CHECKSUM' was handed over"
  elif [ -n "$WANTED_ENDPOINT" ] && ! tells "$WANTED_ENDPOINT"; then
    echo "ConfigMap $CONFIG_MAP does not have the endpoint $WANTED_ENDPOINT"
  elif [ -z "$WANTED_ENDPOINT" ] && tells "$FORMER_ENDPOINT"; then
    echo "ConfigMap $CONFIG_MAP still has the endpoint $FORMER_ENDPOINT"
  elif [ -n "$WANTED_ENDPOINT$counts" ]; then
    set -- $counts
    if [ "$#" != 6 ] || [ "$1" != "$2" ] || [ "$3" != "$4" ] || [ "$3" != "$5" ] || [ "$3" != "$6" ]; then
      echo "its rollout is not complete"
    fi
  fi
}
end=$(($(date +%s) + SECONDS_TO_WAIT))
while :; do
  reason=$(missing)
  if [ -z "$reason" ]; then
    echo "Deployment $DEPLOYMENT has what was handed over"
    exit 0
  fi
  if [ "$(date +%s)" -ge "$end" ]; then
    echo "Deployment $DEPLOYMENT in $NAMESPACE: $reason. Let its owner roll out the values in ConfigMap" \
      "$VALUES_CONFIG_MAP, then run 'pulumi up' again" >&2
    exit 1
  fi
  sleep "$PAUSE"
done
""".replace("ANNOTATION", CHECKSUM_ANNOTATION).replace("COUNTS", "' {.status.replicas} {.status.availableReplicas}'")

PAUSE_SECONDS = 5
# Added to the script's own time, for pulling the image and a slow API.
GRACE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class OwnersRolloutArgs(ComponentArgs):
    namespace: str
    """Teleport's namespace."""

    deployment: str
    """Auth's Deployment; the chart gives the ConfigMap with `teleport.yaml` the same name."""

    values_config_map: pulumi.Input[str]
    """ConfigMap with the values for the owner. Take it from the object, so that it exists before."""

    hand_over: pulumi.Input[str]
    """Changes with every hand-over, even of the same content: meanwhile the owner may have begun to roll out what an
    `up` had handed over that was then rolled back."""

    endpoint: str
    """`host:port` that auth should dial, or no longer dial when `enabled` is false."""

    enabled: bool
    """Whether the Job waits for the configuration to be there, or to be gone."""

    checksum: pulumi.Input[str] | None = None
    """Value of the pods' annotation that tells which CA they read at their start; none when Teleport needs no CA."""

    image: str
    """Image with kubectl, sh, date, grep, sleep and tr."""

    timeout_seconds: int = 900
    """How long the owner's rollout may take."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace`, of type kubernetes.io/dockerconfigjson."""


class OwnersRollout(pulumi.ComponentResource):
    """A Job with a ServiceAccount that may read one Deployment and one ConfigMap, run once for each hand-over."""

    complete: pulumi.Output[bool]
    """Resolves when auth runs with the values that were handed over."""

    def __init__(self, name: str, args: OwnersRolloutArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = OwnersRolloutArgs.from_input(args)
        super().__init__("teleport-access-graph:index:OwnersRollout", name, {}, waiting(opts))
        binding = bound_account(
            name,
            object_name=ROLLOUT_NAME,
            namespace=args.namespace,
            rules=[
                {
                    "api_groups": ["apps"],
                    "resources": ["deployments"],
                    "resource_names": [args.deployment],
                    "verbs": ["get"],
                },
                {
                    "api_groups": [""],
                    "resources": ["configmaps"],
                    "resource_names": [args.deployment],
                    "verbs": ["get"],
                },
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        checksum = "" if args.checksum is None else args.checksum
        spec: pulumi.Output[Any] = pulumi.Output.all(args.values_config_map, checksum).apply(
            lambda resolved: job_spec(args, *resolved)
        )
        job = awaited_job(
            f"{name}-job",
            # Each hand-over needs a Job of its own.
            object_name=pulumi.Output.all(spec, args.hand_over).apply(
                lambda resolved: f"{ROLLOUT_NAME}-{_digest(*resolved)}"
            ),
            namespace=args.namespace,
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        self.complete = made(job, job.status).apply(lambda _: True)
        self.register_outputs({"complete": self.complete})


def job_spec(args: OwnersRolloutArgs, values_config_map: str, checksum: str) -> dict[str, Any]:
    """Spec of the Job, in wire form."""
    environment: Mapping[str, str] = {
        "NAMESPACE": args.namespace,
        "DEPLOYMENT": args.deployment,
        "CONFIG_MAP": args.deployment,
        "VALUES_CONFIG_MAP": values_config_map,
        "WANTED_CHECKSUM": checksum if args.enabled else "",
        "WANTED_ENDPOINT": args.endpoint if args.enabled else "",
        "FORMER_ENDPOINT": "" if args.enabled else args.endpoint,
        "SECONDS_TO_WAIT": str(args.timeout_seconds),
        "PAUSE": str(PAUSE_SECONDS),
    }
    pod = kubectl_pod(
        account=ROLLOUT_NAME,
        container="wait",
        image=args.image,
        script=SCRIPT,
        environment=environment,
        image_pull_secrets=args.image_pull_secrets,
    )
    return {
        # The script itself tries again until its time is over.
        "backoffLimit": 0,
        "activeDeadlineSeconds": args.timeout_seconds + GRACE_SECONDS,
        "template": {"spec": pod},
    }


def _digest(spec: Mapping[str, Any], hand_over: str) -> str:
    return content_checksum(json.dumps(spec, sort_keys=True), hand_over)[:10]
