"""Settings of TAG's certificate and of the authority that Teleport trusts."""

from __future__ import annotations

from typing import Annotated, Literal

from components.settings.formats import DnsName
from components.settings.rules import DISTINCT, Rule, Section, Switch, WholeNumber, between, setting

# 397 days: what browsers and linters accept of a server certificate, so that the private one needs no exemption.
LONGEST_CERTIFICATE_HOURS = 397 * 24
TEN_YEARS_HOURS = 10 * 365 * 24
# Beyond 50 years ASN.1 changes its format of times, and no one remembers the key.
LONGEST_AUTHORITY_HOURS = 50 * 365 * 24

_ONLY_FIRST_GENERATION = Rule(
    "1, the only generation there is yet",
    lambda value: value == 1,
    "leave it at 1: replacing the authority at once would cut Teleport off",
)


_ONE_STEP_ONLY = "leave it at stable: authorities are replaced in overlapping steps, which this version does not take"


class AuthoritySettings(Section):
    """Which certificate authority signs, and how far its replacement has come."""

    generation: Annotated[WholeNumber, _ONLY_FIRST_GENERATION] = setting(
        1, why="number of the authority's key; a renewal with the same key is no new generation"
    )
    phase: Literal["stable"] = setting(
        "stable",
        why="step of the authority's replacement",
        later=dict.fromkeys(
            ("introduce", "switch", "retire"),
            "leave it at stable: an authority is replaced in overlapping steps, which this version does not take",
        ),
    )


class GeneratedTlsSettings(Section):
    """An authority and a server certificate that the stack makes and renews."""

    mode: Literal["generated"] = setting(
        why="where the certificate comes from",
        example="generated",
        later={
            "certManager": "set generated: certificates of cert-manager are not supported yet",
            "existingSecret": "set generated: a TLS Secret that exists is not supported yet",
        },
    )
    algorithm: Literal["ECDSA", "RSA"] = setting(
        "ECDSA", why="keys are ECDSA P-256, or RSA of 4096 bits where policy asks"
    )
    ca_validity_hours: Annotated[WholeNumber, between(24, LONGEST_AUTHORITY_HOURS, "hours")] = setting(
        TEN_YEARS_HOURS, why="life of the authority, ten years: replacing it touches Teleport"
    )
    ca_early_renewal_hours: Annotated[WholeNumber, between(1, LONGEST_AUTHORITY_HOURS, "hours")] = setting(
        365 * 24, why="the authority is renewed by an `up` in its last year"
    )
    certificate_validity_hours: Annotated[
        WholeNumber,
        between(
            1,
            LONGEST_CERTIFICATE_HOURS,
            "hours",
            lambda value: (
                "is more than 397 days, which strict verifiers refuse" if value > LONGEST_CERTIFICATE_HOURS else None
            ),
        ),
    ] = setting(LONGEST_CERTIFICATE_HOURS, why="life of the server certificate, 397 days, also the longest")
    certificate_early_renewal_hours: Annotated[WholeNumber, between(1, LONGEST_CERTIFICATE_HOURS, "hours")] = setting(
        30 * 24, why="the certificate is renewed by an `up` in its last 30 days"
    )
    authority: AuthoritySettings = setting({}, why="generation and phase of the authority")
    trust: Literal["bundle", "system"] = setting(
        "bundle",
        why="bundle gives Teleport the authority's certificate; system where Teleport's trust store has it already",
    )
    extra_dns_names: Annotated[tuple[DnsName, ...], DISTINCT] = setting(
        (), why="further names of TAG, for a LoadBalancer or another cluster; the Service's is always there"
    )
    protect: Switch = setting(True, why="whether the engine refuses to delete the authority's key")


TlsSettings = GeneratedTlsSettings
