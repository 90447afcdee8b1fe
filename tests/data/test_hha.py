"""HHA images of scenes whose geometry is known, and of the published example."""

import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.hha import encode_hha

CAMERA = np.array([[60.0, 0, 32.5], [0, 60.0, 48.5], [0, 0, 1]])
SIZE = (96, 64)


def room(pitch_degrees: float, camera_height: float = 1.0, wall: float = 4.0) -> np.ndarray:
    """Depth in meters of a floor and a wall, seen by a camera that is tilted down by an angle."""
    rows, columns = np.mgrid[1 : SIZE[0] + 1, 1 : SIZE[1] + 1]
    pitch = np.radians(pitch_degrees)
    y, z = (rows - CAMERA[1, 2]) / 60, 1.0
    # The ray (x, y, 1) in the world: turned about the x axis.
    down, forward = np.cos(pitch) * y + np.sin(pitch) * z, np.cos(pitch) * z - np.sin(pitch) * y
    with np.errstate(divide="ignore"):
        to_floor = np.where(down > 0, camera_height / down, np.inf)
    # Along a ray whose third number is 1, the parameter is the depth.
    return np.minimum(to_floor, wall / forward) + 0 * columns


def heights(pitch_degrees: float, camera_height: float, depth: np.ndarray) -> np.ndarray:
    """Height above the floor in centimeters."""
    y = (np.arange(1, SIZE[0] + 1)[:, None] - CAMERA[1, 2]) / 60
    pitch = np.radians(pitch_degrees)
    return 100 * (camera_height - depth * (np.cos(pitch) * y + np.sin(pitch)))


@pytest.mark.parametrize("pitch", [0.0, 12.0, -10.0])
def test_gravity_is_found_and_floors_and_walls_have_their_angles(pitch):
    depth = room(pitch)

    hha = encode_hha(depth, CAMERA)

    np.testing.assert_allclose(hha[..., 0], np.minimum(31000 / (100 * depth), 255), atol=0.51)
    expected = heights(pitch, 1.0, depth)
    np.testing.assert_allclose(hha[..., 1], np.clip(expected, 0, 255), atol=3)
    # Away from the edge between them, whose windows hold both.
    on_floor = expected[:, 32] < 1e-6
    assert 20 < on_floor.sum() < 50
    first = int(np.flatnonzero(on_floor)[0])
    assert (np.abs(hha[first + 3 :, :, 2].astype(int) - (0 + 38)) <= 1).all()
    assert (np.abs(hha[: first - 3, :, 2].astype(int) - (90 + 38)) <= 1).all()


def test_known_gravity_needs_no_floor():
    wall = np.full(SIZE, 3.1)

    upright = encode_hha(wall, CAMERA, gravity=(0, 2, 0))
    as_ceiling = encode_hha(wall, CAMERA, gravity=(0, 0, -1))
    as_floor = encode_hha(wall, CAMERA, gravity=(0, 0, 1))

    assert (upright[..., 0] == 100).all()
    assert set(np.unique(upright[..., 2])) == {90 + 38}
    assert set(np.unique(as_floor[..., 2])) == {0 + 38}
    assert set(np.unique(as_ceiling[..., 2])) == {180 + 38}
    # The floor is 3.1 m below the camera, and all of it is the lowest point.
    assert set(np.unique(as_floor[..., 1])) == {0}


def test_without_ground_in_view_the_camera_is_130_centimetres_high():
    # A wall at 1 m: its lowest point is (96 - 48.5) / 60 m = 79 cm below the camera.
    near = encode_hha(np.full(SIZE, 1.0), CAMERA, gravity=(0, 1, 0))
    # At 4 m it is 317 cm below, and is the ground.
    far = encode_hha(np.full(SIZE, 4.0), CAMERA, gravity=(0, 1, 0))

    assert near[-1, 0, 1] == 130 - 79
    assert near[0, 0, 1] == 130 + 79
    assert far[-1, 0, 1] == 0


