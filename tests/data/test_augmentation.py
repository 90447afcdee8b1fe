import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy.spatial.transform import Rotation

from keras_fcn.data import augmentation as augmentation_module
from keras_fcn.data.augmentation import Augmentation, augment, keep_cells

OFF = Augmentation.none()
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def coordinates(height, width):
    """An image whose red is the row and whose green is the column, and label maps of the same."""
    rows, columns = np.mgrid[:height, :width].astype("uint8")
    image = np.stack([rows, columns, np.full_like(rows, 77)], axis=-1)
    return image, {"row": rows, "column": columns}


def photograph(height=40, width=56, low=60, high=200, seed=0):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3)).astype("uint8")


def augment_one(image, label, seed, crop_size, ignore_class, augmentation):
    """Augments an RGB image with one label map, or a dictionary of them."""
    heads = label if isinstance(label, dict) else {"": label}
    ignored = ignore_class if isinstance(ignore_class, dict) else dict.fromkeys(heads, ignore_class)
    images, labels = augment({"rgb": image}, heads, seed, crop_size, ignored, augmentation)
    return images["rgb"], labels if isinstance(label, dict) else labels[""]


def augmented(image, label, seed, crop_size=None, ignore_class=255, augmentation=OFF):
    image, label = augment_one(image, label, (7, seed), crop_size, ignore_class, augmentation)
    return image.numpy(), tf.nest.map_structure(lambda part: part.numpy(), label)


def draws(image, label, num_draws, crop_size=None, ignore_class=255, augmentation=OFF):
    """Yields the example as it comes out of as many seeds."""
    image, label = tf.nest.map_structure(tf.constant, (image, label))
    return (
        tf.data.Dataset.range(num_draws)
        .map(
            lambda seed: augment_one(
                image, label, tf.cast([7, seed], "int32"), crop_size, ignore_class, augmentation
            )
        )
        .as_numpy_iterator()
    )


def only(**settings_):
    return Augmentation(**{**vars(OFF), **settings_})


def test_none_changes_nothing():
    image, label = coordinates(23, 31)

    new_image, new_label = augmented(image, label, seed=3)

    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label["row"], label["row"])


@settings(max_examples=30, deadline=None)
@given(size=SIZES, crop_size=SIZES, seed=st.integers(0, 1000))
def test_a_crop_is_a_window_of_the_image_in_a_frame_of_ignored_pixels(size, crop_size, seed):
    image, label = coordinates(*size)

    new_image, new_label = augmented(image, label, seed, crop_size)

    inside = new_label["row"] != 255
    # Along each axis all of the image or all of the crop is used.
    assert new_image.shape == (*crop_size, 3)
    assert inside.sum() == np.prod(np.minimum(size, crop_size))
    # Every pixel says where it comes from, and its label says the same.
    np.testing.assert_array_equal(new_image[inside][:, 0], new_label["row"][inside])
    np.testing.assert_array_equal(new_image[inside][:, 1], new_label["column"][inside])
    # Neighbors stay neighbors: the pixels inside are one window.
    rows, columns = np.nonzero(inside)
    window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert inside[window].all()
    assert (np.diff(new_label["row"][window].astype(int), axis=0) == 1).all()
    assert (np.diff(new_label["column"][window].astype(int), axis=1) == 1).all()
    # Outside lies mid-gray.
    assert (new_image[~inside] == 128).all()


def test_a_crop_can_lie_anywhere():
    image, label = coordinates(5, 7)

    corners = {tuple(new[0, 0, :2]) for new, _ in draws(image, label, 80, crop_size=(4, 5))}

    assert corners == {(row, column) for row in (0, 1) for column in (0, 1, 2)}


