"""The one reader of configuration: typed, frozen, every error reported at once.

Owns what may be configured and what it means together. Secrets pass through as Outputs; what is in them, and the live
world, are checked by those who use them.
"""

from components.settings.access_graph import (
    AccessGraphSettings,
    ExternalServiceSettings,
    PodDisruptionBudgetSettings,
    ResourceSettings,
    TolerationSettings,
)
from components.settings.charts import ChartSettings, PathChart, RepositoryChart
from components.settings.clusters import (
    AssumeRoleSettings,
    AwsSettings,
    IamSettings,
    IrsaSettings,
    KubernetesSettings,
    PodIdentitySettings,
)
from components.settings.database import (
    AccessJobSettings,
    DatabaseSettings,
    ExistingDatabaseSettings,
    RdsDatabaseSettings,
    SecretReference,
)
from components.settings.database_network import NetworkSettings
from components.settings.database_operation import (
    AlarmSettings,
    ExistingTopicSettings,
    NoNotificationSettings,
    OwnTopicSettings,
    PointInTimeRestoreSettings,
    ReplicaSettings,
    SnapshotRestoreSettings,
)
from components.settings.errors import Problem, SettingsError
from components.settings.loader import SecretSettings, Settings, load_settings
from components.settings.monitoring import LockoutWatchSettings, MonitoringSettings
from components.settings.names import service_host, service_name
from components.settings.network_policy import NetworkPolicySettings
from components.settings.project import read_settings
from components.settings.teleport import (
    AuditLogSettings,
    FileHostAuthorities,
    HostAuthoritySettings,
    InlineHostAuthorities,
    ManualTeleportSettings,
    ProxyHostAuthorities,
    ReleaseTeleportSettings,
    RolloutSettings,
    TeleportSettings,
    ValuesTeleportSettings,
)
from components.settings.tls import (
    AuthoritySettings,
    CaIssuerSettings,
    CertManagerTlsSettings,
    ExistingIssuerSettings,
    ExistingSecretTlsSettings,
    GeneratedTlsSettings,
    NextAuthoritySettings,
    ReloaderSettings,
    RestarterSettings,
    TlsSettings,
)

__all__ = [
    "AccessGraphSettings",
    "AccessJobSettings",
    "AlarmSettings",
    "AssumeRoleSettings",
    "AuditLogSettings",
    "AuthoritySettings",
    "AwsSettings",
    "CaIssuerSettings",
    "CertManagerTlsSettings",
    "ChartSettings",
    "DatabaseSettings",
    "ExistingDatabaseSettings",
    "ExistingIssuerSettings",
    "ExistingSecretTlsSettings",
    "ExistingTopicSettings",
    "ExternalServiceSettings",
    "FileHostAuthorities",
    "GeneratedTlsSettings",
    "HostAuthoritySettings",
    "IamSettings",
    "InlineHostAuthorities",
    "IrsaSettings",
    "KubernetesSettings",
    "LockoutWatchSettings",
    "ManualTeleportSettings",
    "MonitoringSettings",
    "NetworkPolicySettings",
    "NetworkSettings",
    "NextAuthoritySettings",
    "NoNotificationSettings",
    "OwnTopicSettings",
    "PathChart",
    "PodDisruptionBudgetSettings",
    "PodIdentitySettings",
    "PointInTimeRestoreSettings",
    "Problem",
    "ProxyHostAuthorities",
    "RdsDatabaseSettings",
    "ReleaseTeleportSettings",
    "ReloaderSettings",
    "ReplicaSettings",
    "RepositoryChart",
    "ResourceSettings",
    "RestarterSettings",
    "RolloutSettings",
    "SecretReference",
    "SecretSettings",
    "Settings",
    "SettingsError",
    "SnapshotRestoreSettings",
    "TeleportSettings",
    "TlsSettings",
    "TolerationSettings",
    "ValuesTeleportSettings",
    "load_settings",
    "read_settings",
    "service_host",
    "service_name",
]
