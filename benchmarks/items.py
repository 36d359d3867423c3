"""All items of a data set's splits as two tensors: what benchmarks train and test on without a world."""

import torch
from torch import Tensor

from studyhall.envs.streams import Dataset


def items(data: Dataset, *splits: str) -> tuple[Tensor, Tensor]:
    """All inputs, flat ``[n, D]``, and labels ``[n]`` of some splits."""
    index = [torch.arange(len(data.split(split))) for split in splits]
    x = torch.cat([data.inputs(split, i).flatten(1) for split, i in zip(splits, index, strict=True)])
    return x, torch.cat([data.labels(split, i) for split, i in zip(splits, index, strict=True)])
