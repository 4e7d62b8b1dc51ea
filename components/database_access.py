"""How Teleport Access Graph gets into its RDS database: the owner role, the login slots, grants, extensions and the
connection URI.

Owns the logins' passwords, the Job that makes the roles, and what that Job may read. Leaves the instance to
`database.py` and the Secret with the URI to `credentials.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random

from components.applied import made
from components.arguments import ComponentArgs
from components.database_job import MASTER_PASSWORD_KEY, database_job, job_name, job_spec
from components.database_policies import database_login_policy, role_name_prefix, secret_reader_policy
from components.database_script import PREPARE_DATABASE, scram_verifier
from components.database_uri import database_uri
from components.digests import check_digest_key
from components.handed_on import waiting
from components.known_after import known_after
from components.login_slots import IAM_ROLE, OWNER_ROLE, active_slot, login_of, slot_passwords
from components.settings.names import DATABASE_ACCESS_NAME
from components.workload_identity import RoleSettings, ServiceAccountRole, service_account_role

VERIFIER_KEY = "login-verifier"


@dataclass(frozen=True, kw_only=True)
class DatabaseAccessArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """Namespace of the Job; it must exist, so take it from the Namespace's output."""

    ca_config_map: pulumi.Input[str]
    """ConfigMap in that namespace with the database's CA bundle under the key `bundle.pem`."""

    identifier: pulumi.Input[str]
    """The instance's name; the IAM roles are named after it."""

    region: pulumi.Input[str]
    """AWS region of the instance."""

    account_id: pulumi.Input[str]
    """Twelve digits; the account of the instance and of the IAM roles."""

    host: pulumi.Input[str]
    """DNS name of the instance, as in its certificate."""

    port: pulumi.Input[int]
    """Port of PostgreSQL."""

    database_name: pulumi.Input[str]
    """Name of the database for TAG."""

    master_username: pulumi.Input[str]
    """The role that the Job logs in with."""

    digest_key: pulumi.Input[str]
    """Random secret that keys the digest in the Job's name; see `digests.py`."""

    rotation: int = 0
    """Generation of the login: even ones use slot `a`, odd ones slot `b`. A higher one makes the other slot with a new
    password.
    """

    after: pulumi.Input[bool] = True
    """No password is made or changed until this resolves: a guard that refuses a rotation makes it fail."""

    master_password: pulumi.Input[str] | None = None
    """The generated master password. Pass exactly one of this and `master_secret_arn`."""

    master_secret_arn: pulumi.Input[str] | None = None
    """The secret in which AWS keeps the managed master password; needs the two below."""

    kms_key_arn: pulumi.Input[str] | None = None
    """The key that encrypts that secret."""

    oidc_provider_arn: pulumi.Input[str] | None = None
    """IAM's OIDC provider of the cluster, `arn:<partition>:iam::<account>:oidc-provider/<issuer without scheme>`, for
    pods that take roles by IRSA. Where pods take roles, pass exactly one of this and `eks_cluster_name`."""

    eks_cluster_name: pulumi.Input[str] | None = None
    """The cluster's name in EKS, for pods that take roles by EKS Pod Identity."""

    role_path: pulumi.Input[str] = "/"
    permissions_boundary_arn: pulumi.Input[str] | None = None
    """ARN of a policy that limits what the IAM roles can do; none without one."""

    authentication: str = "password"
    """How Access Graph logs in: by `password`, or by `iam` with tokens of its own IAM role."""

    resource_ids: pulumi.Input[list[pulumi.Input[str]]] | None = None
    """`db-...` of the instance; only with `iam`."""

    replica_resource_id: pulumi.Input[str] | None = None
    """`db-...` of a read replica; only with `iam`. The right to log in there is deleted after the pods that use it."""

    client_service_account: str | None = None
    """ServiceAccount of Access Graph's pods, in the same namespace; only with `iam`."""

    replica_host: pulumi.Input[str] | None = None
    """DNS name of a read replica."""

    replica_port: pulumi.Input[int] | None = None
    """The replica's port; `port` when not given."""

    image: pulumi.Input[str] = "public.ecr.aws/docker/library/postgres:17.6-alpine"
    """Image with `psql` (14 or newer), `sh` and `awk`."""

    aws_cli_image: pulumi.Input[str] = "public.ecr.aws/aws-cli/aws-cli:2.31.0"
    timeout_seconds: pulumi.Input[int] = 600
    """The Job fails after this time, which includes pulling its images."""

    placement: Mapping[str, Any] = field(default_factory=dict)
    """Placement of the Job's pod, in wire form: `imagePullSecrets`, `nodeSelector`, `tolerations`."""

    extensions: list[str] = field(default_factory=lambda: ["pg_trgm", "vector"])
    """Created where the server offers them."""

    tags: pulumi.Input[dict[str, pulumi.Input[str]]] = field(default_factory=dict)
    """Tags of the IAM roles."""


