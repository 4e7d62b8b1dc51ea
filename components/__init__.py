"""Components of the Teleport Access Graph stack: one module a concern, each usable on its own."""
