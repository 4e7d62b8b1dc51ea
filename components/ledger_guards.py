"""Which configurations may follow the one that the ledger recorded, and how the others are refused.

Pure, except for `checked_ledger`, which puts the rules into the graph. Owns the rules for names and the namespace;
those for an authority are in `authority_phases`, for the database in `database_steps`, for a Teleport release in
`teleport_steps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pulumi

from components.authority_phases import algorithm_problem, step_problem
from components.database_steps import database_problems
from components.host_authority_succession import stranger_problems
from components.ledger import Ledger, LedgerError, read_ledger
from components.ledger_warnings import warnings
from components.settings import Settings
from components.settings.errors import Problem
from components.teleport_steps import teleport_problems
from components.tls_assembly import authority_algorithms, authority_step, trust_refusal, waits_for_bundle
from components.trust_steps import DOCUMENT, GENERATED

if TYPE_CHECKING:
    from components.intake import Intake


def checked_ledger(
    settings: Settings, intake: Intake, recorded_outputs: pulumi.StackReference
) -> pulumi.Output[Ledger]:
    """The stack's ledger. Fails with `LedgerError` if the settings, or what they point to, may not follow it."""

    def check(recorded: Ledger) -> Ledger:
        problems = [
            *refusals(recorded, settings),
            *unknown_authority_problems(recorded, settings, intake.now),
            *stranger_problems(recorded, settings, intake),
        ]
        if problems:
            raise LedgerError([f"  {problem}" for problem in problems])
        for warning in warnings(recorded, settings):
            pulumi.log.warn(warning)
        return recorded

    return read_ledger(recorded_outputs).apply(check)


def refusals(recorded: Ledger, settings: Settings) -> list[Problem]:
    """Everything in `settings` that may not follow `recorded`."""
    return [
        *database_problems(recorded, settings),
        *teleport_problems(recorded, settings),
        *_authority(recorded, settings),
        *_namespace(recorded, settings),
        *_endpoints(recorded, settings),
    ]


def unknown_authority_problems(recorded: Ledger, settings: Settings, now: datetime) -> Iterator[Problem]:
    """Refuses another source of the certificate in the same `up` as a new authority of the stack's own: Teleport could
    not trust the new certificate. Refuses before the authority's key is made, since a key that is to sign is protected
    and would bar the way back. For an authority that exists, `tls_assembly` checks its certificate instead."""
    step = authority_step(settings)
    made = () if recorded.authority is None else recorded.authority.existing
    if step is None or set(step.trusted) <= set(made):
        return
    if waits_for_bundle(settings, recorded.trust):
        problem = trust_refusal(settings, recorded.trust, frozenset(), recorded.is_verified(now))
        if problem is not None:
            yield problem


def _authority(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    step, before = authority_step(settings), recorded.trust
    if step is None:
        return
    problems = [
        problem
        for problem in (
            step_problem(recorded.authority, step),
            algorithm_problem(recorded.authority_algorithms, authority_algorithms(settings)),
        )
        if problem is not None
    ]
    if settings.tls.mode == GENERATED:
        yield from problems
    elif problems and (before is None or before.mode == GENERATED):
        # An authority that has signed, and is now only to be trusted, must not change. One that never signed may be
        # exchanged for another.
        yield Problem(
            "tls.nextAuthority",
            f"differs from the stack's own authority in {recorded.authority}, which has signed TAG's certificate",
            f"remove it, and put the content of the output caBundle into tls.trustBundleFile ({DOCUMENT})",
        )


def _namespace(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """A namespace that the stack gives up is deleted, and Kubernetes deletes everything in it: the running graph."""
    before, graph = recorded.namespace, settings.access_graph
    if graph.create_namespace or before.get("name") != graph.namespace:
        return
    if before.get("made") and not before.get("kept"):
        yield Problem(
            "accessGraph.createNamespace",
            f"would delete the namespace {graph.namespace}, which this stack made, with everything in it",
            "set accessGraph.keepNamespace to true and createNamespace back, `up`, and then set createNamespace to "
            "false and remove keepNamespace",
            "false",
        )


def _endpoints(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """TAG serves the new certificate while Teleport still dials the former name and verifies that name."""
    former, names = recorded.namespace.get("name"), settings.certificate_names
    if names is None:
        return
    yield from _names_to_come(recorded, settings)
    for cluster, endpoint in recorded.endpoints.items():
        host = endpoint.rpartition(":")[0]
        # TAG in another namespace uses another Secret: the former TAG serves until Teleport has moved to the new one.
        moved = former != settings.access_graph.namespace and f".{former}.svc." in host
        entry = settings.teleport.get(cluster)
        if entry is not None and entry.connected and host not in names and not moved:
            yield Problem(
                "tls.extraDnsNames",
                f"lacks {host}, the name that Teleport {cluster} dials until this `up` gives it another: its calls "
                "would fail meanwhile",
                "add it for this `up`, and remove it in the next one",
            )


def _names_to_come(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """An `up` that gives Teleport another name may be rolled back half way, so the certificate must hold both names by
    then. TAG also serves a certificate issued by somebody else only after a restart, which no `up` waits for."""
    if not recorded.certificate_names or recorded.namespace.get("name") != settings.access_graph.namespace:
        return
    for cluster in recorded.endpoints.keys() & settings.teleport.keys():
        host = settings.endpoint_of(cluster).rpartition(":")[0]
        if settings.connects(cluster) and host not in recorded.certificate_names:
            yield Problem(
                f"teleport.{cluster}.endpoint",
                f"names {host}, which the certificate did not have so far: calls would fail while TAG does not serve "
                "it yet, or if this `up` were rolled back half way",
                "first `up` with that name in tls.extraDnsNames, and switch to it when TAG serves it (`verify` says "
                "so)",
            )
