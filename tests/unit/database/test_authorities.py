"""The shipped RDS roots: each certificate matches its entry and is usable today."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from components.database_authorities import AUTHORITIES_FILE, UnknownRegion, authorities_by_region, ca_bundle
from components.intake import IntakeError
from tests.unit.program.stack import COMPUTED, configuration, run_program

pytestmark = pytest.mark.unit

ALGORITHMS = {"RSA2048", "RSA4096", "ECC384"}
REGIONS = sorted(authorities_by_region())


def test_every_certificate_of_the_file_is_read() -> None:
    assert AUTHORITIES_FILE.read_text().count("-----BEGIN CERTIFICATE-----") == 81
    assert sum(len(certificates) for certificates in authorities_by_region().values()) == 81
    assert len(REGIONS) == 27


def test_no_certificate_is_there_twice() -> None:
    fingerprints = [
        hashlib.sha256(certificate.encode()).hexdigest()
        for certificates in authorities_by_region().values()
        for certificate in certificates
    ]
    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize("region", REGIONS)
def test_roots_of_a_region_are_its_own_valid_self_signed_authorities(region: str) -> None:
    certificates = x509.load_pem_x509_certificates(ca_bundle(region).encode())
    names = {certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for certificate in certificates}
    assert names == {f"Amazon RDS {region} Root CA {algorithm} G1" for algorithm in ALGORITHMS}
    for certificate in certificates:
        assert certificate.subject == certificate.issuer
        certificate.verify_directly_issued_by(certificate)
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        # If a root ends within five years, a newer release of this project must replace it first.
        assert certificate.not_valid_after_utc > datetime.now(timezone.utc) + timedelta(days=5 * 365)
        key = certificate.public_key()
        assert isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))
        assert key.key_size in (2048, 4096, 384)


def test_bundle_is_small_enough_for_any_config_map() -> None:
    assert all(len(ca_bundle(region)) < 8192 for region in REGIONS)


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "il-central-1", "nowhere-1"])
def test_region_without_roots_is_refused_with_the_way_out(region: str) -> None:
    with pytest.raises(UnknownRegion, match=f"shipped for {region}; set database.caBundleFile"):
        ca_bundle(region)


def test_such_a_region_is_refused_before_anything_is_registered(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config["aws"]["region"] = "il-central-1"
    registered: list[str] = []
    providers = {"pulumi:providers:kubernetes": {"seen": registered.append}}
    with pytest.raises(IntakeError, match=r"shipped for il-central-1; set database\.caBundleFile"):
        run_program(config, tmp_path, computed={**COMPUTED, **providers})
    assert registered == []
