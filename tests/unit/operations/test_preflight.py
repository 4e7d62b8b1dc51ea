"""Preflight: a world in which an `up` can work passes, and each obstacle is reported by name with its remedy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.host_authorities import parse_authorities
from components.settings import ProxyHostAuthorities, load_settings
from components.teleport_values import AccessGraphPatch, AuditLog, patch_values
from operations import __main__ as command_line
from operations import teleport_release
from operations.checks.presented import public_address
from operations.engine_record import EngineRecord, GivenRelease
from operations.findings import Finding, Outcome
from operations.preflight import Preflight
from operations.preview.objections import failed_checks
from operations.privileges.purposes import Purpose
from operations.privileges.rbac import Rights, rights
from operations.teleport_release import check_floor, teleport_version
from tests.unit.operations.certificates import authority
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.world import (
    CLUSTER,
    GRAPH,
    HOST,
    OUTPUTS,
    PATCH,
    USERS,
    configuration,
    put_deployment,
    put_world,
    settings,
    settings_of_mode,
)
from tests.unit.program.stack import host_authority

TELEPORT = f"teleport.{CLUSTER}."
URI = "postgres://graph:hunter2@db.example.com/graph?sslmode=verify-full"
# Ids, in the state, of objects that only one stack can have.
IDS = {
    "namespace-namespace": GRAPH,
    "access-graph-release": f"{GRAPH}/{GRAPH}",
    f"teleport-{CLUSTER}-ca": "teleport/teleport-access-graph-ca",
    f"teleport-{CLUSTER}-release": "teleport/teleport",
}


def run(root: Path, *, skip: tuple[str, ...] = (), **changes: Any) -> dict[str, Finding]:
    arguments = {"settings": settings(root), "outputs": {}, "now": lambda: datetime.now(timezone.utc), **changes}
    return {finding.check: finding for finding in Preflight(**arguments).run(skip)}


def not_passed(findings: dict[str, Finding]) -> dict[str, Outcome]:
    return {name: finding.outcome for name, finding in findings.items() if finding.outcome is not Outcome.PASS}


def put_uri(api: KubernetesApi, uri: bytes = URI.encode()) -> None:
    """Put the Secret that `database.secret` names."""
    api.put("Secret", "database", GRAPH, data={"uri": base64.b64encode(uri).decode()})


def put_before(api: KubernetesApi) -> None:
    """Put a running Teleport, without an access graph."""
    put_world(api)
    put_uri(api)
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    del api.objects["/api/v1/namespaces/teleport/configmaps/teleport-access-graph-ca"]
    put_release(api, 2, "superseded", {})
    put_release(api, 3, "deployed", USERS)


@pytest.mark.slow
def test_before_the_first_up_everything_is_looked_at(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    findings = run(tmp_path)
    assert not_passed(findings) == {}
    assert list(findings) == [
        "files",
        "access-graph.chart",
        "charts.access-graph",
        f"charts.{CLUSTER}",
        "kubernetes.test.identifier",
        "kubernetes.test.version",
        "access-graph.namespace",
        f"{TELEPORT}namespace",
        f"{TELEPORT}enterprise",
        f"{TELEPORT}licence",
        f"{TELEPORT}version",
        f"{TELEPORT}release",
        f"{TELEPORT}chart",
        f"{TELEPORT}values",
    ]


@pytest.mark.slow
def test_a_namespace_that_somebody_deleted_is_not_one_that_is_still_to_be_made(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """The state still has the namespace, so a plain `up` finds nothing to do."""
    put_world(api)
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    finding = run(tmp_path, outputs=OUTPUTS)["access-graph.namespace"]
    assert finding.outcome is Outcome.FAIL
    assert "this stack made it, and it is gone with all that was in it" in finding.reason
    assert "`up --refresh`" in finding.reason


def test_what_a_first_up_made_that_failed_is_no_obstacle_to_the_next(api: KubernetesApi, tmp_path: Path) -> None:
    """A failed first `up` leaves no outputs. A deployment runs preflight before each `up` and could never continue."""
    put_world(api)
    put_uri(api)
    put_release(api, 1, "deployed", {}, name=GRAPH, namespace=GRAPH)
    entry = {**configuration()["teleport"][CLUSTER], "adopt": False}
    for own in (settings(tmp_path), settings(tmp_path, teleport={CLUSTER: entry})):
        findings = run(tmp_path, settings=own, record=given(patch_values(USERS, PATCH), 2))
        assert not_passed(findings) == {}
        assert findings["access-graph.namespace"].reason == "made by this stack"
        assert findings[f"{TELEPORT}config-map"].reason == "made by this stack"


def test_what_a_destroy_that_left_something_took_away_is_not_had_any_more(api: KubernetesApi, tmp_path: Path) -> None:
    """After a `destroy` that failed or had `--exclude-protected`, the outputs stay, and so does the ConfigMap that auth
    mounts."""
    put_world(api)
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    findings = run(tmp_path, outputs=OUTPUTS, record=EngineRecord(begun=[], releases={}, ids={}))
    assert findings["access-graph.namespace"].reason == "it does not exist yet"
    assert findings[f"{TELEPORT}config-map"].outcome is Outcome.FAIL
    assert "after a plain `destroy` the clean-up comes first" in findings[f"{TELEPORT}config-map"].reason


def test_a_release_of_the_access_graph_that_the_state_has_lost_is_no_name_that_is_free(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """Helm would refuse with `cannot re-use a name that is still in use`. If nobody read the state, the outputs tell
    that this stack made the release."""
    put_world(api)
    put_release(api, 1, "deployed", {}, name=GRAPH, namespace=GRAPH)
    lost = EngineRecord(begun=[], releases={}, ids={key: IDS[key] for key in IDS if key != "access-graph-release"})
    known = OUTPUTS | {"releaseName": GRAPH}
    finding = run(tmp_path, outputs=known, record=lost)["access-graph.release"]
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith(
        f"revision 1 of {GRAPH} runs, and no `up` of this stack recorded it; after a crash `recover`"
    )
    had = run(tmp_path, outputs=known, record=EngineRecord(begun=[], releases={}, ids=IDS))
    for findings in (had, run(tmp_path, outputs=known)):
        assert findings["access-graph.release"].reason == "revision 1 is deployed"
    off = settings(tmp_path, accessGraph={**configuration()["accessGraph"], "enabled": False})
    assert run(tmp_path, settings=off, outputs=known, record=lost)["access-graph.release"].outcome is Outcome.PASS


def test_a_release_that_somebody_uninstalled_is_not_one_that_is_still_to_be_made(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """A plain `up` that changes nothing of the release passes without it, and Helm refuses one that does."""
    put_world(api)
    entry = {**configuration()["teleport"][CLUSTER], "adopt": False}
    installed = settings(tmp_path, teleport={CLUSTER: entry})
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v2"]
    findings = run(tmp_path, settings=installed, outputs=OUTPUTS, record=EngineRecord(begun=[], releases={}, ids=IDS))
    for check in ("access-graph.release", f"{TELEPORT}release"):
        assert findings[check].outcome is Outcome.FAIL
        assert "Helm no longer has it" in findings[check].reason
        assert "run `up --refresh`" in findings[check].reason


def test_a_namespace_that_is_another_than_the_states_is_not_had(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    before = EngineRecord(begun=[], releases={}, ids={**IDS, "namespace-namespace": "former"})
    finding = run(tmp_path, outputs=OUTPUTS | {"namespace": "former"}, record=before)["access-graph.namespace"]
    assert finding.outcome is Outcome.FAIL
    assert "no `up` of this stack recorded it" in finding.reason


@pytest.mark.slow
def test_a_namespace_that_the_last_up_used_as_somebodys_is_not_made_by_the_next(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """An `up` would find the name taken. Only the state tells whether the namespace has been imported since; the
    outputs do not."""
    put_world(api)
    given_away = OUTPUTS | {"ledger": {"namespace": {"name": GRAPH, "made": False, "kept": False}}}
    for record in (None, EngineRecord(begun=[], releases={}, ids={})):
        finding = run(tmp_path, outputs=given_away, record=record)["access-graph.namespace"]
        assert finding.outcome is Outcome.NOT_PROVEN
        assert "set accessGraph.createNamespace to false, or import it first" in finding.reason
    imported = EngineRecord(begun=[], releases={}, ids=IDS)
    assert run(tmp_path, outputs=given_away, record=imported)["access-graph.namespace"].outcome is Outcome.PASS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chart", "outcome", "reason"),
    [
        ("18.10.3", Outcome.PASS, "revision 2 has 18.10.3"),
        ("19.0.1", Outcome.PASS, "revision 2 has 18.10.3, and goes to 19.0.1"),
        ("18.10.2", Outcome.NOT_PROVEN, "an `up` that changes its values takes it back; raise chart.version, unless"),
        ("17.7.0", Outcome.FAIL, "Teleport does not go back a major version; raise chart.version"),
        ("20.0.0", Outcome.FAIL, "Teleport takes one major version at a time; go to 19 first"),
    ],
)
def test_a_teleport_that_was_upgraded_by_hand_is_not_taken_back_unseen(
    chart: str, outcome: Outcome, reason: str, api: KubernetesApi, tmp_path: Path
) -> None:
    """The release's values equal the files', so no other check would notice the upgrade."""
    put_world(api)
    put_uri(api)
    entry = configuration()["teleport"][CLUSTER]
    entry["chart"]["version"] = chart
    found = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: entry}), outputs=OUTPUTS)
    assert found[f"{TELEPORT}values"].outcome is Outcome.PASS
    assert (found[f"{TELEPORT}chart"].outcome, reason in found[f"{TELEPORT}chart"].reason) == (outcome, True)


@pytest.mark.slow
def test_after_an_up_the_stacks_own_patch_is_no_difference(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_uri(api)
    findings = run(tmp_path, outputs=OUTPUTS)
    assert not_passed(findings) == {}
    assert findings["access-graph.namespace"].reason == "made by this stack"


EXPORT: dict[str, Any] = {"enabled": True, "start_date": "2026-01-31T00:00:00Z"}


def with_export() -> dict[str, Any]:
    audit_log = AuditLog(enabled=True, start_date=EXPORT["start_date"])
    return patch_values(USERS, AccessGraphPatch(endpoint=PATCH.endpoint, ca_checksum="0123", audit_log=audit_log))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False], ids=["still", "not any more"])
def test_after_an_up_the_export_of_the_audit_log_is_no_difference(
    api: KubernetesApi, tmp_path: Path, asked: bool
) -> None:
    """The stack wrote this export itself; the next `up` writes it again or removes it."""
    put_world(api)
    put_uri(api)
    put_release(api, 3, "deployed", with_export())
    entry = configuration()["teleport"][CLUSTER]
    if asked:
        entry["auditLog"] = {"startDate": EXPORT["start_date"]}
    written = {CLUSTER: {"access_graph": {**PATCH.configuration(), "audit_log": EXPORT}}}
    stack = settings(tmp_path, teleport={CLUSTER: entry})
    assert not_passed(run(tmp_path, settings=stack, outputs={**OUTPUTS, "teleportConfig": written})) == {}


@pytest.mark.slow
def test_an_export_of_the_audit_log_that_is_the_users_own_is_compared(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_uri(api)
    put_release(api, 3, "deployed", with_export())
    own = {"auth": {"teleportConfig": {"access_graph": {"audit_log": {**EXPORT, "enabled": False}}}}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**USERS, **own}), encoding="utf-8")
    entry = {**configuration()["teleport"][CLUSTER], "valuesFiles": ["own.yaml"]}
    findings = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: entry}), outputs=OUTPUTS)
    assert not_passed(findings) == {f"{TELEPORT}values": Outcome.FAIL}
    assert findings[f"{TELEPORT}values"].reason.startswith("~ auth.teleportConfig.access_graph.audit_log.enabled (+")


def other_values(**changes: Any) -> Callable[[KubernetesApi], None]:
    return lambda api: put_release(api, 4, "deployed", patch_values({**USERS, **changes}, PATCH))


def made_by(stack: str) -> dict[str, Any]:
    return {"annotations": {"teleport-access-graph/stack": stack}}


def dialling(endpoint: str, *, enabled: bool = True) -> str:
    return yaml.safe_dump({"access_graph": {"enabled": enabled, "endpoint": endpoint}})


OBSTACLES: dict[str, tuple[Callable[[KubernetesApi], Any], str, str]] = {
    "another cluster": (
        lambda api: api.put("Namespace", "kube-system", uid="other"),
        "kubernetes.test.identifier",
        "UID of kube-system is other",
    ),
    "a cluster that does not say which it is": (
        lambda api: api.objects.pop("/api/v1/namespaces/kube-system"),
        "kubernetes.test.identifier",
        "UID of kube-system is unknown",
    ),
    "an old cluster": (lambda api: setattr(api, "minor", "20"), "kubernetes.test.version", "it is 1.20"),
    "a namespace of somebody else's": (
        lambda api: api.put("Namespace", GRAPH),
        "access-graph.namespace",
        "no `up` of this stack recorded it",
    ),
    "a namespace of another stack's": (
        lambda api: api.put("Namespace", GRAPH, metadata=made_by("acme/teleport-access-graph/other")),
        "access-graph.namespace",
        "the stack acme/teleport-access-graph/other made it; give another accessGraph.namespace",
    ),
    "a namespace that this stack may have made": (
        lambda api: api.put("Namespace", GRAPH, metadata=made_by("acme/teleport-access-graph/test")),
        "access-graph.namespace",
        "after a crash `recover`, otherwise give another name",
    ),
    "a namespace that is on its way out": (
        lambda api: api.put("Namespace", GRAPH, status={"phase": "Terminating"}),
        "access-graph.namespace",
        "it is being deleted, and takes nothing new until it is gone: it does not say what for",
    ),
    "a release that is half uninstalled": (
        lambda api: put_release(api, 4, "uninstalling", USERS),
        f"{TELEPORT}release",
        "revision 4 of teleport is uninstalling; `recover` ends its removal, or says how to have it back",
    ),
    "no licence": (
        lambda api: api.put("Secret", "license", "teleport", data={}),
        f"{TELEPORT}licence",
        "kubectl --context test --namespace teleport create secret generic license --from-file=license.pem",
    ),
    "a licence under another key": (
        lambda api: api.put("Secret", "license", "teleport", data={"license": "eA=="}),
        f"{TELEPORT}licence",
        "kubectl --context test --namespace teleport create secret generic license --from-file=license.pem",
    ),
    "an old Teleport": (
        lambda api: put_deployment(api, "teleport-auth", "teleport")["spec"]["template"]["spec"].update(
            containers=[{"name": "teleport", "image": "teleport-ent:17.7.0"}]
        ),
        f"{TELEPORT}version",
        "17.7.0 (image teleport-ent) is older than 18.0.0, which the access graph 1.30.2 needs (goteleport.com/",
    ),
    "what a plain destroy left": (
        lambda api: api.put("ConfigMap", "teleport-access-graph-ca", "teleport", data={"ca.pem": "x"}),
        f"{TELEPORT}config-map",
        "after a plain `destroy` the clean-up comes first",
    ),
    "what another stack has in Teleport's namespace": (
        lambda api: api.put(
            "ConfigMap",
            "teleport-access-graph-ca",
            "teleport",
            metadata=made_by("acme/teleport-access-graph/other"),
            data={"ca.pem": "x"},
        ),
        f"{TELEPORT}config-map",
        "the stack acme/teleport-access-graph/other made it in teleport and has this Teleport: that stack gives the "
        "Teleport up first",
    ),
    "a Teleport that has another access graph": (
        lambda api: api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": dialling("graph.b:443")}),
        f"{TELEPORT}endpoint",
        "auth dials graph.b:443, and no `up` of this stack recorded it",
    ),
    "a community edition": (
        lambda api: put_release(api, 4, "deployed", {**USERS, "enterprise": False}),
        f"{TELEPORT}values",
        "~ enterprise",
    ),
    "a pending release": (
        lambda api: put_release(api, 4, "pending-upgrade", {}),
        f"{TELEPORT}release",
        "revision 4 of teleport is pending-upgrade; `recover`",
    ),
    "a live value that the files lack": (other_values(log={"level": "DEBUG"}), f"{TELEPORT}values", "+ log.level"),
    "a live value that differs": (other_values(service={"type": "NodePort"}), f"{TELEPORT}values", "~ service.type"),
    "a load balancer that never comes": (
        lambda api: api.put("Service", "teleport", "teleport", spec={"type": "LoadBalancer"}),
        f"{TELEPORT}service",
        "set service.type: ClusterIP",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", OBSTACLES)
def test_each_obstacle_is_told(api: KubernetesApi, tmp_path: Path, case: str) -> None:
    put_before(api)
    obstruct, check, reason = OBSTACLES[case]
    obstruct(api)
    findings = run(tmp_path)
    assert not_passed(findings) == {check: Outcome.FAIL}
    assert reason in findings[check].reason
    assert findings[check].reason.endswith(f" [--skip {check}]")
    assert not_passed(run(tmp_path, skip=(check,))) == {}


@pytest.mark.parametrize(
    "text",
    [
        dialling(f"{HOST}:443"),
        dialling("graph.b:443", enabled=False),
        "access_graph: []",
        "teleport: {}",
        "",
        "- [",
        "x",
    ],
)
def test_a_teleport_that_dials_nobody_else_is_nobody_elses(api: KubernetesApi, tmp_path: Path, text: str) -> None:
    put_before(api)
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": text})
    assert f"{TELEPORT}endpoint" not in run(tmp_path)


def test_a_teleport_of_the_stacks_own_and_one_that_it_does_not_connect_may_dial_anybody(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """If the stack owns Teleport, the `up` itself reports another endpoint; if the access graph is off, the `up`
    removes the connection."""
    put_world(api)
    put_uri(api)
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": dialling("graph.b:443")})
    check = f"{TELEPORT}endpoint"
    assert check not in run(tmp_path, outputs=OUTPUTS)
    assert check not in run(tmp_path, settings=settings(tmp_path, accessGraph={"enabled": False}))
    assert run(tmp_path)[check].outcome is Outcome.FAIL
    assert run(tmp_path, settings=settings_of_mode(tmp_path, "values"))[check].outcome is Outcome.FAIL
    assert run(tmp_path, outputs=None)[check].outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize(("minor", "outcome"), [("20", Outcome.FAIL), ("21", Outcome.PASS), ("21+", Outcome.PASS)])
def test_the_oldest_kubernetes_that_serves_is_1_21(
    api: KubernetesApi, tmp_path: Path, minor: str, outcome: Outcome
) -> None:
    """Managed clusters append a plus to the minor version."""
    put_before(api)
    api.minor = minor
    assert run(tmp_path)["kubernetes.test.version"].outcome is outcome


@pytest.mark.parametrize("said", [{"licenseSecretName": "bought"}, {"auth": {"licenseSecretName": "bought"}}])
def test_the_licence_is_looked_for_in_the_secret_that_the_values_name(
    api: KubernetesApi, tmp_path: Path, said: dict[str, Any]
) -> None:
    put_before(api)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**USERS, **said}), encoding="utf-8")
    entry = {**configuration()["teleport"][CLUSTER], "valuesFiles": ["own.yaml"]}
    own = settings(tmp_path, teleport={CLUSTER: entry})
    check = f"{TELEPORT}licence"
    assert "there is no Secret bought with the key license.pem" in run(tmp_path, settings=own)[check].reason
    api.put("Secret", "bought", "teleport", data={"license.pem": base64.b64encode(b"x").decode()})
    assert run(tmp_path, settings=own)[check].outcome is Outcome.PASS


@pytest.mark.slow
def test_secrets_in_the_live_values_are_named_by_path_alone(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_release(api, 4, "deployed", {**USERS, "auth": {"adminPassword": "hunter2"}})
    open_one = run(tmp_path)[f"{TELEPORT}values"]
    assert open_one.outcome is Outcome.FAIL
    kept = run(tmp_path, secret_values=True)[f"{TELEPORT}values"]
    assert kept.outcome is Outcome.NOT_PROVEN
    for finding in (open_one, kept):
        assert "+ auth.adminPassword" in finding.reason
        assert "hunter2" not in finding.reason


def given(values: dict[str, Any] | None, revision: int) -> EngineRecord:
    release = GivenRelease(values=values, revision=revision)
    return EngineRecord(begun=[], releases={f"teleport-{CLUSTER}-release": release}, ids=IDS)


def with_files(root: Path, values: dict[str, Any], **changes: Any) -> Finding:
    """The finding about the values when the stack owns its Teleport and its values file has these values."""
    (root / "own.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    entry = {**configuration()["teleport"][CLUSTER], "valuesFiles": ["own.yaml"]}
    own = settings(root, teleport={CLUSTER: entry})
    return run(root, settings=own, **{"outputs": OUTPUTS, **changes})[f"{TELEPORT}values"]


def test_files_that_changed_since_the_last_up_are_what_the_next_one_brings(api: KubernetesApi, tmp_path: Path) -> None:
    """A deployment runs preflight before its `up`; without this, no `up` could bring changed values."""
    put_world(api)
    changed = {**USERS, "log": {"level": "DEBUG"}, "service": {"type": "NodePort"}}
    del changed["annotations"]
    found = with_files(tmp_path, changed)
    assert found.outcome is Outcome.PASS
    assert "the files have changed since: + annotations.pod.team, - log.level, ~ service.type" in found.reason
    assert with_files(tmp_path, changed, outputs={}).outcome is Outcome.FAIL, "before it is adopted they lose values"
    put_release(api, 3, "deployed", patch_values({**USERS, "proxy": {"replicaCount": 7}}, PATCH))
    by_hand = with_files(tmp_path, changed)
    assert by_hand.outcome is Outcome.FAIL
    assert by_hand.reason.startswith("+ proxy.replicaCount (")


def test_what_an_up_brought_that_failed_later_may_be_taken_back(api: KubernetesApi, tmp_path: Path) -> None:
    """The outputs are from the last complete `up`; only the state has the values that the failed one gave."""
    put_world(api)
    brought = patch_values({**USERS, "log": {"level": "DEBUG"}}, PATCH)
    put_release(api, 3, "deployed", brought)
    assert with_files(tmp_path, USERS).outcome is Outcome.FAIL
    assert with_files(tmp_path, USERS, record=given(brought, 3)).outcome is Outcome.PASS


def test_secret_values_need_not_look_secret(api: KubernetesApi, tmp_path: Path) -> None:
    """No record has the secret values in plain. The one hint is that nobody except the engine has changed the
    release."""
    put_world(api)
    put_release(api, 3, "deployed", patch_values({**USERS, "contact": "x", "service": {"type": "y"}}, PATCH))
    found = with_files(tmp_path, USERS, record=given(None, 3), secret_values=True)
    assert found.outcome is Outcome.NOT_PROVEN
    assert found.reason.startswith("+ contact, ~ service.type: ")
    assert with_files(tmp_path, USERS, record=given(None, 2), secret_values=True).outcome is Outcome.FAIL
    assert with_files(tmp_path, USERS, record=given(None, 3)).outcome is Outcome.FAIL
    put_release(api, 4, "deployed", patch_values({"clusterName": CLUSTER, "contact": "x"}, PATCH))
    assert with_files(tmp_path, USERS, record=given(None, 4), secret_values=True).outcome is Outcome.FAIL


@pytest.mark.slow
def test_a_release_to_adopt_must_be_there_and_one_to_make_must_not(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    entry = settings(tmp_path).teleport[CLUSTER]
    assert entry.adopt  # type: ignore[union-attr]
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v3"]
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v2"]
    assert "set adopt to false" in run(tmp_path)[f"{TELEPORT}release.adopt"].reason
    # Once the stack has adopted the release, the program refuses `adopt: false`.
    adopted = {"ledger": {"teleport": {CLUSTER: {"mode": "release", "adopted": True}}}}
    gone = run(tmp_path, outputs=OUTPUTS | adopted)[f"{TELEPORT}release.adopt"].reason
    assert "set adopt to false" not in gone
    assert "`recover`, `helm --kube-context test --namespace teleport install teleport <its chart>" in gone
    put_release(api, 3, "deployed", USERS)
    entry_to_make = {**configuration()["teleport"][CLUSTER], "adopt": False}
    to_make = settings(tmp_path, teleport={CLUSTER: entry_to_make})
    check = f"{TELEPORT}release.adopt"
    findings = run(tmp_path, settings=to_make)
    assert not_passed(findings) == {check: Outcome.FAIL}
    assert findings[check].reason == (
        f"revision 3 runs, and no `up` of this stack recorded it; set adopt to true [--skip {check}]"
    )
    assert not_passed(run(tmp_path, settings=to_make, outputs=None)) == {check: Outcome.NOT_PROVEN}
    assert check not in run(tmp_path, settings=to_make, outputs={"teleportValues": OUTPUTS["teleportValues"]})


@pytest.mark.parametrize("said", ["false", "true", 1, False, None])
def test_only_a_plain_true_is_teleport_enterprise(api: KubernetesApi, tmp_path: Path, said: Any) -> None:
    """A string never counts as true, whatever it says."""
    put_before(api)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**USERS, "enterprise": said}), encoding="utf-8")
    entry = {**configuration()["teleport"][CLUSTER], "valuesFiles": ["own.yaml"]}
    findings = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: entry}))
    assert findings[f"{TELEPORT}enterprise"].outcome is Outcome.FAIL
    assert "its values do not say `enterprise: true`" in findings[f"{TELEPORT}enterprise"].reason
    assert f"{TELEPORT}licence" not in findings


def test_a_config_map_is_no_obstacle_to_a_stack_that_makes_none(api: KubernetesApi, tmp_path: Path) -> None:
    """If Teleport's own trust store has the authorities, the stack makes no ConfigMap, and an existing one of that name
    is no obstacle."""
    put_before(api)
    api.put("ConfigMap", "teleport-access-graph-ca", "teleport", data={"ca.pem": "x"})
    check = f"{TELEPORT}config-map"
    tls = {"mode": "existingSecret", "secretName": "certificate"}
    (tmp_path / "authorities.pem").write_text(authority("graph-1").pem)
    bundle = settings(tmp_path, tls={**tls, "trustBundleFile": "authorities.pem"})
    assert run(tmp_path, settings=bundle)[check].outcome is Outcome.FAIL
    assert check not in run(tmp_path, settings=settings(tmp_path, tls={**tls, "trust": "system"}))


def test_a_trust_bundle_that_is_no_text_is_a_finding(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    (tmp_path / "authorities.pem").write_bytes(authority("graph-1").pem.encode("utf-16"))
    tls = {"mode": "existingSecret", "secretName": "certificate", "trustBundleFile": "authorities.pem"}
    findings = run(tmp_path, settings=settings(tmp_path, tls=tls))
    assert findings["files"].outcome is Outcome.FAIL
    assert "tls.trustBundleFile: 'authorities.pem': is not text" in findings["files"].reason


def test_unknown_outputs_make_no_accusation(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    assert not_passed(run(tmp_path, outputs=None)) == {
        "access-graph.namespace": Outcome.NOT_PROVEN,
        f"{TELEPORT}config-map": Outcome.NOT_PROVEN,
    }


def test_checks_can_be_left_out(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    api.minor = "20"
    assert not_passed(run(tmp_path, skip=("kubernetes.test.version",))) == {}


@pytest.mark.slow
def test_a_check_to_leave_out_that_there_is_none_of_is_said(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_before(api)
    found = settings(tmp_path)
    stack = SimpleNamespace(settings=lambda: found, secret_keys=())
    monkeypatch.setattr(command_line, "read_stack_file", lambda *_: stack)
    (tmp_path / "outputs.json").write_text("{}")

    def skipping(*names: str) -> tuple[int, str]:
        flags = [part for name in names for part in ("--skip", name)]
        arguments = ["preflight", "--json", "--stack-outputs", str(tmp_path / "outputs.json"), *flags]
        done = CliRunner().invoke(command_line.app, arguments)
        assert json.loads(done.stdout)["findings"]
        return done.exit_code, done.stderr

    assert skipping("teleport", "kubernetes.test.version") == (0, "")
    said = "error: --skip nosuchcheck: no check's name begins with that; --json has the names\n"
    assert skipping("teleport", "nosuchcheck") == (2, said)
    api.minor = "20"
    assert skipping("nosuchcheck") == (1, said)


def test_a_cluster_that_does_not_answer_is_one_line(api: KubernetesApi, tmp_path: Path) -> None:
    api.refuse = {"/namespaces/kube-system": 403}
    findings = run(tmp_path)
    assert not_passed(findings) == {"kubernetes.test": Outcome.FAIL}
    assert "not allowed to read Namespace kube-system (403)" in findings["kubernetes.test"].reason


def let_only(api: KubernetesApi, purpose: Purpose, root: Path, **changes: Any) -> list[str]:
    """From now on the API answers as to the identity that `privileges --for` describes. Returns the list to which
    refused paths are added."""
    (allowed,) = rights(settings(root, **changes), purpose)
    named = {(resource.name, name) for resource, names in allowed.named for name in names}
    refused: list[str] = []
    answer = api.answer

    def grants(given: Rights, plural: str) -> bool:
        return any(resource.name == plural and "get" in verbs for resource, verbs in given.items())

    def answered(method: str, target: str) -> tuple[int, str]:
        path = target.partition("?")[0]
        parts = path.split("/namespaces/", 1)[-1].split("/")
        inside = "/namespaces/" in path and len(parts) > 1
        plural, namespace, name = (parts[1], parts[0], "") if inside else ("namespaces", "", parts[0])
        asked = "/namespaces/" not in path or (plural, name) in named or grants(allowed.everywhere, plural)
        if asked or grants(allowed.namespaces.get(namespace, {}), plural):
            return answer(method, target)
        refused.append(path)
        return 403, json.dumps({"kind": "Status", "message": "forbidden", "code": 403})

    api.answer = answered  # type: ignore[method-assign]
    return refused


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["release", "values"])
def test_what_the_previews_role_may_not_read_is_no_objection(api: KubernetesApi, tmp_path: Path, mode: str) -> None:
    put_world(api)
    put_uri(api)
    graph = {"imagePullSecrets": ["registry"]}
    entry = configuration()["teleport"][CLUSTER] if mode == "release" else entry_of(mode="values")
    refused = let_only(api, Purpose.PREVIEW, tmp_path, accessGraph=graph, teleport={CLUSTER: entry})
    changed = settings(tmp_path, accessGraph=graph, teleport={CLUSTER: entry})
    findings = run(tmp_path, settings=changed, outputs=OUTPUTS)
    assert refused
    assert all("/secrets" in path for path in refused)
    assert not_passed(findings) == dict.fromkeys(
        [
            "access-graph.pull-secret.registry",
            "access-graph.database-secret",
            "access-graph.release",
            f"{TELEPORT}licence",
            f"{TELEPORT}release",
        ],
        Outcome.NOT_PROVEN,
    )
    assert failed_checks(json.dumps({"findings": [asdict(one) for one in findings.values()]})) == ()
    assert findings[f"{TELEPORT}version"].outcome is Outcome.PASS
    assert "not allowed to list Secrets in teleport (403)" in findings[f"{TELEPORT}release"].reason


@pytest.mark.slow
def test_what_may_be_read_still_stands_against_an_up_beside_what_may_not(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_uri(api)
    api.put("Service", "teleport", "teleport", spec={"type": "LoadBalancer"})
    let_only(api, Purpose.PREVIEW, tmp_path)
    findings = run(tmp_path, outputs={**OUTPUTS, "teleportValues": {}})
    failures = {name for name, outcome in not_passed(findings).items() if outcome is Outcome.FAIL}
    assert failures == {f"{TELEPORT}config-map", f"{TELEPORT}service"}


def test_an_issuer_that_may_not_be_looked_at_is_not_proven(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    version = "/apis/cert-manager.io/v1"
    api.objects[version] = {"kind": "APIResourceList", "resources": [{"kind": "Certificate"}]}
    api.refuse = {"/secrets/internal-ca": 403}
    tls = {"mode": "certManager", "trust": "system", "issuer": {"mode": "ca", "secretName": "internal-ca"}}
    findings = run(tmp_path, settings=settings(tmp_path, tls=tls))
    assert findings["certificate.definitions"].outcome is Outcome.PASS
    assert findings["certificate.issuer"].outcome is Outcome.NOT_PROVEN


def put_namespace(api: KubernetesApi, level: str | None = "restricted", **status: str) -> None:
    labels = {} if level is None else {"pod-security.kubernetes.io/enforce": level}
    api.put("Namespace", GRAPH, metadata={"labels": labels}, status=status)


def in_existing_namespace(root: Path, **graph: Any) -> dict[str, Finding]:
    found = run(root, settings=settings(root, accessGraph={"createNamespace": False, **graph}))
    return {name: finding for name, finding in found.items() if name.startswith("access-graph.")}


def test_a_namespace_that_exists_is_looked_at(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_namespace(api)
    findings = in_existing_namespace(tmp_path)
    assert not_passed(findings) == {}
    assert list(findings) == [
        "access-graph.chart",
        "access-graph.namespace",
        "access-graph.pod-security",
        "access-graph.database-secret",
        "access-graph.release",
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "teleport-access-graph-database-ca"),
        ("ServiceAccount", "teleport-access-graph-database-access"),
        ("Secret", "teleport-access-graph-tls"),
        ("Secret", "teleport-access-graph-postgres"),
        ("Secret", "teleport-access-graph-postgres-iam"),
    ],
)
def test_a_namespace_in_which_another_stack_has_its_access_graph_is_none_to_use(
    api: KubernetesApi, tmp_path: Path, kind: str, name: str
) -> None:
    """The stack's objects in a namespace have fixed names: an `up` would fail at the first of them."""
    put_before(api)
    put_namespace(api)
    api.put(kind, name, GRAPH, metadata=made_by("acme/teleport-access-graph/other"), data={})
    findings = in_existing_namespace(tmp_path)
    assert not_passed(findings) == {"access-graph.shared": Outcome.FAIL}
    assert f"the {kind} {name} is of the stack acme/teleport-access-graph/other" in (
        findings["access-graph.shared"].reason
    )
    # The state records the namespace, so it is this stack's; its mark is older than a rename of the stack.
    renamed = settings(tmp_path, accessGraph={"createNamespace": False})
    assert "access-graph.shared" not in run(tmp_path, settings=renamed, outputs=OUTPUTS)
    api.put(kind, name, GRAPH, metadata=made_by("acme/teleport-access-graph/test"), data={})
    assert not_passed(in_existing_namespace(tmp_path)) == {}


