from .world import MessageWorld
from .world import __doc__ as __doc__  # the page of the family

__all__ = ["MessageWorld"]
