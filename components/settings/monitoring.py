"""Settings of what Prometheus is told: whom to ask, when to alert, and the watch that knows what no metric says."""

from __future__ import annotations

import re
import warnings
from typing import Annotated

from components.settings.formats import ObjectName, PinnedImage
from components.settings.names import DEFAULT_KUBECTL_IMAGE
from components.settings.object_metadata import ObjectLabels
from components.settings.rules import DISTINCT, Rule, Section, Switch, Text, WholeNumber, between, setting

# What auth logs at every try, each five seconds, when TAG does not know the host CA of its certificate.
LOCKED_OUT = "could not find host CA"
# Longer ones belong into a pipeline for logs.
LONGEST_PATTERN = 512


# How Python begins to say what grep refuses too.
_BROKEN = ("unterminated", "missing )", "unbalanced", "bad escape (end", "bad character range", "min repeat greater")
# What an escape and a bracket expression have in them is no syntax of their own.
_LITERAL = re.compile(r"\\.|\[\^?\]?(\[:[a-z]*:\]|[^\]])*\]")


def _is_whole(pattern: str) -> bool:
    """Whether every bracket has its other. Python and grep differ in much, and agree on this."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes such as [[:digit:]]
            re.compile(pattern)
    except re.error as error:
        return not error.msg.startswith(_BROKEN)
    return True


def _is_perls(pattern: str) -> bool:
    """Whether it has a group such as `(?i)`, to some greps an error, to others text: the watch would see nothing."""
    return "(?" in _LITERAL.sub("", pattern)


def _is_text(value: str) -> bool:
    return 0 < len(value) <= LONGEST_PATTERN and value.isprintable()


_PATTERN = Rule(
    f"an extended regular expression of at most {LONGEST_PATTERN} printable characters",
    lambda value: _is_text(value) and _is_whole(value) and not _is_perls(value),
    "give what `grep -E` takes, such as 'could not find host CA|access graph.*certificate'",
    lambda value: (
        "has a Perl group (?...), which extended regular expressions do not support" if _is_perls(value) else None
    ),
)

_QUOTED = re.compile(r"""\"(\\.|[^"\\])*"|'(\\.|[^'\\])*'|`[^`]*`""")
_PAIRS = re.compile(r"\(\)|\[\]|\{\}")


def _is_closed(expression: str) -> bool:
    """Whether PromQL has every quote's and bracket's other, and no comment: it stands within an alert's own, and of an
    object with a broken alert the Prometheus Operator takes none."""
    unquoted = _QUOTED.sub("", expression)
    brackets = re.sub(r"[^()\[\]{}]", "", unquoted)
    while (fewer := _PAIRS.sub("", brackets)) != brackets:
        brackets = fewer
    return not brackets and not re.search(r"[\"'`#]", unquoted)


_SCALAR = re.compile(r"[0-9.eE+*/%^() -]+|(?:scalar|time|pi)\s*\(.*")


def _is_scalar(expression: str) -> bool:
    """Whether it is a number to PromQL, and no series: then it compares with no other number, and is never absent."""
    return _SCALAR.fullmatch(expression.strip()) is not None


def _why_no_expression(value: str) -> str | None:
    if not _is_closed(value):
        return "has a comment, or an unmatched quote or bracket"
    return "is a scalar in PromQL, which no alert is made of; put it into vector(...)" if _is_scalar(value) else None


_EXPRESSION = Rule(
    f"a PromQL expression of at most {LONGEST_PATTERN} printable characters",
    lambda value: _is_text(value) and _is_closed(value) and not _is_scalar(value),
    "give an expression that yields a time in Unix seconds, such as "
    'min(x509_cert_not_after{secret_name="certificate"})',
    _why_no_expression,
)


class LockoutWatchSettings(Section):
    """A CronJob in each Teleport's namespace that reads auth's log and fails while TAG turns auth away."""

    pattern: Annotated[Text, _PATTERN] = setting(
        LOCKED_OUT, why="lines of auth's log that mean a lock-out; Teleport's wording may change with its version"
    )
    every_minutes: Annotated[WholeNumber, between(1, 59, "minutes")] = setting(
        5, why="how often it looks at what was logged since its last look"
    )
    image: PinnedImage = setting(
        DEFAULT_KUBECTL_IMAGE, why="image with kubectl, sh and grep; name your mirror if you mirror images"
    )
    image_pull_secrets: Annotated[tuple[ObjectName, ...], DISTINCT] = setting(
        (), why="names of Secrets, in Teleport's namespace, with credentials of a private registry"
    )


class MonitoringSettings(Section):
    """Objects of the Prometheus Operator, by choice: docs/monitoring.md says what each alert needs to be there."""

    service_monitor: Switch = setting(
        False, why="whether to make a ServiceMonitor for TAG's metrics; needs `accessGraph.metrics`"
    )
    rules: Switch = setting(
        False, why="whether to make alert rules: TAG is away, auth is locked out, a certificate ends"
    )
    labels: ObjectLabels = setting(
        {}, why="labels by which your Prometheus finds these objects, such as those of its ruleSelector"
    )
    scrape_interval_seconds: Annotated[WholeNumber, between(5, 3600, "seconds")] = setting(
        30, why="how often TAG's metrics are read; the Prometheus Operator's usual"
    )
    expiry_days: Annotated[WholeNumber, between(1, 365, "days")] = setting(
        21,
        why="days before its end at which a certificate causes an alert; has to lie within the time in which "
        "it should have been renewed",
    )
    certificate_end: Annotated[Text, _EXPRESSION] | None = setting(
        None,
        why="PromQL for the end of the certificate of `tls.mode: existingSecret`, in Unix seconds, from your exporter",
    )
    lockout_watch: LockoutWatchSettings | None = setting(
        None, why="the watch for auth being locked out while TAG's pods look healthy; left out, none"
    )
