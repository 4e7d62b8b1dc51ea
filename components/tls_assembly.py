"""TAG's certificate, from settings: makes the components of the chosen `tls.mode`, and gives one answer for all modes.

Owns the translation, and puts the rules of `trust_steps` and the warnings of `expiry` into the graph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pulumi

from components.authority_phases import STABLE, AuthorityStep, algorithms
from components.certificates import Certificates, CertificatesArgs
from components.expiry import Expiring, RecordedEnds, expiry_warnings, read_time, write_time
from components.known_after import known_after, unless_refused
from components.server_certificate import ServerCertificate
from components.settings import (
    CertManagerTlsSettings,
    ExistingIssuerSettings,
    ExistingSecretTlsSettings,
    GeneratedTlsSettings,
    Settings,
)
from components.trust_bundles import Authority, authorities_of, authority_identities, joined
from components.trust_steps import GENERATED, TrustRecord, trust_problem

if TYPE_CHECKING:
    from components.settings.errors import Problem


def authority_step(settings: Settings) -> AuthorityStep | None:
    """The step that the settings ask for; None without an authority of the stack's own. An authority that is only
    trusted ahead (`tls.nextAuthority`) is stable from the start."""
    tls = settings.tls
    if isinstance(tls, GeneratedTlsSettings):
        return AuthorityStep(tls.authority.generation, tls.authority.phase)
    return None if tls.next_authority is None else AuthorityStep(tls.next_authority.generation, STABLE)


def authority_algorithms(settings: Settings) -> dict[int, str]:
    """The algorithm of each generation that exists in that step."""
    step, tls = authority_step(settings), settings.tls
    if step is None:
        return {}
    if isinstance(tls, GeneratedTlsSettings):
        return algorithms(step, tls.algorithm, tls.authority.previous_algorithm)
    assert tls.next_authority is not None  # since there is a step
    return algorithms(step, tls.next_authority.algorithm, None)


def make_server_certificate(
    settings: Settings,
    given: Sequence[Authority],
    namespace: pulumi.Input[str],
    *,
    permitted: pulumi.Input[bool],
    recorded: pulumi.Output[TrustRecord | None],
    ends_before: pulumi.Output[RecordedEnds],
    verified: pulumi.Input[bool],
    opts: pulumi.ResourceOptions,
) -> ServerCertificate:
    """`given` are the authorities of `tls.trustBundleFile`; `namespace` is TAG's, taken from its resource. `permitted`
    resolves if the authority's step is allowed. `recorded` is what the last complete `up` left, `ends_before` the
    recorded ends of what this `up` may renew, `verified` whether a Teleport may verify by the recorded authorities.
    `opts` have the Kubernetes provider."""
    tls = settings.tls
    further = joined(authority.pem for authority in given) or None
    own = _own_authorities(settings, further, permitted)
    bundle = own.trust_bundle if own is not None else None if further is None else pulumi.Output.from_input(further)
    allowed = _allowed(settings, given, bundle, recorded, verified)
    expiring = [_of_bundle(authority) for authority in given]
    # If an authority was renewed with its key, its later certificate counts: either verifies what the key has signed.
    last = {one.identity: one.not_after for one in sorted(given, key=lambda one: one.not_after)}
    ends = [pulumi.Output.from_input(write_time(end)) for end in last.values()]
    pair: tuple[pulumi.Output[str] | None, pulumi.Output[str] | None] = (None, None)
    secret_name: pulumi.Output[str] | None = None
    not_after: pulumi.Output[str] | pulumi.Output[str | None] | None
    if own is not None:
        expiring.append(
            _of_authority(settings, _or_before(own.ca_not_after, ends_before.apply(lambda ends: ends.authorities)))
        )
        ends.append(own.ca_not_after)
    if isinstance(tls, GeneratedTlsSettings):
        assert own is not None  # mode generated has a step
        assert own.certificate_pem is not None
        assert own.private_key_pem is not None
        assert own.certificate_not_after is not None
        end = _or_before(own.certificate_not_after, ends_before.apply(lambda ends: ends.certificate))
        expiring.append(_of_certificate(tls, end))
        pair = (known_after(own.certificate_pem, allowed), known_after(own.private_key_pem, allowed))
        not_after = own.certificate_not_after
    else:
        foreign, not_after = _foreign(settings, unless_refused(namespace, allowed), opts)
        secret_name = known_after(foreign, allowed)
    return ServerCertificate(
        certificate_pem=pair[0],
        private_key_pem=pair[1],
        secret_name=secret_name,
        trust_bundle=None if bundle is None else known_after(bundle, allowed),
        ca_not_after=pulumi.Output.all(*ends).apply(_first) if ends else None,
        certificate_not_after=not_after,
        ready=None if own is None else own.ready,
        expiring=tuple(expiring),
    )


def trust_record(settings: Settings, bundle: pulumi.Output[str] | None) -> pulumi.Output[TrustRecord]:
    """The record of what this `up` makes, for the rule and the ledger. `bundle` is that of a `ServerCertificate`."""
    tls = settings.tls
    if tls.trust == "system" or bundle is None:
        return pulumi.Output.from_input(trust_of(settings, frozenset()))

    def recorded(pem: str) -> TrustRecord:
        authorities = authorities_of(pem)
        last = max(authority.not_after for authority in authorities)
        return trust_of(settings, authority_identities(authorities), write_time(last))

    return bundle.apply(recorded)


def trust_of(settings: Settings, identities: frozenset[str], ends: str | None = None) -> TrustRecord:
    """`identities` are those of the authorities in the bundle; `ends` is when the last of them ends."""
    tls = settings.tls
    return TrustRecord(
        mode=tls.mode,
        authorities=None if tls.trust == "system" else identities,
        protected=isinstance(tls, GeneratedTlsSettings) and tls.protect,
        ends=None if tls.trust == "system" else ends,
    )


def waits_for_bundle(settings: Settings, before: TrustRecord | None) -> bool:
    """Whether `trust_refusal` needs the authorities of the bundle that this `up` makes, not only the given ones. It
    does not always: a preview would then show everything that waits for an authority's certificate as changing."""
    return settings.access_graph.enabled and before is not None and before.mode != settings.tls.mode