@pytest.mark.parametrize("level", [None, "baseline", "privileged"])
def test_a_namespace_that_lets_pods_do_more_is_not_proven(
    api: KubernetesApi, tmp_path: Path, level: str | None
) -> None:
    """The stack's pods run there too, so an `up` is not stopped. A user who accepts this uses --skip."""
    put_before(api)
    put_namespace(api, level)
    findings = in_existing_namespace(tmp_path)
    assert not_passed(findings) == {"access-graph.pod-security": Outcome.NOT_PROVEN}
    reason = findings["access-graph.pod-security"].reason
    assert f"enforce is {level or 'missing'}" in reason
    assert (
        f"kubectl --context test label namespace {GRAPH} --overwrite pod-security.kubernetes.io/enforce=restricted"
        in reason
    )


def test_a_namespace_that_is_missing_or_on_its_way_out_stops_an_up(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    missing = in_existing_namespace(tmp_path)["access-graph.namespace"]
    assert missing.outcome is Outcome.FAIL
    assert f"kubectl --context test create namespace {GRAPH}" in missing.reason
    put_namespace(api, phase="Terminating")
    leaving = in_existing_namespace(tmp_path)["access-graph.namespace"]
    assert leaving.outcome is Outcome.FAIL
    assert "it is being deleted" in leaving.reason


def test_secrets_that_others_bring_are_asked_for(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_namespace(api)
    api.put("Secret", "database", GRAPH, data={"url": "eA=="})
    findings = in_existing_namespace(tmp_path, imagePullSecrets=["registry"])
    assert not_passed(findings) == {
        "access-graph.pull-secret.registry": Outcome.FAIL,
        "access-graph.database-secret": Outcome.FAIL,
    }
    assert "there is no Secret registry" in findings["access-graph.pull-secret.registry"].reason
    assert "its keys are: url" in findings["access-graph.database-secret"].reason
    api.put("Secret", "registry", GRAPH, data={".dockerconfigjson": "eA=="})
    put_uri(api)
    assert not_passed(in_existing_namespace(tmp_path, imagePullSecrets=["registry"])) == {}


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (b"postgres://graph:hunter2@db.example.com/graph?sslmode=require", "has sslmode=require"),
        (b"postgres://graph:hunter2@db.example.com/graph", "has no sslmode"),
        (f"{URI}&sslrootcert=/var/run/database-ca/bundle.pem".encode(), "there is none; set database.caBundleFile"),
        (f"{URI}\n".encode(), "has white space"),
        (b"postgres://graph:hunter2\xff@db.example.com/graph", "not text in UTF-8"),
    ],
)
def test_the_uri_in_a_secret_of_others_keeps_the_same_rules_before_an_up(
    api: KubernetesApi, tmp_path: Path, uri: bytes, told: str
) -> None:
    """The program never sees this URI, and without preflight TAG would be the first to use it."""
    put_before(api)
    put_namespace(api)
    put_uri(api, uri)
    findings = run(tmp_path, settings=settings(tmp_path, accessGraph={"createNamespace": False}))
    assert not_passed(findings) == {"database.uri": Outcome.FAIL}
    assert told in findings["database.uri"].reason
    assert "hunter2" not in repr(findings)


