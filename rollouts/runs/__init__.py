"""A scenario run, all seeds and controls side by side: stepped, saved, taken up again, reproduced."""
