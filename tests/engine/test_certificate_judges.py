"""Independent judges of the certificates that the program makes: openssl, Go's crypto/x509, and the linter pkilint.

The certificates are those of the component `Certificates`. The tls stand-in makes them as the official plugin would.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from components.certificates import KEY_ALGORITHMS
from sandbox.home import Cache
from tests.engine.go_programs import compiled
from tests.unit.certificates.issuing import Issued, Issuing
from tests.unit.certificates.pki import HOST

pytestmark = pytest.mark.engine

JUDGE = Path(__file__).parent / "x509_judge"
# Generation and phase of the authority at each step. Each step is an `up`.
STEPS = [(1, "stable"), (2, "introduce"), (2, "switch"), (2, "retire"), (2, "stable")]

# Violations of the rules for public authorities (CA/Browser Forum, Microsoft) that the linter finds, and why they stay.
LEAF_FINDINGS = {
    "cabf.internal_domain_name": "a Service's name is a cluster's own; no public authority may sign it",
    "cabf.serverauth.certificate_validity_period_exceeds_days": "the limit falls to 47 days for public ones, which are "
    "renewed by machines; `certificateValidityHours` sets a shorter life for a stack that is",
    "cabf.serverauth.dv.common_name_attribute_present": "see the next one",
    "cabf.serverauth.subscriber_common_name_unknown_source": "the computed name may be longer than the 64 characters "
    "of a common name, and a subject that is empty would make the alternative names critical",
    "cabf.serverauth.subscriber.authority_info_access_extension_absent": "it says where an authority's services are, "
    "and this one has none",
    "cabf.serverauth.subscriber.certificate_policies_extension_absent": "a policy names the audit that was passed",
    "cabf.serverauth.subscriber.revocation_information_absent": "nobody serves revocation: a lost key is answered by "
    "another authority",
    "msft.end_entity.revocation_information_absent": "as above",
    "cabf.serverauth.subscriber.subject_key_identifier_extension_present": "RFC 5280, 4.2.1.2: should be there",
}
RSA_FINDINGS = {
    "cabf.serverauth.subscriber_rsa_digitalsignature_and_keyencipherment_present": "a client of TLS 1.2 may know no "
    "other key exchange than RSA's"
}
AUTHORITY_FINDINGS = {
    "cabf.serverauth.ca.country_attribute_absent": "there is no legal body that the authority is",
    "cabf.serverauth.ca.organization_name_attribute_absent": "as above",
    "cabf.ca_certificate_no_digital_signature_bit": "it signs certificates alone, no OCSP answers",
}


class Files:
    """Writes what a step made into files for the judges."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, name: str, text: str) -> str:
        path = self._directory / f"{name}.pem"
        path.write_text(text)
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module", params=sorted(KEY_ALGORITHMS))
def algorithm(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def history(algorithm: str) -> list[Issued]:
    """What each step of a rotation issued, with keys of one algorithm."""
    issuing = Issuing()
    return [issuing.up(algorithm=algorithm, generation=generation, phase=phase) for generation, phase in STEPS]


@pytest.fixture(scope="module")
def judge() -> Path:
    return compiled(Cache.from_environment(), JUDGE, "x509-judge")


def openssl(bundle: str, chain: str, host: str = HOST) -> str:
    """Empty if `chain` verifies, else what openssl says. It checks as strictly as it can and trusts only the bundle."""
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver", "-verify_hostname", host,
         "-no-CApath", "-no-CAstore", "-CAfile", bundle, chain],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 and done.stdout == f"{chain}: OK\n" else done.stdout + done.stderr


def go(judge: Path, bundle: str, chain: str, host: str = HOST, at: str = "") -> str:
    """Empty if `chain` verifies, else what Go says."""
    arguments = [judge, "-bundle", bundle, "-chain", chain, "-host", host, "-at", at]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=180, check=False)
    return "" if (done.returncode, done.stdout) == (0, "OK\n") else done.stdout + done.stderr


