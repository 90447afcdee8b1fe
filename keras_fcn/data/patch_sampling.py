"""Training on patches of whole images: labels that are left out of the loss at random.

Section 3.4 of the paper (CVPR 2015): a patchwise training is a training on whole images
whose loss does not count everywhere.
"""

from typing import Any

import tensorflow as tf


def keep_cells(label: Any, seed: Any, share: float, cell_size: int, ignore_class: Any = 255) -> Any:
    """Returns a label map in which each cell is kept or ignored as a whole.

    Cells begin at the top left, as those of a score map do; the last ones may be cut off.

    Args:
        label: uint8, shape `(height, width)`, or a dictionary of such maps; the same cells of
            all of them are kept.
        seed: int32, shape `(2,)`. The same seed keeps the same cells.
        share: Probability of keeping a cell, in (0, 1].
        cell_size: Pixels along each side of a cell: the stride of the scores.
        ignore_class: Label of what is left out, or a dictionary with the keys of `label`.

    Example:
        >>> label = tf.ones((2, 6), "uint8")
        >>> keep_cells(label, seed=[0, 2], share=0.5, cell_size=2).numpy().tolist()
        [[1, 1, 255, 255, 255, 255], [1, 1, 255, 255, 255, 255]]
    """
    if isinstance(label, dict):
        ignored = (
            ignore_class if isinstance(ignore_class, dict) else dict.fromkeys(label, ignore_class)
        )
        return {
            name: keep_cells(part, seed, share, cell_size, ignored[name])
            for name, part in label.items()
        }
    height, width = tf.shape(label)[0], tf.shape(label)[1]
    cells = tf.stack([-(-height // cell_size), -(-width // cell_size)])
    kept = tf.random.stateless_uniform(cells, seed) < share
    pixels = tf.repeat(tf.repeat(kept, cell_size, axis=0), cell_size, axis=1)[:height, :width]
    return tf.ensure_shape(tf.where(pixels, label, tf.cast(ignore_class, label.dtype)), label.shape)
