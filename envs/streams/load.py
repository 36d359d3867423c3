"""One way in for all data: a name, or the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, unknown
from ..files import as_path
from .dataset import Dataset
from .division import divide
from .hub_sets import DATASETS, HUB_SETS
from .named import load_digits, load_hub_set
from .own import load_own
from .pictures import image_hw
from .tables import is_table_file
from .text import TEXT_SIZE, text_shape
from .tokens import TokenDataset

if TYPE_CHECKING:
    from typing import TypeAlias

    import datasets
    import pandas
    import pyarrow
    import torch

    Data: TypeAlias = (
        str
        | os.PathLike[str]
        | Sequence[Any]
        | Mapping[str, Any]
        | torch.utils.data.Dataset[Any]
        | datasets.Dataset
        | pandas.DataFrame
        | pyarrow.Table
        | Dataset
    )


def load_dataset(
    data: Data,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    text_size: int | tuple[int, int] = TEXT_SIZE,
    stream_size: int | None = None,
    exam_size: int | None = None,
    test_size: int | None = None,
) -> Dataset:
    """Load a data set and divide it into stream, exam and test.

    The division is stratified, pseudo-random with a fixed key, and so the same on every machine. An exam that
    is not given takes a fifth of the training part (MNIST: 48,000 + 12,000, and its 10,000 test items); a
    test that is not given takes another fifth (``digits``: 1,079 + 359 + 359).

    Labels are whole numbers from 0 (as floats, too), strings, booleans or categories. The classes are the distinct
    labels of the training part, sorted (as numbers where all are), and keep their names in ``Dataset.classes``;
    where the source names them (``ClassLabel``, ``classes`` of torch data sets, folders), all those it names. Every
    split needs every class: one that is too rare is an error that says how rare, since leaving it out would change
    what is learnt.

    Args:
        data: One of

            - a name of :data:`DATASETS`;
            - arrays ``(x, y)`` or ``{"x": x, "y": y}``: ``x [n, ...]`` uint8 (divided by 255 and normalised
              by the stream's own mean and deviation) or other numbers (taken as they are, in float32). Pictures
              are channels first; uint8 ``[n, H, W, C]`` with C of 1, 3 or 4 and both sides above 4 are moved,
              floats of such a shape refused;
            - texts ``{"text": texts, "label": y}`` or ``(texts, y)``, a list or column of strings, whose words
              are split at spaces and punctuation: segment Chinese, Japanese and Thai first. Texts without a
              letter or digit are set aside with a warning;
            - a table: a pandas data frame, a Hugging Face data set, an Arrow table, or a path of a file
              ``.csv`` (separated by commas, the first line names the columns, UTF-8), ``.tsv`` or ``.parquet``.
              The label is the column named ``label``, ``labels``, ``y``, ``target`` or ``class``, in any case.
              Where none is, it is the one column of type ``ClassLabel``, or the only one of whole numbers beside
              a column of items. Items are the column of pictures, else of arrays (lists), else of strings named
              ``text``; else all other columns of numbers, in float32: bring them to like ranges first. An
              index (a column without a name, too) is no item; columns without numbers are left out with a
              warning;
            - a map-style torch data set of items ``(x, y)``, ``x`` an array, a picture or a string;
            - a dict with ``"train"`` and perhaps ``"exam"`` (or ``"validation"``) and ``"test"``, each of the
              above, or a path as below;
            - a path to a folder of pictures with a sub-folder for each class (or ``train/`` and ``test/``
              with such sub-folders);
            - a :class:`Dataset`, which is returned as it is.
        data_dir: Folder of local parquet files, ``<data_dir>/<name>/train*.parquet`` and ``test*.parquet``,
            with the hub's column names; by default the environment's ``STUDYHALL_DATA``. Where one of them is
            set the hub is not asked.
        image_size: Side, or (height, width), that the user's own pictures are resized to.
        text_size: Words kept of a text, or (words, numbers that each becomes); see
            :mod:`~studyhall.envs.streams.text`.
        stream_size: Items kept in the stream (default: all that are left).
        exam_size: Items in the exam (default: a fifth of the training part, or all of an exam part given).
        test_size: Items in the test (default: all of the test part, or a fifth of the training part).

    Returns:
        The data set, on the CPU.

    Raises:
        UnknownName: ``data`` is neither a known name nor a path.
        DataError: The data cannot be had or used; the message says what to do.
    """
    sizes = {"stream_size": stream_size, "exam_size": exam_size, "test_size": test_size}
    words, picture_size = text_shape(text_size), image_hw(image_size)
    if data_dir is not None:
        as_path("data_dir", data_dir)  # whether it is used or not
    if isinstance(data, TokenDataset):
        raise DataError("a stream of tokens is for worlds of language models: give items with labels here")
    if isinstance(data, Dataset):
        if any(size is not None for size in sizes.values()):
            raise DataError(
                "a Dataset is divided already: give stream_size, exam_size, test_size when loading it"
            )
        return data
    if isinstance(data, str) and data == "digits":
        source = load_digits()
    elif isinstance(data, str) and data in HUB_SETS:
        source = load_hub_set(data, data_dir, words)
    elif isinstance(data, str) and _is_name(data):
        raise unknown("data set", data, DATASETS, "nor is there such a file or folder here")
    else:
        source = load_own(data, picture_size, words)
    return divide(source, **sizes)


def _is_name(data: str) -> bool:
    """Whether a string is no path: without separators, of nothing that is there, and not like a table's name."""
    return not data or (
        Path(data).name == data and not is_table_file(data) and not as_path("data", data).exists()
    )
