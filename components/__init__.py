"""Components of the Teleport Access Graph stack: one module per concern, each usable on its own."""
