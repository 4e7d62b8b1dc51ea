"""Names that are needed before anything is made, or by whoever looks for what was made: those that the access graph's
chart derives from its release, and those of the stack's own objects.

Facts of teleport-access-graph 1.30.2 (`fullname` in its _helpers.tpl).
"""

from __future__ import annotations

# Of Pulumi.yaml, and so the namespace of the stack's settings.
PROJECT = "teleport-access-graph"
# On every AWS object of a stack, with the stack's full name.
STACK_TAG = "teleport-access-graph:stack"
# The same on every Kubernetes object: annotations have a slash where tags have a colon.
STACK_ANNOTATION = "teleport-access-graph/stack"

CHART_NAME = "teleport-access-graph"
TELEPORT_CHART_NAME = "teleport-cluster"
# Of TAG's pods, with a digest of what they read at their start.
CREDENTIALS_ANNOTATION = "checksum/credentials"
SERVICE_PORT = 443
# Of the pods: where they answer Teleport, and where they tell Prometheus.
GRPC_PORT = 9090
METRICS_PORT = 3000
# Of the chart's Service.
METRICS_PORT_NAME = "metrics"
# Of PostgreSQL, where nothing else is said.
DEFAULT_POSTGRES_PORT = 5432
LONGEST_SERVICE_NAME = 63

# The TLS Secrets that the stack fills in TAG's namespace: with its own pair, and by cert-manager's hand. Two names, for
# on the way from one mode to the other both are there.
TLS_SECRET_NAME = "teleport-access-graph-tls"
ISSUED_SECRET_NAME = "teleport-access-graph-issued-tls"
ISSUED_CERTIFICATE_NAME = "teleport-access-graph"
STACKS_ISSUER_NAME = "teleport-access-graph"

# The Secret with the database's URI, and its keys.
POSTGRES_SECRET_NAME = "teleport-access-graph-postgres"
# Another name where the login is by IAM: on the way from one to the other both are there.
POSTGRES_IAM_SECRET_NAME = f"{POSTGRES_SECRET_NAME}-iam"
POSTGRES_SECRET_KEY = "uri"
POSTGRES_REPLICA_KEY = "replica-uri"
# What is appended for the Secret with the URI of a read replica.
POSTGRES_REPLICA_SUFFIX = "-replica"
# All that the stack may have filled.
POSTGRES_SECRET_NAMES = tuple(
    f"{name}{suffix}"
    for name in (POSTGRES_SECRET_NAME, POSTGRES_IAM_SECRET_NAME)
    for suffix in ("", POSTGRES_REPLICA_SUFFIX)
)
# The ConfigMap with the authorities of the database's certificate.
DATABASE_CA_CONFIG_MAP_NAME = "teleport-access-graph-database-ca"
DATABASE_CA_KEY = "bundle.pem"

# Of what the database's Jobs are made of: the Secret and the ServiceAccount, and, with a digest appended, the Job that
# makes the roles; with a digest appended, the Job that ends a login.
DATABASE_ACCESS_NAME = "teleport-access-graph-database-access"
DATABASE_LOGINS_NAME = "teleport-access-graph-database-logins"

KUBERNETES_PROVIDER = "kubernetes"
# What the stack appends to the instance's name for a read replica.
REPLICA_SUFFIX = "-replica"

# Of a CronJob, its ServiceAccount, Role and RoleBinding: in TAG's namespace, and in each Teleport's.
CERTIFICATE_RESTARTER_NAME = "teleport-access-graph-certificate-restarter"
LOCKOUT_WATCH_NAME = "teleport-access-graph-lockout-watch"

# Of the Job that waits for the owner of a Teleport release.
ROLLOUT_NAME = "teleport-access-graph-rollout"

# The API group of cert-manager's own kinds, issuers among them.
CERT_MANAGER_GROUP = "cert-manager.io"
CERT_MANAGER_API_VERSION = f"{CERT_MANAGER_GROUP}/v1"
# The kinds of cert-manager's own issuers.
CERT_MANAGER_ISSUERS = ("Issuer", "ClusterIssuer")

# kubectl with a shell around it, for the pods that run a script of the stack's: registry.k8s.io/kubectl has none.
DEFAULT_KUBECTL_IMAGE = "docker.io/alpine/kubectl:1.34.2"

# Of the NetworkPolicies, by whose pods they are about.
POLICY_NAMES = {
    "access-graph": CHART_NAME,
    "database-jobs": f"{CHART_NAME}-database-jobs",
    "certificate-restarter": CERTIFICATE_RESTARTER_NAME,
}


def kubernetes_provider_name(identifier: str, main: str) -> str:
    """Of the engine's provider for the cluster `identifier`; `main` is the cluster that the access graph runs in.

    By the cluster's identity: an entry may be renamed or go without replacing what others have there.
    """
    return KUBERNETES_PROVIDER if identifier == main else f"{KUBERNETES_PROVIDER}-{identifier}"


def replica_identifier(identifier: str) -> str:
    """RDS's name of the read replica of an instance."""
    return f"{identifier}{REPLICA_SUFFIX}"


def service_name(release: str) -> str:
    """The chart's `fullname`, which names its Service, Deployment and ServiceAccount: cut at 63 characters."""
    name = release if CHART_NAME in release else f"{release}-{CHART_NAME}"
    return name[:LONGEST_SERVICE_NAME].removesuffix("-")


def service_host(release: str, namespace: str, cluster_domain: str = "cluster.local") -> str:
    """The Service's DNS name inside the cluster: the server certificate must carry it, for Teleport verifies it."""
    return f"{service_name(release)}.{namespace}.svc.{cluster_domain}"


def external_service_name(release: str) -> str:
    """The stack's own Service beside the chart's."""
    suffix = "-external"
    return service_name(release)[: LONGEST_SERVICE_NAME - len(suffix)].removesuffix("-") + suffix
