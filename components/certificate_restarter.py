"""Restarts Teleport Access Graph after its certificate has changed between two `up`s.

TAG reads its certificate only at its start. A CronJob checks the Secret's certificate every few minutes. When the
certificate has changed since the last look, it writes the hash to the pod template, so that the Deployment rolls. The
hash is of the public certificate, never of the key. Helm keeps the annotation, which is in none of its manifests.
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

# POSIX sh with kubectl, base64, sha256sum and cut. jsonpath picks the certificate, so the key never leaves kubectl. A
# patch with the same hash changes nothing, so two runs at once do no harm.
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
    """TAG's namespace."""

    secret_name: pulumi.Input[str]
    """The Secret whose `tls.crt` is watched."""

    deployment_name: pulumi.Input[str]
    """TAG's Deployment. Take it from the release, so that it exists before the restarter."""

    image: pulumi.Input[str]
    """Image with kubectl and a shell."""

    every_minutes: int = 5
    """Minutes between two looks, 1 to 59."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace`, of type kubernetes.io/dockerconfigjson."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes on which the restarter's pods may run."""

    tolerations: Sequence[Mapping[str, Any]] = ()
    """As in a pod's specification: `key`, `operator`, `value`, `effect`."""


class CertificateRestarter(pulumi.ComponentResource):
    """A CronJob with a ServiceAccount that may only read one Secret, and read and patch one Deployment."""

    cron_job_name: pulumi.Output[str]
    """Name of the CronJob, in the same namespace."""

    def __init__(self, name: str, args: CertificateRestarterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = CertificateRestarterArgs.from_input(args)
        check_minutes(args.every_minutes)
        super().__init__("teleport-access-graph:index:CertificateRestarter", name, {}, waiting(opts))
        binding = bound_account(
            name,
            object_name=CERTIFICATE_RESTARTER_NAME,
            namespace=args.namespace,
            rules=[
                # By name, and without list and watch, which ignore names: other Secrets cannot be discovered.
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
    """Spec of the CronJob, in wire form."""
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
