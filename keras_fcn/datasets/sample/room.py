"""The room in which the scenes of the sample set stand, as a depth camera sees it."""

import numpy as np

from keras_fcn.datasets.sample.rendering import covered
from keras_fcn.datasets.sample.scenes import Scene

# A level camera at this height above the floor looks at a wall at this distance, in meters.
CAMERA_HEIGHT = 1.6
WALL_DISTANCE = 16.0
# Focal length in heights of the image. The floor comes into view at
# CAMERA_HEIGHT * _FOCAL_LENGTH / 0.5 = 10 m, where the farthest objects are: none stands below it.
_FOCAL_LENGTH = 3.125


def camera_matrix(size: tuple[int, int]) -> np.ndarray:
    """Returns the 3x3 matrix of the camera of an image of this height and width, as for HHA."""
    height, width = size
    focal_length = _FOCAL_LENGTH * height
    # The first pixel is 1.
    return np.array(
        [[focal_length, 0, (width + 1) / 2], [0, focal_length, (height + 1) / 2], [0, 0, 1]]
    )


def render_depth(scene: Scene) -> np.ndarray:
    """Returns the distance of what each pixel shows along the optical axis.

    Objects are flat and face the camera, at their `depth`.

    Returns:
        Metres, float64, shape `(height, width)`.
    """
    height, _ = scene.size
    down = (np.arange(height) + 0.5 - height / 2) / (_FOCAL_LENGTH * height)
    with np.errstate(divide="ignore"):
        floor = np.where(down > 0, CAMERA_HEIGHT / down, np.inf)
    depth = np.broadcast_to(np.minimum(floor, WALL_DISTANCE)[:, None], scene.size).copy()
    for thing in scene.objects:
        window, inside = covered(thing, scene.size)
        depth[window][inside] = thing.depth
    return depth
