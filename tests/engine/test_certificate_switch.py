"""From one source of the certificate to the next and back, by the steps of docs/certificates.md, while auth calls TAG.

The tests are one story on a sandbox of their own, whose stack owns the Teleport: each begins where the one before it
ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest
import yaml

from components.settings.names import ISSUED_SECRET_NAME, TLS_SECRET_NAME
from sandbox.existing_teleport import CLUSTER, VALUES
from sandbox.home import CHECKOUT
from tests.engine.cert_manager.installation import cert_manager
from tests.engine.certificates import apply, tls_secret, trust_file
from tests.engine.conftest import RunningSandbox, started_sandbox
from tests.engine.prober import Prober
from tests.engine.stacks import PREFIX, Settings
from tests.unit.certificates.pki import HOST, Pair, authority, server

pytestmark = pytest.mark.engine

NAMESPACE = "teleport-access-graph"
INTERNAL, COMPANY = authority("Internal CA"), authority("Company CA")
PAIR = server(COMPANY)
EXTERNAL = {"mode": "external"}
ISSUER = {"mode": "ca", "secretName": "internal-ca"}


@pytest.fixture(scope="module")
def deployed() -> Iterator[RunningSandbox]:
    """The whole stack with a generated certificate, cert-manager, and the Secrets for the other sources."""
    with started_sandbox() as running:
        running.pulumi("up")
        apply(running, tls_secret(NAMESPACE, "internal-ca", INTERNAL))
        apply(running, tls_secret(NAMESPACE, "company-pair", PAIR))
        with cert_manager(running):
            yield running


@pytest.fixture(scope="module")
def prober(deployed: RunningSandbox) -> Iterator[Prober]:
    with Prober(deployed.home) as prober:
        yield prober


def configure(sandbox: RunningSandbox, tls: Settings) -> None:
    """Sets the settings `tls`, with `protect` off, because nothing outlives the sandbox."""
    document = yaml.safe_load(sandbox.configuration.read_text())
    document["config"][f"{PREFIX}tls"] = {**tls, **({"protect": False} if tls["mode"] == "generated" else {})}
    sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def file_of(sandbox: RunningSandbox, name: str, *authorities: Pair, own: bool = False) -> str:
    """A bundle for `trustBundleFile`; with `own`, the stack's output `caBundle`, which Teleport trusts by now."""
    path = trust_file(sandbox, f"{name}.pem", *authorities)
    if own:
        text = sandbox.outputs()["caBundle"]
        assert all(one.pem in text for one in authorities)
        (CHECKOUT / path).write_text(text)
    return path


