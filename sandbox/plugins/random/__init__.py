"""The stand-in for pulumi-random: passwords, strings, ids and bytes, whose only life is in the state."""