def test_a_uri_that_may_go_unverified_and_one_with_a_bundle_pass(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_namespace(api)
    put_uri(api, b"postgres://graph:hunter2@db.example.com/graph?sslmode=require")
    database = {"allowUnverified": True}
    permitted = settings(tmp_path, accessGraph={"createNamespace": False}, database=database)
    assert not_passed(run(tmp_path, settings=permitted)) == {}
    put_uri(api, f"{URI}&sslrootcert=/var/run/database-ca/bundle.pem".encode())
    (tmp_path / "ca.pem").write_text(authority("database").pem)
    verified = settings(tmp_path, accessGraph={"createNamespace": False}, database={"caBundleFile": "ca.pem"})
    assert not_passed(run(tmp_path, settings=verified)) == {}


def test_a_uri_that_is_still_to_be_made_stops_no_up_without_the_access_graph(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """The first `up` may come before the Secret: nothing uses it yet."""
    put_before(api)
    put_namespace(api)
    del api.objects[f"/api/v1/namespaces/{GRAPH}/secrets/database"]
    graph = {"createNamespace": False, "enabled": False}
    findings = run(tmp_path, settings=settings(tmp_path, accessGraph=graph))
    assert not_passed(findings) == {"access-graph.database-secret": Outcome.NOT_PROVEN}
    assert "make it before you set that to true" in findings["access-graph.database-secret"].reason


def test_a_database_that_is_told_by_its_uri_needs_no_secret_of_others(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_namespace(api)
    settings(tmp_path)
    plain = {**configuration(accessGraph={"createNamespace": False}), "database": {"mode": "existing"}}
    by_uri = load_settings(plain, ("databaseUri",), root=tmp_path, stack="test")
    findings = run(tmp_path, settings=by_uri)
    assert findings["access-graph.namespace"].outcome is Outcome.PASS
    assert "access-graph.database-secret" not in findings


def entry_of(**changes: Any) -> dict[str, Any]:
    """The world's Teleport entry, changed to another mode."""
    entry: dict[str, Any] = configuration()["teleport"][CLUSTER]
    for key in ("adopt", "chart"):
        del entry[key]
    return {**entry, **changes}


PRESENTED = f"{TELEPORT}host-authorities"


@pytest.mark.parametrize("mode", ["release", "values"])
def test_host_authorities_that_the_cluster_does_not_use_any_more_stop_an_up(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str], mode: str
) -> None:
    """A rebuilt cluster has the same name, and the CA in the configuration is still valid: nothing else tells."""
    put_before(api)
    rebuilt = parse_authorities(host_authority(CLUSTER))[0]
    proxies[f"{CLUSTER}:443"] = rebuilt.pem
    findings = run(tmp_path, settings=settings_of_mode(tmp_path, mode))
    assert not_passed(findings) == {PRESENTED: Outcome.FAIL}
    assert rebuilt.fingerprint in findings[PRESENTED].reason
    assert f"teleport.{CLUSTER}.hostAuthorities does not" in findings[PRESENTED].reason


def test_a_teleport_without_the_chart_is_asked_at_its_name(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str]
) -> None:
    put_before(api)
    proxies[f"{CLUSTER}:443"] = host_authority(CLUSTER)
    entry = {"mode": "manual", "hostAuthorities": configuration()["teleport"][CLUSTER]["hostAuthorities"]}
    findings = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: entry}))
    assert findings[PRESENTED].outcome is Outcome.FAIL


