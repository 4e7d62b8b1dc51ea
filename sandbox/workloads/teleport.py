"""Stand-in for the `teleport` command: `start` (the image's entry point), `configure --test`, `wait`, `version`.

Owns arguments and teleport.yaml; auth and the proxies are in modules of their own.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from typing import Any

import yaml

from sandbox.workloads.journal import StartRefused, run_program
from sandbox.workloads.surroundings import image_version, inside

_SECTIONS = {
    "version", "teleport", "auth_service", "ssh_service", "proxy_service", "kubernetes_service", "app_service",
    "db_service", "windows_desktop_service", "linux_desktop_service", "discovery_service", "okta_service",
    "jamf_service", "metrics_service", "debug_service", "tracing_service", "plugin_service",
    "relay_service", "access_graph",
}  # fmt: skip
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# The pause between two look-ups of `wait no-resolve`.
_RESOLVE_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="teleport")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start")
    start.add_argument("-c", "--config", default="/etc/teleport/teleport.yaml")
    start.add_argument("--diag-addr", default="")
    start.add_argument("--apply-on-startup", default="")
    start.add_argument("-d", "--debug", action="store_true")
    start.add_argument("--insecure", action="store_true")
    configure = commands.add_parser("configure")
    configure.add_argument("--test", required=True)
    wait = commands.add_parser("wait").add_subparsers(dest="event", required=True)
    wait.add_parser("no-resolve").add_argument("host")
    wait.add_parser("duration").add_argument("duration")
    commands.add_parser("version")
    given = parser.parse_args(arguments)
    if given.command == "version":
        print(f"Teleport Enterprise v{image_version('18.10.3')} (stand-in)")
        return 0
    if given.command == "configure":
        check_configuration(read_configuration(given.test))
        return 0
    if given.command == "wait":
        return _wait(given)
    return _start(given)


def read_configuration(path: str) -> dict[str, Any]:
    """teleport.yaml as a map. Raises StartRefused."""
    try:
        text = inside(path).read_text()
    except OSError as error:
        raise StartRefused(f"failed to open file for Teleport configuration: {path}: {error.strerror}") from None
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StartRefused(f"failed to parse Teleport configuration: {path}: {error}") from None
    if not isinstance(config, dict):
        raise StartRefused(f"failed to parse Teleport configuration: {path}: it is no map")
    return config


def check_configuration(config: dict[str, Any]) -> None:
    """What `configure --test` checks: sections and the access graph's keys. Opens none of the files named there."""
    from sandbox.workloads.endpoint import parse_settings

    for key, value in config.items():
        if key not in _SECTIONS:
            raise StartRefused(f"failed to parse Teleport configuration: field {key} not found")
        if key != "version" and not isinstance(value, dict):
            raise StartRefused(f"failed to parse Teleport configuration: {key} must be a map")
    parse_settings(config.get("access_graph"))


def service_enabled(config: dict[str, Any], section: str) -> bool:
    return (config.get(section) or {}).get("enabled") in (True, "yes", "true")


def _start(given: argparse.Namespace) -> int:
    config = read_configuration(given.config)
    check_configuration(config)
    roles = [role for role in ("auth_service", "proxy_service") if service_enabled(config, role)]
    # Imported when needed: every pod is a process, and each pays for what it loads.
    if roles == ["auth_service"]:
        from sandbox.workloads.auth import run_auth

        return run_auth(config, given.diag_addr, given.apply_on_startup)
    if roles == ["proxy_service"]:
        from sandbox.workloads.proxy import run_proxy

        return run_proxy(config, given.diag_addr)
    raise StartRefused("this stand-in runs exactly one of auth_service and proxy_service in a process")


def _wait(given: argparse.Namespace) -> int:
    if given.event == "duration":
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", given.duration)
        if not found:
            raise StartRefused(f"invalid duration {given.duration!r}")
        time.sleep(float(found.group(1)) * _UNITS[found.group(2)])
        return 0
    while _resolves(given.host):
        time.sleep(_RESOLVE_SECONDS)
    return 0


def _resolves(host: str) -> bool:
    from operations.address_book import AddressBook

    # A headless Service has no port of its own; any requested port finds the pods.
    try:
        return bool(AddressBook.from_environment().resolve(host, 0))
    except (OSError, socket.gaierror):
        return False


if __name__ == "__main__":
    sys.exit(run_program(lambda: main(sys.argv[1:])))
