"""What a run found, as numbers, tables and pictures."""
