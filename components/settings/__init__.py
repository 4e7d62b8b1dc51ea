"""The one reader of configuration: typed, frozen, every error reported at once.

Owns what may be configured and what it means together. Secrets pass through as Outputs; what is in them, and the live
world, are checked by those who use them.
"""

from components.settings.access_graph import (
    AccessGraphSettings,
    PodDisruptionBudgetSettings,
    ResourceSettings,
    TolerationSettings,
)
from components.settings.charts import ChartSettings, PathChart, RepositoryChart
from components.settings.clusters import AssumeRoleSettings, AwsSettings, KubernetesSettings
from components.settings.database import (
    AccessJobSettings,
    DatabaseSettings,
    ExistingDatabaseSettings,
    NetworkSettings,
    RdsDatabaseSettings,
    SecretReference,
)
from components.settings.errors import Problem, SettingsError
from components.settings.loader import SecretSettings, Settings, load_settings
from components.settings.names import service_host, service_name
from components.settings.project import read_settings
from components.settings.teleport import (
    AuditLogSettings,
    FileHostAuthorities,
    HostAuthoritySettings,
    InlineHostAuthorities,
    ManualTeleportSettings,
    ProxyHostAuthorities,
    ReleaseTeleportSettings,
    TeleportSettings,
    ValuesTeleportSettings,
)
from components.settings.tls import AuthoritySettings, GeneratedTlsSettings, TlsSettings

__all__ = [
    "AccessGraphSettings",
    "AccessJobSettings",
    "AssumeRoleSettings",
    "AuditLogSettings",
    "AuthoritySettings",
    "AwsSettings",
    "ChartSettings",
    "DatabaseSettings",
    "ExistingDatabaseSettings",
    "FileHostAuthorities",
    "GeneratedTlsSettings",
    "HostAuthoritySettings",
    "InlineHostAuthorities",
    "KubernetesSettings",
    "ManualTeleportSettings",
    "NetworkSettings",
    "PathChart",
    "PodDisruptionBudgetSettings",
    "Problem",
    "ProxyHostAuthorities",
    "RdsDatabaseSettings",
    "ReleaseTeleportSettings",
    "RepositoryChart",
    "ResourceSettings",
    "SecretReference",
    "SecretSettings",
    "Settings",
    "SettingsError",
    "TeleportSettings",
    "TlsSettings",
    "TolerationSettings",
    "ValuesTeleportSettings",
    "load_settings",
    "read_settings",
    "service_host",
    "service_name",
]
