"""The speed figures: each a ratio of two things that are measured by turns on one machine."""
