"""What the program refuses would break something: each refusal of a table of edits is tried on the world. `HARMLESS`
has the exceptions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.settings import SettingsError
from tests.unit.model.configurations import EXTERNAL_NAME, HOSTS, ISSUERS, RELEASES, Configuration, understood
from tests.unit.model.machine import STRANGER
from tests.unit.model.search import counterexample, deployed
from tests.unit.model.up import Refused, Up

pytestmark = pytest.mark.unit

# Refusals of edits that would break nothing in the model's world. Each is deliberate. A pair is (what is complete,
# edit).
HARMLESS: dict[str | tuple[str, str], str] = {
    "stranger": "a host CA that shares nothing with those accepted: with `former: keep` nobody loses a call, and "
    "somebody else's cluster would be let in",
    "adopt": "an adopted release that is adopted no more: it is the `destroy` to come that would uninstall Teleport",
    ("switched", "stable on"): "without `retire` between them the key of the authority before is deleted while the "
    "engine has it protected: it would say so in the middle",
    ("switched", "two on"): "the same",
    ("switched", "off and stable on"): "the same",
    ("introduced", "off and stable on"): "steps of an authority are the same with the access graph off: its keys are "
    "protected all the same",
}

PLAIN = Configuration(rotation=3, generation=2)
ISSUED = Configuration(mode="certManager", given=ISSUERS[:1])
COMPLETE: dict[str, tuple[Configuration, ...]] = {
    "generated": (PLAIN,),
    "introduced": (PLAIN, replace(PLAIN, generation=3, phase="introduce")),
    "switched": (
        PLAIN,
        replace(PLAIN, generation=3, phase="introduce"),
        replace(PLAIN, generation=3, phase="switch"),
    ),
    "by IAM": (Configuration(authentication="iam"),),
    "issued": (ISSUED,),
    "dialled by another name": (replace(PLAIN, extra_names=(EXTERNAL_NAME,), by_extra_name=True),),
    "of the stack's own": (replace(PLAIN, adopt=False),),
}
EDITS: dict[str, dict[str, Any]] = {
    "login two on": {"rotation": 5, "authentication": "password"},
    "login back": {"rotation": 2, "authentication": "password"},
    "login far back": {"rotation": 0, "authentication": "password"},
    "switch": {"generation": 3, "phase": "switch"},
    "retire": {"generation": 3, "phase": "retire"},
    "stable on": {"generation": 3, "phase": "stable"},
    "stable back": {"generation": 1, "phase": "stable"},
    "two on": {"generation": 4, "phase": "introduce"},
    "mode": {"mode": "certManager", "given": ISSUERS[:1]},
    "mode back": {"mode": "generated", "given": ()},
    "mode and both": {"mode": "generated", "given": ISSUERS[:1], "generation": 1, "phase": "stable"},
    "other issuer": {"mode": "certManager", "given": ISSUERS[1:]},
    "stranger": {"hosts": (STRANGER,)},
    "release": {"release": RELEASES[1]},
    "endpoint": {"by_extra_name": False, "extra_names": ()},
    "endpoint to come": {"by_extra_name": True, "extra_names": (EXTERNAL_NAME,)},
    "release to come": {"release": RELEASES[1], "extra_names": HOSTS[:1]},
    "namespace": {"create_namespace": False},
    "owner": {"owner": "values"},
    "adopt": {"adopt": False},
    "off and a login two on": {"enabled": False, "rotation": 5, "authentication": "password"},
    "off and stable on": {"enabled": False, "generation": 3, "phase": "stable"},
}


def refusals() -> list[tuple[str, str]]:
    found = []
    for name, way in COMPLETE.items():
        world = deployed(*way)
        for edit, changes in EDITS.items():
            wanted = replace(way[-1], **changes)
            try:
                Up(world.copy(), wanted)
            except SettingsError:
                continue
            except Refused:
                found.append((name, edit))
    return found


REFUSED = refusals()


def allowed_next(complete: Configuration) -> tuple[Configuration, ...]:
    """Configurations of allowed `up`s that may have begun and failed beforehand."""
    step = {"stable": (1, "introduce"), "introduce": (0, "switch"), "switch": (0, "retire"), "retire": (0, "stable")}
    on, phase = step[complete.phase]
    return (
        replace(complete, rotation=complete.rotation + 1),
        replace(complete, rotation=0, authentication="password"),
        replace(complete, rotation=1, authentication="password"),
        replace(complete, generation=complete.generation + on, phase=phase),
    )


def is_harmless(name: str, edit: str) -> bool:
    return edit in HARMLESS or (name, edit) in HARMLESS


def test_the_table_has_a_refusal_of_every_kind() -> None:
    assert len(REFUSED) >= 50
    assert {edit for _, edit in REFUSED} == set(EDITS)
    for way in COMPLETE.values():
        understood(way[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "edit"), REFUSED)
def test_what_is_refused_would_break_something(name: str, edit: str) -> None:
    way = COMPLETE[name]
    complete, wanted = way[-1], replace(way[-1], **EDITS[edit])
    found = counterexample(deployed(*way), complete, wanted, allowed_next(complete))
    assert (found is None) == is_harmless(name, edit), found
