"""What looks at the live world, and mends it: preflight, adopt, recover, verify, diagnose, and many environments at a
time by fleet. Works wherever a kubeconfig reaches.

And what is said of the program for people: of a preview (comment, drift, graph), of the rights that each purpose takes,
of another environment's configuration, of what it is made of.
The Pulumi program itself is `components`; nothing here changes what it declares.
"""
