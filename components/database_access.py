"""How Teleport Access Graph gets into its RDS database: the owner role, the login slots, grants, extensions and the
connection URI.

Owns the passwords of the logins, the Job that makes the roles and what that Job may read. Leaves the instance to
`database.py` and the Secret with the URI to `credentials.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random
from pulumi_aws import iam

from components.arguments import ComponentArgs
from components.database_policies import role_name_prefix, secret_reader_policy, service_account_trust
from components.database_script import FETCH_MASTER_SECRET, MASTER_SECRET_DIRECTORY, access_script, scram_verifier
from components.database_uri import CA_BUNDLE_PATH, database_uri
from components.digests import public_digest

OWNER_ROLE = "access_graph_owner"
LOGIN_ROLES = {"a": "access_graph_a", "b": "access_graph_b"}

# The Secret, the ServiceAccount and, with a digest appended, the Job.
OBJECT_NAME = "teleport-access-graph-database-access"
VERIFIER_KEY = "login-verifier"
MASTER_PASSWORD_KEY = "master-password"

# Any user but root will do; this is Access Graph's own.
JOB_USER = 65532


@dataclass(frozen=True, kw_only=True)
class DatabaseAccessArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """Where the Job runs; the namespace must exist, so take it from the Namespace's output."""

    ca_config_map: pulumi.Input[str]
    """ConfigMap in that namespace with the database's CA bundle under the key `bundle.pem`."""

    identifier: pulumi.Input[str]
    region: pulumi.Input[str]
    host: pulumi.Input[str]
    port: pulumi.Input[int]
    database_name: pulumi.Input[str]
    master_username: pulumi.Input[str]

    digest_key: pulumi.Input[str]
    """Random secret that keys the digest in the Job's name; see `digests.py`."""

    rotation: int = 0
    """Generation of the login: even ones use slot `a`, odd ones slot `b`. A higher one makes the other slot with a new
    password.
    """

    master_password: pulumi.Input[str] | None = None
    """The generated master password. Exactly one of this and `master_secret_arn`."""

    master_secret_arn: pulumi.Input[str] | None = None
    """The secret in which AWS keeps the managed master password; needs the two below."""

    kms_key_arn: pulumi.Input[str] | None = None
    """The key that encrypts that secret."""

    oidc_provider_arn: pulumi.Input[str] | None = None
    """IAM's OIDC provider of the cluster, `arn:<partition>:iam::<account>:oidc-provider/<issuer without scheme>`."""

    image: pulumi.Input[str] = "public.ecr.aws/docker/library/postgres:17.6-alpine"
    """Has `psql` (14 or newer), `sh` and `awk`."""

    aws_cli_image: pulumi.Input[str] = "public.ecr.aws/aws-cli/aws-cli:2.31.0"
    timeout_seconds: pulumi.Input[int] = 600
    """The Job fails after this long; images have to be pulled in it."""

    extensions: list[str] = field(default_factory=lambda: ["pg_trgm", "vector"])
    """Made where the server offers them."""

    tags: pulumi.Input[dict[str, pulumi.Input[str]]] = field(default_factory=dict)
    """For the IAM role."""