@pytest.mark.parametrize(
    "settings_",
    [
        {"scale": (0.55, 0.55)},
        {"scale": (2.0, 2.0)},
        {"scale": (0.6, 1.7), "aspect": (0.8, 1.25), "flip": True},
        {"scale": (0.6, 1.7), "aspect": (0.8, 1.25), "flip": True, "rotation": 40.0},
    ],
    ids=["smaller", "double", "any", "turned"],
)
@pytest.mark.parametrize("crop_size", [(48, 64), None])
def test_image_and_label_move_together(settings_, crop_size):
    image, label = coordinates(80, 100)
    augmentation = only(**settings_)

    for new_image, new_label in draws(image, label, 8, crop_size, augmentation=augmentation):
        # Interpolation may leave a ramp's straight line near its ends only.
        inner = (
            (np.abs(new_label["row"].astype(int) - 40) < 37)
            & (np.abs(new_label["column"].astype(int) - 50) < 47)
        )  # fmt: skip
        assert inner.sum() > 300
        # The image holds the source coordinate rounded to a whole number; the label that of the
        # nearest pixel. Both are within a half of the coordinate.
        for channel, name in enumerate(("row", "column")):
            difference = new_image[..., channel].astype(int) - new_label[name].astype(int)
            assert np.abs(difference[inner]).max() <= 1
            assert np.abs(difference[inner].mean()) < 0.5


def test_half_size_takes_every_second_label_and_the_mean_of_two_pixels():
    image, label = coordinates(20, 30)
    half = only(scale=(0.5, 0.5))

    new_image, new_label = augmented(image, label, seed=0, augmentation=half)

    # A pixel of the result covers the rows 2i and 2i + 1: their mean is 2i + 0.5, and the
    # nearest is either; ours is the second.
    assert new_image.shape == (10, 15, 3)
    np.testing.assert_array_equal(new_label["row"][:, 0], np.arange(1, 20, 2))
    np.testing.assert_allclose(new_image[1:-1, 0, 0], np.arange(2.5, 17, 2), atol=0.5)


def test_scale_and_aspect_stay_in_their_ranges():
    augmentation = only(scale=(0.5, 2.0), aspect=(0.8, 1.25))
    image, label = photograph(100, 100), np.zeros((100, 100), "uint8")

    sizes = np.array([new.shape for _, new in draws(image, label, 200, augmentation=augmentation)])

    scale, aspect = np.sqrt(sizes[:, 0] * sizes[:, 1]) / 100, sizes[:, 1] / sizes[:, 0]
    assert scale.min() >= 0.49
    assert scale.max() <= 2.01
    assert aspect.min() >= 0.78
    assert aspect.max() <= 1.28
    # Half is as likely as double: the logarithm has the mean 0, here within 4 standard errors.
    assert abs(np.log(scale).mean()) < 4 * np.log(4) / np.sqrt(12 * 200)


def test_rotation_turns_about_the_center():
    # A quarter turn of a square is exact: compare with NumPy's, either way round.
    image, label = coordinates(21, 21)
    turned = only(rotation=180.0)
    angles = []

    for _, new_label in draws(image, label, 40, augmentation=turned):
        assert new_label["row"][10, 10] == 10
        assert new_label["column"][10, 10] == 10
        right = new_label["row"][10, 15] - 10.0, new_label["column"][10, 15] - 10.0
        assert np.hypot(*right) == pytest.approx(5, abs=0.75)
        angles.append(np.arctan2(*right))

    # Every direction occurs, both ways.
    assert min(angles) < -2
    assert max(angles) > 2


def test_small_rotation_stays_small():
    image, label = coordinates(101, 101)
    turned = only(rotation=10.0)

    for _, new_label in draws(image, label, 30, augmentation=turned):
        # 40 pixels to the right of the center: at most 40 sin(10 degrees) = 6.9 up or down.
        assert abs(float(new_label["row"][50, 90]) - 50) <= 7.5


def test_half_of_the_examples_are_mirrored():
    image, label = coordinates(6, 9)
    flip = only(flip=True)
    num_flipped = 0

    for new_image, new_label in draws(image, label, 100, augmentation=flip):
        flipped = new_label["column"][0, 0] == 8
        num_flipped += flipped
        expected = image[:, ::-1] if flipped else image
        np.testing.assert_array_equal(new_image, expected)

    assert 30 < num_flipped < 70