def test_host_authorities_that_the_cluster_uses_pass(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str]
) -> None:
    put_before(api)
    proxies[f"{CLUSTER}:443"] = authority(CLUSTER).pem
    assert run(tmp_path)[PRESENTED].outcome is Outcome.PASS


@pytest.mark.parametrize(("former", "outcome"), [("keep", Outcome.PASS), ("drop", Outcome.FAIL)])
def test_one_that_was_accepted_before_counts_for_as_long_as_it_is_kept(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str], former: str, outcome: Outcome
) -> None:
    put_world(api)
    put_uri(api)
    put_release(api, 4, "deployed", patch_values(USERS, PATCH))
    known = host_authority(CLUSTER)
    proxies[f"{CLUSTER}:443"] = known
    entry = configuration()["teleport"][CLUSTER]
    given = {"mode": "inline", "certificates": [authority(CLUSTER).pem], "former": former}
    changed = settings(tmp_path, teleport={CLUSTER: {**entry, "hostAuthorities": given}})
    outputs = {**OUTPUTS, "ledger": {"hostAuthorities": {CLUSTER: [known, authority(CLUSTER).pem]}}}
    assert run(tmp_path, settings=changed, outputs=outputs)[PRESENTED].outcome is outcome


@pytest.mark.parametrize("answer", ["<html>", "", authority("another.example.com").pem])
def test_an_answer_that_is_not_the_clusters_says_nothing_of_its_host_authorities(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str], answer: str
) -> None:
    put_before(api)
    assert PRESENTED not in run(tmp_path), "no proxy answers"
    proxies[f"{CLUSTER}:443"] = answer
    assert PRESENTED not in run(tmp_path)