class DatabaseAccess(pulumi.ComponentResource):
    """A login that acts as the owner of the database and can do nothing else.

    A rotation makes the login of the other slot. The login that it replaces stays able to connect, since running pods
    still use it; it gets a new password when its slot's turn comes again.
    """

    uri: pulumi.Output[str]
    login: pulumi.Output[str]
    owner: pulumi.Output[str]
    database_name: pulumi.Output[str]
    ready: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = DatabaseAccessArgs.from_input(args)
        _check_master(args)
        super().__init__("teleport-access-graph:index:DatabaseAccess", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        rotation = int(args.rotation)

        slot = active_slot(rotation)
        passwords = {
            letter: random.RandomPassword(
                f"{name}-login-{letter}",
                length=40,
                # Letters and digits survive every client's idea of a URI, though the URI is percent-encoded too.
                special=False,
                # A slot's password is new each time that its turn comes, and stays while the other one is in use.
                keepers={"rotation": str(generation)},
                opts=child,
            )
            for letter, generation in slot_generations(rotation).items()
        }
        password = passwords[slot].result
        # Secret as the password is.
        verifier = password.apply(scram_verifier)
        secret_values: dict[str, pulumi.Input[str]] = {VERIFIER_KEY: verifier}
        if args.master_password is not None:
            secret_values[MASTER_PASSWORD_KEY] = pulumi.Output.secret(args.master_password)

        role = self._secret_reader(name, args, child) if args.master_secret_arn is not None else None
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-service-account",
            metadata={
                "name": OBJECT_NAME,
                "namespace": args.namespace,
                "annotations": {"eks.amazonaws.com/role-arn": role[0].arn} if role else {},
            },
            automount_service_account_token=False,
            opts=child,
        )
        secret = kubernetes.core.v1.Secret(
            f"{name}-secret",
            metadata={"name": OBJECT_NAME, "namespace": args.namespace},
            string_data=secret_values,
            opts=child,
        )
        spec: pulumi.Output[Any] = pulumi.Output.all(
            service_account=account.metadata["name"],
            secret=secret.metadata["name"],
            ca_config_map=args.ca_config_map,
            host=args.host,
            port=args.port,
            database=args.database_name,
            master=args.master_username,
            region=args.region,
            master_secret_arn=args.master_secret_arn,
            image=args.image,
            aws_cli_image=args.aws_cli_image,
            timeout_seconds=args.timeout_seconds,
            login=LOGIN_ROLES[slot],
            extensions=args.extensions,
        ).apply(lambda resolved: job_spec(**resolved))
        # A Job cannot be changed, so its name has a digest of all that it does: what changes makes a new one.
        digest = public_digest(args.digest_key, spec.apply(_canonical), *secret_values.values())
        job = kubernetes.batch.v1.Job(
            f"{name}-job",
            metadata={
                "name": digest.apply(lambda text: f"{OBJECT_NAME}-{text[:10]}"),
                "namespace": args.namespace,
                # A Job that failed is replaced by the next `up`; without this it would be awaited again as it is. No
                # time to live: a Job that vanishes is drift.
                "annotations": {"pulumi.com/replaceUnready": "true"},
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[secret, account, *(role or ())]),
        )

        self.ready = job.metadata["name"]
        # With the Job in it: a pod that starts between the new Secret and the new login would fail.
        self.uri = pulumi.Output.secret(
            pulumi.Output.all(args.host, args.port, args.database_name, password, self.ready).apply(
                lambda resolved: database_uri(
                    host=resolved[0],
                    port=int(resolved[1]),
                    database=resolved[2],
                    user=LOGIN_ROLES[slot],
                    password=resolved[3],
                )
            )
        )
        self.login = pulumi.Output.from_input(LOGIN_ROLES[slot])
        self.owner = pulumi.Output.from_input(OWNER_ROLE)
        self.database_name = pulumi.Output.from_input(args.database_name)
        self.register_outputs(
            {
                "uri": self.uri,
                "login": self.login,
                "owner": self.owner,
                "database_name": self.database_name,
                "ready": self.ready,
            }
        )

    def _secret_reader(
        self, name: str, args: DatabaseAccessArgs, child: pulumi.ResourceOptions
    ) -> tuple[iam.Role, iam.RolePolicy]:
        """The IAM role that the Job's ServiceAccount takes on, which can read the master secret and nothing else."""
        role = iam.Role(
            f"{name}-role",
            name_prefix=pulumi.Output.from_input(args.identifier).apply(role_name_prefix),
            description="Lets the access Job of Teleport Access Graph read the master password of its database",
            assume_role_policy=pulumi.Output.all(args.oidc_provider_arn, args.namespace).apply(
                lambda resolved: service_account_trust(
                    oidc_provider_arn=resolved[0], namespace=resolved[1], service_account=OBJECT_NAME
                )
            ),
            tags=args.tags,
            opts=child,
        )
        policy = iam.RolePolicy(
            f"{name}-role-policy",
            role=role.name,
            policy=pulumi.Output.all(args.master_secret_arn, args.kms_key_arn).apply(
                lambda resolved: secret_reader_policy(secret_arn=resolved[0], kms_key_arn=resolved[1])
            ),
            opts=child,
        )
        return role, policy


def active_slot(rotation: int) -> str:
    """The slot that a generation of the login uses."""
    return "b" if rotation % 2 else "a"