def access_environment(*, secret: str, login: str, by_iam: bool, extensions: list[str]) -> list[dict[str, Any]]:
    """The environment that the access Job's script reads, besides that of `psql`."""
    environment: list[dict[str, Any]] = [
        {"name": "OWNER_ROLE", "value": OWNER_ROLE},
        {"name": "LOGIN_ROLE", "value": login},
        {"name": "AUTHENTICATION", "value": "iam" if by_iam else "password"},
        {"name": "EXTENSIONS", "value": " ".join(extensions)},
    ]
    if not by_iam:
        reference = {"secretKeyRef": {"name": secret, "key": VERIFIER_KEY}}
        environment.append({"name": "LOGIN_VERIFIER", "valueFrom": reference})
    return environment


class DatabaseAccess(pulumi.ComponentResource):
    """A login that acts as the owner of the database and can do nothing else. Use one per server: roles belong to the
    whole server, so a second one would give the same roles another password, and another database besides.

    A rotation makes the login of the other slot. The login that it replaces can still connect, because running pods use
    it; `LoginRetirement` ends it.
    """

    uri: pulumi.Output[str]
    """`postgres://` URI of the login in use, secret; known once the Job has made the login."""
    replica_uri: pulumi.Output[str | None]
    """The same for the read replica, secret; None without one."""
    login: pulumi.Output[str]
    """The role that logs in."""
    owner: pulumi.Output[str]
    """The role that owns the database, and that the login acts as."""
    database_name: pulumi.Output[str]
    """The database in which the owner may make schemas and tables."""
    client_annotations: pulumi.Output[Mapping[str, str]]
    """Annotations of Access Graph's ServiceAccount; empty where its pods need no IAM role."""
    client_identity: pulumi.Output[str | None]
    """The identity that the pods log in with. They get it at admission, so a change needs new pods. None where they
    need no IAM role."""
    job: pulumi.Output[Mapping[str, Any]]
    """Arguments for another Job of the same ServiceAccount to reach the database; not secret."""
    ready: pulumi.Output[str]
    """Name of the Job, once it is done."""
    run: pulumi.Output[str]
    """Identity of the Job's last run. It changes whenever the Job runs, even unchanged."""

    def __init__(self, name: str, args: DatabaseAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = DatabaseAccessArgs.from_input(args)
        _check(args)
        super().__init__("teleport-access-graph:index:DatabaseAccess", name, {}, waiting(opts))
        child = pulumi.ResourceOptions(parent=self)
        by_iam = args.authentication == "iam"
        login = login_of(authentication=args.authentication, rotation=args.rotation)

        secret_values: dict[str, pulumi.Input[str]] = {}
        password = None
        if not by_iam:
            active = self._passwords(name, args)[active_slot(args.rotation)]
            password = made(active, active.result)
            # As secret as the password, because it is made from a secret Output.
            secret_values[VERIFIER_KEY] = password.apply(scram_verifier)
        if args.master_password is not None:
            secret_values[MASTER_PASSWORD_KEY] = pulumi.Output.secret(args.master_password)

        reader = self._secret_reader(name, args, child) if args.master_secret_arn is not None else None
        client = self._client_role(name, args, child) if by_iam else None
        nothing: Mapping[str, str] = {}
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-service-account",
            metadata={
                "name": DATABASE_ACCESS_NAME,
                "namespace": args.namespace,
                "annotations": reader.annotations if reader else nothing,
            },
            automount_service_account_token=False,
            opts=child,
        )
        # With a master password managed by AWS, and a login without a password, there is nothing to keep secret.
        secret = (
            kubernetes.core.v1.Secret(
                f"{name}-secret",
                metadata={"name": DATABASE_ACCESS_NAME, "namespace": args.namespace},
                string_data=secret_values,
                opts=child,
            )
            if secret_values
            else None
        )
        self.job = pulumi.Output.all(
            service_account=account.metadata["name"],
            secret=DATABASE_ACCESS_NAME,
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
            placement=args.placement,
        )
        extensions = list(args.extensions)
        spec: pulumi.Output[Any] = self.job.apply(
            lambda connection: job_spec(
                script=PREPARE_DATABASE,
                environment=access_environment(
                    secret=connection["secret"], login=login, by_iam=by_iam, extensions=extensions
                ),
                **connection,
            )
        )
        job = database_job(
            f"{name}-job",
            object_name=DATABASE_ACCESS_NAME,
            namespace=args.namespace,
            spec=spec,
            digest_key=args.digest_key,
            causes=list(secret_values.values()),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    account,
                    *([] if secret is None else [secret]),
                    *([] if reader is None else reader.permissions),
                ],
            ),
        )

        self.ready = job_name(job)
        self.run = pulumi.Output.all(job.id, job.metadata).apply(_uid_of)
        # Known only after the Job: a pod that starts between the new Secret and the new login would fail.
        self.uri = self._uri(args, args.host, args.port, login, password)
        self.replica_uri = (
            pulumi.Output.from_input(None)
            if args.replica_host is None
            else self._uri(args, args.replica_host, args.replica_port or args.port, login, password)
        )
        self.login = pulumi.Output.from_input(login)
        self.owner = pulumi.Output.from_input(OWNER_ROLE)
        self.database_name = pulumi.Output.from_input(args.database_name)
        self.client_annotations = pulumi.Output.from_input(nothing)
        self.client_identity = pulumi.Output.from_input(None)
        if client:
            # Known only after the permissions: a pod that starts before them is turned away.
            granted = [resource.urn for resource in client.permissions]
            self.client_annotations = known_after(client.annotations, *granted)
            self.client_identity = known_after(client.identity, *granted)
        self.register_outputs(
            {
                "uri": self.uri,
                "replica_uri": self.replica_uri,
                "login": self.login,
                "owner": self.owner,
                "database_name": self.database_name,
                "client_annotations": self.client_annotations,
                "client_identity": self.client_identity,
                "job": self.job,
                "ready": self.ready,
                "run": self.run,
            }
        )

    def _passwords(self, name: str, args: DatabaseAccessArgs) -> dict[str, random.RandomPassword]:
        """The password of each slot."""
        return {
            letter: random.RandomPassword(
                f"{name}-login-{letter}",
                length=40,
                # Letters and digits survive every client's reading of a URI, which is percent-encoded besides.
                special=False,
                # A slot gets a new password each time that its turn comes, and keeps it while the other slot is in use.
                # So an `up` that failed half way can be rolled back, and then repeated.
                keepers={"rotation": known_after(str(password_of.generation), args.after)},
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["keepers"] if password_of.settled else None),
            )
            for letter, password_of in slot_passwords(args.rotation).items()
        }

    def _uri(
        self,
        args: DatabaseAccessArgs,
        host: pulumi.Input[str],
        port: pulumi.Input[int],
        login: str,
        password: pulumi.Output[str] | None,
    ) -> pulumi.Output[Any]:
        """Secret even without a password (IAM): who may log in where is nobody else's concern."""
        return pulumi.Output.secret(
            pulumi.Output.all(host, port, args.database_name, password, self.ready).apply(
                lambda resolved: database_uri(
                    host=resolved[0],
                    port=int(resolved[1]),
                    database=resolved[2],
                    user=login,
                    password=resolved[3],
                )
            )
        )

    def _client_role(self, name: str, args: DatabaseAccessArgs, child: pulumi.ResourceOptions) -> ServiceAccountRole:
        """The IAM role by which Access Graph's pods log in, as that one login and nowhere else."""

        def login(resource_ids: pulumi.Input[Any]) -> pulumi.Output[str]:
            return pulumi.Output.all(args.region, args.account_id, resource_ids).apply(
                lambda resolved: database_login_policy(
                    region=resolved[0], account_id=resolved[1], resource_ids=resolved[2], user=IAM_ROLE
                )
            )

        replica = args.replica_resource_id
        return service_account_role(
            f"{name}-client",
            oidc_provider_arn=args.oidc_provider_arn,
            eks_cluster_name=args.eks_cluster_name,
            namespace=args.namespace,
            service_account=str(args.client_service_account),
            policy=login(args.resource_ids),
            further={} if replica is None else {"replica": login([replica])},
            description="Lets Teleport Access Graph log in to its database",
            settings=role_settings(args),
            opts=child,
        )

    def _secret_reader(self, name: str, args: DatabaseAccessArgs, child: pulumi.ResourceOptions) -> ServiceAccountRole:
        """The role of the Job's ServiceAccount, which can read the master secret and nothing else."""
        return service_account_role(
            name,
            oidc_provider_arn=args.oidc_provider_arn,
            eks_cluster_name=args.eks_cluster_name,
            namespace=args.namespace,
            service_account=DATABASE_ACCESS_NAME,
            policy=pulumi.Output.all(args.master_secret_arn, args.kms_key_arn).apply(
                lambda resolved: secret_reader_policy(secret_arn=resolved[0], kms_key_arn=resolved[1])
            ),
            description="Lets the access Job of Teleport Access Graph read the master password of its database",
            settings=role_settings(args),
            opts=child,
        )


