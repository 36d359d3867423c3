"""Worlds in which neural networks learn from each other."""