def slot_generations(rotation: int) -> dict[str, int]:
    """Slot -> the generation of its password at `rotation`. Slot `b` is missing until generation 1 makes it."""
    if rotation < 0:
        raise ValueError(f"DatabaseAccessArgs: rotation: {rotation} is negative; generations count up from 0")
    return {active_slot(generation): generation for generation in range(max(0, rotation - 1), rotation + 1)}


def job_spec(
    *,
    service_account: str,
    secret: str,
    ca_config_map: str,
    host: str,
    port: int,
    database: str,
    master: str,
    region: str,
    master_secret_arn: str | None,
    image: str,
    aws_cli_image: str,
    timeout_seconds: int,
    login: str,
    extensions: list[str],
) -> dict[str, Any]:
    """Spec of the access Job, whose pod fits the `restricted` pod security standard.

    Holds no secret, only the names of where they are.
    """
    managed = master_secret_arn is not None
    hardened = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # A psql and an AWS CLI use some 100 MB at most; without a limit a full node evicts this pod first.
    resources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    scratch = {"name": "tmp", "mountPath": "/tmp"}
    master_secret = {"name": "master-secret", "mountPath": MASTER_SECRET_DIRECTORY}
    environment: list[dict[str, Any]] = [
        {"name": "PGHOST", "value": host},
        {"name": "PGPORT", "value": str(int(port))},
        {"name": "PGDATABASE", "value": database},
        {"name": "PGUSER", "value": master},
        {"name": "PGSSLMODE", "value": "verify-full"},
        {"name": "PGSSLROOTCERT", "value": CA_BUNDLE_PATH},
        # A name that does not resolve yet is tried again by the next pod, within the Job's deadline.
        {"name": "PGCONNECT_TIMEOUT", "value": "15"},
        {"name": "PGAPPNAME", "value": OBJECT_NAME},
        {"name": "OWNER_ROLE", "value": OWNER_ROLE},
        {"name": "LOGIN_ROLE", "value": login},
        {"name": "LOGIN_VERIFIER", "valueFrom": {"secretKeyRef": {"name": secret, "key": VERIFIER_KEY}}},
        {"name": "EXTENSIONS", "value": " ".join(extensions)},
    ]
    if not managed:
        reference = {"secretKeyRef": {"name": secret, "key": MASTER_PASSWORD_KEY}}
        environment.append({"name": "PGPASSWORD", "valueFrom": reference})
    pod: dict[str, Any] = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": JOB_USER,
            "runAsGroup": JOB_USER,
            "fsGroup": JOB_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "access",
                "image": image,
                "command": ["/bin/sh", "-ec", access_script(managed=managed)],
                "env": environment,
                "securityContext": hardened,
                "resources": resources,
                "volumeMounts": [
                    {"name": "database-ca", "mountPath": CA_BUNDLE_PATH.rpartition("/")[0], "readOnly": True},
                    scratch,
                    *([master_secret] if managed else []),
                ],
            }
        ],
        "volumes": [
            {"name": "database-ca", "configMap": {"name": ca_config_map}},
            {"name": "tmp", "emptyDir": {}},
            *([{"name": "master-secret", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}] if managed else []),
        ],
    }
    if managed:
        pod["initContainers"] = [
            {
                "name": "master-secret",
                "image": aws_cli_image,
                "command": ["/bin/sh", "-ec", FETCH_MASTER_SECRET],
                "env": [
                    {"name": "MASTER_SECRET_ARN", "value": master_secret_arn},
                    {"name": "AWS_REGION", "value": region},
                    # The CLI keeps its cache there, and the root file system is read-only.
                    {"name": "HOME", "value": "/tmp"},
                ],
                "securityContext": hardened,
                "resources": resources,
                "volumeMounts": [scratch, master_secret],
            }
        ]
    return {
        # Three tries in all: enough for a slow name or image, few enough to hear of a real error soon.
        "backoffLimit": 2,
        "activeDeadlineSeconds": int(timeout_seconds),
        "template": {"spec": pod},
    }


def _canonical(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))


def _check_master(args: DatabaseAccessArgs) -> None:
    if (args.master_password is None) == (args.master_secret_arn is None):
        raise ValueError("DatabaseAccessArgs: give exactly one of master_password and master_secret_arn")
    if args.master_secret_arn is not None:
        missing = [name for name in ("kms_key_arn", "oidc_provider_arn") if getattr(args, name) is None]
        if missing:
            raise ValueError(f"DatabaseAccessArgs: master_secret_arn needs {' and '.join(missing)} as well")
