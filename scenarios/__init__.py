"""Scenarios: a world, a policy, a horizon and what was claimed for it."""