def trust_refusal(
    settings: Settings, before: TrustRecord | None, identities: frozenset[str], verified: bool
) -> Problem | None:
    """Why `settings` may not follow `before`, or None. One `up` may change what Teleport trusts, or where the
    certificate comes from, but not both. If no Teleport can verify by the recorded authorities, or the access graph is
    off, everything but a protected key may change: `teleport` gives auth its own values back before it changes the
    ConfigMap.

    `identities` are those of the bundle where `waits_for_bundle`, and of the given authorities elsewhere.
    """
    if before is None or before.mode == settings.tls.mode == GENERATED:
        return None  # the succession of the stack's own authorities has its own rules
    verified = verified and settings.access_graph.enabled
    return trust_problem(before, trust_of(settings, identities), verified=verified)


def warn_of_expiry(certificate: ServerCertificate, now: datetime) -> pulumi.Output[list[str]]:
    """Warn, in previews too, of what ends within 60 days. A preview does not know the end of what is made anew: it
    warns of the recorded end, or not at all where there is none."""

    def warn(items: list[Expiring | None]) -> list[str]:
        warnings = expiry_warnings([item for item in items if item is not None], now)
        for text in warnings:
            pulumi.log.warn(text)
        return warnings

    return pulumi.Output.all(*certificate.expiring).apply(warn)


def _own_authorities(settings: Settings, further: str | None, permitted: pulumi.Input[bool]) -> Certificates | None:
    step, tls = authority_step(settings), settings.tls
    if step is None:
        return None
    common: dict[str, Any] = {"generation": step.generation, "further_authorities": further, "permitted": permitted}
    if isinstance(tls, GeneratedTlsSettings):
        arguments = CertificatesArgs(
            dns_names=_names(settings),
            algorithm=tls.algorithm,
            previous_algorithm=tls.authority.previous_algorithm,
            ca_validity_hours=tls.ca_validity_hours,
            ca_early_renewal_hours=tls.ca_early_renewal_hours,
            certificate_validity_hours=tls.certificate_validity_hours,
            certificate_early_renewal_hours=tls.certificate_early_renewal_hours,
            phase=step.phase,
            protect=tls.protect,
            **common,
        )
    else:
        assert tls.next_authority is not None  # since there is a step
        arguments = CertificatesArgs(
            dns_names=[],
            algorithm=tls.next_authority.algorithm,
            ca_validity_hours=tls.next_authority.ca_validity_hours,
            ca_early_renewal_hours=tls.next_authority.ca_early_renewal_hours,
            serves=False,
            **common,
        )
    return Certificates("certificates", arguments)


