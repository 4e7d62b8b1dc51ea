"""The speed figures: each is the ratio of two things measured alternately on one machine."""