def test_pixels_outside_are_ignored_and_never_background():
    augmentation = Augmentation(scale=(0.3, 0.6), rotation=30.0)
    label = np.ones((40, 40), "uint8")

    for ignore_class in (255, 11):
        examples = draws(photograph(40, 40), label, 10, (48, 48), ignore_class, augmentation)
        for _, new_label in examples:
            assert set(np.unique(new_label)) == {1, ignore_class}


def test_each_label_map_has_its_own_ignored_label():
    label = {"semantic": np.ones((8, 8), "uint8"), "geometric": np.ones((8, 8), "uint8")}

    _, new_label = augmented(
        photograph(8, 8), label, 0, (12, 12), {"semantic": 255, "geometric": 9}
    )

    assert set(np.unique(new_label["semantic"])) == {1, 255}
    assert set(np.unique(new_label["geometric"])) == {1, 9}


def test_brightness_adds_the_same_to_all_pixels():
    image, label = photograph(), np.zeros((40, 56), "uint8")
    shifts = []

    for new_image, _ in draws(image, label, 40, augmentation=only(brightness=0.1)):
        difference = new_image.astype(int) - image
        assert difference.max() - difference.min() <= 1
        shifts.append(difference.mean())

    # 0.1 of 255 either way.
    assert -26 <= min(shifts) < -13
    assert 13 < max(shifts) <= 26


def test_contrast_stretches_about_mid_grey():
    image, label = photograph(low=80, high=176), np.zeros((40, 56), "uint8")
    factors = []

    for new_image, _ in draws(image, label, 40, augmentation=only(contrast=0.4)):
        factor, shift = np.polyfit(image.ravel() - 127.5, new_image.ravel() - 127.5, 1)
        assert abs(shift) < 0.1
        factors.append(factor)

    assert 0.59 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.41


def test_saturation_keeps_luma_and_grey():
    image, label = photograph(low=100, high=150), np.zeros((40, 56), "uint8")
    image[0] = 130
    luma = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    spread = np.ptp(image.astype(int), axis=-1).mean()
    spreads = []

    for new_image, _ in draws(image, label, 40, augmentation=only(saturation=0.5)):
        assert (new_image[0] == 130).all()
        new_luma = np.asarray(Image.fromarray(new_image).convert("L")).astype(int)
        assert np.abs(new_luma - luma).max() <= 2
        spreads.append(np.ptp(new_image.astype(int), axis=-1).mean() / spread)

    assert 0.49 < min(spreads) < 0.75
    assert 1.25 < max(spreads) < 1.51


def test_hue_turns_about_the_grey_axis():
    image, label = photograph(low=100, high=150), np.zeros((40, 56), "uint8")
    image[0] = 130
    image[1:] = (170, 110, 110)
    red_turned_to = []

    for new_image, _ in draws(image, label, 60, augmentation=only(hue=0.5)):
        new = new_image.astype(float)
        assert (new[0] == 130).all()
        # A rotation keeps the sum of the channels and the distance from gray.
        assert np.abs(new[1:].sum(-1) - 390).max() <= 2
        assert np.abs(new[1:].std(-1) - np.std((170, 110, 110))).max() <= 1
        red_turned_to.append(np.argmax(new[1, 0]))

    assert set(red_turned_to) == {0, 1, 2}