def pods(sandbox: RunningSandbox, namespace: str, label: str) -> set[str]:
    found = sandbox.get("pods", "--namespace", namespace, "--selector", label)["items"]
    return {pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


def everyone(sandbox: RunningSandbox) -> dict[str, set[str]]:
    return {
        "access graph": pods(sandbox, NAMESPACE, "app.kubernetes.io/name=teleport-access-graph"),
        "auth": pods(sandbox, "teleport", "app.kubernetes.io/component=auth"),
        "proxy": pods(sandbox, "teleport", "app.kubernetes.io/component=proxy"),
    }


def rolled(sandbox: RunningSandbox, act: Callable[[], object]) -> set[str]:
    """Whose pods `act` has replaced, all of them. Each of the others must still have all its pods."""
    before = everyone(sandbox)
    act()
    after = everyone(sandbox)
    changed = {who for who in before if before[who] != after[who]}
    assert all(not before[who] & after[who] for who in changed), (before, after)
    return changed


def changes(sandbox: RunningSandbox) -> list[str]:
    """URNs of the resources that a preview would change."""
    return [step["urn"] for step in sandbox.preview()["steps"] if step["op"] not in ("same", "read")]


def recorded(sandbox: RunningSandbox) -> list[str]:
    """URNs in the stack's state."""
    resources = json.loads(sandbox.pulumi("stack", "export").stdout)["deployment"]["resources"]
    return [resource["urn"] for resource in resources]


TRUST = {"auth", "proxy"}
SERVED = {"access graph"}

# Name of the step, the settings as a function of the sandbox, whose pods roll.
Step = tuple[str, Callable[[RunningSandbox], Settings], set[str]]
STEPS: list[Step] = [
    (
        "generated: the internal CA is trusted as well",
        lambda home: {"mode": "generated", "trustBundleFile": file_of(home, "a", INTERNAL)},
        TRUST,
    ),
    (
        "certManager, with both still trusted",
        lambda home: {
            "mode": "certManager",
            "issuer": ISSUER,
            "trustBundleFile": file_of(home, "b", INTERNAL, own=True),
            "reloader": EXTERNAL,
        },
        SERVED,
    ),
    (
        "certManager: the stack's own CA goes",
        lambda home: {
            "mode": "certManager",
            "issuer": ISSUER,
            "trustBundleFile": file_of(home, "c", INTERNAL),
            "reloader": EXTERNAL,
        },
        TRUST,
    ),
    (
        "certManager: the company's CA is trusted as well",
        lambda home: {
            "mode": "certManager",
            "issuer": ISSUER,
            "trustBundleFile": file_of(home, "d", INTERNAL, COMPANY),
            "reloader": EXTERNAL,
        },
        TRUST,
    ),
    (
        "existingSecret, with both still trusted",
        lambda home: {
            "mode": "existingSecret",
            "secretName": "company-pair",
            "trustBundleFile": file_of(home, "d", INTERNAL, COMPANY),
            "reloader": EXTERNAL,
        },
        SERVED,
    ),
    (
        "existingSecret: the internal CA goes, the stack's next one is trusted as well",
        lambda home: {
            "mode": "existingSecret",
            "secretName": "company-pair",
            "trustBundleFile": file_of(home, "e", COMPANY),
            "nextAuthority": {},
            "reloader": EXTERNAL,
        },
        TRUST,
    ),
    (
        "generated, with both still trusted",
        lambda home: {"mode": "generated", "trustBundleFile": file_of(home, "e", COMPANY)},
        SERVED,
    ),
    ("generated: the company's CA goes", lambda home: {"mode": "generated"}, TRUST),
]


def test_a_step_that_changes_source_and_trust_at_once_is_refused(deployed: RunningSandbox) -> None:
    ledger, position = deployed.outputs()["ledger"], deployed.audit_position()
    good = deployed.configuration.read_text()
    both = {"mode": "certManager", "issuer": ISSUER, "trustBundleFile": file_of(deployed, "c", INTERNAL)}
    configure(deployed, both)
    refused = deployed.pulumi("up", check=False)
    deployed.configuration.write_text(good)
    output = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode != 0
    assert "tls.mode: certManager differs from generated, the stack's present mode" in output
    assert "the new authorities in tls.trustBundleFile, still in mode generated" in output
    assert "Traceback" not in output
    assert deployed.outputs()["ledger"] == ledger
    assert [event["objectRef"].get("name") for event in deployed.writes(since=position)] == []
    # Only components have entered the state; they stand for nothing outside it.
    assert [urn for urn in changes(deployed) if "::teleport-access-graph:index:" not in urn] == []


@pytest.mark.parametrize("step", STEPS, ids=[name for name, _, _ in STEPS])
def test_each_step_rolls_one_side_and_no_call_fails(deployed: RunningSandbox, prober: Prober, step: Step) -> None:
    name, tls, expected = step
    prober.enter(name)
    configure(deployed, tls(deployed))
    assert rolled(deployed, lambda: deployed.pulumi("up")) == expected
    report = prober.report()
    print(report)
    assert report.phases[name].calls > 20
    assert report.failures == (), str(report)


def test_the_whole_way_was_served_by_three_authorities_and_no_call_failed(
    deployed: RunningSandbox, prober: Prober
) -> None:
    report = prober.report()
    print(report)
    assert report.failures == ()
    assert changes(deployed) == []
    # The stack's own certificate, cert-manager's, the company's, and another of the stack's own.
    assert len({one for phase in report.phases.values() for one in phase.served}) == 4
    assert prober.bundles() == {deployed.outputs()["caBundle"]}
    secrets = deployed.get("secrets", "--namespace", NAMESPACE)["items"]
    names = {one["metadata"]["name"] for one in secrets if one["type"] == "kubernetes.io/tls"}
    # When a Certificate is deleted, cert-manager leaves its Secret.
    assert names == {TLS_SECRET_NAME, ISSUED_SECRET_NAME, "internal-ca", "company-pair"}


def test_with_trust_system_teleport_gets_no_ca_and_no_volume(deployed: RunningSandbox) -> None:
    """Teleport's owner has put the authority into its trust store, by the chart's `tls.existingCASecretName`."""
    bundle = deployed.outputs()["caBundle"]
    apply(
        deployed,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "trusted", "namespace": "teleport"},
            "stringData": {"ca.pem": bundle},
        },
    )
    own = deployed.home.stack / "trust-store.yaml"
    own.write_text(yaml.safe_dump({"tls": {"existingCASecretName": "trusted"}}))
    document = yaml.safe_load(deployed.configuration.read_text())
    entry = document["config"][f"{PREFIX}teleport"][CLUSTER]
    entry["valuesFiles"].append(os.path.relpath(own, CHECKOUT))
    deployed.configuration.write_text(yaml.safe_dump(document, sort_keys=False))
    configure(deployed, {"mode": "generated", "trust": "system"})
    deployed.pulumi("up")
    values = yaml.safe_load(
        deployed.helm("get", "values", "teleport", "--namespace", "teleport", "--output", "yaml").stdout
    )
    assert values["auth"]["teleportConfig"]["access_graph"] == {"enabled": True, "endpoint": f"{HOST}:443"}
    for volumes in ("extraVolumes", "extraVolumeMounts"):
        assert values["auth"][volumes] == VALUES["auth"][volumes], "what its owner mounts, and nothing else"
    # The stack forgets the ConfigMap of an adopted release but leaves it, because terminating pods may still mount it.
    assert not any(urn.endswith(f"::teleport-{CLUSTER}-ca") for urn in recorded(deployed))
    assert deployed.outputs()["ledger"]["trust"]["authorities"] is None
    findings = json.loads(deployed.door("verify", "--json", check=False).stdout)["findings"]
    found = {one["check"]: one["outcome"] for one in findings}
    assert found[f"teleport.{CLUSTER}.auth-connected"] == "pass"