def role_settings(args: DatabaseAccessArgs) -> RoleSettings:
    return RoleSettings(
        name_prefix=pulumi.Output.from_input(args.identifier).apply(role_name_prefix),
        region=args.region,
        account_id=args.account_id,
        path=args.role_path,
        permissions_boundary_arn=args.permissions_boundary_arn,
        tags=args.tags,
    )


def _check(args: DatabaseAccessArgs) -> None:
    if args.authentication not in ("password", "iam"):
        raise ValueError(f"DatabaseAccessArgs: authentication: {args.authentication!r} is none of password, iam")
    if (args.master_password is None) == (args.master_secret_arn is None):
        raise ValueError("DatabaseAccessArgs: give exactly one of master_password and master_secret_arn")
    if args.master_secret_arn is not None and args.kms_key_arn is None:
        raise ValueError("DatabaseAccessArgs: master_secret_arn needs kms_key_arn as well")
    takes_roles = args.master_secret_arn is not None or args.authentication == "iam"
    if takes_roles and (args.oidc_provider_arn is None) == (args.eks_cluster_name is None):
        raise ValueError(
            "DatabaseAccessArgs: pods take roles, so give exactly one of oidc_provider_arn and eks_cluster_name"
        )
    if args.authentication == "iam":
        missing = [name for name in ("resource_ids", "client_service_account") if not getattr(args, name)]
        if missing:
            raise ValueError(f"DatabaseAccessArgs: authentication iam needs {' and '.join(missing)} as well")
    check_digest_key(args.digest_key)


def _uid_of(made: Sequence[Any]) -> str:
    """From (id, metadata) of an object. The id is there because it is unknown until the object is made, while the
    metadata are known before, without the uid."""
    return str(made[1].get("uid", ""))
