"""`verify`: proves a deployed stack from outside, by doing what its users do. Changes nothing.

Owns which parts are examined, and where; the proofs of each part are in `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from components.database_uri import CA_BUNDLE_PATH
from components.login_slots import ALL_LOGINS, login_of
from components.pem_certificates import UNREADABLE
from components.settings import (
    ExistingDatabaseSettings,
    GeneratedTlsSettings,
    ManualTeleportSettings,
    ReleaseTeleportSettings,
    Settings,
    ValuesTeleportSettings,
    service_name,
)
from components.settings.names import (
    DATABASE_CA_CONFIG_MAP_NAME,
    DATABASE_CA_KEY,
    POSTGRES_REPLICA_KEY,
    POSTGRES_SECRET_KEY,
    SERVICE_PORT,
)
from components.teleport_args import proxy_checksum
from components.teleport_values import (
    CA_CONFIG_MAP_NAME,
    CA_KEY,
    access_graph_section,
    auth_deployment_name,
    connected_places,
    own_values,
    proxy_deployment_name,
)
from components.values_files import ValuesFileError, load_values_files, parse_values
from operations.address_book import AddressBook, AddressBookError
from operations.aws_session import database_token
from operations.checks.callers import check_callers
from operations.checks.certificate import check_pair
from operations.checks.certificate_source import dialled_names
from operations.checks.database import OwnLogins, check_database
from operations.checks.endpoint import check_endpoint, check_trust, system_trust
from operations.checks.teleport import check_auth, check_configuration, check_proxies
from operations.checks.values import check_values, check_workload, differences, given_again, open_differences
from operations.cluster import Cluster, ClusterError, Document, NotAllowed, secret_data
from operations.findings import WRITTEN_BACK, Finding, Outcome, failed, not_proven, passed
from operations.handshake import Way, ways_to_service
from operations.helm_releases import HelmRelease, deployed_release
from operations.ownership import connect_to_read

_OWN_STORE = "this machine's trust store"


@dataclass
class Verification:
    """One run over one stack. `outputs` are the stack's own, as returned by `pulumi stack output --json`."""

    settings: Settings
    outputs: Mapping[str, Any]
    book: AddressBook = field(default_factory=AddressBook.from_environment)
    host_identities: Mapping[str, Path] = field(default_factory=dict)
    """Per Teleport cluster name, a PEM file with a host certificate and its key."""
    secret_values: bool = False
    """Whether the secret key with Helm values is set."""
    values_before: Path | None = None
    """File with the values that the first Teleport's release had before this stack."""
    connect: Callable[[str], Cluster] = Cluster.connect
    _clusters: dict[str, Cluster] = field(default_factory=dict)

    def run(self) -> list[Finding]:
        """Every finding, in the order of the flow: endpoint, database, Teleports."""
        findings: list[Finding] = []
        ways: list[Way] = []
        if self.settings.access_graph.enabled:
            findings += self._guarded("endpoint", "the endpoint", lambda: self._endpoint(ways))
            findings += self._guarded("database", "the database", self._database)
            findings += check_callers(self.settings)
        for name, entry in self.settings.teleport.items():
            connected = self.settings.connects(name)
            if isinstance(entry, ManualTeleportSettings):
                statement = f"{name} is connected" if connected else f"{name} is not connected any more"
                reason = "mode manual: there is no chart to look into; read its auth's log"
                findings.append(not_proven(f"teleport.{name}", statement, reason))
                continue
            look: Callable[[], list[Finding]] = partial(self._without_access_graph, name, entry)
            if connected:
                look = partial(self._teleport, name, entry, ways)
            findings += self._guarded(f"teleport.{name}", f"Teleport {name}", look)
        return findings

    def _guarded(self, check: str, what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
        try:
            return look()
        except NotAllowed as error:
            return [not_proven(check, f"{what} can be looked at", str(error))]
        except (ClusterError, AddressBookError, ValuesFileError, OSError) as error:
            return [failed(check, f"{what} can be looked at", " ".join(str(error).split()))]
        except (*UNREADABLE, AttributeError) as error:
            # The error texts quote the content that was read, which may be a secret.
            reason = f"what was read does not have the form that this stack gives it ({type(error).__name__})"
            remedy = "check that Secrets and ConfigMaps are as `up` made them, and that no output is hidden as [secret]"
            return [failed(check, f"{what} can be looked at", f"{reason}; {remedy}")]

    def _cluster(self, context: str) -> Cluster:
        if context not in self._clusters:
            self._clusters[context] = connect_to_read(self.settings, self.connect, context)
        return self._clusters[context]

    @property
    def _own(self) -> Cluster:
        return self._cluster(self.settings.kubernetes.context)

    @property
    def _namespace(self) -> str:
        return self.settings.access_graph.namespace

    def _endpoint(self, ways: list[Way]) -> list[Finding]:
        host = self.settings.service_host
        service = service_name(self.settings.access_graph.release)
        ways += ways_to_service(
            host, SERVICE_PORT, book=self.book, cluster=self._own, namespace=self._namespace, service=service
        )
        cluster = next(filter(self.settings.connects, self.settings.teleport), "teleport")
        name = str(self.outputs.get("tlsSecretName"))
        secret = secret_data(self._own.get("Secret", name, self._namespace))
        bundle = self.outputs.get("caBundle")
        pair = check_pair(
            secret.get("tls.crt"),
            secret.get("tls.key"),
            names=dialled_names(self.settings),
            trust=bundle or system_trust(),
            now=datetime.now(timezone.utc),
            where=f"Secret {name}",
            store="the bundle" if bundle else _OWN_STORE,
        )
        if isinstance(self.settings.tls, GeneratedTlsSettings):
            pair = [_of_this_stack(one) for one in pair]
        return [
            self._same_outputs(host),
            *pair,
            *check_endpoint(
                ways,
                host=host,
                trust=self.outputs.get("caBundle"),
                identity=self.host_identities.get(cluster),
                cluster=cluster,
                current_certificate=secret.get("tls.crt", b"").decode("ascii", "replace"),
            ),
        ]

    def _same_outputs(self, host: str) -> Finding:
        """After a change of settings without an `up`, the checks would test other things than those that run."""
        statement, seen = "the outputs are of this configuration", self.outputs.get("serviceHost")
        if seen != host:
            return failed("outputs", statement, f"serviceHost is {seen!r}, the configuration makes {host!r}; run `up`")
        return passed("outputs", statement, host)

    def _database(self) -> list[Finding]:
        settings = self.settings.database
        name, keys = str(self.outputs.get("databaseSecretName")), [POSTGRES_SECRET_KEY]
        if isinstance(settings, ExistingDatabaseSettings):
            if settings.secret is not None:
                name, keys = settings.secret.name, [settings.secret.key]
        elif settings.replica is not None:
            keys.append(POSTGRES_REPLICA_KEY)
        secret = secret_data(self._own.get("Secret", name, self._namespace))
        missing = [key for key in keys if key not in secret]
        if missing:
            reason = f"the Secret {name} in {self._namespace} has no key {', '.join(missing)}; run `up --refresh`"
            return [failed("database.connects", "the URI is there", reason)]
        text, *replicas = (secret[key].decode("utf-8", "replace") for key in keys)
        authorities = None
        # Whoever maintains the Secret may have percent-encoded more than necessary.
        decoded = unquote(text)
        if CA_BUNDLE_PATH in decoded or "sslrootcert" not in decoded:
            found = self._own.get("ConfigMap", DATABASE_CA_CONFIG_MAP_NAME, self._namespace)
            authorities = ((found or {}).get("data") or {}).get(DATABASE_CA_KEY)
        return check_database(
            text,
            authorities=authorities,
            book=self.book,
            allow_unverified=isinstance(settings, ExistingDatabaseSettings) and settings.allow_unverified,
            own=self._own_logins(),
            replica_uri=replicas[0] if replicas else None,
        )

    def _own_logins(self) -> OwnLogins | None:
        settings, cloud = self.settings.database, self.settings.aws
        if isinstance(settings, ExistingDatabaseSettings) or cloud is None:
            return None
        login = login_of(authentication=settings.authentication, rotation=settings.rotation)
        return OwnLogins(
            login=login,
            others=[other for other in ALL_LOGINS if other != login],
            token=partial(database_token, cloud) if settings.authentication == "iam" else None,
            endpoint=self.outputs.get("databaseEndpoint"),
        )

    def _teleport(
        self, name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings, ways: list[Way]
    ) -> list[Finding]:
        cluster = self._cluster(self.settings.kubernetes_of(name).context)
        endpoint = self.settings.endpoint_of(name)
        auth, proxy = self._deployments(cluster, entry)
        expected = ((self.outputs.get("teleportConfig") or {}).get(name) or {}).get("access_graph") or {
            "enabled": True,
            "endpoint": endpoint,
        }
        graph = self._deployment(self._own, service_name(self.settings.access_graph.release), self._namespace)
        bundle, where = None, None
        if "ca" in expected:
            found = cluster.get("ConfigMap", CA_CONFIG_MAP_NAME, entry.namespace)
            bundle = ((found or {}).get("data") or {}).get(CA_KEY)
            where = f"the ConfigMap {CA_CONFIG_MAP_NAME} in {entry.namespace}"
        live = deployed_release(cluster, entry.namespace, entry.release)
        remedy = _way_back(cluster, name, entry, live, expected)
        return [
            check_configuration(cluster, name, entry.namespace, entry.release, expected, remedy),
            self._trust(name, ways, where, bundle, endpoint),
            check_auth(cluster, name, auth),
            check_proxies(cluster, name, auth, proxy, graph, proxy_checksum(endpoint, bundle)),
            *self._kept(name, entry, live, auth, proxy),
        ]

    def _trust(self, name: str, ways: list[Way], where: str | None, bundle: str | None, endpoint: str) -> Finding:
        """Checks the CA that auth trusts: the bundle in the ConfigMap that its volume mounts, or without one the trust
        store."""
        trust = bundle if where else system_trust()
        return check_trust(
            ways,
            host=endpoint.rpartition(":")[0],
            cluster=name,
            trust=trust,
            where=where or _OWN_STORE,
            is_own=where is not None,
            identity=self.host_identities.get(name),
        )

    def _kept(
        self,
        name: str,
        entry: ReleaseTeleportSettings | ValuesTeleportSettings,
        release: HelmRelease | None,
        auth: Document,
        proxy: Document,
    ) -> list[Finding]:
        if release is None:
            statement = f"the release of {name} is Helm's"
            reason = f"Helm knows of no deployed release {entry.release} in {entry.namespace}"
            return [
                not_proven(f"teleport.{name}.values", statement, f"{reason}; its owner may not keep Helm's records")
            ]
        users = load_values_files(entry.values_files, self.settings.root)
        findings = [
            check_values(
                name,
                users,
                release.values,
                "its values files",
                remedy=_rolled_out(name, entry),
                secret_values=self.secret_values,
            )
        ]
        if self.values_before is not None and name == next(iter(self.settings.teleport)):
            users = parse_values(self.values_before.read_text(encoding="utf-8"))
            findings.append(check_values(name, users, release.values, str(self.values_before), check="before.values"))
        for role, deployment in (("auth", auth), ("proxy", proxy)):
            findings += check_workload(name, role, users, deployment)
        return findings

    def _without_access_graph(
        self, name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings
    ) -> list[Finding]:
        """After the switch-off, or before the first `up` with the access graph: Teleport is as its owner configured
        it."""
        cluster = self._cluster(self.settings.kubernetes_of(name).context)
        self._deployments(cluster, entry)
        release = deployed_release(cluster, entry.namespace, entry.release)
        remedy = _way_back(cluster, name, entry, release, None)
        findings = [check_configuration(cluster, name, entry.namespace, entry.release, None, remedy)]
        if release is not None:
            findings.append(self._given_back(name, entry, release))
        return findings

    def _given_back(
        self, name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings, release: HelmRelease
    ) -> Finding:
        """The release has its owner's values, and none that the stack added."""
        check, statement = f"teleport.{name}.values", f"the values of {name} are those of its files"
        files = own_values(load_values_files(entry.values_files, self.settings.root))
        unlike = differences(files, release.values)
        if isinstance(entry, ValuesTeleportSettings):
            # The owner may install with more than the files say, such as secret values of their own.
            unlike = [line for line in unlike if not line.startswith("+")]
            unlike += [f"+ {place}" for place in connected_places(release.values, self.settings.endpoint_of(name))]
        if not unlike:
            return passed(check, statement, "no difference")
        open_ones = open_differences(unlike, release.values)
        if self.secret_values and not open_ones:
            reason = f"{', '.join(unlike)}: live only; teleportSecretValues, a secret key, should have them"
            return not_proven(check, statement, reason)
        shown = ", ".join(open_ones or unlike)
        return failed(check, statement, f"{shown} (+ live only, - files only, ~ other); {_rolled_out(name, entry)}")

    def _deployments(
        self, cluster: Cluster, entry: ReleaseTeleportSettings | ValuesTeleportSettings
    ) -> tuple[Document, Document]:
        return (
            self._deployment(cluster, auth_deployment_name(entry.release), entry.namespace),
            self._deployment(cluster, proxy_deployment_name(entry.release), entry.namespace),
        )

    @staticmethod
    def _deployment(cluster: Cluster, name: str, namespace: str) -> Document:
        found = cluster.get("Deployment", name, namespace)
        if found is None:
            raise ClusterError(f"{cluster.context}: there is no Deployment {name} in {namespace}; is `release` right?")
        return found


def _of_this_stack(finding: Finding) -> Finding:
    """Adds the remedy for a certificate that the stack issued itself."""
    if finding.outcome is Outcome.PASS:
        return finding
    remedy = f"the stack issued it: to renew what is due or was changed by hand, run {WRITTEN_BACK}"
    return replace(finding, reason=f"{finding.reason}; {remedy}")


def _way_back(
    cluster: Cluster,
    name: str,
    entry: ReleaseTeleportSettings | ValuesTeleportSettings,
    live: HelmRelease | None,
    expected: Mapping[str, Any] | None,
) -> str:
    """The remedy for a `teleport.yaml` that differs from what is expected."""
    section = access_graph_section(live.values if live else {}) or {}
    as_expected = expected.items() <= section.items() if expected else not section.get("enabled")
    if live is not None and as_expected:
        # The engine compares the values in Helm's record. Not even a refresh sees an edit made behind Helm's back.
        back = f"{cluster.helm(entry.namespace)} rollback {entry.release} {live.revision} --wait"
        return f"Helm's record has it right, so somebody edited it: {back}, then restart auth and the proxies"
    return _rolled_out(name, entry)


def _rolled_out(name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings) -> str:
    """The remedy where Helm's record has other values than the stack gave or hands over."""
    if isinstance(entry, ReleaseTeleportSettings):
        return f"run {given_again(f'teleport.{name}')}"
    return "let the release's owner roll out what this stack hands over (output teleportValues)"
