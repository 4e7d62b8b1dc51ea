"""The components as a Pulumi component provider, for programs in any language."""