def test_grayscale_is_pillows_luma():
    image, label = photograph(low=0, high=256), np.zeros((40, 56), "uint8")

    new_image, _ = augmented(image, label, 0, augmentation=only(grayscale=1.0))

    luma = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    assert np.abs(new_image - luma[..., None]).max() <= 1


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_keras_cv_stretches_as_pillow_does(name):
    image = np.asarray(Image.linear_gradient("L").resize((48, 32)))
    image = np.stack([image // 2 + 60, image // 3 + 20, 200 - image // 2], axis=-1).astype("uint8")

    new_image, _ = augmented(
        image, np.zeros((32, 48), "uint8"), 0, augmentation=only(**{name: 1.0})
    )

    expected = np.asarray(getattr(ImageOps, name)(Image.fromarray(image))).astype(int)
    assert np.abs(new_image - expected).max() <= 8
    assert new_image.min() == 0
    assert new_image.max() == 255


def test_shares_are_met():
    image, label = photograph(8, 8), np.zeros((8, 8), "uint8")
    share = only(grayscale=0.25)

    gray = [
        not np.ptp(new.astype(int), axis=-1).any()
        for new, _ in draws(image, label, 200, augmentation=share)
    ]

    # Binomial: the standard deviation is sqrt(200 / 4 * 3 / 4) = 6.1.
    assert 50 - 25 < sum(gray) < 50 + 25


def test_the_seed_alone_decides():
    image, label = coordinates(40, 56)
    augmentation = Augmentation(hue=0.1, rotation=20.0, equalize=0.5)
    graph = tf.function(lambda seed: augment_one(image, label, seed, (32, 32), 255, augmentation))

    tf.random.set_seed(1)
    first = augmented(image, label, 5, (32, 32), augmentation=augmentation)
    tf.random.set_seed(2)
    again = augmented(image, label, 5, (32, 32), augmentation=augmentation)
    in_graph = graph(tf.constant([7, 5]))
    other = augmented(image, label, 6, (32, 32), augmentation=augmentation)

    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1]["row"], again[1]["row"])
    # Eager and compiled graph may round a pixel differently.
    assert np.abs(first[0].astype(int) - in_graph[0].numpy()).max() <= 1
    np.testing.assert_array_equal(first[1]["row"], in_graph[1]["row"])
    assert (first[0] != other[0]).any()


def test_a_crop_has_a_static_shape_and_pixels_are_uint8():
    shapes = tf.data.Dataset.from_tensors((tf.zeros((9, 9, 3)), tf.zeros((9, 9), "uint8"))).map(
        lambda image, label: augment_one(image, label, (0, 0), (6, 7), 255, Augmentation())
    )

    image, label = shapes.element_spec

    assert (image.shape, image.dtype) == ((6, 7, 3), tf.uint8)
    assert (label.shape, label.dtype) == ((6, 7), tf.uint8)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"scale": (2.0, 0.5)}, r"`scale` must be the smallest and the largest factor.*scale=\(2"),
        ({"scale": (0.0, 1.0)}, "`scale` must be"),
        ({"aspect": (1.0,)}, "`aspect` must be"),
        ({"rotation": -5.0}, r"`rotation` must be in \[0, 180\]. Received: rotation=-5.0"),
        ({"hue": 0.7}, r"`hue` must be in \[0, 0.5\]"),
        ({"grayscale": 1.5}, r"`grayscale` must be in \[0, 1\]"),
        ({"brightness": float("nan")}, "`brightness` must be in"),
    ],
)
def test_settings_out_of_range_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings_)


def test_photographs_stay_upright_and_keep_their_hue_by_default():
    # As documented: half to double the size, mirrored, and mild changes of color.
    assert vars(Augmentation()) == {
        **vars(OFF),
        "scale": (0.5, 2.0),
        "flip": True,
        "brightness": 0.1,
        "contrast": 0.2,
        "saturation": 0.2,
    }
    assert set(vars(OFF).values()) == {0.0, (1.0, 1.0)}


def test_lists_from_json_equal_tuples():
    assert Augmentation(scale=[0.5, 2.0]) == Augmentation(scale=(0.5, 2.0))


def test_all_modalities_move_with_the_label():
    # The value of a pixel, whatever the modality, is 10 times its label.
    rng = np.random.default_rng(0)
    label = rng.integers(1, 20, (4, 6)).repeat(8, axis=0).repeat(8, axis=1).astype("uint8")
    images = {
        "rgb": np.repeat(10 * label[..., None], 3, axis=-1),
        "hha": np.repeat(10 * label[..., None], 3, axis=-1),
        "depth": 1000 * label[..., None].astype("uint16"),
    }
    geometry = Augmentation(scale=(0.7, 1.6), rotation=30.0, brightness=0, contrast=0, saturation=0)

    for draw in range(10):
        moved, labels = augment(images, {"a": label}, [0, draw], (30, 40), {"a": 255}, geometry)
        seen = labels["a"].numpy()
        inside = seen != 255
        np.testing.assert_array_equal(moved["depth"][..., 0][inside], 1000.0 * seen[inside])
        # Around it lies the distance that a network sees as 0: exp(7.844) = 2550.4.
        assert set(np.unique(moved["depth"][..., 0][~inside])) <= {2550}
        np.testing.assert_array_equal(moved["rgb"], moved["hha"])
        # Colors are interpolated: equal inside the blocks, apart from rounding.
        close = np.abs(moved["rgb"][..., 0].numpy().astype(int) - 10.0 * seen) <= 1
        assert close[inside].mean() > 0.5