def test_the_first_pixel_of_a_row_and_of_a_column_is_1():
    # The toolbox and the camera's center count from 1, as MATLAB does. A wall at 1.2 m shows at
    # column x what is (x - 32.5) / 60 * 120 cm to the right of the axis: -63 cm at the first
    # column and +63 cm at the last, 64. Gravity to the right makes that minus the height; the
    # ground, less than 90 cm below, is taken to be 130 cm below.
    wall = np.full(SIZE, 1.2)
    sideways = encode_hha(wall, CAMERA, gravity=(1, 0, 0))
    # Row y is (y - 48.5) / 60 * 120 cm below the axis: row 1 is 95 cm above, row 96 95 cm below.
    upright = encode_hha(wall, CAMERA, gravity=(0, 1, 0))

    assert sideways[5, [0, 63], 1].tolist() == [130 + 63, 130 - 63]
    assert upright[[0, 95], 7, 1].tolist() == [95 + 95, 0]


def test_near_distances_count_as_one_metre():
    hha = encode_hha(np.full(SIZE, 0.2), CAMERA, gravity=(0, 1, 0))

    assert (hha[..., 0] == 255).all()  # 310 does not fit


def test_missing_pixels_enter_no_normal():
    depth = room(0.0)
    holes = depth.copy()
    holes[10:14, 20:24] = 0
    wrong = depth.copy()
    wrong[10:14, 20:24] = 0.7
    missing = np.zeros(SIZE, bool)
    missing[10:14, 20:24] = True

    angles = encode_hha(depth, CAMERA, gravity=(0, 1, 0))[..., 2]
    with_holes = encode_hha(holes, CAMERA, gravity=(0, 1, 0))[..., 2]
    masked = encode_hha(wrong, CAMERA, missing=missing, gravity=(0, 1, 0))[..., 2]

    np.testing.assert_array_equal(with_holes, angles)
    np.testing.assert_array_equal(masked[~missing], angles[~missing])


def test_windows_that_determine_no_plane_have_the_angle_of_ceilings():
    depth = np.zeros(SIZE)
    depth[20, :] = 2.0  # a single line of measurements

    hha = encode_hha(depth, CAMERA, gravity=(0, 1, 0))

    assert set(np.unique(hha[..., 2])) == {180 + 38}


def test_surfaces_face_the_camera_at_any_distance():
    # At 4 mm the plane of a wall is less than 1 cm away: it is still in front of the camera.
    hha = encode_hha(np.full(SIZE, 0.004), CAMERA, gravity=(0, 0, 1))

    assert set(np.unique(hha[..., 2])) == {0 + 38}


def fitted_normals(points: np.ndarray, reach: int) -> np.ndarray:
    """Normals of the planes n.p = 1 that fit n.p / z = 1 / z best, by NumPy's least squares."""
    normals = np.empty(points.shape)
    for y, x in np.ndindex(points.shape[:2]):
        rows, columns = (
            slice(max(0, y - reach), y + reach + 1),
            slice(max(0, x - reach), x + reach + 1),
        )
        window = points[rows, columns].reshape(-1, 3)
        window = window[window[:, 2] > 0]
        normal = np.linalg.lstsq(window / window[:, 2:], 1 / window[:, 2], rcond=None)[0]
        facing = normal @ points[y, x] if points[y, x].any() else normal[2]
        normals[y, x] = normal / np.linalg.norm(normal) * np.sign(facing)
    return normals


def found_gravity(normals: np.ndarray) -> np.ndarray:
    """The direction of Gupta et al. 2013: five rounds with 45 degrees, five with 15."""
    normals, down = normals.reshape(-1, 3), np.array([0.0, 1.0, 0.0])
    for degrees in 5 * [45] + 5 * [15]:
        angle = np.degrees(np.arccos(np.clip(normals @ down, -1, 1)))
        floors = normals[np.minimum(angle, 180 - angle) < degrees]
        walls = normals[np.abs(angle - 90) < degrees]
        directions = np.linalg.eigh(walls.T @ walls - floors.T @ floors)[1]
        down = directions[:, 0] * np.sign(directions[:, 0] @ down)
    return down


