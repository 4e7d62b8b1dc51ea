"""Settings that may be present or not whatever the others are: a random life turns some of them along with its moves.

Pure. A switch that is off leaves the setting at its default.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from tests.engine.stacks import Settings


@dataclass(frozen=True)
class Switch:
    concern: str
    on: dict[str, Any]
    """Keys of the concern with their values. The switch is on if all of these keys are present."""

    def __str__(self) -> str:
        return " and ".join(f"{self.concern}.{key}" for key in self.on)

    def turn(self, settings: Settings) -> None:
        concern = settings.setdefault(self.concern, {})
        if self.on.keys() <= concern.keys():
            for key in self.on:
                del concern[key]
        else:
            concern.update(self.on)


SWITCHES: Final = (
    Switch("accessGraph", {"logLevel": "DEBUG"}),
    Switch("accessGraph", {"metrics": True}),
    Switch("accessGraph", {"podDisruptionBudget": {"enabled": False}}),
    Switch("accessGraph", {"resources": {"memoryLimit": "2Gi"}}),
    Switch("accessGraph", {"tolerations": [{"operator": "Exists"}]}),
    Switch("annotations", {"example.com/team": "platform"}),
    Switch("database", {"accessJob": {"timeoutSeconds": 300}}),
    Switch("database", {"backupRetentionDays": 14}),
    Switch("database", {"caCertIdentifier": "rds-ca-rsa4096-g1"}),
    Switch("database", {"instanceClass": "db.t4g.large"}),
    Switch("database", {"logRetentionDays": 60}),
    Switch("database", {"maintenanceWindow": "mon:05:00-mon:06:00"}),
    Switch("database", {"maxAllocatedStorageGib": 200}),
    Switch("database", {"monitoringIntervalSeconds": 0}),
    Switch("database", {"multiAz": True}),
    Switch("database", {"notifications": {"mode": "ownTopic"}, "alarms": {}}),
    Switch("tags", {"owner": "platform"}),
    Switch("tls", {"certificateValidityHours": 5000}),
)


def some(chance: random.Random) -> list[Switch]:
    """No switch in half of the cases, otherwise one to three."""
    return chance.sample(SWITCHES, chance.choice((0, 0, 0, 1, 2, 3)))
