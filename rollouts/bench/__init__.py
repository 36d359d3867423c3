"""How fast worlds are here: speeds, where a step goes, what it costs by size, and two measurements compared."""
