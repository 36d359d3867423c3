"""Worlds, and everything a world is made of."""