def test_only_colors_change_their_colors():
    images = {name: np.full((8, 8, 3), 100, "uint8") for name in ("rgb", "hha")}
    images["depth"] = np.full((8, 8, 1), 3000, "uint16")
    recolor = Augmentation(scale=(1, 1), brightness=0.5, contrast=0.5, saturation=0.5)

    labels = {"a": np.ones((8, 8), "uint8")}

    moved, _ = augment(images, labels, [0, 1], (8, 8), {"a": 255}, recolor)

    assert (moved["rgb"].numpy() != 100).any()
    assert (moved["hha"].numpy() == 100).all()
    assert (moved["depth"].numpy() == 3000).all()
    assert moved["depth"].dtype == "uint16"
    # And the colors are those of the same image alone.
    alone, _ = augment_one(images["rgb"], labels["a"], [0, 1], (8, 8), 255, recolor)
    np.testing.assert_array_equal(moved["rgb"], alone)


# === Exact results for draws that are known ===


@pytest.fixture
def drawn(monkeypatch):
    """Sets the uniform numbers of an example by name; the others are 0.5, which is the middle."""

    def set_draws(**numbers: float) -> None:
        names = augmentation_module._DRAWS
        assert set(numbers) <= set(names)
        values = tf.constant([numbers.get(name, 0.5) for name in names])
        monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, seed: values)

    return set_draws


