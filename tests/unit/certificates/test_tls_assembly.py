"""One answer for every `tls.mode`; a forbidden change of the certificate's source stops it."""

from __future__ import annotations

import gc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components import tls_assembly
from components.expiry import RecordedEnds, write_time
from components.settings import Settings, load_settings
from components.trust_bundles import Authority, authorities_of, authority_identities, parse_trust_bundle
from components.trust_steps import TrustRecord
from tests.samples import CERTIFICATE_FORM, STACK, existing_configuration
from tests.unit.certificates.pki import HOST, NOW, authority
from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, certificate_named, record, unsealed
from tests.unit.settings.cases_tls import EXISTING, ISSUED

pytestmark = pytest.mark.unit

GIVEN = authority("Issuer")
OWN = "certificates-ca-1"
GENERATED: dict[str, Any] = {"mode": "generated"}


def given() -> tuple[Authority, ...]:
    return parse_trust_bundle(GIVEN.pem, now=NOW)


def settings_of(tls: dict[str, Any], root: Path, **overrides: Any) -> Settings:
    (root / "authorities.pem").write_text(CERTIFICATE_FORM)
    return load_settings(existing_configuration(tls=tls, **overrides), (), root=root, stack=STACK)


def run(
    settings: Settings,
    *,
    recorded: TrustRecord | None = None,
    preview: bool = False,
    bundle: tuple[Authority, ...] = (),
    computed: dict[str, Any] | None = None,
    before: RecordedEnds | None = None,
) -> Recording:
    """Make the certificate and everything that depends on it, and export all results."""

    def program() -> None:
        options = pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")])
        made = tls_assembly.make_server_certificate(
            settings,
            bundle,
            "graph",
            permitted=True,
            recorded=pulumi.Output.from_input(recorded),
            ends_before=pulumi.Output.from_input(before or RecordedEnds()),
            verified=True,
            opts=options,
        )
        for name in (
            "certificate_pem",
            "private_key_pem",
            "secret_name",
            "trust_bundle",
            "ca_not_after",
            "certificate_not_after",
        ):
            pulumi.export(name, getattr(made, name))
        pulumi.export("record", tls_assembly.trust_record(settings, made.trust_bundle).apply(TrustRecord.stored))
        pulumi.export("warnings", tls_assembly.warn_of_expiry(made, NOW))

    return record(program, preview=preview, computed={**COMPUTED_OUTPUTS, **(computed or {})})


def outputs(recording: Recording) -> dict[str, Any]:
    found: dict[str, Any] = unsealed(recording.outputs)
    return found


def test_a_generated_certificate_is_a_pair_and_its_authority(tmp_path: Path) -> None:
    found = outputs(run(settings_of(GENERATED, tmp_path)))
    assert found["certificate_pem"] == certificate_named("certificates-server")
    assert "canary key certificates-server-key" in found["private_key_pem"]
    assert "secret_name" not in found
    assert found["trust_bundle"] == certificate_named(OWN)
    assert found["ca_not_after"] == COMPUTED_OUTPUTS["tls:index/selfSignedCert:SelfSignedCert"]["validityEndTime"]
    assert (
        found["certificate_not_after"]
        == COMPUTED_OUTPUTS["tls:index/locallySignedCert:LocallySignedCert"]["validityEndTime"]
    )
    assert found["warnings"] == []
    assert found["record"] == {
        "mode": "generated",
        "authorities": sorted(authority_identities(authorities_of(certificate_named(OWN)))),
        "protected": True,
        "ends": write_time(authorities_of(certificate_named(OWN))[0].not_after),
    }


def test_a_generated_certificate_needs_no_kubernetes(tmp_path: Path) -> None:
    recording = run(settings_of(GENERATED, tmp_path))
    assert {item.type.split(":")[0] for item in recording.custom()} == {"tls"}


