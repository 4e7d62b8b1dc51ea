"""Waits until the owner of a Teleport release has rolled out what the stack handed over.

A Job in Teleport's namespace looks at the auth Deployment every few seconds: the pods' annotation with the checksum of
the CA, the endpoint in auth's own configuration, and the rollout, which must be complete. It may only look.
What is handed over is `teleport_values`'; what happens afterwards is `teleport`'s.
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

# POSIX sh with kubectl, date, grep, sleep and tr. WANTED_CHECKSUM and WANTED_ENDPOINT are empty where nothing is to be
# there. The last reason is the Job's message when its time is over.
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
# Beyond the script's own end, for the image and a slow API.
GRACE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class OwnersRolloutArgs(ComponentArgs):
    namespace: str
    """Teleport's."""

    deployment: str
    """Auth's Deployment; its ConfigMap with `teleport.yaml` has the same name, by the chart."""

    values_config_map: pulumi.Input[str]
    """Where the values are that the owner is to roll out. Take it from the object, so that it is there before."""

    hand_over: pulumi.Input[str]
    """Another one whenever something was handed over, the same content too: an owner may have begun to roll out what
    an `up` that was taken back had handed over meanwhile."""

    endpoint: str
    """`host:port` that auth is told, or no more told when `enabled` is false."""

    enabled: bool
    """Whether the configuration is awaited, or its absence."""

    checksum: pulumi.Input[str] | None = None
    """The pods' annotation that says which CA they read at their start; none when Teleport needs no CA."""

    image: str
    """Has kubectl, sh, date, grep, sleep and tr."""

    timeout_seconds: int = 900
    """How long the owner may take."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets beside the pods, of type kubernetes.io/dockerconfigjson."""


class OwnersRollout(pulumi.ComponentResource):
    """A Job with a ServiceAccount that may read one Deployment and one ConfigMap, run once for each hand-over."""

    complete: pulumi.Output[bool]
    """Resolves when auth runs with what was handed over."""

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
            # Another hand-over is another Job.
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
    """Wire form."""
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
