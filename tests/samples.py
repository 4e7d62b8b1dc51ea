"""Valid plain configurations for tests, as Pulumi would pass them."""

from __future__ import annotations

import copy
from typing import Any

TELEPORT_CLUSTER = "teleport.example.com"
CLUSTER_IDENTIFIER = "0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
OTHER_CLUSTER_IDENTIFIER = "1b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
ACCOUNT = "123456789012"
REGION = "us-east-1"
OIDC_PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{REGION}.amazonaws.com/id/0123456789ABCDEF"
STACK = "test"

# Settings check only the form of a certificate; `host_authorities` needs a real one.
CERTIFICATE_FORM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def minimal_configuration(**overrides: Any) -> dict[str, Any]:
    """The smallest configuration of mode rds: one Teleport release, host CA inline, charts from the repository.

    Each override replaces or adds a top-level key; `...` removes it.
    """
    return _overridden(
        {
            "kubernetes": {"context": "test", "clusterIdentifier": CLUSTER_IDENTIFIER},
            "aws": {
                "region": REGION,
                "accountId": ACCOUNT,
                "workloadIdentity": {"mode": "irsa", "oidcProviderArn": OIDC_PROVIDER_ARN},
            },
            "accessGraph": {
                "chart": {
                    "repository": "https://charts.releases.teleport.dev",
                    "name": "teleport-access-graph",
                    "version": "1.30.2",
                }
            },
            "database": {
                "mode": "rds",
                # The smaller of the two profiles; production's additions are tested on top of it.
                "profile": "development",
                "network": {
                    "vpcId": "vpc-0123456789abcdef0",
                    "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                    "clientSecurityGroupIds": ["sg-0123456789abcdef0"],
                },
            },
            "teleport": {TELEPORT_CLUSTER: release_entry()},
        },
        overrides,
    )


def existing_configuration(**overrides: Any) -> dict[str, Any]:
    """Like `minimal_configuration`, with an existing database whose URI is in a Secret."""
    return minimal_configuration(
        **{"aws": ..., "database": {"mode": "existing", "secret": {"name": "database"}}, **overrides}
    )


def release_entry(**overrides: Any) -> dict[str, Any]:
    """A Teleport release that this stack owns."""
    return _overridden(
        {
            "mode": "release",
            "chart": {
                "repository": "https://charts.releases.teleport.dev",
                "name": "teleport-cluster",
                "version": "18.10.3",
            },
            "hostAuthorities": {"mode": "inline", "certificates": [CERTIFICATE_FORM]},
        },
        overrides,
    )


def _overridden(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **copy.deepcopy(overrides)}
    return {key: value for key, value in merged.items() if value is not ...}
