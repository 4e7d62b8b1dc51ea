"""Restarts Teleport Access Graph after its certificate has changed between two `up`s.

TAG reads its certificate once, at its start. A CronJob looks at the Secret's certificate every few minutes, and when it
is another one than at the last look writes its hash to the pod template, so that the Deployment rolls. The hash is of
the certificate, which is public, never of the key. Helm keeps the annotation: it is in none of its manifests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting
from components.kubectl_pods import bound_account, check_minutes, every_few_minutes, kubectl_pod
from components.settings.names import CERTIFICATE_RESTARTER_NAME

ANNOTATION = "teleport-access-graph/certificate-sha256"

# POSIX sh with kubectl, base64, sha256sum and cut. The key never leaves the API server's answer: jsonpath picks the
# certificate. A patch without a change of the hash would be none, so two that run at once do no harm.
SCRIPT = r"""
encoded=$(kubectl get secret "$SECRET" --namespace "$NAMESPACE" --output 'jsonpath={.data.tls\.crt}')
if [ -z "$encoded" ]; then
  echo "Secret $SECRET has no tls.crt" >&2
  exit 1
fi
wanted=$(printf '%s' "$encoded" | base64 -d | sha256sum | cut -c1-64)
current=$(kubectl get deployment "$DEPLOYMENT" --namespace "$NAMESPACE" \
  --output 'jsonpath={.spec.template.metadata.annotations.ANNOTATION}')
if [ "$wanted" = "$current" ]; then
  exit 0
fi
kubectl patch deployment "$DEPLOYMENT" --namespace "$NAMESPACE" --type merge --patch \
  '{"spec":{"template":{"metadata":{"annotations":{"ANNOTATION":"'"$wanted"'"}}}}}'
echo "the certificate is another one: $wanted"
""".replace("ANNOTATION", ANNOTATION)


@dataclass(frozen=True, kw_only=True)
class CertificateRestarterArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's."""

    secret_name: pulumi.Input[str]
    """The Secret whose `tls.crt` is looked at."""

    deployment_name: pulumi.Input[str]
    """TAG's Deployment. Take it from the release, so that there is something to restart."""

    image: pulumi.Input[str]
    """Has kubectl and a shell."""

    every_minutes: int = 5
    """1 to 59."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets beside the pods, of type kubernetes.io/dockerconfigjson."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes on which its pods may run."""

    tolerations: Sequence[Mapping[str, Any]] = ()
    """As in the specification of a pod: `key`, `operator`, `value`, `effect`."""


class CertificateRestarter(pulumi.ComponentResource):
    """A CronJob with a ServiceAccount that may do nothing but this: read one Secret, read and patch one Deployment."""

    cron_job_name: pulumi.Output[str]
    """In the same namespace."""

    def __init__(self, name: str, args: CertificateRestarterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = CertificateRestarterArgs.from_input(args)
        check_minutes(args.every_minutes)
        super().__init__("teleport-access-graph:index:CertificateRestarter", name, {}, waiting(opts))
        binding = bound_account(
            name,
            object_name=CERTIFICATE_RESTARTER_NAME,
            namespace=args.namespace,
            rules=[
                # By name, so without list and watch, which know no names: a Secret cannot be found by looking around.
                {"api_groups": [""], "resources": ["secrets"], "resource_names": [args.secret_name], "verbs": ["get"]},
                {
                    "api_groups": ["apps"],
                    "resources": ["deployments"],
                    "resource_names": [args.deployment_name],
                    "verbs": ["get", "patch"],
                },
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        cron_job = kubernetes.batch.v1.CronJob(
            f"{name}-cron-job",
            metadata={"name": CERTIFICATE_RESTARTER_NAME, "namespace": args.namespace},
            spec=pulumi.Output.all(args.namespace, args.secret_name, args.deployment_name, args.image).apply(
                lambda resolved: cron_job_spec(args, *resolved)
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        self.cron_job_name = cron_job.metadata["name"]
        self.register_outputs({"cron_job_name": self.cron_job_name})


def cron_job_spec(
    args: CertificateRestarterArgs, namespace: str, secret: str, deployment: str, image: str
) -> dict[str, Any]:
    """Wire form."""
    pod = kubectl_pod(
        account=CERTIFICATE_RESTARTER_NAME,
        container="restarter",
        image=image,
        script=SCRIPT,
        environment={"NAMESPACE": namespace, "SECRET": secret, "DEPLOYMENT": deployment},
        image_pull_secrets=args.image_pull_secrets,
        node_selector=args.node_selector,
        tolerations=args.tolerations,
    )
    return every_few_minutes(pod, minutes=args.every_minutes, name=CERTIFICATE_RESTARTER_NAME, failures_kept=3)
