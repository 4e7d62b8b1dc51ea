"""The components as a package: what a component host offers to programs in other languages, and the version.

pyproject.toml and setup.py build and install it, `provider/` hosts it; docs/package.md says how to use either.
"""

from __future__ import annotations

import pulumi

from components.access_graph import AccessGraph
from components.certificate_restarter import CertificateRestarter
from components.certificates import Certificates
from components.credentials import AccessGraphNamespace, Credentials
from components.database import Database
from components.database_access import DatabaseAccess
from components.database_logins import LoginRetirement
from components.external_service import ExternalService
from components.issued_certificates import IssuedCertificate
from components.lockout_watch import LockoutWatch
from components.monitoring import Monitoring
from components.network_policies import NetworkPolicies
from components.owners_rollout import OwnersRollout
from components.reader_role import ReaderRole
from components.teleport import TeleportCluster

NAME = "teleport-access-graph"
# Version of the whole program, the wheel and the provider's schema: major.minor.patch, as in CHANGELOG.md and in the
# tag that others install. A minor version may add arguments, a major one may remove some.
VERSION = "0.1.0"

# The type token of each is `teleport-access-graph:index:<class name>`; existing states and other stacks depend on it.
COMPONENTS: tuple[type[pulumi.ComponentResource], ...] = (
    AccessGraph,
    AccessGraphNamespace,
    CertificateRestarter,
    Certificates,
    Credentials,
    Database,
    DatabaseAccess,
    ExternalService,
    IssuedCertificate,
    LockoutWatch,
    LoginRetirement,
    Monitoring,
    NetworkPolicies,
    OwnersRollout,
    ReaderRole,
    TeleportCluster,
)
