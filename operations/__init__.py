"""What looks at the live world: preflight, adopt, recover, verify, diagnose. Works wherever a kubeconfig reaches.

And what a preview says, for people: comment, drift.
The Pulumi program itself is `components`; nothing here changes what it declares.
"""
