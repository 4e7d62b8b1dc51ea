"""Which host CAs the access graph accepts after an `up`, given those it accepted before: what joins, stays and goes.

Owns the rule and what previews say about it. `host_authorities` reads a set; the ledger records what was accepted.
While Teleport rotates its host CA, hosts with certificates of both CAs call, and the rotation may be rolled back: so
what was accepted is kept until somebody says that it may go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pulumi

from components.expiry import Expiring, expiry_warnings, write_time
from components.host_authorities import HostAuthority, parse_authorities
from components.settings.errors import Problem

if TYPE_CHECKING:
    from components.intake import Intake
    from components.ledger import Ledger
    from components.settings import Settings

KEEP, DROP = "keep", "drop"
DOCUMENT = "docs/certificates.md"


@dataclass(frozen=True, kw_only=True)
class Succession:
    """The host CAs of one Teleport cluster, sorted by what happens to them; each part ordered by fingerprint."""

    cluster: str
    joining: tuple[HostAuthority, ...]
    """Given, and not accepted before."""
    staying: tuple[HostAuthority, ...]
    """Given, and accepted before."""
    kept: tuple[HostAuthority, ...]
    """Accepted before, no longer given, and still accepted: the other side of a rotation."""
    leaving: tuple[HostAuthority, ...]
    """Accepted before, no longer given, and no longer accepted: dropped, or expired."""

    @property
    def accepted(self) -> tuple[HostAuthority, ...]:
        return tuple(sorted((*self.joining, *self.staying, *self.kept), key=lambda one: one.fingerprint))

    def changes(self) -> str | None:
        """What previews show; None when nothing changes."""
        if not self.joining and not self.leaving:
            return None
        marked = [("+", one) for one in self.joining] + [("-", one) for one in self.leaving]
        lines = [f"  {mark} {_shown(one)}" for mark, one in sorted(marked, key=lambda pair: pair[1].fingerprint)]
        return "\n".join(
            [f"teleport.{self.cluster}.hostAuthorities: this changes the host CAs that TAG accepts:", *lines]
        )

    def reminder(self) -> str | None:
        """What somebody has to decide; None where nothing is kept."""
        if not self.kept:
            return None
        lines = [f"  {_shown(one)}" for one in self.kept]
        return "\n".join(
            [
                f"teleport.{self.cluster}.hostAuthorities: TAG still accepts host CAs that are no longer given, since "
                "a rotation may be under way or may be rolled back; when it is over, set former "
                f"to {DROP} and `up` ({DOCUMENT}):",
                *lines,
            ]
        )


def succession(
    cluster: str, known: Sequence[str], given: Sequence[HostAuthority], *, former: str, now: datetime
) -> Succession:
    """`known` are the PEMs in the ledger; `former` says what happens to those that are no longer `given`. An expired
    one is dropped in any case: it verifies nobody."""
    before = _parsed(known)
    given_prints, known_prints = {one.fingerprint for one in given}, {one.fingerprint for one in before}
    missing = [one for one in before if one.fingerprint not in given_prints]
    kept = tuple(one for one in missing if former == KEEP and now <= one.not_after)
    return Succession(
        cluster=cluster,
        joining=tuple(one for one in given if one.fingerprint not in known_prints),
        staying=tuple(one for one in given if one.fingerprint in known_prints),
        kept=kept,
        leaving=tuple(one for one in missing if one not in kept),
    )


def stranger_problem(
    cluster: str, known: Sequence[str], given: Sequence[HostAuthority], pins: Sequence[str]
) -> Problem | None:
    """Why a `given` set that shares no CA with the `known` one (PEMs) needs a confirmation, or None. Pins that include
    every given host CA confirm it."""
    before = _parsed(known)
    prints = {one.fingerprint for one in given}
    if not before or prints & {one.fingerprint for one in before} or prints <= set(pins):
        return None
    return Problem(
        f"teleport.{cluster}.hostAuthorities",
        f"has none of the host CAs that TAG accepts now ({', '.join(map(_shown, before))}): it is from another "
        "cluster, from a rebuilt one, or from a rotation in which a phase was missed",
        "compare with `tctl get cert_authorities`, and if it is right confirm it: set fingerprints to "
        f"[{', '.join(sorted(prints))}] ({DOCUMENT})",
    )


def stranger_problems(recorded: Ledger, settings: Settings, intake: Intake) -> Iterator[Problem]:
    """The `stranger_problem` of each Teleport cluster that has one."""
    for cluster, given in intake.host_authorities.items():
        source = settings.teleport[cluster].host_authorities
        assert source is not None  # host CAs are read only from a source
        problem = stranger_problem(cluster, recorded.host_authorities.get(cluster, ()), given, source.fingerprints)
        if problem is not None:
            yield problem


def accepted_host_authorities(
    settings: Settings, intake: Intake, ledger: pulumi.Output[Ledger]
) -> pulumi.Output[Mapping[str, tuple[HostAuthority, ...]]]:
    """The accepted host CAs by Teleport cluster name. Logs, in previews too, how they were read, what changes, what is
    kept and what expires soon."""
    intake.tell()

    def accept(recorded: Ledger) -> Mapping[str, tuple[HostAuthority, ...]]:
        found = successions(recorded, settings, intake)
        for one in found:
            _tell(one, intake.now)
        return {one.cluster: one.accepted for one in found if one.accepted}

    return ledger.apply(accept)


def successions(recorded: Ledger, settings: Settings, intake: Intake) -> list[Succession]:
    """For every Teleport cluster, including one that has left the settings or is no longer connected; none while the
    access graph is off."""
    if not settings.access_graph.enabled:
        return []
    found = []
    for cluster in sorted({*recorded.host_authorities, *intake.host_authorities}):
        entry = settings.teleport.get(cluster)
        source = None if entry is None or not entry.connected else entry.host_authorities
        found.append(
            succession(
                cluster,
                recorded.host_authorities.get(cluster, ()),
                intake.host_authorities.get(cluster, ()),
                former=DROP if source is None else source.former,
                now=intake.now,
            )
        )
    return found


def fingerprints(accepted: Mapping[str, Sequence[HostAuthority]]) -> dict[str, list[str]]:
    """SHA-256 of each host CA by Teleport cluster name, as `hostAuthorities.fingerprints` takes them."""
    return {cluster: [one.fingerprint for one in authorities] for cluster, authorities in accepted.items()}


def pems(accepted: Mapping[str, Sequence[HostAuthority]]) -> dict[str, list[str]]:
    """PEMs by Teleport cluster name, as the ledger keeps them."""
    return {cluster: [one.pem for one in authorities] for cluster, authorities in accepted.items()}


def _tell(found: Succession, now: datetime) -> None:
    changes, reminder = found.changes(), found.reminder()
    if changes is not None:
        pulumi.log.info(changes)
    if reminder is not None:
        pulumi.log.warn(reminder)
    ending = [_expiring(found.cluster, one) for one in (*found.joining, *found.staying)]
    for text in expiry_warnings(ending, now):
        pulumi.log.warn(text)


def _expiring(cluster: str, authority: HostAuthority) -> Expiring:
    return Expiring(
        what=f"the host CA {authority.fingerprint} of {cluster}",
        not_after=write_time(authority.not_after),
        remedy=f"rotate it in Teleport (`tctl auth rotate --type=host --manual`), with the `up`s of {DOCUMENT}",
    )


def _shown(authority: HostAuthority) -> str:
    return f"{authority.fingerprint} {authority.subject}"


def _parsed(known: Sequence[str]) -> tuple[HostAuthority, ...]:
    return parse_authorities("".join(known)) if known else ()
