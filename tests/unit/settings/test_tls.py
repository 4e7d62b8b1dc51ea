"""What valid settings of the certificate become, in each mode; `cases_tls` has the refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import (
    CaIssuerSettings,
    CertManagerTlsSettings,
    ExistingIssuerSettings,
    ExistingSecretTlsSettings,
    GeneratedTlsSettings,
    RestarterSettings,
    Settings,
    load_settings,
)
from tests.samples import CERTIFICATE_FORM, STACK, existing_configuration, minimal_configuration, release_entry
from tests.unit.settings.cases_tls import EXISTING, ISSUED

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "authorities.pem").write_text(CERTIFICATE_FORM)
    return tmp_path


def load(root: Path, tls: dict[str, Any], **overrides: Any) -> Settings:
    return load_settings(existing_configuration(tls=tls, **overrides), (), root=root, stack=STACK)


def test_a_stack_without_tls_makes_its_own_certificate(root: Path) -> None:
    configuration = minimal_configuration()
    assert "tls" not in configuration
    assert load_settings(configuration, (), root=root, stack=STACK).tls == GeneratedTlsSettings(mode="generated")


@pytest.mark.parametrize("phase", ["introduce", "switch", "retire", "stable"])
def test_every_phase_of_a_second_generation_is_read(root: Path, phase: str) -> None:
    tls = load(root, {"mode": "generated", "authority": {"generation": 2, "phase": phase}}).tls
    assert isinstance(tls, GeneratedTlsSettings)
    assert (tls.authority.generation, tls.authority.phase) == (2, phase)


def test_an_algorithm_can_change_with_the_generation(root: Path) -> None:
    authority = {"generation": 2, "phase": "introduce", "previousAlgorithm": "ECDSA"}
    tls = load(root, {"mode": "generated", "algorithm": "RSA", "authority": authority}).tls
    assert isinstance(tls, GeneratedTlsSettings)
    assert (tls.algorithm, tls.authority.previous_algorithm) == ("RSA", "ECDSA")


@pytest.mark.parametrize(
    "tls",
    [
        # The shortest lifetimes whose renewal begins before their end.
        {"certificateValidityHours": 2, "certificateEarlyRenewalHours": 1},
        {"caValidityHours": 9529, "caEarlyRenewalHours": 9528},
        {"trust": "system"},
        {"trustBundleFile": "authorities.pem"},
    ],
)
def test_what_is_just_allowed(root: Path, tls: dict[str, Any]) -> None:
    assert load(root, {"mode": "generated", **tls}).tls.mode == "generated"


def test_the_defaults_of_an_issued_certificate(root: Path) -> None:
    tls = load(root, ISSUED).tls
    assert isinstance(tls, CertManagerTlsSettings)
    assert isinstance(tls.reloader, RestarterSettings)
    assert (tls.reloader.image, tls.reloader.every_minutes) == ("docker.io/alpine/kubectl:1.34.2", 5)
    assert tls.issuer == ExistingIssuerSettings(
        mode="existing", name="internal-ca", kind="ClusterIssuer", group="cert-manager.io"
    )
    assert tls.model_dump(exclude={"issuer", "reloader"}) == {
        "mode": "certManager",
        "algorithm": "ECDSA",
        "certificate_validity_hours": 2160,
        "certificate_early_renewal_hours": 720,
        "trust": "bundle",
        "trust_bundle_file": "authorities.pem",
        "next_authority": None,
        "extra_dns_names": (),
        "include_service_name": True,
    }


def test_an_issuer_of_the_stacks_own_and_a_public_name_alone(root: Path) -> None:
    tls = load(
        root,
        {
            "mode": "certManager",
            "issuer": {"mode": "ca", "secretName": "internal-ca"},
            "trust": "system",
            "extraDnsNames": ["graph.example.com"],
            "includeServiceName": False,
            "reloader": {"mode": "external"},
        },
        teleport={"teleport.example.com": release_entry(endpoint="graph.example.com:443")},
    ).tls
    assert isinstance(tls, CertManagerTlsSettings)
    assert tls.issuer == CaIssuerSettings.model_validate({"mode": "ca", "secretName": "internal-ca"})
    assert tls.reloader.mode == "external"


def test_the_defaults_of_a_secret_that_exists(root: Path) -> None:
    tls = load(root, EXISTING).tls
    assert isinstance(tls, ExistingSecretTlsSettings)
    assert isinstance(tls.reloader, RestarterSettings)
    assert tls.model_dump(exclude={"reloader"}) == {
        "mode": "existingSecret",
        "secret_name": "certificate",
        "trust": "bundle",
        "trust_bundle_file": "authorities.pem",
        "next_authority": None,
    }


@pytest.mark.parametrize("mode", [ISSUED, EXISTING], ids=["certManager", "existingSecret"])
def test_an_authority_of_the_stacks_own_can_be_trusted_ahead(root: Path, mode: dict[str, Any]) -> None:
    tls = load(root, {**mode, "nextAuthority": {"algorithm": "RSA"}}).tls
    assert not isinstance(tls, GeneratedTlsSettings)
    assert tls.next_authority is not None
    assert tls.next_authority.model_dump() == {
        "generation": 1,
        "algorithm": "RSA",
        "ca_validity_hours": 87600,
        "ca_early_renewal_hours": 8760,
    }


def test_the_names_in_a_secret_that_exists_are_its_owners(root: Path) -> None:
    """Preflight reads the Secret and finds out for which endpoint the certificate is valid."""
    settings = load(
        root,
        EXISTING,
        teleport={"teleport.example.com": release_entry(endpoint="anything.example.com:443")},
        accessGraph={
            "chart": {"repository": "https://example.com", "name": "teleport-access-graph", "version": "1.30.2"},
            "serviceType": "LoadBalancer",
        },
    )
    assert settings.endpoint_of("teleport.example.com") == "anything.example.com:443"
