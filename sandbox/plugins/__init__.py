"""Stand-ins for Pulumi plugins, for machines that cannot download the official ones.

Each subpackage is one plugin (`python -m sandbox.plugins.<name>`); the modules beside the subpackages are shared.
"""
