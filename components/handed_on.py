"""What a component hands on to its children of the options it was given, where Pulumi does not.

`protect`, `retain_on_delete`, providers and transformations the engine and its SDK hand on by themselves, to children
that say nothing of their own.
"""

import copy

import pulumi


def waiting(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
    """`opts` by which all that a component makes waits for the component's `depends_on`, and not itself.

    Pulumi has the component alone wait, of which nobody has anything; and at a destroy, what the component needs would
    go before what needs it. An engine that passes over what failed (`--continue-on-error`) would leave out a component
    that waits for it, and then end the run at the component's outputs.
    """
    if opts is None or not opts.depends_on:
        return opts
    given = pulumi.ResourceOptions(depends_on=opts.depends_on)

    def wait(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if isinstance(args.resource, pulumi.ComponentResource):
            return None
        # Merged by itself: a merge of all options would make others of its providers.
        own = pulumi.ResourceOptions(depends_on=args.opts.depends_on)
        changed = copy.copy(args.opts)
        changed.depends_on = pulumi.ResourceOptions.merge(own, given).depends_on
        return pulumi.ResourceTransformationResult(args.props, changed)

    handing_on = copy.copy(opts)
    handing_on.depends_on = None
    handing_on.transformations = [*(opts.transformations or []), wait]
    return handing_on


def asked(option: bool) -> bool | None:
    """`option`, `protect` or `retain_on_delete`, of a child whose component does not ask for it: no "no" of its own.

    A "no" would win over what was asked of the component: a namespace would go with all that was to stay in it.
    """
    return option or None
