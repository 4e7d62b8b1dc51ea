"""A watch for the outage that no metric shows: TAG's pods are healthy, but TAG rejects Teleport's auth.

Auth logs a line at each try, every few seconds. A CronJob in Teleport's namespace reads auth's log since the previous
look, and fails while such lines appear. kube-state-metrics exports the time of its last success, and an alert uses
that. The CronJob can read the logs and names of that namespace's pods, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting
from components.kubectl_pods import bound_account, check_minutes, every_few_minutes, kubectl_pod
from components.monitoring import absence, alert, labelled, prometheus_rule
from components.settings.names import LOCKOUT_WATCH_NAME

# POSIX sh with kubectl and grep. `grep` ends with 1 if it finds no line, which is the good case, and with more on an
# error of its own; a failure of kubectl ends the script before that. It reads running pods one by one: a pod that waits
# for its image has no log, and one call for all pods would then fail. The newest line becomes the container's message.
SCRIPT = r"""
pods=$(kubectl get pods --namespace "$NAMESPACE" --selector "$SELECTOR" --field-selector status.phase=Running \
  --output name)
log=
for pod in $pods; do
  log="$log
$(kubectl logs --namespace "$NAMESPACE" "$pod" --all-containers --since "${MINUTES}m" --tail -1)"
done
found=0
lines=$(printf '%s\n' "$log" | grep -E -e "$PATTERN") || found=$?
if [ "$found" -gt 1 ]; then
  echo "the pattern cannot be used" >&2
  exit 2
fi
if [ "$found" -eq 0 ]; then
  printf '%s\n' "$lines" | tail -n 1 >&2
  exit 1
fi
"""

# Failed looks before it counts as an outage: auth is rejected for a moment whenever TAG is rolled.
FAILED_LOOKS = 3


@dataclass(frozen=True, kw_only=True)
class LockoutWatchArgs(ComponentArgs):
    namespace: str
    """Teleport's namespace, in which the watch runs."""

    release: str
    """Name of the teleport-cluster release, part of its pods' labels."""

    pattern: str
    """Extended regular expression for the log lines of a rejected auth."""

    image: pulumi.Input[str]
    """Image with kubectl, a shell and grep."""

    every_minutes: int = 5
    """Minutes between two looks, 1 to 59."""

    rule: bool = False
    """Whether to make an alert as well, a PrometheusRule in the same namespace."""

    rule_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the PrometheusRule, by which Prometheus selects it."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace` with credentials for the image's registry."""


class LockoutWatch(pulumi.ComponentResource):
    """The CronJob, its ServiceAccount with a role, and the alert."""

    def __init__(self, name: str, args: LockoutWatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = LockoutWatchArgs.from_input(args)
        check_minutes(args.every_minutes)
        super().__init__("teleport-access-graph:index:LockoutWatch", name, {}, waiting(opts))
        child = pulumi.ResourceOptions(parent=self)
        metadata = {"name": LOCKOUT_WATCH_NAME, "namespace": args.namespace}
        binding = bound_account(
            name,
            object_name=LOCKOUT_WATCH_NAME,
            namespace=args.namespace,
            rules=[
                {"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                {"api_groups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            ],
            opts=child,
        )
        kubernetes.batch.v1.CronJob(
            f"{name}-cron-job",
            metadata=metadata,
            spec=pulumi.Output.from_input(args.image).apply(lambda image: cron_job_spec(args, image)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        if args.rule:
            prometheus_rule(
                f"{name}-rules", metadata=labelled(metadata, args.rule_labels), rules=rules(args), opts=child
            )
        self.register_outputs({})


def rules(args: LockoutWatchArgs) -> list[dict[str, Any]]:
    """Both series of kube-state-metrics are timestamps; before a first success only the CronJob's creation exists."""
    selector = f'{{namespace="{args.namespace}",cronjob="{LOCKOUT_WATCH_NAME}"}}'
    created = f"kube_cronjob_created{selector}"
    silence = FAILED_LOOKS * 60 * args.every_minutes
    return [
        alert(
            "AccessGraphLocksAuthOut",
            f"time() - (kube_cronjob_status_last_successful_time{selector} or {created}) > {silence}",
            "1m",
            "critical",
            "Teleport's auth is turned away by Teleport Access Graph",
            f"or the watch for it fails: kubectl -n {args.namespace} describe pods -l job-name says which. The host CA "
            "that TAG knows is another one than auth's: renew hostAuthorities, `up`; "
            "`python -m operations diagnose` tells",
        ),
        absence(
            "AccessGraphLockoutUnknown",
            created,
            "Whether auth is turned away by Teleport Access Graph is not known",
            "kube-state-metrics",
        ),
    ]


def cron_job_spec(args: LockoutWatchArgs, image: str) -> dict[str, Any]:
    """Spec of the CronJob, in wire form."""
    pod = kubectl_pod(
        account=LOCKOUT_WATCH_NAME,
        container="watch",
        image=image,
        script=SCRIPT,
        environment={
            "NAMESPACE": args.namespace,
            "SELECTOR": f"app.kubernetes.io/instance={args.release},app.kubernetes.io/component=auth",
            "PATTERN": args.pattern,
            "MINUTES": str(args.every_minutes),
        },
        # The script holds the log of a few minutes in memory.
        memory_limit="256Mi",
        image_pull_secrets=args.image_pull_secrets,
    )
    return every_few_minutes(pod, minutes=args.every_minutes, name=LOCKOUT_WATCH_NAME, failures_kept=1)
