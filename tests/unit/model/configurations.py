"""Configurations of the model, and what the program itself says to each: its settings, the files they name, its
refusals.

Nothing here repeats a decision of the program.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from components.host_authority_succession import stranger_problems
from components.intake import Intake, read_intake
from components.ledger import Ledger
from components.ledger_guards import refusals
from components.settings import Problem, Settings, load_settings
from components.settings.names import service_host
from components.tls_assembly import trust_refusal, waits_for_bundle
from tests.samples import TELEPORT_CLUSTER, minimal_configuration, release_entry
from tests.unit.model.certificates import NOW, authority, host_authority, identities

ISSUERS = ("Issuer A", "Issuer B")
EXTERNAL_NAME = "graph.example.com"
RELEASES = ("teleport-access-graph", "graph")
HOSTS = tuple(service_host(release, "teleport-access-graph") for release in RELEASES)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The user's choices for everything that changes over a stack's life. The defaults are the program's."""

    enabled: bool = True
    release: str = RELEASES[0]
    create_namespace: bool = True
    keep_namespace: bool = False
    mode: str = "generated"
    generation: int = 1
    phase: str = "stable"
    given: tuple[str, ...] = ()
    """Names of the issuers whose authorities are in `tls.trustBundleFile`."""
    next_generation: int | None = None
    extra_names: tuple[str, ...] = ()
    by_extra_name: bool = False
    """Whether Teleport dials `EXTERNAL_NAME`."""
    authentication: str = "password"
    rotation: int = 0
    hosts: tuple[int, ...] = (0,)
    """Numbers of the host CAs that the user gives."""
    former: str = "keep"
    confirmed: bool = False
    """Whether the user pins each of those host CAs by its fingerprint."""
    owner: str = "release"
    """Mode of the Teleport entry: `release`, or `values` with a rollout that the `up` waits for."""
    adopt: bool = True

    def plain(self) -> dict[str, Any]:
        """The configuration in the form in which Pulumi passes it to the program."""
        tls: dict[str, Any] = {"mode": self.mode}
        if self.mode == "generated":
            # With `protect`, the engine itself would refuse to delete a key; the model shows what would happen if it
            # did not.
            tls |= {"authority": {"generation": self.generation, "phase": self.phase}, "protect": False}
        else:
            tls |= {"issuer": {"mode": "existing", "name": "internal-ca"}}
            if self.next_generation is not None:
                tls["nextAuthority"] = {"generation": self.next_generation}
        if self.given:
            tls["trustBundleFile"] = bundle_file(self.given)
        if self.extra_names:
            tls["extraDnsNames"] = list(self.extra_names)
        hosts: dict[str, Any] = {
            "mode": "inline",
            "certificates": [host_authority(number).pem for number in self.hosts],
            "former": self.former,
        }
        if self.confirmed:
            hosts["fingerprints"] = [host_authority(number).fingerprint for number in self.hosts]
        entry = release_entry(hostAuthorities=hosts, valuesFiles=["values.yaml"])
        if self.owner == "values":
            entry |= {"mode": "values", "rollout": {}}
            del entry["chart"]
        else:
            entry["adopt"] = self.adopt
        if self.by_extra_name:
            entry["endpoint"] = f"{EXTERNAL_NAME}:443"
        config = minimal_configuration(tls=tls, teleport={TELEPORT_CLUSTER: entry})
        config["accessGraph"] |= {
            "enabled": self.enabled,
            "release": self.release,
            "createNamespace": self.create_namespace,
            "keepNamespace": self.keep_namespace,
        }
        config["database"] |= {
            "authentication": self.authentication,
            "rotation": self.rotation,
            "protect": False,
            "masterPassword": "generated",
        }
        return config


@cache
def directory() -> Path:
    """Directory of the files that the configurations name; it is removed when the process ends."""
    holder = tempfile.TemporaryDirectory(prefix="model-")
    _kept.append(holder)
    root = Path(holder.name)
    (root / "values.yaml").write_text(yaml.safe_dump({"clusterName": TELEPORT_CLUSTER, "enterprise": True}))
    return root


_kept: list[tempfile.TemporaryDirectory[str]] = []


@cache
def bundle_file(issuers: tuple[str, ...]) -> str:
    """Name of the file that holds the authorities of these issuers."""
    name = "-".join(issuer.replace(" ", "-") for issuer in issuers) + ".pem"
    (directory() / name).write_text("".join(authority(issuer) for issuer in issuers))
    return name


@cache
def understood(configuration: Configuration) -> tuple[Settings, Intake]:
    """The program's reading of the configuration. Raises its `SettingsError` or `IntakeError`."""
    settings = load_settings(configuration.plain(), (), root=directory(), stack="dev")
    return settings, read_intake(settings, NOW)


def refused(configuration: Configuration, recorded: Ledger, bundle: str) -> list[Problem]:
    """Every problem that the program reports for this `up`. `bundle` is the trust bundle that the `up` would make."""
    settings, intake = understood(configuration)
    given = frozenset(one.identity for one in intake.trust_bundle)
    trusted = identities(bundle) if waits_for_bundle(settings, recorded.trust) else given
    trust = trust_refusal(settings, recorded.trust, trusted, recorded.is_verified(NOW))
    return [
        *refusals(recorded, settings),
        *stranger_problems(recorded, settings, intake),
        *([] if trust is None else [trust]),
    ]
