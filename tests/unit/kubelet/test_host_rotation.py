"""A rotation of Teleport's host CA goes through the same phases as with tctl, and auth follows without a restart."""

from __future__ import annotations

import os
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from components.host_authorities import parse_authorities
from sandbox.workloads import host_authority
from sandbox.workloads.auth import Auth
from sandbox.workloads.certificates import certificates_in
from sandbox.workloads.host_rotation import NEXT, current_phase, listing, rotate
from sandbox.workloads.journal import StartRefused

pytestmark = pytest.mark.unit

CLUSTER = "teleport.example.com"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "auth"
    host_authority.ensure(directory, CLUSTER, ["127.0.0.1"])
    return directory


def keys(data: Path) -> tuple[list[str], list[str]]:
    """File names of the CAs: the active ones, and the additional ones."""
    active, additional = (
        [path.stem for path in sorted((data / "authorities" / kind).glob("*.pem"))] for kind in ("active", "additional")
    )
    return active, additional


def test_each_phase_moves_the_keys_as_teleport_does(data: Path) -> None:
    for phase, expected in (
        ("init", (["0001"], ["0002"])),
        ("update_clients", (["0002"], ["0001"])),
        ("update_servers", (["0002"], ["0001"])),
        ("standby", (["0002"], [])),
    ):
        rotate(data, CLUSTER, phase)
        assert (current_phase(data), keys(data)) == (phase, expected)
        assert {path.stat().st_mode & 0o777 for path in data.glob("authorities/*/*.pem")} == {0o600}


@pytest.mark.parametrize("last", ["init", "update_clients", "update_servers"])
def test_a_rotation_can_be_rolled_back_from_each_phase(last: str, data: Path) -> None:
    for phase in ("init", "update_clients", "update_servers"):
        rotate(data, CLUSTER, phase)
        if phase == last:
            break
    rotate(data, CLUSTER, "rollback")
    assert keys(data) == (["0001"], ["0002"])
    rotate(data, CLUSTER, "standby")
    assert keys(data) == (["0001"], [])


def test_a_phase_out_of_order_is_refused_with_those_that_may_follow(data: Path) -> None:
    for phase in set(NEXT) - {"init"}:
        with pytest.raises(StartRefused, match=f"can not switch to phase '{phase}' from 'standby'; next is init"):
            rotate(data, CLUSTER, phase)
    assert (current_phase(data), keys(data)) == ("standby", (["0001"], []))


def test_the_listing_is_tctls_with_both_sides_and_no_key(data: Path) -> None:
    rotate(data, CLUSTER, "init")
    text = listing(data, CLUSTER)
    assert len(parse_authorities(text, cluster=CLUSTER)) == 2
    assert "PRIVATE" not in text


def issuer_of(identity: Path, data: Path) -> str:
    """File name of the CA that signed this identity."""
    certificate = x509.load_pem_x509_certificate(identity.read_bytes())
    for path in (data / "authorities").glob("*/*.pem"):
        authority = x509.load_pem_x509_certificate(path.read_bytes())
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # another CA signed it
            continue
        return path.stem
    raise AssertionError("nobody signed it")


@pytest.mark.slow
def test_auth_takes_a_certificate_of_the_active_ca_and_serves_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address that only this test uses, because another process on this machine may run an auth.
    address = f"127.251.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    monkeypatch.setenv("POD_BIND_ADDRESS", address)
    (tmp_path / "license.pem").write_text("licence\n")
    auth = Auth(
        {
            "teleport": {"data_dir": str(data)},
            "auth_service": {"cluster_name": CLUSTER, "license_file": str(tmp_path / "license.pem")},
        },
        "",
    )
    stop = threading.Event()
    auth.start(stop)
    try:
        identity = data / "host-identity.pem"
        for phase, signer in (("init", "0001"), ("update_clients", "0002"), ("rollback", "0001"), ("standby", "0001")):
            rotate(data, CLUSTER, phase)
            deadline = time.monotonic() + 30
            while True:
                served = ssl.get_server_certificate((address, 3025), timeout=10)
                (own, *_) = certificates_in(identity.read_text())
                if issuer_of(identity, data) == signer and ssl.PEM_cert_to_DER_cert(served) == own:
                    break
                assert time.monotonic() < deadline, f"auth has not followed to {phase}"
                time.sleep(0.2)
    finally:
        stop.set()
