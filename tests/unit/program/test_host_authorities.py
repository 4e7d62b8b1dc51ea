"""Host CAs through the whole program: what TAG is given, what is remembered, and what a preview says about it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.host_authorities import load_host_authorities, parse_authorities
from components.ledger import LedgerError
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, Recording, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program

ITSELF = f"organization/{PROJECT}/{STACK}"


class Told:
    """What the program says to the person who runs it."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    said = Told()
    monkeypatch.setattr(pulumi.log, "info", said.infos.append)
    monkeypatch.setattr(pulumi.log, "warn", said.warnings.append)
    return said


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return configuration(tmp_path)


def given(config: dict[str, Any], *pems: str, **settings: Any) -> dict[str, Any]:
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["hostAuthorities"] = {"mode": "inline", "certificates": list(pems), **settings}
    return config


def up(config: dict[str, Any], directory: Path, before: Recording | None = None, **options: Any) -> Recording:
    stacks = {} if before is None else {ITSELF: {"ledger": unsealed(before.outputs["ledger"])}}
    return run_program(config, directory, stacks=stacks, **options)


def accepted(recording: Recording) -> list[str]:
    pems: list[str] = recording["access-graph-release"].plain("values.clusterHostCAs")
    return pems


def in_order(*pems: str) -> list[str]:
    return [one.pem for one in parse_authorities("".join(pems))]


def prints(*pems: str) -> list[str]:
    return [one.fingerprint for one in parse_authorities("".join(pems))]


@pytest.mark.slow
def test_both_sides_of_a_rotation_are_accepted_until_the_former_is_dropped(
    config: dict[str, Any], tmp_path: Path, told: Told
) -> None:
    old, new = host_authority(), host_authority()
    standby = up(given(config, old), tmp_path)
    init = up(given(config, old, new), tmp_path, standby)
    over = up(given(config, new), tmp_path, init)
    for recording in (init, over):
        assert accepted(recording) == in_order(old, new)
        assert unsealed(recording.outputs["ledger"])["hostAuthorities"] == {TELEPORT_CLUSTER: in_order(old, new)}
        assert recording.outputs["hostAuthorityFingerprints"] == {TELEPORT_CLUSTER: prints(old, new)}
    assert [text for text in told.warnings if prints(old)[0] in text and "set former to drop" in text]
    dropped = up(given(config, new, former="drop"), tmp_path, over)
    assert accepted(dropped) == [new]
    assert unsealed(dropped.outputs["ledger"])["hostAuthorities"] == {TELEPORT_CLUSTER: [new]}


@pytest.mark.slow
def test_a_preview_says_what_comes_and_goes(config: dict[str, Any], tmp_path: Path, told: Told) -> None:
    old, new = host_authority(), host_authority()
    first = up(given(config, old), tmp_path)
    told.infos.clear()
    up(given(config, old), tmp_path, first, preview=True)
    assert told.infos == []
    up(given(config, old, new), tmp_path, first, preview=True)
    (text,) = told.infos
    assert text.splitlines()[1:] == [f"  + {prints(new)[0]} O={TELEPORT_CLUSTER},CN={TELEPORT_CLUSTER}"]


@pytest.mark.slow
def test_another_order_gives_the_same_release(config: dict[str, Any], tmp_path: Path) -> None:
    one, two = host_authority(), host_authority()
    first = up(given(config, one, two), tmp_path)
    again = up(given(config, two, one), tmp_path, first)
    assert again["access-graph-release"].plain("values") == first["access-graph-release"].plain("values")
    assert again.outputs["ledger"] == first.outputs["ledger"]


@pytest.mark.slow
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_a_set_that_lost_every_known_ca_is_refused_until_it_is_confirmed(
    preview: bool, config: dict[str, Any], tmp_path: Path
) -> None:
    first = up(config, tmp_path)
    stranger = host_authority()
    with pytest.raises(LedgerError, match="has none of the host CAs that TAG accepts now") as no:
        up(given(config, stranger), tmp_path, first, preview=preview)
    assert prints(stranger)[0] in str(no.value)
    confirmed = up(given(config, stranger, fingerprints=prints(stranger), former="drop"), tmp_path, first)
    assert accepted(confirmed) == [stranger]


@pytest.mark.slow
def test_with_the_access_graph_off_nothing_is_said_and_nothing_remembered(
    config: dict[str, Any], tmp_path: Path, told: Told
) -> None:
    first = up(config, tmp_path)
    told.infos.clear()
    config["accessGraph"]["enabled"] = False
    off = up(config, tmp_path, first)
    assert told.infos == told.warnings == []
    assert unsealed(off.outputs["ledger"])["hostAuthorities"] == {}


@pytest.mark.slow
def test_a_teleport_that_leaves_takes_its_host_cas_along(config: dict[str, Any], tmp_path: Path, told: Told) -> None:
    second = host_authority("second.example.com")
    config["teleport"]["second.example.com"] = {
        "mode": "manual",
        "hostAuthorities": {"mode": "inline", "certificates": [second]},
    }
    both = up(config, tmp_path)
    assert second in accepted(both)
    del config["teleport"]["second.example.com"]
    told.infos.clear()
    alone = up(config, tmp_path, both)
    assert second not in accepted(alone)
    assert [text.splitlines() for text in told.infos] == [
        [
            "teleport.second.example.com.hostAuthorities: this changes the host CAs that TAG accepts:",
            f"  - {prints(second)[0]} O=second.example.com,CN=second.example.com",
        ]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("days", "warned"), [(59, True), (61, False)])
def test_a_host_ca_that_ends_within_60_days_is_warned_of(
    days: int, warned: bool, config: dict[str, Any], tmp_path: Path, told: Told
) -> None:
    ending = host_authority(lives=datetime.timedelta(days=days))
    up(given(config, ending), tmp_path, preview=True)
    assert [f"the host CA {prints(ending)[0]} of {TELEPORT_CLUSTER} ends at" in text for text in told.warnings] == (
        [True] if warned else []
    )


@pytest.mark.slow
def test_a_proxys_host_cas_come_with_a_warning_of_the_gap_and_what_to_pin(
    config: dict[str, Any], tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = host_authority()
    # Replace the default argument: it was bound at definition, so patching the module's name would have no effect.
    defaults: dict[str, Any] = load_host_authorities.__kwdefaults__
    monkeypatch.setitem(defaults, "fetch", lambda address, ca_file: fetched)
    source: dict[str, Any] = {"mode": "proxy", "address": "teleport.example.com:443"}
    config["teleport"][TELEPORT_CLUSTER]["hostAuthorities"] = source
    up(config, tmp_path, preview=True)
    (warning,) = told.warnings
    assert "refuses its calls from phase update_clients on, until the next `up`" in warning
    assert [text for text in told.infos if "fetched without a pin" in text and prints(fetched)[0] in text]
    told.infos.clear()
    source["fingerprints"] = prints(fetched)
    up(config, tmp_path, preview=True)
    assert [text for text in told.infos if "fetched without a pin" in text] == []
