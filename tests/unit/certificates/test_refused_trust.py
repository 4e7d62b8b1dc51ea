"""A refused change of trust returns nothing from which a resource could be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random
import pytest

from components.expiry import RecordedEnds
from components.tls_assembly import make_server_certificate
from components.trust_steps import TrustRecord
from tests.unit.certificates.test_tls_assembly import GENERATED, given, settings_of
from tests.unit.monitor import Recording, record
from tests.unit.settings.cases_tls import EXISTING, ISSUED

pytestmark = pytest.mark.unit

OTHER = frozenset({"another"})
PAIR = {"certificate_pem", "private_key_pem", "trust_bundle"}
SECRET = {"secret_name", "trust_bundle"}


@pytest.mark.parametrize(
    ("tls", "former", "handed_out"),
    [
        (GENERATED, "existingSecret", PAIR),
        (ISSUED, "generated", SECRET),
        (ISSUED, "certManager", SECRET),
        (EXISTING, "generated", SECRET),
        (EXISTING, "existingSecret", SECRET),
    ],
)
def test_nothing_is_made_of_a_refused_certificate_or_of_its_bundle(
    tls: dict[str, Any], former: str, handed_out: set[str], tmp_path: Path
) -> None:
    settings = settings_of(tls, tmp_path)

    def made_after(recorded: TrustRecord | None, recording: Recording) -> None:
        def program() -> None:
            options = pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")])
            made = make_server_certificate(
                settings,
                given(),
                "graph",
                permitted=True,
                recorded=pulumi.Output.from_input(recorded),
                ends_before=pulumi.Output.from_input(RecordedEnds()),
                verified=True,
                opts=options,
            )
            for name in sorted(PAIR | SECRET):
                if (value := getattr(made, name)) is not None:
                    random.RandomId(name, byte_length=4, keepers={"of": value})

        record(program, recording=recording)

    allowed, refused = Recording(), Recording()
    made_after(None, allowed)
    assert uses(allowed) == handed_out
    with pytest.raises(pulumi.RunError, match="cannot go from where it stands"):
        made_after(TrustRecord(mode=former, authorities=OTHER), refused)
    assert uses(refused) == set()


def uses(recording: Recording) -> set[str]:
    return {item.name for item in recording.of_type("random:index/randomId:RandomId")}
