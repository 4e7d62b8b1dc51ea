"""No resources: the cost of any Pulumi program in Python."""

import pulumi  # noqa: F401
