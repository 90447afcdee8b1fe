"""The random split of a folder keeps sequences and near copies together."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.datasets import near_copies, open_dataset
from keras_fcn.datasets.folder import find_folder_files
from keras_fcn.datasets.near_copies import Thumbnails, copies_across_splits


def photo(seed: int) -> np.ndarray:
    """A picture of 8x8 colored squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return squares.repeat(4, 0).repeat(4, 1)


def frame(film: int, number: int, count: int) -> np.ndarray:
    """A picture that changes slowly into another one."""
    first, last = photo(1000 + film).astype(float), photo(2000 + film).astype(float)
    return (first + (last - first) * number / count).astype(np.uint8)


def write(root: Path, name: str, image: np.ndarray, label: int = 1) -> None:
    for kind, array in (("images", image), ("masks", np.eye(32, dtype=np.uint8) * label)):
        path = root / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def split_of(root: Path, seed: int = 0) -> dict[str, str]:
    splits = find_folder_files(root, seed).splits
    return {name: split for split, pairs in splits.items() for name in pairs}


def notes(root: Path) -> str:
    return "\n".join(find_folder_files(root).notes)


@pytest.mark.parametrize(
    "pattern", ["{}_{:03}", "{}-{}", "{} ({})", "{}/{:04}", "{}.{}_leftImg8bit"]
)
@pytest.mark.parametrize("seed", range(3))
def test_names_that_differ_in_a_number_stay_together(tmp_path, pattern, seed):
    for film in range(8):
        for number in range(5):
            write(tmp_path, pattern.format("abcdefgh"[film], number), photo(10 * film + number))

    found = split_of(tmp_path, seed)

    for letter in "abcdefgh":
        assert len({split for name, split in found.items() if name.startswith(letter)}) == 1
    # A fifth of 40 is 8: one or two sequences of 5.
    assert list(found.values()).count("val") in (5, 10)
    assert "Kept in one split each: 8 sequences (names that differ in a number)." in notes(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_nearly_equal_images_stay_together(tmp_path, seed):
    for number in range(10):
        name = "abcdefghij"[number]
        write(tmp_path, f"{name}one", photo(number))
        write(
            tmp_path, f"two{name}", np.clip(photo(number).astype(int) + 2, 0, 255).astype(np.uint8)
        )

    found = split_of(tmp_path, seed)

    for name in "abcdefghij":
        assert found[f"{name}one"] == found[f"two{name}"]
    assert list(found.values()).count("val") == 4
    assert "10 groups of nearly equal images" in notes(tmp_path)


def test_copies_that_roboflow_made_stay_together(tmp_path):
    for number in range(10):
        for copy in "ab":
            name = f"{'klmnopqrst'[number]}_jpg.rf.{copy}3f2{number}"
            write(tmp_path, name, photo(100 * ord(copy) + number))

    found = split_of(tmp_path)

    assert list(found.values()).count("val") == 4
    assert len({(name[0], split) for name, split in found.items()}) == 10


def test_a_single_film_is_cut_between_neighbors(tmp_path):
    for number in range(20):
        write(tmp_path, f"frame{number}", frame(3, number, 20))

    found = split_of(tmp_path)

    val = sorted(int(name[5:]) for name, split in found.items() if split == "val")
    assert val == list(range(val[0], val[0] + 4))
    assert "20 frames of one sequence were cut into parts" in notes(tmp_path)


def test_numbered_photographs_are_no_sequence(tmp_path):
    for number in range(40):
        write(tmp_path, f"IMG_{number:04}", photo(number))

    found = split_of(tmp_path)

    val = sorted(int(name[4:]) for name, split in found.items() if split == "val")
    assert len(val) == 8
    assert val != list(range(val[0], val[0] + 8))
    assert "sequence" not in notes(tmp_path)


def test_names_by_class_are_no_sequences(tmp_path):
    # Otherwise all dogs could be in val.
    for number in range(20):
        write(tmp_path, f"cat{number}", photo(number), 1)
        write(tmp_path, f"dog{number}", photo(100 + number), 2)
        write(tmp_path, f"elk{number}", photo(200 + number), 3)

    found = split_of(tmp_path)

    assert {name[:3] for name, split in found.items() if split == "val"} == {"cat", "dog", "elk"}
    assert "Names such as cat0 are of no sequence" in notes(tmp_path)


def test_films_stay_together_though_only_one_shows_a_class(tmp_path):
    for film in range(6):
        for number in range(8):
            write(tmp_path, f"{'abcdef'[film]}{number}", frame(film, number, 8), 1 + (film == 2))

    found = split_of(tmp_path)

    assert len({(name[0], split) for name, split in found.items()}) == 6


def test_the_split_does_not_depend_on_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(near_copies, "_SLOW", 0.0)
    for number in range(10):
        write(tmp_path / "set", f"x{number}", photo(number // 2))

    first = split_of(tmp_path / "set")

    (kept,) = (tmp_path / "caches" / "keras_fcn").iterdir()
    assert split_of(tmp_path / "set") == first
    kept.write_bytes(b"damaged")
    assert split_of(tmp_path / "set") == first


def test_thumbnails_are_kept_by_name_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(near_copies, "_SLOW", 0.0)
    for name in "ab":
        write(tmp_path, name, photo(ord(name)))
    a, b = (tmp_path / "images" / f"{name}.png" for name in "ab")
    before, _ = Thumbnails(tmp_path).read([a, b])
    write(tmp_path, "b", photo(7))

    # No time: only what is kept is taken, and one more.
    kept, skipped = Thumbnails(tmp_path).read([a, b])
    reads: list[Path] = []
    monkeypatch.setattr(near_copies, "_thumbnail", reads.append)
    again, _ = Thumbnails(tmp_path).read([a, b])

    assert skipped == 0
    np.testing.assert_array_equal(kept[a], before[a])
    assert (kept[b] != before[b]).any()
    np.testing.assert_array_equal(again[b], kept[b])
    assert not reads


def test_jpeg_thumbnails_are_those_of_all_pixels(tmp_path):
    image = photo(1).repeat(40, 0).repeat(40, 1)
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=90)

    found, _ = Thumbnails(tmp_path).read([tmp_path / "a.jpg"])

    # Means of 80x80 pixels.
    expected = image.reshape(16, 80, 16, 80, 3).mean((1, 3))
    assert np.abs(found[tmp_path / "a.jpg"].reshape(16, 16, 3) - expected).max() < 4


def write_splits(root: Path) -> dict[str, list[Path]]:
    for split, seeds in (("train", (1, 2, 3)), ("val", (4, 2))):
        for seed in seeds:
            array = photo(seed) if split == "train" else np.maximum(photo(seed), 1)
            write(root / split, f"{split}{seed}", array)
    return {split: sorted((root / split / "images").iterdir()) for split in ("train", "val")}


def test_near_copies_across_splits_are_named(tmp_path):
    write_splits(tmp_path)

    text = open_dataset(f"folder:{tmp_path}").find_copies(30.0)

    assert text is not None
    assert text.startswith("Near copies across splits: 1 images, such as ")
    assert "val2.png (val)" in text
    assert "train2.png (train)" in text


def test_what_was_skipped_for_lack_of_time_is_told(tmp_path):
    images = write_splits(tmp_path)

    text = copies_across_splits(tmp_path, images, seconds=0.0)

    assert text is not None
    assert "4 images were not looked at, for lack of time." in text


def test_different_images_need_no_sentence(tmp_path):
    images = write_splits(tmp_path)

    assert copies_across_splits(tmp_path, {**images, "val": images["val"][1:]}) is None