def test_nobody_asks_for_host_authorities_while_they_are_not_needed(
    api: KubernetesApi, tmp_path: Path, proxies: dict[str, str]
) -> None:
    put_before(api)
    proxies[f"{CLUSTER}:443"] = host_authority(CLUSTER)
    assert PRESENTED not in run(tmp_path, settings=settings(tmp_path, accessGraph={"enabled": False}))


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, "root.example.com:443"),
        ({"publicAddr": []}, "root.example.com:443"),
        ({"publicAddr": ["web.example.com:3080", "other:443"]}, "web.example.com:3080"),
        ({"publicAddr": ["web.example.com"], "proxy": {"publicAddr": ["proxy.example.com"]}}, "proxy.example.com:443"),
        ({"publicAddr": ["[::1]:443"]}, None),
        ({"publicAddr": "web.example.com:443", "proxy": None}, "root.example.com:443"),
    ],
)
def test_the_proxies_address_is_the_charts(values: dict[str, Any], address: str | None) -> None:
    assert public_address("Root.example.com", values) == address


def test_values_that_say_community_are_refused_whoever_owns_the_release(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_release(api, 4, "deployed", {**USERS, "enterprise": False})
    theirs = settings(tmp_path, teleport={CLUSTER: entry_of(mode="values")})
    findings = run(tmp_path, settings=theirs)
    assert not_passed(findings) == {f"{TELEPORT}enterprise": Outcome.FAIL}
    assert "do not say `enterprise: true`" in findings[f"{TELEPORT}enterprise"].reason


def test_a_volume_of_the_owners_that_the_handed_over_list_would_drop_is_told(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_before(api)
    theirs = settings(tmp_path, teleport={CLUSTER: entry_of(mode="values")})
    assert not_passed(run(tmp_path, settings=theirs)) == {}
    more = [*USERS["extraVolumes"], {"name": "corp-ca", "configMap": {"name": "corp-ca"}}]
    put_release(api, 4, "deployed", patch_values({**USERS, "extraVolumes": more}, PATCH))
    findings = run(tmp_path, settings=theirs)
    assert not_passed(findings) == {f"{TELEPORT}lists": Outcome.FAIL}
    assert "revision 4 has extraVolumes corp-ca, and the valuesFiles of this entry do not" in (
        findings[f"{TELEPORT}lists"].reason
    )
    handed_over = {"teleportValues": {CLUSTER: patch_values({**USERS, "extraVolumes": more}, PATCH)}}
    taken_out = run(tmp_path, settings=theirs, outputs=handed_over)[f"{TELEPORT}lists"]
    assert taken_out.outcome is Outcome.PASS, "it was handed over, and has left the files since"


def test_a_version_that_nobody_has_looked_at_is_said_to_be_one(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    graph = configuration()["accessGraph"]
    graph["chart"]["version"] = "1.29.7"
    untested = settings(tmp_path, accessGraph={**graph, "allowUntested": True})
    findings = run(tmp_path, settings=untested)
    assert not_passed(findings) == {
        "access-graph.chart": Outcome.NOT_PROVEN,
        f"{TELEPORT}version": Outcome.NOT_PROVEN,
    }
    assert "the nearest that is known is 1.13.0" in findings["access-graph.chart"].reason
    assert "what the access graph 1.29.7 needs is not known; 1.13.0 needs 14.3.4" in (
        findings[f"{TELEPORT}version"].reason
    )


def test_of_a_teleport_without_a_chart_only_the_version_is_asked(api: KubernetesApi, tmp_path: Path) -> None:
    """The configuration names no proxy to ask, so the version stays unproven, and preflight checks nothing else of this
    Teleport."""
    put_before(api)
    entry = configuration()["teleport"][CLUSTER]
    manual = {"mode": "manual", "hostAuthorities": entry["hostAuthorities"]}
    findings = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: manual}))
    assert not_passed(findings) == {f"{TELEPORT}version": Outcome.NOT_PROVEN}
    assert [name for name in findings if name.startswith(TELEPORT)] == [f"{TELEPORT}version"]


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (
            200,
            '{"server_version": "18.10.3", "cluster_name": "x"}',
            ("18.10.3", "https://t.example.com:443/webapi/ping"),
        ),
        (200, "{}", None),
        (200, "no JSON", None),
        (200, "[" * 100_000, None),
        (404, '{"server_version": "18.10.3"}', None),
    ],
)
def test_the_proxy_tells_teleports_version(
    status: int, text: str, expected: tuple[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def get(address: str, path: str, ca_file: Path | None) -> tuple[int, str]:
        asked.append((address, path, ca_file))
        return status, text

    monkeypatch.setattr(teleport_release, "get_from_proxy", get)
    proxy = ProxyHostAuthorities.model_validate({"mode": "proxy", "address": "t.example.com:443", "caFile": "ca.pem"})
    assert teleport_version(None, None, proxy, tmp_path) == expected
    assert asked == [("t.example.com:443", "/webapi/ping", tmp_path / "ca.pem")]


def test_a_version_that_is_none_is_no_end_of_preflight(tmp_path: Path) -> None:
    """A proxy may answer anything, even a number with more digits than Python converts."""
    said = check_floor("check", "statement", settings(tmp_path), ("9" * 5000, "a proxy"))
    assert said.outcome is Outcome.PASS


def test_what_a_killed_engine_left_open_stops_an_up_and_names_recover(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    assert "stack.interrupted" not in run(tmp_path)
    assert not_passed(run(tmp_path, record=EngineRecord(begun=[], releases={}, ids={}))) == {}
    found = run(tmp_path, record=EngineRecord(begun=["database-key", "a", "b", "c", "d"], releases={}, ids={}))
    assert not_passed(found) == {"stack.interrupted": Outcome.FAIL}
    assert found["stack.interrupted"].reason.startswith(
        "it was killed while it made database-key, a, b and 2 more; `python -m operations recover`, then `up`"
    )
