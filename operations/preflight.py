"""`preflight`: asks the live world, before a preview, whether an `up` of this configuration can work. Changes nothing.

What the configuration alone can tell is checked by `components.settings` and `components.intake`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from components.host_authority_succession import succession
from components.intake import Intake, IntakeError, read_intake
from components.settings import (
    ManualTeleportSettings,
    ProxyHostAuthorities,
    ReleaseTeleportSettings,
    Settings,
    ValuesTeleportSettings,
)
from components.settings.chart_versions import dotted
from components.settings.teleport import TeleportEntry
from components.teleport_values import CA_CONFIG_MAP_NAME, auth_deployment_name, effective_auth_values
from components.values_files import ValuesFileError, load_values_files
from operations.chart_repositories import check_charts
from operations.checks.certificate_source import check_source
from operations.checks.definitions import check_definitions
from operations.checks.encryption_key import check_key
from operations.checks.namespace import check_existing_namespace, check_foreign_secrets, held_by
from operations.checks.network import check_network
from operations.checks.other_stacks import check_instance, check_shared_namespace, dialled_endpoint, other_maker
from operations.checks.presented import check_presented, public_address
from operations.cloud_account import check_account
from operations.cluster import Cluster, ClusterError, Document, NotAllowed, secret_data
from operations.engine_record import EngineRecord
from operations.findings import Finding, Outcome, failed, not_proven, passed
from operations.helm_releases import PENDING, UNSETTLED, HelmRelease, deployed_release, installed_again, list_revisions
from operations.teleport_release import check_floor, check_lists, check_step, compare_values, teleport_version
from operations.tested_versions import check_chart, version_of
from operations.value_at import value_at

# The chart uses APIs of this version; Teleport's page on Access Graph asks for the same.
KUBERNETES_FLOOR = (1, 21)


@dataclass
class Preflight:
    """One run over one configuration."""

    settings: Settings
    secret_values: bool = False
    """Whether the secret key with Helm values is set."""
    outputs: Mapping[str, Any] | None = field(default_factory=dict)
    """The outputs of the last complete `up`; empty before the first, None when they could not be read."""
    record: EngineRecord | None = None
    """What the state records, including the work of an `up` that failed; None when the state was not read."""
    connect: Callable[[str], Cluster] = Cluster.connect
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    unmatched: list[str] = field(default_factory=list, init=False)
    """The entries of the last run's `skip` that no check's name began with."""
    _intake: Intake | None = field(default=None, init=False)
    """What the configuration points to; None when it cannot be used."""

    def run(self, skip: Sequence[str] = ()) -> list[Finding]:
        """Every finding whose check does not begin with a name in `skip`."""
        findings = [*self._interrupted(), *self._files(), check_chart(self.settings)]
        findings += [*check_charts(self.settings), *self._kubernetes()]
        if self.settings.aws is not None:
            account = check_account(self.settings.aws)
            findings.append(account)
            if account.outcome is Outcome.PASS:
                findings += [*check_key(self.settings), *check_network(self.settings)]
                findings += check_instance(
                    self.settings,
                    (self.outputs or {}).get("databaseInstanceArn"),
                    in_state=None if self.record is None else "database-instance" in self.record.ids,
                    own_key=None if self.record is None else self.record.ids.get("database-key"),
                )
        self.unmatched = [one for one in skip if not any(finding.check.startswith(one) for finding in findings)]
        return [_with_way_out(finding) for finding in findings if not finding.check.startswith(tuple(skip))]

    def _interrupted(self) -> list[Finding]:
        """Whether the state has operations that the engine began and did not finish; empty when the state was not
        read."""
        if self.record is None:
            return []
        begun = self.record.begun
        check, statement = "stack.interrupted", "the engine has seen the end of all that it began to make"
        if not begun:
            return [passed(check, statement, "nothing is left open")]
        shown = ", ".join(begun[:3]) + (f" and {len(begun) - 3} more" if len(begun) > 3 else "")
        reason = f"it was killed while it made {shown}; `python -m operations recover`, then `up`"
        return [failed(check, statement, reason)]

    def _files(self) -> list[Finding]:
        statement = "values files and host CAs can be used"
        try:
            intake = self._intake = read_intake(self.settings, self.now())
        except IntakeError as error:
            return [failed("files", statement, problem) for problem in error.problems]
        count = sum(len(found) for found in intake.host_authorities.values())
        return [passed("files", statement, f"{count} host CA(s), {len(intake.values)} set(s) of values")]

    def _kubernetes(self) -> list[Finding]:
        findings: list[Finding] = []
        reached: dict[str, Cluster] = {}
        wanted = {self.settings.kubernetes, *map(self.settings.kubernetes_of, self.settings.teleport)}
        for one in sorted(wanted, key=lambda settings: settings.context):
            try:
                cluster = self.connect(one.context)
                findings += self._cluster(cluster, one.cluster_identifier)
                reached[one.context] = cluster
            except ClusterError as error:
                findings.append(failed(f"kubernetes.{one.context}", f"{one.context} can be reached", str(error)))
        for context, cluster in reached.items():
            findings += self._guarded(f"definitions.{context}", partial(check_definitions, self.settings, cluster))
        own = reached.get(self.settings.kubernetes.context)
        if own is not None:
            findings += self._guarded("access-graph", lambda: self._access_graph(own))
            findings += self._guarded("certificate", lambda: self._certificate(own))
        for name, entry in self.settings.teleport.items():
            there = reached.get(self.settings.kubernetes_of(name).context)
            if isinstance(entry, ManualTeleportSettings):
                # This stack has no access to that cluster: only its proxy can be asked.
                findings.append(self._floor(name, teleport_version(None, None, _proxy(entry), self.settings.root)))
                findings += self._presented(name, entry, {})
            elif there is not None:
                findings += self._guarded(f"teleport.{name}", partial(self._teleport, there, name, entry))
        return findings

    def _has(self, resource: str, identity: str, by_outputs: bool) -> bool:
        """Whether the stack has the object with this id (`name` or `namespace/name`). The state decides; when it was
        not read, `by_outputs` does."""
        return by_outputs if self.record is None else self.record.ids.get(resource) == identity

    def _not_recorded(self, check: str, statement: str, reason: str) -> Finding:
        """A finding about an object that this stack would create but, as far as its record tells, has not."""
        if self.outputs is None:
            return not_proven(check, statement, f"{reason} (the stack's outputs could not be read)")
        return failed(check, statement, reason)

    @staticmethod
    def _guarded(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
        """Run `look`; its errors become findings. Missing rights are no failure: a preview's credentials may not read
        Secrets, and say nothing against an `up`."""
        try:
            return look()
        except NotAllowed as error:
            return [not_proven(check, f"{check} can be looked at", str(error))]
        except (ClusterError, ValuesFileError) as error:
            return [failed(check, f"{check} can be looked at", str(error))]

    def _cluster(self, cluster: Cluster, identifier: str) -> list[Finding]:
        name = cluster.context
        findings = []
        statement, found = f"{name} is the cluster that is meant", cluster.identifier()
        if found != identifier:
            reason = (
                f"UID of kube-system is {found or 'unknown'}, clusterIdentifier says {identifier}; correct one of them"
            )
            findings.append(failed(f"kubernetes.{name}.identifier", statement, reason))
        else:
            findings.append(passed(f"kubernetes.{name}.identifier", statement, found))
        version = cluster.version()
        statement = f"{name} has Kubernetes {dotted(KUBERNETES_FLOOR)} or newer"
        if version < KUBERNETES_FLOOR:
            reason = f"it is {dotted(version)}; upgrade the cluster"
            findings.append(failed(f"kubernetes.{name}.version", statement, reason))
        else:
            findings.append(passed(f"kubernetes.{name}.version", statement, dotted(version)))
        return findings

    def _access_graph(self, cluster: Cluster) -> list[Finding]:
        settings = self.settings.access_graph
        check, statement = "access-graph.namespace", f"the namespace {settings.namespace} is this stack's to make"
        namespace = cluster.get("Namespace", settings.namespace)
        if not settings.create_namespace:
            findings = check_existing_namespace(self.settings, cluster, namespace)
            # Objects of a renamed stack still carry its former name.
            if namespace is not None and (self.outputs or {}).get("namespace") != settings.namespace:
                findings += check_shared_namespace(self.settings, cluster)
            return [*findings, *self._inside(cluster, namespace)]
        held = held_by(namespace) if namespace is not None else None
        if held is not None:
            return [failed(check, statement, f"it is being deleted, and takes nothing new until it is gone: {held}")]
        used = (self.outputs or {}).get("namespace") == settings.namespace
        made = self._has("namespace-namespace", settings.namespace, used)
        former = ((self.outputs or {}).get("ledger") or {}).get("namespace") or {}
        # If the namespace was imported since then, the state has it.
        if namespace is not None and used and former.get("made") is False and not (self.record and made):
            reason = (
                "the last `up` used it as a namespace that exists, and the next could not make it: set "
                "accessGraph.createNamespace to false, or import it first (docs/platform.md)"
            )
            return [not_proven(check, statement, reason), *self._inside(cluster, namespace)]
        if namespace is not None and not made:
            other = other_maker(self.settings, namespace)
            reason = (
                "it exists, and no `up` of this stack recorded it; after a crash `recover`, otherwise give another name"
            )
            if other is not None:
                reason = f"the stack {other} made it; give another accessGraph.namespace"
            return [self._not_recorded(check, statement, reason)]
        if namespace is None and made:
            reason = "this stack made it, and it is gone with all that was in it; a plain `up` does not notice: run "
            return [failed(check, statement, f"{reason}`up --refresh`")]
        findings = [passed(check, statement, "made by this stack" if namespace else "it does not exist yet")]
        return [*findings, *self._inside(cluster, namespace)]

    def _inside(self, cluster: Cluster, namespace: Document | None) -> list[Finding]:
        """Checks of what is inside the access graph's namespace; none when the namespace does not exist yet."""
        if namespace is None:
            return []
        return [
            *check_foreign_secrets(self.settings, cluster),
            *self._guarded("access-graph.release", lambda: self._graph_release(cluster)),
        ]

    def _graph_release(self, cluster: Cluster) -> list[Finding]:
        """Helm refuses a second release of the same name, whoever made the first."""
        graph, outputs = self.settings.access_graph, self.outputs or {}
        check, statement = "access-graph.release", "the access graph's release can be upgraded"
        had = (outputs.get("namespace"), outputs.get("releaseName")) == (graph.namespace, graph.release)
        ours = self._has("access-graph-release", f"{graph.namespace}/{graph.release}", had)
        findings = self._no_pending(cluster, graph.namespace, graph.release, check, statement, made=ours)
        if not graph.enabled or ours:
            return findings
        live = deployed_release(cluster, graph.namespace, graph.release)
        if live is None or any(one.outcome is not Outcome.PASS for one in findings):
            return findings
        reason = (
            f"revision {live.revision} of {graph.release} runs, and no `up` of this stack recorded it; after a crash "
            "`recover`, otherwise uninstall it or give another accessGraph.release"
        )
        return [self._not_recorded(check, statement, reason)]

    def _certificate(self, cluster: Cluster) -> list[Finding]:
        path = self.settings.tls.trust_bundle_file
        try:
            trust = None if path is None else (self.settings.root / path).read_text(encoding="utf-8")
        except (OSError, ValueError):
            trust = None  # `_files` reports it
        return check_source(self.settings, cluster, trust=trust, now=self.now())

    def _no_pending(
        self, cluster: Cluster, namespace: str, release: str, check: str, statement: str, *, made: bool
    ) -> list[Finding]:
        """made: whether the stack has installed the release, by its record."""
        revisions = list_revisions(cluster, namespace, release)
        if made and not revisions:
            reason = "this stack made it, and Helm no longer has it; a plain `up` does not notice, or fails: run "
            return [failed(check, statement, f"{reason}`up --refresh`")]
        if revisions and revisions[-1].status in UNSETTLED:
            last = revisions[-1]
            way = "rolls it back" if last.status in PENDING else "ends its removal, or says how to have it back"
            reason = f"revision {last.revision} of {release} is {last.status}; `recover` {way}"
            return [failed(check, statement, reason)]
        seen = f"revision {revisions[-1].revision} is {revisions[-1].status}" if revisions else "it does not exist yet"
        return [passed(check, statement, seen)]

    def _teleport(
        self, cluster: Cluster, name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings
    ) -> list[Finding]:
        check = f"teleport.{name}"
        if cluster.get("Namespace", entry.namespace) is None:
            reason = f"make it, with the licence in it: {cluster.kubectl()} create namespace {entry.namespace}"
            return [failed(f"{check}.namespace", f"the namespace {entry.namespace} exists", reason)]
        findings = [passed(f"{check}.namespace", f"the namespace {entry.namespace} exists", "it does")]
        files = load_values_files(entry.values_files, self.settings.root)
        live: HelmRelease | None = None
        unread: Finding | None = None
        try:
            live = deployed_release(cluster, entry.namespace, entry.release)
        except NotAllowed as error:
            unread = not_proven(f"{check}.release", f"Helm's records of {entry.release} can be looked at", str(error))
        whole = files if isinstance(entry, ReleaseTeleportSettings) or live is None else live.values
        values = effective_auth_values(whole)
        # For a release that somebody else owns, our files need not hold all its values.
        if isinstance(entry, ReleaseTeleportSettings) or unread is None or values.get("enterprise") is True:
            findings += self._licence(cluster, name, entry.namespace, values)
        findings += self._guarded(f"{check}.version", lambda: [self._version(cluster, name, entry, live)])
        findings += self._guarded(f"{check}.config-map", lambda: self._config_map(cluster, name, entry.namespace))
        findings += self._guarded(f"{check}.endpoint", lambda: self._dials(cluster, name, entry))
        findings += self._presented(name, entry, whole)
        if unread is not None:
            findings.append(unread)
        elif isinstance(entry, ReleaseTeleportSettings):
            findings += self._release(cluster, name, entry, files, live)
        elif live is not None:
            findings.append(check_lists(self.settings, name, files, live, recorded=self._recorded_values(name)))
        if isinstance(entry, ReleaseTeleportSettings) and (live is not None or unread is not None):
            findings += self._guarded(f"{check}.service", lambda: self._service(cluster, name, entry))
        return findings

    def _licence(self, cluster: Cluster, name: str, namespace: str, values: Mapping[str, Any]) -> list[Finding]:
        check, statement = f"teleport.{name}.enterprise", f"{name} is Teleport Enterprise"
        if values.get("enterprise") is not True:
            return [
                failed(check, statement, "its values do not say `enterprise: true`; the community edition has no graph")
            ]
        findings = [passed(check, statement, "enterprise: true")]
        secret = str(values.get("licenseSecretName") or "license")
        check, statement = f"teleport.{name}.licence", f"{name} has a licence"
        try:
            found = cluster.get("Secret", secret, namespace)
        except NotAllowed as error:
            return [*findings, not_proven(check, statement, str(error))]
        if "license.pem" not in secret_data(found):
            reason = (
                f"there is no Secret {secret} with the key license.pem in {namespace}; "
                f"{cluster.kubectl(namespace)} create secret generic {secret} --from-file=license.pem"
            )
            return [*findings, failed(check, statement, reason)]
        return [
            *findings,
            passed(check, statement, f"Secret {secret}; whether it covers the access graph, auth's log says"),
        ]

    def _version(
        self,
        cluster: Cluster,
        name: str,
        entry: ReleaseTeleportSettings | ValuesTeleportSettings,
        live: HelmRelease | None,
    ) -> Finding:
        auth = cluster.get("Deployment", auth_deployment_name(entry.release), entry.namespace)
        return self._floor(name, teleport_version(live, auth, _proxy(entry), self.settings.root))

    def _floor(self, name: str, found: tuple[str, str] | None) -> Finding:
        check, statement = f"teleport.{name}.version", f"{name} is new enough for the access graph"
        return check_floor(check, statement, self.settings, found)

    def _config_map(self, cluster: Cluster, name: str, namespace: str) -> list[Finding]:
        """A plain `destroy` keeps this ConfigMap because auth mounts it; the next `up` then could not create it
        again."""
        check, statement = f"teleport.{name}.config-map", f"the ConfigMap {CA_CONFIG_MAP_NAME} is this stack's to make"
        found = cluster.get("ConfigMap", CA_CONFIG_MAP_NAME, namespace) if self.settings.tls.trust == "bundle" else None
        if found is None:
            return []
        if self._has(f"teleport-{name}-ca", f"{namespace}/{CA_CONFIG_MAP_NAME}", self._had(name)):
            return [passed(check, statement, "made by this stack")]
        reason = (
            f"it exists in {namespace}, and no `up` of this stack recorded it; after a plain `destroy` the clean-up "
            "comes first (docs/teleport.md), after a crash `recover`"
        )
        other = other_maker(self.settings, found)
        if other is not None:
            reason = (
                f"the stack {other} made it in {namespace} and has this Teleport: that stack gives the Teleport up "
                "first, or, if it was destroyed, is cleaned up after (docs/teleport.md)"
            )
        return [self._not_recorded(check, statement, reason)]

    def _dials(
        self, cluster: Cluster, name: str, entry: ReleaseTeleportSettings | ValuesTeleportSettings
    ) -> list[Finding]:
        """An adopted release would silently leave the access graph it has now: where Teleport needs no ConfigMap, no
        other check objects."""
        check, statement = f"teleport.{name}.endpoint", f"{name} has no other access graph"
        if not self.settings.connects(name) or self._had(name):
            return []
        dialled = dialled_endpoint(cluster, entry.namespace, entry.release)
        if dialled in (None, self.settings.endpoint_of(name)):
            return []
        reason = (
            f"auth dials {dialled}, and no `up` of this stack recorded it: whoever connected it there, such as another "
            "stack, disconnects it first (docs/teleport.md)"
        )
        return [self._not_recorded(check, statement, reason)]

    def _presented(self, name: str, entry: TeleportEntry, values: Mapping[str, Any]) -> list[Finding]:
        """What a proxy gives needs no second look, where the host CAs are fetched from it."""
        given = {} if self._intake is None else self._intake.host_authorities
        address = public_address(name, values)
        if name not in given or entry.host_authorities is None or _proxy(entry) is not None or address is None:
            return []
        recorded = value_at(self.outputs, "ledger", "hostAuthorities", name)
        after = succession(
            name,
            recorded if isinstance(recorded, list) else [],
            given[name],
            former=entry.host_authorities.former,
            now=self.now(),
        )
        accepted = {one.fingerprint for one in after.accepted}
        return check_presented(name, address, accepted, root=self.settings.root, now=self.now())

    def _release(
        self,
        cluster: Cluster,
        name: str,
        entry: ReleaseTeleportSettings,
        files: Mapping[str, Any],
        live: HelmRelease | None,
    ) -> list[Finding]:
        check = f"teleport.{name}.release"
        statement = f"the release {entry.release} can be upgraded"
        ours = self._has(f"teleport-{name}-release", f"{entry.namespace}/{entry.release}", self._had(name))
        made = ours and not entry.adopt  # no `up` installs an adopted one
        findings = self._no_pending(cluster, entry.namespace, entry.release, check, statement, made=made)
        if live is None:
            if entry.adopt:
                recorded = (((self.outputs or {}).get("ledger") or {}).get("teleport") or {}).get(name) or {}
                way = "set adopt to false"
                if recorded.get("adopted"):
                    way = f"`recover`, {installed_again(cluster.helm(entry.namespace), entry.release)}"
                reason = f"Helm has no deployed release {entry.release} in {entry.namespace}; {way}"
                findings.append(failed(f"{check}.adopt", f"there is a release {entry.release} to adopt", reason))
            return findings
        if not entry.adopt and not ours:
            reason = f"revision {live.revision} runs, and no `up` of this stack recorded it; set adopt to true"
            statement = f"the release {entry.release} is this stack's"
            findings.append(self._not_recorded(f"{check}.adopt", statement, reason))
        findings.append(check_step(name, version_of(entry.chart, self.settings.root), live))
        given = self.record.releases.get(f"teleport-{name}-release") if self.record is not None and ours else None
        findings.append(
            compare_values(
                self.settings,
                name,
                files,
                live,
                configuration=value_at(self.outputs, "teleportConfig", name),
                recorded=[*self._recorded_values(name), *([given.values] if given and given.values else [])],
                untouched=given is not None and given.revision == live.revision,
                secret_values=self.secret_values,
            )
        )
        return findings

    def _had(self, name: str) -> bool:
        """Whether the last complete `up` had this Teleport."""
        return name in ((self.outputs or {}).get("teleportValues") or {})

    def _recorded_values(self, name: str) -> list[Mapping[str, Any]]:
        """The plain values of the last complete `up`, with the patch; empty when it did not have this Teleport."""
        recorded = value_at(self.outputs, "teleportValues", name)
        return [recorded] if isinstance(recorded, Mapping) else []

    def _service(self, cluster: Cluster, name: str, entry: ReleaseTeleportSettings) -> list[Finding]:
        check, statement = f"teleport.{name}.service", f"Helm can wait for the Service {entry.release}"
        service = cluster.get("Service", entry.release, entry.namespace) or {}
        if service.get("spec", {}).get("type") != "LoadBalancer":
            return []
        if (service.get("status", {}).get("loadBalancer") or {}).get("ingress"):
            return [passed(check, statement, "it has an address")]
        reason = "it has no address, and Helm would wait for one until its timeout; "
        return [
            failed(
                check, statement, f"{reason}set service.type: ClusterIP, or install a controller that assigns addresses"
            )
        ]


def _proxy(entry: TeleportEntry) -> ProxyHostAuthorities | None:
    authorities = entry.host_authorities
    return authorities if isinstance(authorities, ProxyHostAuthorities) else None


def _with_way_out(finding: Finding) -> Finding:
    """Add the option that skips this check, for users who know better than it does."""
    if finding.outcome is Outcome.PASS:
        return finding
    return replace(finding, reason=f"{finding.reason} [--skip {finding.check}]")
