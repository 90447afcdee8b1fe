import numpy as np
import pytest
import tensorflow as tf

from keras_fcn.data.patch_sampling import keep_cells

LABEL = np.arange(12 * 20, dtype="uint8").reshape(12, 20) % 5


def kept(label, seed, share, cell_size):
    """The labels as an array, and which pixels still have theirs."""
    result = keep_cells(tf.constant(label), seed, share, cell_size).numpy()
    return result, result != 255


def test_cells_are_kept_or_ignored_as_a_whole():
    result, mask = kept(LABEL, (0, 1), 0.5, 4)

    np.testing.assert_array_equal(result[mask], LABEL[mask])
    cells = mask.reshape(3, 4, 5, 4).mean(axis=(1, 3))
    assert set(cells.ravel()) == {0, 1}


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_share_is_kept_of_many_cells(share):
    _, mask = kept(np.ones((320, 320), "uint8"), (3, 4), share, 8)

    # Four standard deviations of the mean of 1,600 draws.
    assert mask.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 1600))


def test_cells_at_the_border_are_cut_off():
    larger, _ = kept(np.ones((8, 12), "uint8"), (5, 6), 0.5, 4)
    smaller, _ = kept(np.ones((7, 10), "uint8"), (5, 6), 0.5, 4)

    np.testing.assert_array_equal(smaller, larger[:7, :10])


def test_the_same_seed_keeps_the_same_cells_and_another_others():
    ones = np.ones((64, 64), "uint8")

    np.testing.assert_array_equal(kept(ones, (1, 2), 0.5, 8)[1], kept(ones, (1, 2), 0.5, 8)[1])
    assert (kept(ones, (1, 2), 0.5, 8)[1] != kept(ones, (1, 3), 0.5, 8)[1]).any()


def test_label_maps_of_several_heads_keep_the_same_cells():
    maps = {"thing": tf.constant(LABEL), "light": tf.zeros((12, 20), "uint8")}

    result = keep_cells(maps, (0, 1), 0.5, 4, {"thing": 255, "light": 9})

    _, mask = kept(LABEL, (0, 1), 0.5, 4)
    np.testing.assert_array_equal(result["thing"].numpy() != 255, mask)
    np.testing.assert_array_equal(result["light"].numpy(), np.where(mask, 0, 9))
