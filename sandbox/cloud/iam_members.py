"""Whose logins IAM decides: those of members of `rds_iam`. The server is asked at each login.

Only memberships that let a role act as the other count. Those that merely allow granting do not: the service's own
grant to `rds_superuser` and, from PostgreSQL 16 on, a creator's membership in the roles it created. So a master that is
granted rds_iam, or may act as a member of it, loses its password login as in RDS; a master that grants rds_iam to
others does not. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from sandbox.cloud.front import Unavailable
from sandbox.cloud.roles import RDS_IAM, RDS_SUPERUSER

Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

# Before version 16 these two columns do not exist, and every membership lets the member act as the role.
_QUERY = """
WITH RECURSIVE held (role) AS (
  SELECT oid FROM pg_roles WHERE rolname = %(user)s
  UNION
  SELECT grants.roleid FROM pg_auth_members AS grants JOIN held ON grants.member = held.role,
    LATERAL to_jsonb(grants) AS options
  WHERE (coalesce((options ->> 'inherit_option')::boolean, true)
      OR coalesce((options ->> 'set_option')::boolean, true))
    AND NOT (grants.member = %(superuser)s::regrole AND grants.roleid = %(iam)s::regrole)
)
SELECT EXISTS (SELECT FROM held WHERE role = %(iam)s::regrole)
"""


class IamMembers:
    """Asks over one superuser connection of the service, which is reopened when lost. Usable from any thread."""

    def __init__(self, connect: Connect):
        self._connect = connect
        self._lock = threading.Lock()
        self._open = contextlib.ExitStack()
        self._connection: psycopg.Connection[Any] | None = None

    def __call__(self, user: str) -> bool:
        """Raises `Unavailable`."""
        with self._lock:
            try:
                if self._connection is not None:
                    return self._ask(self._connection, user)
            except psycopg.OperationalError:
                self._forget()
            try:
                self._connection = self._open.enter_context(self._connect())
                return self._ask(self._connection, user)
            except psycopg.Error as error:
                self._forget()
                raise Unavailable(f"its roles cannot be read: {error}") from None

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _ask(self, connection: psycopg.Connection[Any], user: str) -> bool:
        row = connection.execute(_QUERY, {"user": user, "superuser": RDS_SUPERUSER, "iam": RDS_IAM}).fetchone()
        assert row is not None
        return bool(row[0])

    def _forget(self) -> None:
        self._connection = None
        self._open.close()
