"""Files of authorities as an editor or another machine may leave them: the program reads the right set, or names the
key and the reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from components.intake import Intake, IntakeError, read_intake
from components.settings import SettingsError, load_settings
from components.settings.relations.files import LARGEST_FILE
from components.trust_bundles import joined
from tests.samples import STACK, existing_configuration
from tests.unit.certificates.pki import NOW, authority, server
from tests.unit.settings.cases_tls import EXISTING

pytestmark = pytest.mark.unit

ONE, TWO = authority("One"), authority("Two")
KEYS = ["tls.trustBundleFile", "database.caBundleFile"]
DER = ONE.certificate.public_bytes(Encoding.DER)


def read(key: str, content: bytes, root: Path) -> str:
    """The bundle that the program reads from the file."""
    found = intake(key, content, root)
    return found.database_ca_bundle or joined(one.pem for one in found.trust_bundle)


def intake(key: str, content: bytes, root: Path) -> Intake:
    (root / "bundle.pem").write_bytes(content)
    changes: dict[str, Any] = {
        "tls.trustBundleFile": {"tls": {**EXISTING, "trustBundleFile": "bundle.pem"}},
        "database.caBundleFile": {
            "database": {"mode": "existing", "secret": {"name": "database"}, "caBundleFile": "bundle.pem"}
        },
    }[key]
    configuration = existing_configuration(**changes)
    configuration["accessGraph"]["enabled"] = False  # then no Teleport's host CAs are checked
    return read_intake(load_settings(configuration, (), root=root, stack=STACK), NOW)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "content",
    [
        (TWO.pem + ONE.pem).encode(),
        (TWO.pem + ONE.pem).replace("\n", "\r\n").encode(),
        (TWO.pem + ONE.pem).replace("\n", "\r").encode(),
        (TWO.pem + ONE.pem).encode("utf-8-sig"),
        f"# élève\n{TWO.pem}\n\nsubject=CN = One\n{ONE.pem}trailing\n".encode(),
        (TWO.pem + ONE.pem + TWO.pem).encode(),
        (TWO.pem + ONE.pem).strip().encode(),
    ],
    ids=["plain", "crlf", "cr", "byte-order-mark", "comments", "twice", "no-last-line-end"],
)
def test_how_it_was_written_makes_no_difference(key: str, content: bytes, tmp_path: Path) -> None:
    assert read(key, content, tmp_path) == TWO.pem + ONE.pem


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DER, "is not text; give a PEM file"),
        (ONE.pem.encode("utf-16"), "is not text; give a PEM file"),
        (b"\xff" + ONE.pem.encode(), "is not text; give a PEM file"),
        (b"# nothing yet\n", "has no PEM block"),
        (b"\n \n", "has no PEM certificate"),
        ((ONE.pem + ONE.key_pem).encode(), "block 2 is a private key"),
        ((ONE.key_pem + ONE.pem).encode(), "block 1 is a private key"),
        ((ONE.pem + server(ONE).pem).encode(), "certificate 2 (CN=Teleport Access Graph) is no authority's"),
        ((ONE.pem + TWO.pem)[:-40].encode(), "certificate 2 is cut off"),
        ((ONE.pem + TWO.pem.partition("\n")[2]).encode(), "outside of any whole block"),
        (ONE.pem.replace("CERTIFICATE", "PUBLIC KEY").encode(), "is 'PUBLIC KEY', not a CERTIFICATE"),
    ],
    ids=["der", "utf-16", "stray-byte", "prose", "blank", "key-last", "key-first", "leaf", "cut", "headless", "label"],
)
def test_what_cannot_be_used_is_one_error_with_key_file_and_remedy(
    key: str, content: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(IntakeError) as caught:
        read(key, content, tmp_path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{key}: 'bundle.pem': ")
    assert words in caught.value.problems[0]
    assert ONE.key_pem.splitlines()[1] not in str(caught.value)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"#" * (LARGEST_FILE + 1), "has 1048577 bytes")], ids=["empty", "huge"]
)
def test_what_is_empty_or_too_large_is_not_even_read(key: str, content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(key, content, tmp_path)
    assert key in str(caught.value)
    assert words in str(caught.value)


def test_a_database_bundle_of_which_nothing_will_be_left_is_warned_of(tmp_path: Path) -> None:
    """As long as one authority stays valid, that one may have signed the server's certificate, so there is no
    warning."""

    def said(content: str) -> list[str]:
        warnings = intake("database.caBundleFile", content.encode(), tmp_path).warnings
        return [text for text in warnings if "database.caBundleFile" in text]

    ending = authority("Ending", ends=NOW + timedelta(days=9, hours=1)).pem
    (warning,) = said(ending)
    assert warning.startswith("the last valid authority of database.caBundleFile ends at ")
    assert ", in 9 days: get the file anew" in warning
    assert said(ending + ONE.pem) == []
