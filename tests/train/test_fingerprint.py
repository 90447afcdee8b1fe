import json

import numpy as np
import pytest
from keras_fcn_train.fingerprint import Fingerprint, connected_regions, fingerprint_of

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays

from .tiny_training import HEADS, tiny_dataset


def regions_by_flood(label):
    """The regions, found by following neighbors one pixel after the other."""
    seen = np.zeros(label.shape, bool)
    found = []
    for start in np.ndindex(label.shape):
        if seen[start]:
            continue
        stack, pixels = [start], []
        seen[start] = True
        while stack:
            row, column = stack.pop()
            pixels.append((row, column))
            for r, c in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                inside = 0 <= r < label.shape[0] and 0 <= c < label.shape[1]
                if inside and not seen[r, c] and label[r, c] == label[start]:
                    seen[r, c] = True
                    stack.append((r, c))
        rows, columns = zip(*pixels, strict=True)
        box = (max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
        found.append((int(label[start]), len(pixels), *box))
    return sorted(found)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 23), (40, 31)])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_regions_are_those_of_a_flood_fill(shape, num_classes):
    label = np.random.default_rng(sum(shape)).integers(0, num_classes, shape)

    found = sorted(zip(*(part.tolist() for part in connected_regions(label)), strict=True))

    assert found == regions_by_flood(label)


def test_a_spiral_is_one_region():
    label = np.zeros((9, 9), int)
    label[0, :] = label[:, 8] = label[8, :] = label[2:, 0] = label[2, :7] = label[2:7, 6] = 1
    label[6, 2:7] = label[4:7, 2] = 1

    assert sorted(zip(*connected_regions(label), strict=True)) == regions_by_flood(label)


def one(label, value=0):
    label = np.asarray(label, "uint8")
    return {"image": np.full((*label.shape, 3), value, "uint8"), "label": label}


def test_fingerprint_by_hand():
    spec = LabelSpec(("ground", "pole", "never"))
    pole = np.zeros((40, 60))
    pole[10:30, 5:7] = 1  # 2 pixels wide, 20 tall
    ignored = np.zeros((40, 60))
    ignored[:20] = 255
    large = np.zeros((80, 60))
    splits = {
        "train": [one(pole), one(ignored), one(ignored), one(large, 3)],
        "val": [one(np.zeros((100, 90)))],
    }

    found = fingerprint_of(from_arrays("mine", spec, splits))

    assert (found.num_images, found.num_read, found.num_validation) == (4, 4, 1)
    # The second and the third have equal pixels, and so has the first.
    assert found.num_duplicates == 2
    assert (found.size, found.largest, found.channels) == ((40, 60), (100, 90), 3)
    ((ground, thin, never),) = found.classes.values()
    # Half of the pixels of two images are ignored.
    assert thin.share == pytest.approx(40 / (2400 + 1200 + 1200 + 4800), rel=1e-2)
    assert (thin.images, thin.thin_width) == (0.25, 2.0)
    assert (never.share, never.images, never.thin_width) == (0.0, 0.0, 0.0)
    assert ground.images == 1.0
    assert [one.name for one in found.every_class] == ["ground", "pole"]


def test_large_masks_are_thinned_out_and_widths_stay():
    label = np.zeros((3000, 4000))
    label[500:2500, 1000:1100] = 1
    spec = LabelSpec(("ground", "trunk"))

    found = fingerprint_of(from_arrays("large", spec, {"train": [one(label)], "val": [one(label)]}))

    assert found.every_class[1].thin_width == pytest.approx(100, rel=0.05)
    assert found.size == (3000, 4000)


def test_every_head_has_its_classes():
    found = fingerprint_of(tiny_dataset("tiny_heads"))

    assert {head: tuple(one.name for one in ones) for head, ones in found.classes.items()} == {
        head: spec.class_names for head, spec in HEADS.items()
    }


def test_fingerprints_are_kept_as_json():
    found = fingerprint_of(tiny_dataset())

    again = Fingerprint.from_dict(json.loads(json.dumps(found.to_dict())))

    assert again == found
    assert again.digest == found.digest == fingerprint_of(tiny_dataset()).digest


def test_data_without_a_label_are_refused():
    nothing = one(np.full((4, 4), 255))
    dataset = from_arrays("mine", LabelSpec(("a", "b")), {"train": [nothing], "val": [nothing]})

    with pytest.raises(ValueError, match="contains no labeled pixel"):
        fingerprint_of(dataset)
