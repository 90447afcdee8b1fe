import numpy as np
import pytest
from keras_fcn_train.config import AugmentationConfig, DataConfig
from keras_fcn_train.data import TrainingData, balanced_weights, count_classes
from PIL import Image

from keras_fcn.labels import Heads

from .tiny_training import SPEC, tiny_dataset


def test_pixels_are_counted_without_the_ignored():
    dataset = tiny_dataset(num_train=2)
    labels = [example["label"].numpy() for example in dataset.examples("train")]

    counts = count_classes(dataset, "train")[Heads.ONLY]

    expected = [sum(int((label == c).sum()) for label in labels) for c in range(3)]
    assert counts.tolist() == expected
    # Two rows of 48 pixels are void in each image.
    assert counts.sum() == sum(label.size for label in labels) - 2 * 2 * 48
    assert SPEC.ignore_class == 255


def test_limit_counts_the_first_examples():
    dataset = tiny_dataset(num_train=2)

    one, both = count_classes(dataset, "train", limit=1), count_classes(dataset, "train")
    assert one[Heads.ONLY].sum() < both[Heads.ONLY].sum()


def test_weights_by_hand():
    counts = np.array([64, 16, 0, 1])

    weights = balanced_weights(counts, exponent=0.5)

    # Shares 64/81, 16/81, 1/81: share ** -0.5 is 9/8, 9/4, 9; their mean over the pixels is
    # (64 * 9/8 + 16 * 9/4 + 9) / 81 = (72 + 36 + 9) / 81 = 13/9. The absent class gets 1.
    assert weights == pytest.approx([81 / 104, 81 / 52, 1.0, 81 / 13])


def test_exponent_zero_weighs_all_pixels_alike():
    assert balanced_weights(np.array([5, 1]), exponent=0.0) == [1.0, 1.0]


def test_split_without_labels_is_refused():
    with pytest.raises(ValueError, match="contains no labeled pixel"):
        balanced_weights(np.zeros(3, "int64"), exponent=0.5)


@pytest.fixture
def folder(tmp_path):
    """Four images without a table; two rows of pixels of each of 0, 1, 2 and 3."""
    mask = np.repeat(np.arange(4, dtype=np.uint8), 16).reshape(8, 8)
    for kind in ("left", "drawn"):
        (tmp_path / kind).mkdir()
    for number in range(4):
        image = np.full((8, 8, 3), 40 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / "left" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "drawn" / f"{number}.png")
    return tmp_path


def test_a_folder_is_opened_as_the_settings_say(folder):
    config = DataConfig(
        dataset=f"folder:{folder}",
        image_files="left/*.png",
        mask_files="drawn/*.png",
        ignore=(0,),
        num_classes=4,
        batch_size=2,
    )

    data = TrainingData(config, AugmentationConfig())

    (spec,) = data.heads.values()
    assert spec.class_names == ("class 1", "class 2", "class 3", "class 4")
    text = "\n".join(data.description)
    assert "Images in left/, masks in drawn/, splits: train 3, val 1" in text
    # The number 4 never occurs; 0, a fourth of the pixels, is ignored.
    assert (
        "Pixels in train: class 1 25.00%, class 2 25.00%, class 3 25.00%, class 4 0.00%, "
        "ignored 25.00%." in text
    )
    assert "Classes without a pixel to train on: class 4." in text


def test_options_of_folders_are_refused_for_other_datasets():
    with pytest.raises(ValueError, match=r"`num_classes` is for folder:PATH .* 'sample'"):
        TrainingData(DataConfig(num_classes=4), AugmentationConfig())


def write_splits(root, train: list[int], val: list[int], label: int = 3) -> None:
    """Writes images of these gray values; masks of 0, in val of `label` too."""
    for split, values in (("train", train), ("val", val)):
        for value in values:
            mask = np.zeros((8, 8), np.uint8)
            mask[:4] = label if split == "val" else 1
            for kind, array in (("images", np.full((8, 8, 3), value, np.uint8)), ("masks", mask)):
                path = root / split / kind / f"{split}{value}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


def test_classes_in_validation_only_and_near_copies_are_told(tmp_path):
    write_splits(tmp_path, [10, 60, 110], [61, 200])
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\ntree\n")

    text = TrainingData(
        DataConfig(dataset=f"folder:{tmp_path}", batch_size=1), AugmentationConfig()
    ).description

    assert "Classes without a pixel to train on: car, tree." in text
    assert "Classes in val only, which cannot be learned: tree." in text
    assert text[-1].startswith("Near copies across splits: 1 images, such as ")
    assert "val61.png (val) and " in text[-1]


def test_a_missing_validation_split_names_the_ways_out(tmp_path):
    write_splits(tmp_path, [10, 60], [])
    config = DataConfig(dataset=f"folder:{tmp_path}", batch_size=1)

    with pytest.raises(ValueError, match=r"no split 'val'.*--validation-split none"):
        TrainingData(config, AugmentationConfig())
