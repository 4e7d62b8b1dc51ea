"""The namespace of Teleport Access Graph, and what TAG must find there before it starts.

Two components, since they can be made at different times. The namespace with the database's CA bundle needs nothing,
and the database's access Job runs in it. The Secrets need the result of that Job and the certificate.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.digests import check_digest_key, public_digest
from components.handed_on import asked, waiting
from components.pod_security import NAMESPACE_LABELS
from components.settings.names import (
    DATABASE_CA_CONFIG_MAP_NAME,
    DATABASE_CA_KEY,
    POSTGRES_IAM_SECRET_NAME,
    POSTGRES_REPLICA_KEY,
    POSTGRES_REPLICA_SUFFIX,
    POSTGRES_SECRET_KEY,
    POSTGRES_SECRET_NAME,
    TLS_SECRET_NAME,
)


@dataclass(frozen=True, kw_only=True)
class AccessGraphNamespaceArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """A DNS-1123 label of at most 63 characters."""

    create: bool = True
    """Whether the namespace is made; otherwise it must exist already, and belongs to somebody else."""

    keep: bool = False
    """Whether the namespace stays when the stack gives it up."""

    database_ca_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities that may sign the database's certificate; none to use the system's."""


class AccessGraphNamespace(pulumi.ComponentResource):
    """The namespace, made or existing, and in it the ConfigMap with the database's CA bundle."""

    namespace: pulumi.Output[str]
    """The namespace's name, once it exists."""
    database_ca_config_map: pulumi.Output[str] | None
    """The ConfigMap's name; none when no bundle was given."""

    def __init__(self, name: str, args: AccessGraphNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = AccessGraphNamespaceArgs.from_input(args)
        super().__init__("teleport-access-graph:index:AccessGraphNamespace", name, {}, waiting(opts))
        child = pulumi.ResourceOptions(parent=self)

        if args.create:
            namespace = kubernetes.core.v1.Namespace(
                f"{name}-namespace",
                metadata={"name": args.namespace, "labels": NAMESPACE_LABELS},
                opts=pulumi.ResourceOptions(parent=self, retain_on_delete=asked(args.keep)),
            )
            self.namespace = namespace.metadata["name"]
        else:
            self.namespace = pulumi.Output.from_input(args.namespace)
        self.database_ca_config_map = None
        if args.database_ca_bundle is not None:
            bundle = kubernetes.core.v1.ConfigMap(
                f"{name}-database-ca",
                metadata={"name": DATABASE_CA_CONFIG_MAP_NAME, "namespace": self.namespace},
                data={DATABASE_CA_KEY: args.database_ca_bundle},
                opts=child,
            )
            self.database_ca_config_map = bundle.metadata["name"]
        self.register_outputs({"namespace": self.namespace, "database_ca_config_map": self.database_ca_config_map})


@dataclass(frozen=True, kw_only=True)
class CredentialsArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's namespace."""

    certificate_pem: pulumi.Input[str] | None = None
    """PEM of the server certificate; None when somebody else fills the Secret."""

    private_key_pem: pulumi.Input[str] | None = None
    """PEM of the certificate's key, secret; None when `certificate_pem` is."""

    tls_secret_name: pulumi.Input[str] | None = None
    """A Secret that somebody else fills, in place of the pair."""

    digest_key: pulumi.Input[str]
    """Secret key of `checksum`, at least 32 characters."""

    database_uri: pulumi.Input[str] | None = None
    """`postgres://` URI, secret. None when an existing Secret in the namespace holds it."""

    database_replica_uri: pulumi.Input[str] | None = None
    """`postgres://` URI of a read replica, secret; none without one."""

    database_by_iam: bool = False
    """Whether the URIs are for logins by IAM. Those are in a Secret of their own, so that while the way to log in
    changes, or if the change fails, pods that use the other way still find theirs."""

    database_identity: pulumi.Input[str] | None = None
    """The AWS identity of pods that log in by IAM. Only for `checksum`: pods have it from admission on."""

    database_ca_bundle: pulumi.Input[str] = ""
    """PEM. Only for `checksum`: pods read it when they start."""

    database_login_run: pulumi.Input[str] | None = None
    """Identity of the run that made the login. Only for `checksum`, so that pods restart after each run, which retires
    other logins: a pod may have started with one of those, during an `up` that was then rolled back."""


class Credentials(pulumi.ComponentResource):
    """The Secrets that the access graph's pods mount, and a public digest that changes whenever one of them does, or
    anything else that pods read only when they start."""

    database_secret_name: pulumi.Output[str] | None
    """None when the Secret with the URI is not made here."""
    database_replica_secret_name: pulumi.Output[str] | None
    """None without a replica. A separate Secret: when the replica is removed, this one goes after the pods that name
    it. A key in the other Secret would go before them."""
    tls_secret_name: pulumi.Output[str]
    """The Secret with the pair that TAG serves."""
    checksum: pulumi.Output[str]
    """HMAC-SHA-256 in hexadecimal, not secret."""

    def __init__(self, name: str, args: CredentialsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = CredentialsArgs.from_input(args)
        given = (args.certificate_pem is not None, args.private_key_pem is not None, args.tls_secret_name is not None)
        if given not in ((True, True, False), (False, False, True)):
            raise ValueError("certificate_pem: pass it and private_key_pem, or tls_secret_name in place of both")
        check_digest_key(args.digest_key)
        super().__init__("teleport-access-graph:index:Credentials", name, {}, waiting(opts))
        child = pulumi.ResourceOptions(parent=self)

        if args.tls_secret_name is not None:
            self.tls_secret_name = pulumi.Output.from_input(args.tls_secret_name)
        else:
            assert args.certificate_pem is not None  # checked above
            assert args.private_key_pem is not None
            pair = kubernetes.core.v1.Secret(
                f"{name}-tls",
                type="kubernetes.io/tls",
                metadata={"name": TLS_SECRET_NAME, "namespace": args.namespace},
                string_data={
                    "tls.crt": args.certificate_pem,
                    "tls.key": pulumi.Output.secret(args.private_key_pem),
                },
                opts=child,
            )
            self.tls_secret_name = pair.metadata["name"]
        self.database_secret_name = self.database_replica_secret_name = None
        if args.database_uri is not None:
            uris: dict[str, pulumi.Input[str]] = {POSTGRES_SECRET_KEY: pulumi.Output.secret(args.database_uri)}
            if args.database_replica_uri is not None:
                # Pods of an earlier release look for the replica's URI here.
                uris[POSTGRES_REPLICA_KEY] = pulumi.Output.secret(args.database_replica_uri)
            suffix = "-iam" if args.database_by_iam else ""
            object_name = POSTGRES_IAM_SECRET_NAME if args.database_by_iam else POSTGRES_SECRET_NAME
            postgres = kubernetes.core.v1.Secret(
                f"{name}-postgres{suffix}",
                metadata={"name": object_name, "namespace": args.namespace},
                string_data=uris,
                opts=child,
            )
            self.database_secret_name = postgres.metadata["name"]
            if args.database_replica_uri is not None:
                replica = kubernetes.core.v1.Secret(
                    f"{name}-postgres{suffix}-replica",
                    metadata={"name": f"{object_name}{POSTGRES_REPLICA_SUFFIX}", "namespace": args.namespace},
                    string_data={POSTGRES_REPLICA_KEY: pulumi.Output.secret(args.database_replica_uri)},
                    opts=child,
                )
                self.database_replica_secret_name = replica.metadata["name"]
        self.checksum = public_digest(
            args.digest_key,
            "" if args.database_uri is None else args.database_uri,
            # Restarting pods for a Secret that somebody else fills is left to somebody else.
            "" if args.certificate_pem is None else args.certificate_pem,
            "" if args.private_key_pem is None else args.private_key_pem,
            args.database_ca_bundle,
            *([] if args.database_replica_uri is None else [args.database_replica_uri]),
            *([] if args.database_login_run is None else [args.database_login_run]),
            *([] if args.database_identity is None else [args.database_identity]),
        )
        self.register_outputs(
            {
                "database_secret_name": self.database_secret_name,
                "database_replica_secret_name": self.database_replica_secret_name,
                "tls_secret_name": self.tls_secret_name,
                "checksum": self.checksum,
            }
        )