def _names(settings: Settings) -> list[str]:
    """The names in a certificate that the stack asks for."""
    assert settings.certificate_names is not None  # None only for an existing Secret, whose owner decides its names
    return list(settings.certificate_names)


def _foreign(
    settings: Settings, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[str | None] | None]:
    """Name of the Secret that somebody else fills, and the end of its certificate as far as that is known."""
    tls = settings.tls
    if isinstance(tls, ExistingSecretTlsSettings):
        return pulumi.Output.from_input(tls.secret_name), None
    from components.issued_certificates import IssuedCertificate, IssuedCertificateArgs

    assert isinstance(tls, CertManagerTlsSettings)  # the caller handles mode generated
    issuer: dict[str, Any] = (
        {"issuer_kind": tls.issuer.kind, "issuer_name": tls.issuer.name, "issuer_group": tls.issuer.group}
        if isinstance(tls.issuer, ExistingIssuerSettings)
        else {"ca_secret": tls.issuer.secret_name}
    )
    issued = IssuedCertificate(
        "issued-certificate",
        IssuedCertificateArgs(
            namespace=namespace,
            dns_names=_names(settings),
            algorithm=tls.algorithm,
            validity_hours=tls.certificate_validity_hours,
            early_renewal_hours=tls.certificate_early_renewal_hours,
            awaited=settings.access_graph.enabled,
            **issuer,
        ),
        opts=opts,
    )
    return issued.secret_name, issued.not_after


def _allowed(
    settings: Settings,
    given: Sequence[Authority],
    bundle: pulumi.Output[str] | None,
    recorded: pulumi.Output[TrustRecord | None],
    verified: pulumi.Input[bool],
) -> pulumi.Output[bool]:
    """Resolves unless `trust_refusal` refuses this `up`."""

    def refuse(before: TrustRecord | None, trusted: Sequence[Authority], in_use: bool) -> bool:
        problem = trust_refusal(settings, before, authority_identities(trusted), in_use)
        if problem is not None:
            raise pulumi.RunError(f"The stack cannot go from where it stands to this configuration:\n  {problem}")
        return True

    def check(known: list[Any]) -> Any:
        before, in_use = known
        if waits_for_bundle(settings, before):
            made = pulumi.Output.from_input("" if bundle is None else bundle)
            return made.apply(lambda pem: refuse(before, authorities_of(pem), in_use))
        return refuse(before, given, in_use)

    return pulumi.Output.all(recorded, verified).apply(check)


def _or_before(end: pulumi.Output[str], before: pulumi.Output[str | None]) -> pulumi.Output[str | None]:
    """`end`, or `before` in a preview that does not know `end`. Always known, so that one unknown end does not hold
    back the warnings about the others."""

    async def found() -> str | None:
        return await end.future() or await before.future()

    async def known() -> bool:
        return True

    return pulumi.Output(
        end.resources(), asyncio.ensure_future(found()), asyncio.ensure_future(known()), end.is_secret()
    )


def _of_certificate(tls: GeneratedTlsSettings, not_after: pulumi.Output[str | None]) -> pulumi.Output[Expiring | None]:
    hours = tls.certificate_early_renewal_hours
    return not_after.apply(lambda end: _renewed("the server certificate", end, hours))


def _of_authority(settings: Settings, not_after: pulumi.Output[str | None]) -> pulumi.Output[Expiring | None]:
    tls = settings.tls
    section = tls if isinstance(tls, GeneratedTlsSettings) else tls.next_authority
    assert section is not None  # since there is an authority
    hours = section.ca_early_renewal_hours
    return not_after.apply(lambda end: _renewed("the certificate authority", end, hours))


def _of_bundle(authority: Authority) -> pulumi.Output[Expiring | None]:
    return pulumi.Output.from_input(
        Expiring(
            what=f"the authority {authority.subject} of tls.trustBundleFile",
            not_after=write_time(authority.not_after),
            remedy="add its successor to the file, and take it out when nothing is signed by it any more",
        )
    )


def _renewed(what: str, end: str | None, early_renewal_hours: int) -> Expiring | None:
    if end is None:
        return None
    due = read_time(end) - timedelta(hours=early_renewal_hours)
    return Expiring(what=what, not_after=end, remedy=f"an `up` from {due:%Y-%m-%d %H:%M} UTC on renews it")


def _first(times: list[str]) -> str:
    return min(times, key=read_time)
