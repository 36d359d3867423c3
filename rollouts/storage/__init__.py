"""Folders of runs and trainings and what is written in them."""
