"""An access graph made of the installed components, as a part of somebody's own program.

The program makes neither the database nor Teleport: it is given the database's URI and Teleport's host CAs, and exports
what the owner of Teleport needs to know.
"""

from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random
from teleport_access_graph.access_graph import AccessGraph, AccessGraphArgs
from teleport_access_graph.certificates import Certificates, CertificatesArgs
from teleport_access_graph.credentials import (
    AccessGraphNamespace,
    AccessGraphNamespaceArgs,
    Credentials,
    CredentialsArgs,
)
from teleport_access_graph.settings.names import service_host

NAMESPACE = "teleport-access-graph"
RELEASE = "teleport-access-graph"

config = pulumi.Config()
cluster = kubernetes.Provider(
    "kubernetes",
    kubeconfig="",
    context=config.require("context"),
    cluster_identifier=config.require("clusterIdentifier"),
    # Without these, a changed Secret or ConfigMap is deleted before it is made again.
    enable_config_map_mutable=True,
    enable_secret_mutable=True,
)
in_cluster = pulumi.ResourceOptions(providers=[cluster])

namespace = AccessGraphNamespace("namespace", AccessGraphNamespaceArgs(namespace=NAMESPACE), opts=in_cluster)
certificates = Certificates("certificates", CertificatesArgs(dns_names=[service_host(RELEASE, NAMESPACE)]))
credentials = Credentials(
    "credentials",
    CredentialsArgs(
        namespace=namespace.namespace,
        certificate_pem=certificates.certificate_pem,
        private_key_pem=certificates.private_key_pem,
        digest_key=random.RandomPassword("digest-key", length=64, special=False).result,
        database_uri=config.require_secret("databaseUri"),
    ),
    opts=in_cluster,
)
assert credentials.database_secret_name is not None  # it was given the URI
access_graph = AccessGraph(
    "access-graph",
    AccessGraphArgs(
        namespace=namespace.namespace,
        release=RELEASE,
        repository="https://charts.releases.teleport.dev",
        chart="teleport-access-graph",
        version="1.30.2",
        host_authorities=[Path(config.require("hostAuthorities")).read_text()],
        database_secret_name=credentials.database_secret_name,
        tls_secret_name=credentials.tls_secret_name,
        credentials_checksum=credentials.checksum,
    ),
    opts=in_cluster,
)

pulumi.export("endpoint", access_graph.endpoint)
pulumi.export("caBundle", certificates.trust_bundle)
