"""The stand-in for pulumi-random: passwords, strings, ids and bytes, which exist only in the state."""
