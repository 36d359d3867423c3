"""Views of a world for other libraries."""