def lint(kind: str, *arguments: str) -> set[str]:
    """The codes of the linter's findings, including notices."""
    done = subprocess.run(
        [sys.executable, "-m", f"pkilint.bin.lint_{kind}", "lint", "--severity", "NOTICE", "--format", "JSON",
         *arguments],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    # The limit's code has a number of days in it, which changes from year to year.
    return {
        re.sub(r"exceeds_\d+_days", "exceeds_days", found["code"])
        for result in json.loads(done.stdout)["results"]
        for found in result["finding_descriptions"]
    }


def test_every_step_verifies_with_what_is_trusted_before_and_after_it(
    history: list[Issued], judge: Path, files: Files
) -> None:
    """Auth may still have the former bundle, and TAG still serve the former certificate: neighbouring steps must work
    together."""
    for position, (step, before) in enumerate(zip(STEPS, [history[0], *history], strict=False)):
        after = history[position]
        for what, bundle in (("before", before.bundle), ("after", after.bundle)):
            for which, served in (("before", before.certificate), ("after", after.certificate)):
                pair = (files.write("bundle", bundle), files.write("leaf", served))
                case = f"{step}: bundle of {what}, certificate of {which}"
                assert openssl(*pair) == "", case
                assert go(judge, *pair) == "", case


def test_steps_that_are_further_apart_do_not(history: list[Issued], judge: Path, files: Files) -> None:
    """Shows what the order of the steps is for, and that the judges do refuse."""
    for bundle, served in ((history[0], history[2]), (history[3], history[0])):
        pair = (files.write("bundle", bundle.bundle), files.write("leaf", served.certificate))
        assert "unable to get local issuer certificate" in openssl(*pair)
        assert "certificate signed by unknown authority" in go(judge, *pair)


def test_another_name_is_refused(history: list[Issued], judge: Path, files: Files) -> None:
    pair = (files.write("bundle", history[0].bundle), files.write("leaf", history[0].certificate))
    # "Teleport Access Graph", the certificate's common name, does not count as a name of the server.
    for host in (f"wrong.{HOST}", "Teleport Access Graph", HOST.partition(".")[2]):
        assert "hostname mismatch" in openssl(*pair, host=host).lower()
        assert go(judge, *pair, host=host) != ""


def test_it_holds_from_its_first_second_to_its_last(history: list[Issued], judge: Path, files: Files) -> None:
    pair = (files.write("bundle", history[0].bundle), files.write("leaf", history[0].certificate))
    leaf = x509.load_pem_x509_certificate(history[0].certificate.encode())
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=397)
    second = timedelta(seconds=1)
    for moment, holds in (
        (leaf.not_valid_before_utc - second, False),
        (leaf.not_valid_before_utc, True),
        (leaf.not_valid_after_utc, True),
        (leaf.not_valid_after_utc + second, False),
    ):
        assert (go(judge, *pair, at=f"{moment:%Y-%m-%dT%H:%M:%SZ}") == "") is holds, moment


def test_an_authority_that_was_renewed_with_its_key_verifies_what_the_old_one_signed(
    algorithm: str, judge: Path, files: Files
) -> None:
    issuing = Issuing()
    before = issuing.up(algorithm=algorithm)
    after = issuing.up(algorithm=algorithm, ca_validity_hours=87601)
    assert before.authorities[1] != after.authorities[1]
    for bundle in (before.bundle, after.bundle):
        for served in (before.certificate, after.certificate):
            pair = (files.write("bundle", bundle), files.write("leaf", served))
            assert openssl(*pair) == ""
            assert go(judge, *pair) == ""


def test_an_algorithm_may_change_with_the_authority(judge: Path, files: Files) -> None:
    issuing = Issuing()
    issuing.up(algorithm="ECDSA")
    mixed = {"algorithm": "RSA", "previous_algorithm": "ECDSA", "generation": 2}
    both = [issuing.up(**mixed, phase=phase) for phase in ("introduce", "switch")]
    assert both[0].bundle == both[1].bundle
    for step in both:
        pair = (files.write("bundle", step.bundle), files.write("leaf", step.certificate))
        assert openssl(*pair) == ""
        assert go(judge, *pair) == ""


def test_the_linter_finds_nothing_against_rfc_5280(history: list[Issued], files: Files) -> None:
    for step in history:
        assert lint("pkix_cert", files.write("leaf", step.certificate)) == set()
        for pem in step.authorities.values():
            assert lint("pkix_cert", files.write("authority", pem)) == set()


def test_the_linter_finds_nothing_between_an_authority_and_what_it_signed(history: list[Issued], files: Files) -> None:
    for step, generation in ((history[0], 1), (history[2], 2)):
        authority = files.write("authority", step.authorities[generation])
        assert lint("pkix_signer_signee_cert_chain", authority, files.write("leaf", step.certificate)) == set()


def test_against_public_authorities_rules_it_finds_only_what_a_private_one_cannot_meet_or_need_not(
    algorithm: str, history: list[Issued], files: Files
) -> None:
    leaf = lint("cabf_serverauth_cert", "--detect", files.write("leaf", history[0].certificate))
    assert leaf == LEAF_FINDINGS.keys() | (RSA_FINDINGS.keys() if algorithm == "RSA" else set())
    authority = lint("cabf_serverauth_cert", "--detect", files.write("authority", history[0].bundle))
    assert authority == AUTHORITY_FINDINGS.keys()


def test_a_shorter_life_meets_the_limit(files: Files) -> None:
    leaf = lint(
        "cabf_serverauth_cert",
        "--detect",
        files.write("leaf", Issuing().up(certificate_validity_hours=46 * 24).certificate),
    )
    assert LEAF_FINDINGS.keys() - leaf == {"cabf.serverauth.certificate_validity_period_exceeds_days"}
