"""Images that occur twice are told from images that only look alike."""

import io

import numpy as np
from PIL import Image

from keras_fcn.datasets.fingerprint import Fingerprint, find_duplicates


def noise(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def test_digest_knows_the_shape():
    flat = np.zeros((2, 6, 3), np.uint8)

    digest, other, same = (
        Fingerprint.of("train", "a", image).digest
        for image in (flat, flat.reshape(6, 2, 3), flat.copy())
    )

    assert digest != other
    assert digest == same


def test_resized_and_compressed_copies_are_near():
    image = noise(1, (192, 256))
    stream = io.BytesIO()
    Image.fromarray(image).resize((200, 160)).save(stream, "JPEG", quality=60)
    copy = np.asarray(Image.open(stream))
    images = [Fingerprint.of("train", "a", image), Fingerprint.of("val", "b", copy)]

    ((file, text, severe),) = find_duplicates(images)

    assert (file, severe) == ("b", False)
    assert text == "nearly the same picture is in the split 'train': a."


def test_different_pictures_are_not_near():
    images = [Fingerprint.of("train" if i % 2 else "val", str(i), noise(i)) for i in range(40)]

    assert find_duplicates(images) == []


def test_a_change_of_three_grey_levels_is_another_picture():
    image = noise(3) // 2
    images = [Fingerprint.of("train", "a", image), Fingerprint.of("val", "b", image + 2)]
    assert [text[:6] for _, text, _ in find_duplicates(images)] == ["nearly"]

    images = [Fingerprint.of("train", "a", image), Fingerprint.of("val", "b", image + 3)]
    assert find_duplicates(images) == []


def test_near_copies_within_a_split_are_no_matter():
    image = noise(2)
    other = image.copy()
    other[0, 0] ^= 1

    pair = [Fingerprint.of("train", "a", image), Fingerprint.of("train", "b", other)]
    assert find_duplicates(pair) == []


def test_pairs_are_those_that_comparing_all_finds(monkeypatch):
    from keras_fcn.datasets import fingerprint

    monkeypatch.setattr(fingerprint, "_BLOCK", 7)
    random = np.random.default_rng(0)
    one = random.integers(0, 256, (40, 12), "uint8").repeat(64, axis=1)
    noise = random.integers(0, 6, (60, 768))  # a root mean square around 3
    other = np.clip(one[random.integers(0, 40, 60)] + noise, 0, 255).astype("uint8")

    apart = one[:, None].astype(float) - other[None]
    rms = np.sqrt((apart**2).mean(axis=-1))
    expected = [(int(i), int(j)) for i, j in np.argwhere(rms < fingerprint.NEAR)]
    assert 0 < len(expected) < 60
    assert fingerprint.near_pairs(one, other) == expected
