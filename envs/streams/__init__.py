"""Data sets, and the order and shares in which a world hands them out.

:func:`load_dataset` turns a name or the user's own data into a :class:`Dataset` of three disjoint splits:
*stream* (learners see it), *exam* (the world scores with it) and *test* (reports and claims only).
:data:`DATASETS` lists the names.
"""

from .dataset import Dataset, Split
from .hub_sets import DATASETS
from .load import load_dataset
from .text import TextDataset

__all__ = ["DATASETS", "Dataset", "Split", "TextDataset", "load_dataset"]
