"""Every change is killed at every moment, the way back is killed at every moment, and then the change is repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components import ledger_guards, teleport_steps
from components.login_slots import SlotPassword, slot_passwords
from tests.unit.model import configurations
from tests.unit.model import up as ups
from tests.unit.model.configurations import EXTERNAL_NAME, HOSTS, ISSUERS, RELEASES, Configuration
from tests.unit.model.search import Broken, deployed, taken_back_and_repeated
from tests.unit.model.up import Refused

pytestmark = pytest.mark.unit

PLAIN = Configuration(rotation=1, generation=2)
NAMED = replace(PLAIN, extra_names=(EXTERNAL_NAME,))
BOTH = replace(PLAIN, given=ISSUERS[:1])
CHANGES: dict[str, tuple[Configuration, Configuration]] = {
    "the next login": (PLAIN, replace(PLAIN, rotation=2)),
    "logins by IAM": (PLAIN, replace(PLAIN, rotation=0, authentication="iam")),
    "logins by password": (replace(PLAIN, rotation=0, authentication="iam"), replace(PLAIN, rotation=0)),
    "introduce": (PLAIN, replace(PLAIN, generation=3, phase="introduce")),
    "off": (PLAIN, replace(PLAIN, enabled=False)),
    "off, with another login": (PLAIN, replace(PLAIN, enabled=False, rotation=2)),
    "on": (replace(PLAIN, enabled=False), PLAIN),
    "another name of the release": (
        replace(PLAIN, extra_names=HOSTS[1:]),
        replace(PLAIN, release=RELEASES[1], extra_names=HOSTS[:1]),
    ),
    "another name": (PLAIN, NAMED),
    "another name to dial": (NAMED, replace(NAMED, by_extra_name=True)),
    "a host CA that comes": (PLAIN, replace(PLAIN, hosts=(0, 1))),
    "another owner of the release": (PLAIN, replace(PLAIN, owner="values")),
    "values for the owner": (replace(NAMED, owner="values"), replace(NAMED, owner="values", by_extra_name=True)),
    "off, with an owner": (replace(PLAIN, owner="values"), replace(PLAIN, owner="values", enabled=False)),
    "an issuer that is trusted": (PLAIN, BOTH),
    "a namespace that is kept": (PLAIN, replace(PLAIN, keep_namespace=True)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_it_is_taken_back_and_repeated_without_a_moment_of_harm(name: str) -> None:
    before, wanted = CHANGES[name]
    assert taken_back_and_repeated(deployed(before), before, wanted) > 100


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["switch", "retire", "stable"])
def test_every_step_of_an_authority_too(phase: str) -> None:
    phases = ["introduce", "switch", "retire", "stable"]
    way = [replace(PLAIN, generation=3, phase=one) for one in phases[: phases.index(phase) + 1]]
    assert taken_back_and_repeated(deployed(PLAIN, *way[:-1]), ([PLAIN, *way])[-2], way[-1]) > 100


@pytest.mark.slow
def test_the_search_finds_what_a_password_made_anew_would_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the rule that keeps a password which is not in use: pods may have loaded that password by then."""

    def made_anew(rotation: int) -> dict[str, SlotPassword]:
        return {slot: one._replace(settled=False) for slot, one in slot_passwords(rotation).items()}

    monkeypatch.setattr(ups, "slot_passwords", made_anew)
    before, wanted = CHANGES["the next login"]
    with pytest.raises(Broken, match="the login access_graph_a is in use, and is not valid"):
        taken_back_and_repeated(deployed(before), before, wanted)


# The rule that is switched off, the change that it refuses, and what that change would break.
OFF: dict[str, tuple[Any, str, Configuration, Configuration, str]] = {
    "steps of an authority": (
        ledger_guards,
        "_authority",
        PLAIN,
        replace(PLAIN, generation=3, phase="stable"),
        "a running auth does not trust a serving certificate",
    ),
    "a release that is owned": (
        teleport_steps,
        "_release",
        replace(PLAIN, adopt=False),
        replace(PLAIN, adopt=False, owner="values"),
        "Teleport is uninstalled",
    ),
    "names that are dialled": (
        ledger_guards,
        "_endpoints",
        replace(NAMED, by_extra_name=True),
        PLAIN,
        "a serving certificate lacks the name graph.example.com, which auth dials",
    ),
    "names to come": (
        ledger_guards,
        "_names_to_come",
        PLAIN,
        replace(NAMED, by_extra_name=True),
        "a serving certificate lacks the name graph.example.com, which auth dials",
    ),
    "the certificate or the trust": (
        configurations,
        "trust_refusal",
        PLAIN,
        replace(PLAIN, mode="certManager", given=ISSUERS[:1]),
        "a running auth does not trust a serving certificate",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", OFF)
def test_the_search_finds_what_a_rule_that_is_switched_off_would_let_happen(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, before, wanted, words = OFF[rule]
    complete = deployed(before)
    with pytest.raises(Refused):
        taken_back_and_repeated(complete, before, wanted)
    monkeypatch.setattr(module, name, lambda *_: None if name == "trust_refusal" else iter(()))
    with pytest.raises(Broken, match=words):
        taken_back_and_repeated(complete, before, wanted)