def test_an_issued_certificate_is_a_secret_and_the_given_bundle(tmp_path: Path) -> None:
    recording = run(settings_of(ISSUED, tmp_path), bundle=given())
    found = outputs(recording)
    assert found["secret_name"] == "teleport-access-graph-issued-tls"
    assert found["trust_bundle"] == GIVEN.pem
    assert found["ca_not_after"] == "2036-11-21T12:00:00Z"
    assert "certificate_pem" not in found
    assert found["certificate_not_after"] == "2027-02-22T00:00:00Z"
    assert {item.name for item in recording.custom()} == {"issued-certificate-certificate"}
    assert recording["issued-certificate-certificate"].plain("spec.dnsNames") == [HOST]


@pytest.mark.parametrize("enabled", [True, False])
def test_an_issued_certificate_is_waited_for_when_there_is_who_serves_it(tmp_path: Path, enabled: bool) -> None:
    graph = {**existing_configuration()["accessGraph"], "enabled": enabled}
    recording = run(settings_of(ISSUED, tmp_path, accessGraph=graph), bundle=given())
    annotations = recording["issued-certificate-certificate"].plain("metadata.annotations")
    assert ("pulumi.com/waitFor" in annotations) is enabled


def test_a_certificate_for_public_names_alone_has_not_the_services(tmp_path: Path) -> None:
    tls = {**ISSUED, "extraDnsNames": ["graph.example.com"], "includeServiceName": False}
    settings = settings_of(
        tls, tmp_path, teleport={}, accessGraph={**existing_configuration()["accessGraph"], "enabled": False}
    )
    assert settings.certificate_names == ("graph.example.com",)


def test_a_secret_that_exists_makes_nothing_at_all(tmp_path: Path) -> None:
    recording = run(settings_of(EXISTING, tmp_path), bundle=given())
    assert recording.custom() == []
    assert outputs(recording)["secret_name"] == "certificate"
    assert outputs(recording)["trust_bundle"] == GIVEN.pem


def test_the_systems_trust_store_needs_no_bundle(tmp_path: Path) -> None:
    tls = {name: value for name, value in EXISTING.items() if name != "trustBundleFile"}
    found = outputs(run(settings_of({**tls, "trust": "system"}, tmp_path)))
    assert set(found) == {"secret_name", "record", "warnings"}
    assert found["record"]["authorities"] is None
    own = outputs(run(settings_of({**GENERATED, "trust": "system"}, tmp_path)))
    assert own["trust_bundle"] == certificate_named(OWN)
    assert own["record"]["authorities"] is None


@pytest.mark.parametrize("mode", [ISSUED, EXISTING], ids=["certManager", "existingSecret"])
def test_ones_own_authority_is_trusted_ahead_under_the_name_that_it_keeps(tmp_path: Path, mode: dict[str, Any]) -> None:
    ahead = run(settings_of({**mode, "nextAuthority": {}}, tmp_path), bundle=given())
    assert outputs(ahead)["trust_bundle"] == certificate_named(OWN) + GIVEN.pem
    later = run(settings_of({**GENERATED, "trustBundleFile": "authorities.pem"}, tmp_path), bundle=given())
    assert outputs(later)["trust_bundle"] == outputs(ahead)["trust_bundle"]
    for name in (OWN, f"{OWN}-key"):
        assert (ahead[name].urn, ahead[name].inputs) == (later[name].urn, later[name].inputs)


BUNDLE_OF_BOTH = parse_trust_bundle(certificate_named(OWN) + GIVEN.pem, now=NOW)
BEFORE = TrustRecord(mode="generated", authorities=authority_identities(BUNDLE_OF_BOTH[:1]), protected=False)
BOTH = TrustRecord(mode="generated", authorities=authority_identities(BUNDLE_OF_BOTH), protected=False)


def test_the_mode_changes_while_both_authorities_are_trusted(tmp_path: Path) -> None:
    found = outputs(run(settings_of(ISSUED, tmp_path), recorded=BOTH, bundle=BUNDLE_OF_BOTH))
    assert found["secret_name"] == "teleport-access-graph-issued-tls"


