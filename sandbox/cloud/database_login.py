"""Whether IAM lets somebody log in to a database: whoever signed the token must have `rds-db:connect` for the user.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

from moto.utilities.utils import get_partition

from sandbox.cloud.fleet import DatabaseSpecification
from sandbox.cloud.identities import Holder, holder_of
from sandbox.cloud.login_tokens import Login, SigningKey, TokenRefused, verify
from sandbox.cloud.policies import Question

Clock = Callable[[], datetime.datetime]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class IamLogins:
    """The IAM logins of one account in one region."""

    def __init__(self, account: str, region: str, lock: threading.RLock, clock: Clock = _now):
        """`lock`: the API's; its state may be read only while holding it."""
        self._account = account
        self._region = region
        self._lock = lock
        self._clock = clock

    def check(self, instance: DatabaseSpecification, user: str, token: str) -> str:
        """The ARN of whoever logs in. Raises `TokenRefused`."""
        now = self._clock()
        found: list[Holder] = []

        def key_of(access_key_id: str) -> SigningKey | None:
            with self._lock:
                holder = holder_of(self._account, self._region, access_key_id)
            if holder is None:
                return None
            found.append(holder)
            return holder.key

        verify(token, Login(instance.endpoint, instance.port, self._region, user), now, key_of)
        (holder,) = found
        if holder.expires is not None and holder.expires <= now:
            raise TokenRefused("the credentials that signed it have expired")
        place = f"{get_partition(self._region)}:rds-db:{self._region}:{self._account}"
        arn = f"arn:{place}:dbuser:{instance.resource_id}/{user}"
        if not holder.may(Question("rds-db:connect", arn)):
            raise TokenRefused(f"{holder.arn} is not authorized to perform: rds-db:connect on resource: {arn}")
        return holder.arn