@pytest.mark.parametrize(("draw", "turns"), [(0.0, -1), (1.0, 1), (0.5, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_quarter_turns_are_those_of_numpy(drawn, draw, turns, flip):
    image, label = photograph(20, 30), np.arange(600).reshape(20, 30).astype("uint8")
    drawn(rotation=draw, flip=0.2)
    crop_size = (30, 20) if turns else (20, 30)

    new_image, new_label = augmented(
        image, label, 0, crop_size, augmentation=only(rotation=90.0, flip=flip)
    )

    expected_image, expected_label = np.rot90(image, turns), np.rot90(label, turns)
    step = -1 if flip else 1
    np.testing.assert_array_equal(new_label, expected_label[:, ::step])
    difference = new_image.astype(int) - expected_image[:, ::step]
    # The angle is rounded, so that pixels at the border take a trace of mid-gray.
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("turn", [-0.4, 0.7])
def test_each_label_and_color_comes_from_where_the_geometry_says(drawn, turn):
    rows, columns = np.mgrid[:60, :80]
    label = ((rows // 7) * 12 + columns // 7).astype("uint8")
    image = np.stack([2 * rows, 2 * columns, rows + columns], -1).astype("uint8")
    # Scale 0.5 to 2: a draw of 0.7 is 0.5 * 4**0.7; aspect 0.8 to 1.25 likewise.
    scale, aspect = 0.5 * 4**0.7, 0.8 * (1.25 / 0.8) ** 0.2
    drawn(scale=0.7, aspect=0.2, rotation=(turn + 1) / 2, top=0.25, left=0.75, flip=0.9)
    geometry = only(scale=(0.5, 2.0), aspect=(0.8, 1.25), rotation=30.0, flip=True)

    new_image, new_label = augmented(image, label, 0, (50, 44), 255, geometry)

    factors = scale / np.sqrt(aspect), scale * np.sqrt(aspect)
    scaled = np.round(np.array([60, 80]) * factors)
    offset = np.round(np.array([0.25, 0.75]) * (scaled - (50, 44)))
    angle = np.radians(30.0 * turn)
    down, right = np.mgrid[:50, :44] + 0.5 - np.array([25, 22])[:, None, None]
    turned = np.stack(
        [
            np.cos(angle) * down + np.sin(angle) * right + 25 + offset[0],
            np.cos(angle) * right - np.sin(angle) * down + 22 + offset[1],
        ]
    )
    source = turned / np.array(factors)[:, None, None]
    y, x = np.floor(source).astype(int)
    inside = (y >= 0) & (y < 60) & (x >= 0) & (x < 80)
    expected = np.where(inside, label[y.clip(0, 59), x.clip(0, 79)], 255)
    # Points on the edge between two pixels may go either way.
    assert (new_label == expected).mean() > 0.998
    # A ramp's value is that of its coordinate; pixels are whole at their centers.
    inner = (np.abs(y - 29.5) < 28) & (np.abs(x - 39.5) < 38)
    for channel, values in enumerate((2 * source[0] - 1, 2 * source[1] - 1, source.sum(0) - 1)):
        difference = new_image[..., channel] - values
        assert inner.sum() > 500 and np.abs(difference[inner]).max() < 0.6
    assert (new_image[(y < -1) | (y > 60) | (x < -1) | (x > 80)] == 128).all()


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75, 1.5])
def test_images_are_resized_as_pillow_does(scale):
    image, label = photograph(40, 56, 0, 256), np.zeros((40, 56), "uint8")

    new_image, _ = augmented(image, label, 0, augmentation=only(scale=(scale, scale)))

    # Pillow's bilinear filter is antialiased.
    size = round(56 * scale), round(40 * scale)
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    assert np.abs(new_image.astype(int) - expected).max() <= 1


def test_colors_are_the_linear_ones_of_their_definitions(drawn):
    image, label = photograph(low=100, high=150), np.zeros((40, 56), "uint8")
    drawn(brightness=0.9, contrast=0.2, saturation=0.8, hue=0.65, grayscale=0.5)
    colors = only(brightness=0.1, contrast=0.5, saturation=0.4, hue=0.2, grayscale=0.3)

    new_image, _ = augmented(image, label, 0, augmentation=colors)

    # About the gray axis, then away from the luma, then away from mid-gray, then brighter.
    turn = Rotation.from_rotvec(2 * np.pi * 0.3 * 0.2 * np.ones(3) / np.sqrt(3))
    pixels = turn.apply(image.reshape(-1, 3) - 127.5)
    luma = pixels @ [[0.299], [0.587], [0.114]]
    pixels = (luma + (1 + 0.6 * 0.4) * (pixels - luma)) * (1 - 0.6 * 0.5)
    expected = (pixels + 127.5 + 0.8 * 0.1 * 255).reshape(image.shape)
    assert np.abs(new_image - expected).max() <= 0.51


@pytest.mark.parametrize("draw", [0.29, 0.31])
def test_a_share_is_of_the_draws_below_it(drawn, draw):
    image, label = photograph(8, 8), np.zeros((8, 8), "uint8")
    drawn(grayscale=draw, flip=0.5)

    new_image, _ = augmented(image, label, 0, augmentation=only(grayscale=0.3, flip=True))

    assert (np.ptp(new_image.astype(int), axis=-1) == 0).all() == (draw < 0.3)
    # Half of the examples: draws of 0.5 and above are not mirrored.
    if draw > 0.3:
        np.testing.assert_array_equal(new_image, image)


@pytest.mark.parametrize(
    "settings_",
    [
        {"rotation": 180.0},
        {"hue": 0.5},
        {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0},
        {"grayscale": 1.0, "autocontrast": 1.0, "equalize": 1.0},
        {"scale": (1.5, 1.5), "aspect": (0.5, 0.5)},
    ],
)
def test_settings_may_be_as_large_as_documented(settings_):
    assert vars(only(**settings_)).items() >= settings_.items()
    for name, value in settings_.items():
        if not isinstance(value, tuple):
            with pytest.raises(ValueError, match=f"`{name}` must be in"):
                only(**{name: 1.001 * value})
            with pytest.raises(ValueError, match=f"`{name}` must be in"):
                only(**{name: -0.001})
        else:
            with pytest.raises(ValueError, match=f"`{name}` must be the smallest and the largest"):
                only(**{name: (value[0], float("inf"))})


# === Cells that are left out of the loss ===

CELLS = np.arange(12 * 20, dtype="uint8").reshape(12, 20) % 5


def band_image():
    """Bands of which the first is the row, the second 1000 times the column, and a label map."""
    rows, columns = np.mgrid[:24, :32].astype("float32")
    image = np.stack([rows, 1000 * columns, -rows, columns, rows], axis=-1)
    return image, rows.astype("uint8")


def augmented_bands(image, label, seed, crop_size, augmentation):
    images, labels = augment(
        {"bands": image}, {"": label}, (7, seed), crop_size, {"": 255}, augmentation
    )
    return images["bands"].numpy(), labels[""].numpy()


def test_bands_move_with_the_label_and_keep_their_values():
    image, label = band_image()
    colors = only(brightness=1, contrast=1, saturation=1, hue=0.5, grayscale=1, flip=True)

    for seed in range(6):
        bands, moved = augmented_bands(image, label, seed, (16, 20), colors)

        assert bands.shape == (16, 20, 5) and bands.dtype == np.float32
        np.testing.assert_allclose(bands[..., 0], moved, atol=1e-4)
        np.testing.assert_allclose(bands[..., 2], -bands[..., 0])
        np.testing.assert_allclose(bands[..., 1], 1000 * bands[..., 3], rtol=1e-5)


@pytest.mark.parametrize("settings_", [{}, {"scale": (0.6, 1.7)}, {"rotation": 40}])
def test_bands_have_no_data_outside_and_missing_pixels_do_not_blend(settings_):
    image, label = band_image()
    image = np.full_like(image, 5000.0)
    image[8:12, 10:20, 1] = np.nan

    for seed in range(6):
        bands, moved = augmented_bands(image, label, seed, (60, 70), only(**settings_))

        outside = np.isnan(bands).all(axis=-1)
        # Bilinear weights at the border make it uncertain by a pixel.
        near = (moved == 255) != outside
        assert near.mean() < 0.1 and outside.any() and not outside.all()
        assert np.isnan(bands[..., 1]).sum() > outside.sum()
        np.testing.assert_allclose(bands[~np.isnan(bands)], 5000, rtol=1e-5)


def kept(label, seed, share, cell_size):
    """The labels as an array, and which pixels still have theirs."""
    maps = keep_cells({"": tf.constant(label)}, seed, share, cell_size, {"": 255})
    result = maps[""].numpy()
    return result, result != 255


def test_cells_are_kept_or_ignored_as_a_whole():
    result, mask = kept(CELLS, (0, 1), 0.5, 4)

    np.testing.assert_array_equal(result[mask], CELLS[mask])
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
    maps = {"thing": tf.constant(CELLS), "light": tf.zeros((12, 20), "uint8")}

    result = keep_cells(maps, (0, 1), 0.5, 4, {"thing": 255, "light": 9})

    _, mask = kept(CELLS, (0, 1), 0.5, 4)
    np.testing.assert_array_equal(result["thing"].numpy() != 255, mask)
    np.testing.assert_array_equal(result["light"].numpy(), np.where(mask, 0, 9))


@pytest.mark.parametrize("ignore_class", [256, 300, -1])
def test_an_ignored_label_that_uint8_cannot_hold_is_refused(ignore_class):
    # 300 modulo 256 is 44, which may be a class.
    image, label = np.zeros((4, 4, 3), "uint8"), np.zeros((4, 4), "uint8")
    for run in (
        lambda: augmented(image, label, 0, crop_size=(8, 8), ignore_class=ignore_class),
        lambda: keep_cells({"": label}, (0, 1), 0.5, 2, {"": ignore_class}),
    ):
        with pytest.raises(ValueError, match=r"must be in \[0, 255\]"):
            run()
