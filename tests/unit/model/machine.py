"""Everybody who acts on the world, in any order: an operator who may change any setting and make every mistake that the
program must refuse, an engine that may end after any operation, time, Teleport with its host CA, another owner of the
release, an issuer, and whatever restarts pods.

The machine leaves out what the program can neither see nor prevent. `EXCEPTIONS` names each such action, and
`test_exceptions.py` shows that it would break something.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from components.authority_phases import PHASES
from components.settings import SettingsError
from components.settings.names import ISSUED_SECRET_NAME
from components.tls_assembly import authority_step
from tests.samples import TELEPORT_CLUSTER
from tests.unit.model.certificates import authority, host_authority, identities, identity
from tests.unit.model.configurations import (
    EXTERNAL_NAME,
    HOSTS,
    ISSUERS,
    RELEASES,
    Configuration,
    understood,
)
from tests.unit.model.up import Refused, Up, owner_rolls_out, restarter_looks
from tests.unit.model.world import Leaf, World

EXCEPTIONS = {
    "former: drop": "who says drop wants exactly the host CAs that are given; what Teleport presents only Teleport "
    "knows, and `preflight` asks its proxy",
    "nothing known": "with the access graph off nothing is remembered of host CAs: what is given when it is switched "
    "on is taken",
    "foreign issuer": "who signs a certificate that somebody else issues is never read from its Secret; `preflight` "
    "looks at it before an authority is taken out of tls.trustBundleFile",
    "foreign restart": "TAG serves what somebody else issued when the restarter has looked; `verify` says which",
    "begun from off": "the ledger moves when an `up` is complete: one that failed while it switched the access graph "
    "on is repeated or taken back, and not followed by something else",
    "begun from nothing": "before the first complete `up` there is no ledger: one that failed is repeated, and not "
    "followed by another owner, login or authority",
    "stale authorities": "an auth that starts while an `up` takes authorities out of the bundle, which is then killed "
    "and taken back, keeps the smaller bundle until it starts again; restart auth before the next change of `tls`",
}


def begin() -> World:
    return World(
        issuer=identity(authority(ISSUERS[0])), presented=frozenset({host_authority(0).fingerprint}), ledger=None
    )


STEPS = st.sampled_from([(1, "stable"), *itertools.product((2, 3), PHASES)])
NAMES = st.sets(st.sampled_from([EXTERNAL_NAME, *HOSTS])).map(lambda names: tuple(sorted(names)))
FORMER = st.sampled_from(["keep", "drop"])
GIVEN = st.sampled_from([(), ISSUERS[:1], ISSUERS[1:], ISSUERS])
STRANGER = 99


def _of_trust(configuration: Configuration) -> tuple[object, ...]:
    """The settings that decide who signs and who is trusted."""
    return (
        configuration.mode,
        configuration.generation,
        configuration.phase,
        configuration.given,
        configuration.next_generation,
    )


class Everything(RuleBasedStateMachine):
    """The rules may run at any moment, also during an `up`."""

    PLANS: tuple[str, ...] = ("edit", "again", "back", "authority", "login", "hosts")
    SETTINGS: tuple[str, ...] = (
        "enabled",
        "release",
        "names",
        "endpoint",
        "mode",
        "given",
        "next",
        "authority",
        "rotation",
        "authentication",
        "hosts",
        "owner",
        "adopt",
        "namespace",
    )

    def __init__(self) -> None:
        super().__init__()
        self.world = begin()
        self.wanted = Configuration()
        self.complete: Configuration | None = None
        self.up: Up | None = None
        self.begun: Configuration | None = None
        self.turning_on: Configuration | None = None
        """The configuration with which an unfinished `up` turns the access graph on."""
        self.host, self.phase = 0, "standby"

    @initialize(
        mode=st.sampled_from(["generated", "certManager"]),
        owner=st.sampled_from(["release", "values"]),
        adopt=st.booleans(),
        enabled=st.booleans(),
        number=st.integers(min_value=0, max_value=2),
    )
    def first(self, mode: str, owner: str, adopt: bool, enabled: bool, number: int) -> None:
        given = ISSUERS[:1] if mode == "certManager" else ()
        self.world.teleport_exists = owner == "values" or adopt
        wanted = replace(self.wanted, mode=mode, owner=owner, adopt=adopt, enabled=enabled, given=given)
        self._begin(replace(wanted, rotation=number, generation=1 + number))

    # The operator.

    @rule(data=st.data(), edits=st.integers(min_value=1, max_value=3))
    def edits_settings(self, data: st.DataObject, edits: int) -> None:
        wanted = self.wanted
        for _ in range(edits):
            wanted = replace(wanted, **self._edit(data))
        self._begin(wanted)

    @rule()
    def goes_on(self) -> None:
        """Run the same `up` once more."""
        self._begin(self.wanted)

    @precondition(lambda self: self.complete is not None)
    @rule()
    def takes_back(self) -> None:
        assert self.complete is not None
        self._begin(self.complete)

    @precondition(lambda self: self.complete is not None and self.complete.mode == "generated")
    @rule()
    def next_authority(self) -> None:
        assert self.complete is not None
        now = authority_step(understood(self.complete)[0])
        assert now is not None
        self._begin(replace(self.complete, generation=now.next.generation, phase=now.next.phase))

    @precondition(lambda self: self.complete is not None and self.complete.authentication == "password")
    @rule()
    def next_login(self) -> None:
        assert self.complete is not None
        self._begin(replace(self.complete, rotation=self.complete.rotation + 1))

    @rule(data=st.data(), operations=st.integers(min_value=0, max_value=40))
    def one_up(self, data: st.DataObject, operations: int) -> None:
        """Change one setting, in the documented order or not, and kill the `up` after `operations` operations unless it
        completes first."""
        plan = data.draw(st.sampled_from(self.PLANS))
        if plan == "edit":
            self.edits_settings(data, 1)
        elif plan == "hosts":
            self._begin(replace(self.wanted, hosts=self._exported(), former=data.draw(FORMER)))
        elif plan == "again" or self.complete is None:
            self.goes_on()
        elif plan == "back":
            self.takes_back()
        elif plan == "authority" and self.complete.mode == "generated":
            self.next_authority()
        elif self.complete.authentication == "password":
            self.next_login()
        if self.up is not None:
            self.the_engine_goes_on(data, operations)
        if self.up is not None:
            self.the_engine_is_killed()

    def _exported(self) -> tuple[int, ...]:
        """Numbers of the host CAs that Teleport's proxy (or tctl) exports in the current rotation phase."""
        return {"standby": (self.host,), "init": (self.host, self.host + 1)}.get(self.phase, (self.host + 1,))

    def _edit(self, data: st.DataObject) -> dict[str, Any]:
        kind = data.draw(st.sampled_from(self.SETTINGS))
        now, flag = self.wanted, st.booleans()
        if kind == "enabled":
            return {"enabled": not now.enabled}
        if kind == "release":
            return {"release": data.draw(st.sampled_from(RELEASES))}
        if kind == "names":
            return {"extra_names": data.draw(NAMES)}
        if kind == "endpoint":
            return {"by_extra_name": data.draw(flag)}
        if kind == "mode":
            mode = data.draw(st.sampled_from(["generated", "certManager"]))
            return {"mode": mode, **({"next_generation": None} if mode == "generated" else {})}
        if kind == "given":
            return {"given": data.draw(GIVEN)}
        if kind == "next":
            return {"next_generation": data.draw(st.sampled_from([None, 1, 2]))} if now.mode != "generated" else {}
        if kind == "authority":
            generation, phase = data.draw(STEPS)
            return {"generation": generation, "phase": phase}
        if kind == "rotation":
            return {"rotation": max(0, now.rotation + data.draw(st.integers(min_value=-2, max_value=3)))}
        if kind == "authentication":
            by = data.draw(st.sampled_from(["password", "iam"]))
            return {"authentication": by, **({"rotation": 0} if by == "iam" else {})}
        if kind == "hosts":
            numbers = st.sets(st.sampled_from([self.host, self.host + 1, STRANGER]), min_size=1)
            return {
                "hosts": tuple(sorted(data.draw(numbers))),
                "former": data.draw(FORMER),
                "confirmed": data.draw(flag),
            }
        if kind == "owner":
            return {"owner": data.draw(st.sampled_from(["release", "values"])), "adopt": data.draw(flag)}
        if kind == "adopt":
            return {"adopt": data.draw(flag)}
        return {"create_namespace": data.draw(flag), "keep_namespace": data.draw(flag)}

    def _begin(self, wanted: Configuration) -> None:
        try:
            understood(wanted)
        except SettingsError as error:
            note(str(error))
            return
        if self._exception(wanted) is not None:
            return
        self._stop()
        try:
            self.up = Up(self.world, wanted)
        except Refused as refused:
            event("refused")
            note(f"{wanted} is refused: {refused}")
            return
        note(f"up: {wanted}")
        self.wanted = self.begun = wanted
        if wanted.enabled and not self.up.before.endpoints:
            self.turning_on = wanted

    def _exception(self, wanted: Configuration) -> str | None:
        """The name of the exception that this configuration would be, or None. The program cannot see an exception."""
        world = self.world
        if self.complete is None and self.begun not in (None, wanted):
            return "begun from nothing"
        if self.turning_on is not None and replace(wanted, enabled=True) != self.turning_on:
            return "begun from off"
        stale = any(load.endpoint is not None and load.bundle != world.config_map for load in world.auth_loads)
        if stale and self.begun == self.complete is not None and _of_trust(wanted) != _of_trust(self.complete):
            return "stale authorities"
        given = {host_authority(number).fingerprint for number in wanted.hosts}
        known = bool(world.ledger and world.ledger["hostAuthorities"])  # type: ignore[index]
        if wanted.enabled and not world.presented <= given:
            if wanted.former == "drop":
                return "former: drop"
            if not known:
                return "nothing known"
        if wanted.mode != "generated":
            signers = {world.issuer} | {
                load.leaf.signer
                for graph in world.graphs.values()
                if graph.template.tls_secret == ISSUED_SECRET_NAME
                for load in graph.loads
            }
            issued = world.secrets.get(ISSUED_SECRET_NAME)
            if isinstance(issued, Leaf):
                signers.add(issued.signer)
            if not signers <= {identity(authority(issuer)) for issuer in wanted.given}:
                return "foreign issuer"
            if any(
                load.leaf != issued
                for graph in world.graphs.values()
                if graph.template.tls_secret == ISSUED_SECRET_NAME
                for load in graph.loads
            ):
                return "foreign restart"
        return None

    # The engine.

    @precondition(lambda self: self.up is not None)
    @rule(data=st.data(), count=st.integers(min_value=1, max_value=10))
    def the_engine_goes_on(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            assert self.up is not None
            ready = self.up.ready()
            if not ready:
                return
            self.up.advance(ready[data.draw(st.integers(min_value=0, max_value=len(ready) - 1))])
            self._look()
            if self.up.complete:
                self._completed()
                return

    @precondition(lambda self: self.up is not None)
    @rule()
    def the_engine_comes_to_an_end(self) -> None:
        assert self.up is not None
        self.up.finish()
        self._look()
        if self.up.complete:
            self._completed()
        else:
            self.up = None

    @precondition(lambda self: self.up is not None)
    @rule()
    def the_engine_is_killed(self) -> None:
        self._stop()

    def _completed(self) -> None:
        assert self.up is not None
        event("complete")
        self.complete, self.up, self.turning_on = self.up.configuration, None, None

    def _stop(self) -> None:
        if self.up is not None:
            self.up.stop()
            self._look()
            self.up = None

    # Everybody else.

    @precondition(lambda self: self.world.leaf is not None)
    @rule()
    def a_year_passes(self) -> None:
        self.world.leaf_due = True

    @precondition(lambda self: bool(self.world.authorities))
    @rule()
    def nine_years_pass(self) -> None:
        self.world.leaf_due = True
        self.world.authorities = {
            generation: replace(one, due=True) for generation, one in self.world.authorities.items()
        }

    @precondition(lambda self: self.world.handed_over is not None)
    @rule()
    def the_owner_rolls_out(self) -> None:
        owner_rolls_out(self.world)

    @rule()
    def the_restarter_looks(self) -> None:
        restarter_looks(self.world)

    @precondition(lambda self: ISSUED_SECRET_NAME in self.world.secrets)
    @rule(issuer=st.sampled_from(ISSUERS))
    def the_issuer_signs_anew(self, issuer: str) -> None:
        """The issuer moves to another authority only when every auth trusts that authority, and every configuration
        (complete or wanted) names it."""
        wanted = identity(authority(issuer))
        trusted = [identities(load.bundle) for load in self.world.auth_loads if load.endpoint is not None]
        trusted.append(identities(self.world.config_map or ""))
        plans = [self.wanted, *([self.complete] if self.complete else [])]
        if all(wanted in one for one in trusted) and all(issuer in plan.given for plan in plans):
            before = self.world.secrets[ISSUED_SECRET_NAME]
            assert isinstance(before, Leaf)
            self.world.issuer = wanted
            self.world.secrets[ISSUED_SECRET_NAME] = Leaf(wanted, before.names, self.world.fresh())

    @rule(rollback=st.booleans())
    def teleport_rotates_its_host_ca(self, rollback: bool) -> None:
        """As docs/certificates.md prescribes: nobody presents the next CA before an `up` that accepts it is
        complete."""
        old, new = (host_authority(number).fingerprint for number in (self.host, self.host + 1))
        if self.phase == "standby":
            self.phase = "init"
        elif self.phase == "init":
            recorded = (self.world.ledger or {}).get("hostAuthorities", {})
            accepted = host_authority(self.host + 1).pem in recorded.get(TELEPORT_CLUSTER, ())  # type: ignore[union-attr]
            if accepted and self._accepted_everywhere(new):
                self.phase, self.world.presented = "update_clients", frozenset({old, new})
        elif rollback:
            self.phase, self.world.presented = "standby", frozenset({old})
        else:
            self.phase, self.world.presented, self.host = "standby", frozenset({new}), self.host + 1

    def _accepted_everywhere(self, fingerprint: str) -> bool:
        number = self.host + 1
        plans = [self.wanted, *([self.complete] if self.complete else [])]
        return all(number in plan.hosts for plan in plans) and all(
            fingerprint in load.accepted for graph in self.world.graphs.values() for load in graph.loads
        )

    # What holds at every moment.

    @invariant()
    def nothing_is_broken(self) -> None:
        self.world.observe()
        broken = self.world.broken()
        assert not broken, broken

    def _look(self) -> None:
        assert self.up is not None
        assert not self.up.broken, self.up.broken

    def teardown(self) -> None:
        self._stop()


# The same machine with fewer choices, so that faults which take many steps of one kind are found sooner.


class Logins(Everything):
    PLANS = ("again", "back", "login", "edit")
    SETTINGS = ("rotation", "authentication", "enabled")


class HostAuthorities(Everything):
    PLANS = ("again", "back", "hosts", "edit")
    SETTINGS = ("hosts",)


class Authorities(Everything):
    PLANS = ("again", "back", "authority", "edit")
    SETTINGS = ("mode", "given", "next", "authority", "enabled")


class Names(Everything):
    PLANS = ("again", "back", "edit")
    SETTINGS = ("names", "endpoint", "release", "enabled")


class Owners(Everything):
    PLANS = ("again", "back", "edit")
    SETTINGS = ("owner", "adopt", "namespace", "enabled", "endpoint", "names")
