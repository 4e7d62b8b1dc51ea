"""RDS event subscriptions: the calls that moto lacks, which are all changes to an existing one."""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.rds.exceptions import RDSClientError
from moto.rds.models import EventSubscription
from moto.rds.responses import RDSResponse

INSTANCES = "db-instance"


def _subscription(response: RDSResponse) -> EventSubscription:
    """Raises `SubscriptionNotFound`."""
    (found,) = response.backend.describe_event_subscriptions(response.params["SubscriptionName"])
    return found


def _answer(subscription: EventSubscription) -> ActionResult:
    return ActionResult({"EventSubscription": subscription})


def _modify_event_subscription(response: RDSResponse) -> ActionResult:
    given, subscription = response.params, _subscription(response)
    subscription.sns_topic_arn = given.get("SnsTopicArn", subscription.sns_topic_arn)
    subscription.source_type = given.get("SourceType", subscription.source_type)
    subscription.event_categories = given.get("EventCategories", subscription.event_categories)
    subscription.enabled = given.get("Enabled", subscription.enabled)
    return _answer(subscription)


def _add_source_identifier_to_subscription(response: RDSResponse) -> ActionResult:
    subscription, identifier = _subscription(response), response.params["SourceIdentifier"]
    if subscription.source_type == INSTANCES and identifier not in response.backend.databases:
        raise RDSClientError("SourceNotFound", f"Source {identifier} not found.")
    subscription.source_ids = [*subscription.source_ids, identifier]
    return _answer(subscription)


def _remove_source_identifier_from_subscription(response: RDSResponse) -> ActionResult:
    subscription, identifier = _subscription(response), response.params["SourceIdentifier"]
    if identifier not in subscription.source_ids:
        raise RDSClientError("SourceNotFound", f"Source {identifier} not found.")
    subscription.source_ids = [one for one in subscription.source_ids if one != identifier]
    return _answer(subscription)


def install() -> None:
    RDSResponse.modify_event_subscription = _modify_event_subscription
    RDSResponse.add_source_identifier_to_subscription = _add_source_identifier_to_subscription
    RDSResponse.remove_source_identifier_from_subscription = _remove_source_identifier_from_subscription
