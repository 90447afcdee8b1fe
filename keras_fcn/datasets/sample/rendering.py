"""Rendering of the sample dataset: a scene to its image, its label map and its depth map."""

import numpy as np

from keras_fcn.datasets.sample.scenes import SHAPES, Scene, SceneObject, Texture

# Pixels nearer than this to an object's edge are labeled 255, as PASCAL VOC does.
OUTLINE_WIDTH = 1.5
NOISE_SIGMA = 6.0

# The objects stand in a room. The camera is level, at this height above the floor and at this
# distance from the wall, in meters.
CAMERA_HEIGHT = 1.6
WALL_DISTANCE = 16.0
# Focal length in heights of the image. The floor comes into view at
# CAMERA_HEIGHT * _FOCAL_LENGTH / 0.5 = 10 m, the distance of the farthest objects: none is below
# the floor.
_FOCAL_LENGTH = 3.125


def render(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image and the label map of a scene.

    Returns:
        `(image, label)`: uint8, shapes `(height, width, 3)` and `(height, width)`.
        Labels are 0 (background), 1.. in the order of `SHAPES`, and 255 along
        the objects' edges.
    """
    rows, columns = np.mgrid[: scene.size[0], : scene.size[1]].astype("float64")
    image = _paint(scene.background, rows, columns)
    label = np.zeros(scene.size, "uint8")
    for thing in scene.objects:
        window = _window(thing, scene.size)
        distance = _signed_distance(thing, rows[window], columns[window])
        # Pixels along the edge mix both sides, as in a camera.
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        color = _paint(thing.texture, rows[window], columns[window])
        image[window] += cover * (color - image[window])
        _label(label[window], thing.shape, distance)
    noise = np.random.default_rng(scene.noise_seed).normal(0, NOISE_SIGMA, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype("uint8"), label


def camera_matrix(size: tuple[int, int]) -> np.ndarray:
    """Returns the 3x3 matrix of the camera of an image of this height and width, as for HHA."""
    height, width = size
    focal_length = _FOCAL_LENGTH * height
    # The first pixel is 1.
    return np.array(
        [[focal_length, 0, (width + 1) / 2], [0, focal_length, (height + 1) / 2], [0, 0, 1]]
    )


def render_depth(scene: Scene) -> np.ndarray:
    """Returns the distance of each pixel along the optical axis.

    Objects are flat and face the camera, at their `depth`.

    Returns:
        Meters, float64, shape `(height, width)`.
    """
    height, _ = scene.size
    down = (np.arange(height) + 0.5 - height / 2) / (_FOCAL_LENGTH * height)
    with np.errstate(divide="ignore"):
        floor = np.where(down > 0, CAMERA_HEIGHT / down, np.inf)
    depth = np.broadcast_to(np.minimum(floor, WALL_DISTANCE)[:, None], scene.size).copy()
    for thing in scene.objects:
        window, inside = _covered(thing, scene.size)
        depth[window][inside] = thing.depth
    return depth


def _label(label: np.ndarray, shape: str, distance: np.ndarray) -> None:
    """Draws an object into the label map, with its outline."""
    edge = np.abs(distance) <= OUTLINE_WIDTH
    if shape in SHAPES:
        label[distance < 0] = SHAPES.index(shape) + 1
    else:
        # Clutter is background: only where it hides an object there is an edge between classes.
        edge &= label != 0
        label[distance < 0] = 0
    label[edge] = 255


def _covered(thing: SceneObject, size: tuple[int, int]) -> tuple[tuple[slice, ...], np.ndarray]:
    """Returns a window of the image and which of its pixels an object covers."""
    window = _window(thing, size)
    rows, columns = np.mgrid[window].astype("float64")
    return window, _signed_distance(thing, rows, columns) < 0


def _window(thing: SceneObject, size: tuple[int, int]) -> tuple[slice, ...]:
    reach = thing.radius + OUTLINE_WIDTH + 1
    return tuple(
        slice(max(0, int(middle - reach)), min(length, int(middle + reach) + 2))
        for middle, length in zip(thing.center, size, strict=True)
    )


def _paint(texture: Texture, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the texture's colors at these pixels, float64, shape `(height, width, 3)`."""
    across = np.cos(texture.angle) * columns + np.sin(texture.angle) * rows
    along = np.cos(texture.angle) * rows - np.sin(texture.angle) * columns
    first, second = np.asarray(texture.colors)
    return first + _mix(texture, across, along)[..., None] * (second - first)


def _mix(texture: Texture, across: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Returns the share of the second color at each pixel, 0..1."""
    turn = 2 * np.pi / texture.period
    wave = np.sin(turn * across + texture.phase)
    if texture.pattern == "plain":
        return np.full(across.shape, 0.5)
    if texture.pattern == "stripes":
        return (wave > 0).astype("float64")
    if texture.pattern == "checker":
        return (wave * np.sin(turn * along) > 0).astype("float64")
    if texture.pattern == "gradient":
        return 0.5 + 0.5 * np.sin(across / 40 + texture.phase)
    return 0.5 + 0.5 * wave * np.sin(turn * 0.7 * along + 2 * wave)  # waves


def _signed_distance(thing: SceneObject, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the distance of each pixel from the object's edge in pixels, negative inside."""
    down, right = rows - thing.center[0], columns - thing.center[1]
    # In the object's own frame: not rotated, and scaled to radius 1.
    x = (np.cos(thing.angle) * right + np.sin(thing.angle) * down) / thing.radius
    y = (np.cos(thing.angle) * down - np.sin(thing.angle) * right) / thing.radius
    if thing.shape == "disc":
        distance = np.hypot(x, y) - 1
    elif thing.shape == "ring":
        distance = np.abs(np.hypot(x, y) - 0.75) - 0.25
    else:
        distance = _distance_to_polygon(_POLYGONS[thing.shape], x, y)
    return distance * thing.radius


def _distance_to_polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the distance from a polygon's edge, negative inside (even-odd rule)."""
    squared = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Nearest point of the edge from (x0, y0) to (x1, y1).
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx**2 + dy**2), 0, 1)
        squared = np.minimum(squared, (x0 + t * dx - x) ** 2 + (y0 + t * dy - y) ** 2)
        if dy:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * dx / dy)
    return np.where(inside, -1, 1) * np.sqrt(squared)


def _regular(num_corners: int, inner: float = 0.0) -> np.ndarray:
    """Returns a regular polygon of radius 1, or a star if `inner` is given."""
    radii = [1.0, inner] * num_corners if inner else [1.0] * num_corners
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _cross(arm: float = 0.32) -> np.ndarray:
    long = np.sqrt(1 - arm**2)
    quarter = np.array([(long, -arm), (long, arm), (arm, arm)])
    turn = np.array([(0, 1), (-1, 0)])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


_POLYGONS = {
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _regular(5, inner=0.42),
    "cross": _cross(),
    "bar": np.array([(-0.97, -0.22), (0.97, -0.22), (0.97, 0.22), (-0.97, 0.22)]),
}
