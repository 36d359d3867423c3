"""Policies: who acts in a world."""
