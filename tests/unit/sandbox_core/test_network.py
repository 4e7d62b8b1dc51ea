"""Each home has its own loopback network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sandbox import network
from sandbox.home import Cache, Home
from sandbox.supervisor import SandboxError

pytestmark = pytest.mark.unit


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_home_keeps_its_network(tmp_path: Path, cache: Cache) -> None:
    home = Home.at(tmp_path / "home")

    assert network.loopback_prefix(home, cache) == network.loopback_prefix(home, cache)


@pytest.mark.slow
def test_two_homes_never_share_one(tmp_path: Path, cache: Cache) -> None:
    prefixes = [network.loopback_prefix(Home.at(tmp_path / f"home-{number}"), cache) for number in range(40)]

    assert len(set(prefixes)) == 40
    assert all(network.FIRST <= int(prefix.removeprefix("127.")) <= network.LAST for prefix in prefixes)


def test_the_network_of_a_home_that_was_removed_by_hand_is_free(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "LAST", network.FIRST)
    monkeypatch.setattr(network, "_listening_seconds", set)
    gone = Home.at(tmp_path / "gone")
    network.loopback_prefix(gone, cache)
    shutil.rmtree(gone.root)

    assert network.loopback_prefix(Home.at(tmp_path / "home"), cache) == f"127.{network.FIRST}"


def test_a_network_that_somebody_listens_on_is_left_alone(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = set(range(network.FIRST, network.LAST + 1))
    monkeypatch.setattr(network, "_listening_seconds", lambda: everything - {93})

    assert network.loopback_prefix(Home.at(tmp_path / "home"), cache) == "127.93"


def test_when_none_is_free_the_remedy_is_named(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_listening_seconds", lambda: set(range(256)))

    with pytest.raises(SandboxError, match="stop a sandbox with `make down`"):
        network.loopback_prefix(Home.at(tmp_path / "home"), cache)


def test_a_released_network_can_be_taken_again(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LAST", network.FIRST)
    monkeypatch.setattr(network, "_listening_seconds", set)
    first = Home.at(tmp_path / "first")
    network.loopback_prefix(first, cache)
    network.release(first, cache)

    assert network.loopback_prefix(Home.at(tmp_path / "second"), cache) == f"127.{network.FIRST}"
