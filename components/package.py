"""The components as a package: what a component host offers to programs in other languages, and its version.

How it is built and installed is pyproject.toml's and setup.py's, how it is hosted `provider/`'s; docs/package.md says
how to use either.
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
# Of the whole program, the wheel and the provider's schema: major.minor.patch, as in CHANGELOG.md and of the tag by
# which others take them. A minor may add arguments, a major may take away.
VERSION = "0.1.0"

# The type token of each is `teleport-access-graph:index:<class name>`; states and other stacks hold on to it.
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
