"""Whether a connection URI in a Secret that somebody else fills, which the program never sees, keeps the rules."""

from __future__ import annotations

from components.database_uri import DatabaseUriError, check_database_uri
from components.settings import ExistingDatabaseSettings
from operations.findings import Finding, failed, passed

_CHECK = "database.uri"
_STATEMENT = "the URI says no more than every version of the access graph's driver reads"


def check_given_uri(uri: str, *, ca_bundle_given: bool, allow_unverified: bool) -> Finding:
    """The arguments are those of `check_database_uri`. The finding contains no part of the credentials."""
    try:
        check_database_uri(uri, allow_unverified=allow_unverified, ca_bundle_given=ca_bundle_given)
    except DatabaseUriError as error:
        problems = [line.removeprefix("databaseUri: the URI ") for line in str(error).splitlines()]
        return failed(_CHECK, _STATEMENT, f"it {'; it '.join(problems)}")
    return passed(_CHECK, _STATEMENT, "all of it is known")


def check_secret_uri(value: bytes, database: ExistingDatabaseSettings) -> Finding:
    """The same of a Secret's value, before an `up` gives it to TAG."""
    try:
        uri = value.decode()
    except UnicodeDecodeError:
        return failed(_CHECK, _STATEMENT, "it is not text in UTF-8; write it again")
    return check_given_uri(
        uri, ca_bundle_given=database.ca_bundle_file is not None, allow_unverified=database.allow_unverified
    )
