"""Some examples that stand for a whole split."""

from typing import Any

from keras_fcn.data.dataset import SegmentationDataset


def spread_examples(data: SegmentationDataset, split: str, num_images: int) -> list[dict[str, Any]]:
    """Returns examples from the whole split: neighbors are often alike.

    The first split stands in where there is none of that name.
    """
    split = split if split in data.splits else next(iter(data.splits))
    step = max(1, data.splits[split] // num_images)
    records = data.records(split).shard(step, 0).take(num_images)
    return list(records.map(data.decode).as_numpy_iterator())
