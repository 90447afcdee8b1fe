import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycocotools

from keras_fcn.datasets.importers.drawing import (
    Patch,
    ellipse,
    paint,
    polygon,
    rectangle,
    rotated,
    runs,
    unpacked_counts,
)


def drawn(patch, size):
    labels = np.zeros(size, np.uint8)
    paint(labels, patch, 1)
    return labels


def by_pycocotools(points, size):
    (encoded,) = pycocotools.frPyObjects([np.asarray(points).reshape(-1).tolist()], *size)
    return pycocotools.decode(encoded)


# A third of the corners outside; eighths, because rounding differs at ties.
coordinates = st.one_of(st.integers(-160, 480).map(lambda n: n / 8), st.floats(-20, 60))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_polygons_are_those_of_pycocotools_pixel_for_pixel(points, size):
    np.testing.assert_array_equal(drawn(polygon(points, size), size), by_pycocotools(points, size))


def test_polygons_of_real_coordinates_are_those_of_pycocotools():
    generator = np.random.default_rng(0)
    for _ in range(50):
        angles = np.sort(generator.uniform(0, 2 * np.pi, 200))
        radii = generator.uniform(60, 150, (200, 1))
        points = radii * np.stack([np.cos(angles), np.sin(angles)], -1) + (160, 120)
        np.testing.assert_array_equal(
            drawn(polygon(points.round(2), (240, 320)), (240, 320)),
            by_pycocotools(points.round(2), (240, 320)),
        )


def test_a_line_that_crosses_itself_leaves_a_hole():
    outer, inner = rectangle(0, 0, 6, 6), rectangle(2, 2, 4, 4)
    keyhole = [*outer, outer[0], *inner, inner[0]]

    mask = drawn(polygon(keyhole, (6, 6)), (6, 6))

    assert mask.sum() == 36 - 4 and not mask[2:4, 2:4].any()


def test_fewer_than_three_corners_have_no_area():
    assert polygon([(1, 1), (4, 4)], (5, 5)).area == 0


@pytest.mark.parametrize("corner", [(1e9, 0), (float("nan"), 0), (0, float("inf"))])
def test_corners_far_outside_are_an_error(corner):
    with pytest.raises(ValueError, match="far outside an image of 5x4"):
        polygon([(0, 0), (3, 3), corner], (4, 5))


def test_compressed_runs_are_those_of_pycocotools():
    generator = np.random.default_rng(1)
    for size in ((1, 1), (7, 3), (90, 200)):
        for share in (0.0, 0.02, 0.5, 1.0):
            mask = (generator.random(size) < share).astype(np.uint8)
            encoded = pycocotools.encode(np.asfortranarray(mask))

            counts = unpacked_counts(encoded["counts"].decode())

            np.testing.assert_array_equal(runs(counts, size, by_columns=True), mask)


def test_damaged_runs_are_an_error():
    with pytest.raises(ValueError, match="must fill 3x2 .* Received: 5 pixels in 2 runs"):
        runs([2, 3], (2, 3), by_columns=True)
    with pytest.raises(ValueError, match="end in the middle of a number"):
        unpacked_counts("5T")
    with pytest.raises(ValueError, match="' ' is no character"):
        unpacked_counts("5 5")


def test_runs_along_rows():
    # . # #
    # # . .
    mask = runs([1, 3, 2], (2, 3), by_columns=False)

    np.testing.assert_array_equal(mask, [[0, 1, 1], [1, 0, 0]])


def test_an_ellipse_contains_the_centers_within_its_radii():
    mask = drawn(ellipse((10, 8), (6, 3), 0, (20, 20)), (20, 20))
    y, x = np.mgrid[:20, :20] + 0.5
    np.testing.assert_array_equal(mask, ((x - 10) / 6) ** 2 + ((y - 8) / 3) ** 2 <= 1)

    # By a quarter turn the radii change places.
    turned = drawn(ellipse((10, 8), (6, 3), 90, (20, 20)), (20, 20))
    np.testing.assert_array_equal(turned, ((x - 10) / 3) ** 2 + ((y - 8) / 6) ** 2 <= 1)


def test_turning_is_clockwise_in_the_image():
    # Right of the center becomes below it: y points down.
    np.testing.assert_allclose(rotated(np.array([[3.0, 1.0]]), 90, (1, 1)), [[1, 3]], atol=1e-12)


def test_patches_beyond_the_border_are_cut():
    labels = np.zeros((3, 4), np.uint8)

    paint(labels, Patch(-1, 2, np.ones((3, 5), bool)), 7)

    np.testing.assert_array_equal(labels, [[0, 0, 7, 7], [0, 0, 7, 7], [0, 0, 0, 0]])
