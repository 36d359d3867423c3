from .world import Classroom
from .world import __doc__ as __doc__  # the page of the world

__all__ = ["Classroom"]