@pytest.mark.parametrize("with_holes", [False, True])
def test_a_noisy_scene_agrees_with_the_definitions(with_holes):
    # A floor, a slanted wall and a thing before it. The noise is strong enough that windows of 19
    # or 23 pixels instead of 21, thresholds of 46 or 16 degrees, or a round more, change it.
    camera = np.array([[30.0, 0, 16.5], [0, 30.0, 14.5], [0, 0, 1]])
    rows, columns = np.mgrid[1:37, 1:33]
    y, x = (rows - 14.5) / 30, (columns - 16.5) / 30
    floor = np.where(y > -0.2, 1.2 / np.maximum(y + 0.2, 1e-3), np.inf)
    thing = np.where((columns > 19) & (rows > 13), 1.47 + 0.03 * rows, np.inf)
    depth = np.minimum(np.minimum(floor, 3 / (1 + 0.4 * x)), thing)
    depth *= 1 + 0.1 * np.random.default_rng(0).normal(size=depth.shape)
    if with_holes:
        depth[5:9, 7:9] = 0

    hha = encode_hha(depth, camera)

    points = 100 * depth[..., None] * np.stack([x, y, np.ones_like(x)], axis=-1)
    down = found_gravity(fitted_normals(points, reach=10))
    height = -(points @ down)
    lowest = height.min()
    angle = np.degrees(np.arccos(np.clip(fitted_normals(points, reach=3) @ down, -1, 1)))
    height -= lowest if lowest <= -90 else -130
    for channel, values in ((1, height), (2, angle + 38)):
        difference = np.abs(hha[..., channel] - np.clip(np.floor(values + 0.5), 0, 255))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.005


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"depth": np.ones((4, 4, 1))}, r"`depth` must have the shape \(height, width\)"),
        ({"depth": -np.ones((4, 4))}, "`depth` must be 0 or more, in meters"),
        ({"depth": np.zeros((4, 4))}, "at least one pixel that is not missing"),
        ({"camera_matrix": np.eye(2)}, "focal lengths fx and fy above 0"),
        ({"camera_matrix": np.zeros((3, 3))}, "focal lengths fx and fy above 0"),
        (
            {"missing": np.zeros((3, 4), bool)},
            r"`missing` must have the shape of `depth`, \(4, 4\)",
        ),
        ({"gravity": (0, 0, 0)}, "`gravity` must be a direction"),
    ],
)
def test_wrong_arguments_are_named(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        encode_hha(**{"depth": np.ones((4, 4)), "camera_matrix": CAMERA, **arguments})


# NYUDv2's color camera (its toolbox, camera_params.m).
KINECT = np.array([[518.857901, 0, 325.582449], [0, 519.469611, 253.736166], [0, 0, 1]])


@pytest.fixture(scope="module")
def demo(shared_data):
    """The images of github.com/charlesCXK/Depth2HHA-python; depth is in tenths of millimeters."""
    folder = shared_data / "NYUDv2_sample" / "depth2hha_demo" / "demo"
    images = {path.stem: np.asarray(Image.open(path)) for path in folder.glob("*.png")}
    return {**images, "depth": images["0"] / 10000, "missing": images["0_raw"] == 0}


def test_the_image_of_the_authors_code_is_reproduced(demo):
    hha = encode_hha(demo["depth"], KINECT)

    # Made by the authors' MATLAB code, and by a translation of it.
    np.testing.assert_array_equal(hha, demo["matlab_hha"])
    np.testing.assert_array_equal(hha, demo["hha_complete"])


def test_the_image_with_missing_pixels_is_reproduced_where_it_is_determined(demo):
    hha = encode_hha(demo["depth"], KINECT, missing=demo["missing"])

    difference = np.abs(hha.astype(int) - demo["hha"])
    np.testing.assert_array_equal(difference[..., 0], 0)
    assert difference[..., 1].max() <= 1
    # The others have a line of up to seven measured pixels, or less: there is no plane, and
    # that code divides rounding errors.
    assert (difference[..., 2] <= 1).mean() > 0.99
    assert (hha[..., 2][difference[..., 2] > 1] == 218).all()