def test_the_mode_does_not_change_with_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"tls\.mode: certManager differs from generated"):
        run(settings_of(ISSUED, tmp_path), recorded=BEFORE, bundle=given())
    gc.collect()  # see test_certificates


def test_while_nobody_calls_everything_may_change(tmp_path: Path) -> None:
    graph = {**existing_configuration()["accessGraph"], "enabled": False}
    found = outputs(run(settings_of(ISSUED, tmp_path, accessGraph=graph), recorded=BEFORE, bundle=given()))
    assert found["trust_bundle"] == GIVEN.pem


def test_a_preview_of_the_next_authority_shows_no_change_of_what_is_served(tmp_path: Path) -> None:
    """The bundle is unknown before the authority exists, but everything that does not change must stay known."""
    settings = settings_of({**EXISTING, "nextAuthority": {}}, tmp_path)
    recorded = TrustRecord(mode="existingSecret", authorities=frozenset({given()[0].identity}))
    found = run(settings, recorded=recorded, bundle=given(), preview=True).outputs
    assert found["secret_name"] == "certificate"
    assert GIVEN.pem not in str(found["trust_bundle"])


def test_what_ends_soon_is_warned_of_with_its_remedy(tmp_path: Path) -> None:
    soon = parse_trust_bundle(authority("Old", ends=NOW + timedelta(days=20)).pem, now=NOW)
    ends = {
        "tls:index/selfSignedCert:SelfSignedCert": {
            "certPem": certificate_named,
            "validityEndTime": "2026-12-24T12:00:00Z",
        },
        "tls:index/locallySignedCert:LocallySignedCert": {
            "certPem": certificate_named,
            "validityEndTime": "2026-12-04T12:00:00Z",
        },
    }
    settings = settings_of({**GENERATED, "trustBundleFile": "authorities.pem"}, tmp_path)
    assert outputs(run(settings, bundle=soon, computed=ends))["warnings"] == [
        "the server certificate ends at 2026-12-04 12:00 UTC, in 10 days: an `up` from 2026-11-04 12:00 UTC "
        "on renews it",
        "the authority CN=Old of tls.trustBundleFile ends at 2026-12-14 12:00 UTC, in 20 days: add its successor to "
        "the file, and take it out when nothing is signed by it any more",
        "the certificate authority ends at 2026-12-24 12:00 UTC, in 30 days: an `up` from 2025-12-24 12:00 "
        "UTC on renews it",
    ]


def test_a_preview_that_makes_a_certificate_anew_warns_of_the_one_before_and_of_all_else(tmp_path: Path) -> None:
    """As in the days in which an `up` renews the certificate: its new end is then unknown in a preview."""
    soon = parse_trust_bundle(authority("Old", ends=NOW + timedelta(days=20)).pem, now=NOW)
    settings = settings_of({**GENERATED, "trustBundleFile": "authorities.pem"}, tmp_path)
    foreign = (
        "the authority CN=Old of tls.trustBundleFile ends at 2026-12-14 12:00 UTC, in 20 days: add its successor to "
        "the file, and take it out when nothing is signed by it any more"
    )
    before = RecordedEnds(certificate="2026-12-04T12:00:00Z", authorities="2026-11-25T12:00:00.5Z")
    assert outputs(run(settings, bundle=soon, preview=True, before=before))["warnings"] == [
        "the certificate authority ends at 2026-11-25 12:00 UTC, in 1 day: an `up` from 2025-11-25 12:00 UTC on renews "
        "it",
        "the server certificate ends at 2026-12-04 12:00 UTC, in 10 days: an `up` from 2026-11-04 12:00 UTC on renews "
        "it",
        foreign,
    ]
    assert outputs(run(settings, bundle=soon, preview=True))["warnings"] == [foreign]
