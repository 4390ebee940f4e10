"""Weights: freezing them, reading them from files, and checkpoints that hold what is trained."""
