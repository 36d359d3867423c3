"""Data sets, and the order and shares in which a world hands them out.

:func:`load_dataset` turns a name or the user's own data into a :class:`Dataset` of three disjoint splits:
*stream* (learners see it), *exam* (the world scores with it) and *test* (reports and claims only).
:data:`DATASETS` lists the names. For language models :func:`load_corpora` does the same of texts, as windows of
tokens whose classes are domains (:class:`TokenDataset`); :data:`CORPORA` lists the names.
"""

from .corpora import CORPORA
from .dataset import Dataset, Split
from .hub_sets import DATASETS
from .load import load_dataset
from .text import TextDataset
from .tokenisers import ByteTokeniser, Tokeniser, tokeniser_from_json, train_tokeniser
from .tokens import TokenDataset, load_corpora

__all__ = [
    "CORPORA",
    "DATASETS",
    "ByteTokeniser",
    "Dataset",
    "Split",
    "TextDataset",
    "TokenDataset",
    "Tokeniser",
    "load_corpora",
    "load_dataset",
    "tokeniser_from_json",
    "train_tokeniser",
]
