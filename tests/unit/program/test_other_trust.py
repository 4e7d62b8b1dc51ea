"""Another source for the certificate, or other authorities, when no Teleport verifies with the former ones any more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.unit.monitor import Recording, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program
from tests.unit.program.test_ledger import again

pytestmark = [pytest.mark.unit, pytest.mark.slow]

OWN_KEY = "certificates-ca-1-key"
FILE = "authorities.pem"
FOREIGN = {"mode": "existingSecret", "secretName": "corp-tls", "trustBundleFile": FILE}


def ledger_of(recording: Recording) -> dict[str, Any]:
    found: dict[str, Any] = unsealed(recording.outputs["ledger"])
    return found


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """The access graph is off, with an authority of the stack's own. Teleport's host CA stays the same in all tests."""
    config = configuration(tmp_path)
    config["accessGraph"]["enabled"] = False
    return config


def foreign(config: dict[str, Any], directory: Path, *authorities: str, enabled: bool = True) -> dict[str, Any]:
    """The same stack with somebody else's certificate, issued by these authorities."""
    (directory / FILE).write_text("".join(authorities))
    return {**config, "tls": FOREIGN, "accessGraph": {**config["accessGraph"], "enabled": enabled}}


def test_an_authority_that_has_ended_gives_way_to_one_that_nobody_trusts_yet(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """By then every call fails, and a bundle with both authorities is no way out: the program refuses an expired one in
    the file."""
    former, new = host_authority("former"), host_authority("new")
    ledger = ledger_of(run_program(foreign(config, tmp_path, former), tmp_path))
    with pytest.raises(pulumi.RunError, match="has none of the authorities that Teleport trusts now"):
        again(tmp_path, foreign(config, tmp_path, new), ledger)
    ledger["trust"]["ends"] = "2020-01-01T00:00:00Z"
    again(tmp_path, foreign(config, tmp_path, new), ledger)


def test_the_ledger_has_the_end_of_the_authority_that_ends_last(config: dict[str, Any], tmp_path: Path) -> None:
    long, short = host_authority("long", timedelta(days=900)), host_authority("short", timedelta(days=9))
    both = ledger_of(run_program(foreign(config, tmp_path, short, long), tmp_path))["trust"]["ends"]
    assert both == ledger_of(run_program(foreign(config, tmp_path, long), tmp_path))["trust"]["ends"]
    assert both > ledger_of(run_program(foreign(config, tmp_path, short), tmp_path))["trust"]["ends"]


def test_the_certificate_of_an_access_graph_that_is_off_changes_while_it_is_off(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """The `up` that switches the access graph on must not change it: an earlier attempt that failed may already have
    told Teleport to trust the former authority."""
    config["tls"] = {"mode": "generated", "protect": False}
    ledger, issuer = ledger_of(run_program(config, tmp_path)), host_authority("issuer")
    with pytest.raises(pulumi.RunError, match=r"tls\.mode: .* differs from generated"):
        again(tmp_path, foreign(config, tmp_path, issuer), ledger)
    changed = ledger_of(again(tmp_path, foreign(config, tmp_path, issuer, enabled=False), ledger))
    recording = again(tmp_path, foreign(config, tmp_path, issuer), changed)
    assert OWN_KEY not in {item.name for item in recording.custom()}


def test_a_protected_key_is_not_given_up_while_the_access_graph_is_off_either(
    config: dict[str, Any], tmp_path: Path
) -> None:
    ledger = ledger_of(run_program(config, tmp_path))
    with pytest.raises(pulumi.RunError, match=r"would delete the protected key .*set tls\.protect to false, `up`"):
        again(tmp_path, foreign(config, tmp_path, host_authority("issuer"), enabled=False), ledger)
