"""Data sets, and the order and shares in which a world hands them out."""
