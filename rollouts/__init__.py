"""Rollouts: run, record and report."""
