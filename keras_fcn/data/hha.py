"""HHA images: the geometry in a depth map, in three channels as a network for RGB takes."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import convolve1d

# Disparity is this over the distance in centimeters: 255 at 1.22 m, 31 at 10 m.
_DISPARITY = 31000.0
_MIN_DISTANCE_CM = 100.0
# If the lowest point is less than the first below the camera, no ground is seen: then the
# camera is assumed to be at the second above it. In centimeters.
_GROUND_SEEN_CM = 90.0
_CAMERA_HEIGHT_CM = 130.0
# Added to angles in degrees: upright surfaces (90) come out as 128.
_ANGLE_OFFSET = 38.0
# Normals are of planes through windows that reach this many pixels around the pixel: small ones
# for the angle, large and smooth ones to find gravity by.
_NORMAL_REACH = 3
_GRAVITY_REACH = 10
# How near to the direction of gravity, in degrees, a normal is a floor's, or a wall's to the plane
# across it; each for a few rounds.
_GRAVITY_ROUNDS = (*[45.0] * 5, *[15.0] * 5)


def encode_hha(
    depth: np.ndarray,
    camera_matrix: np.ndarray | Sequence[Sequence[float]],
    missing: np.ndarray | None = None,
    gravity: Sequence[float] | None = None,
) -> np.ndarray:
    """Returns the HHA image of a depth map.

    Its channels, in the order in which the reference's networks see them:

    * horizontal disparity: `31000 / distance` in centimeters, with distances below 1 m as 1 m;
    * height above the ground in centimeters. The ground is the lowest point; where that is less
      than 90 cm below the camera, 130 cm below the camera;
    * angle of the surface's normal with gravity in degrees, plus 38: floors have 38, walls 128,
      ceilings, and pixels without a normal, 218.

    Numbers, order and roundings are those of the authors' code (saveHHA.m and processDepthImage.m
    of github.com/s-gupta/rcnn-depth), which made the images that the reference was trained on.

    Args:
        depth: Distance along the optical axis in meters, float, shape `(height, width)`. Holes are
            best filled beforehand, as NYUDv2's `depths` are.
        camera_matrix: `[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]` in pixels, the first pixel being 1.
        missing: Which pixels were not measured (zero in NYUDv2's `rawDepths`), boolean, shape
            `(height, width)`: they enter no normal. By default those whose depth is 0 or no number.
        gravity: Its direction, if it is known: right, down, forward. By default it is found from
            the surfaces: the direction that floors are most perpendicular to, walls most parallel.

    Returns:
        uint8, shape `(height, width, 3)`.

    Raises:
        ValueError: If the shapes are not these, a depth is negative, all are missing, or the
            camera matrix has no focal lengths.

    Example:
        >>> wall = np.full((40, 50), 3.1)
        >>> camera = [[60, 0, 25], [0, 60, 20], [0, 0, 1]]
        >>> encode_hha(wall, camera, gravity=(0, 1, 0))[20, 25].tolist()
        [100, 98, 128]

    Reference:
        Gupta, Girshick, Arbelaez and Malik, "Learning Rich Features from RGB-D Images for Object
        Detection and Segmentation", ECCV 2014, section 2; the direction of gravity: Gupta, Arbelaez
        and Malik, "Perceptual Organization and Recognition of Indoor Scenes from RGB-D Images",
        CVPR 2013, section 2.
    """
    centimeters, missing = _checked_depth(depth, missing)
    points = _points(centimeters, _checked_camera(camera_matrix))
    normals = _normals(points, missing, _NORMAL_REACH)
    if gravity is None:
        down = _find_gravity(_normals(points, missing, _GRAVITY_REACH))
    else:
        down = _checked_gravity(gravity)
    with np.errstate(invalid="ignore"):
        angle = np.degrees(np.arccos(np.clip(normals @ down, -1, 1)))
    height = -(points @ down)
    lowest = height.min()
    ground = lowest if lowest <= -_GROUND_SEEN_CM else -_CAMERA_HEIGHT_CM
    channels = (
        _DISPARITY / np.maximum(centimeters, _MIN_DISTANCE_CM),
        height - ground,
        np.where(np.isnan(angle), 180.0, angle) + _ANGLE_OFFSET,
    )
    # Rounded half up, as MATLAB's uint8() does.
    return np.clip(np.floor(np.stack(channels, axis=-1) + 0.5), 0, 255).astype(np.uint8)


def _points(centimeters: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Returns the point that each pixel shows: right, down, forward, shape `(height, width, 3)`."""
    height, width = centimeters.shape
    right = (np.arange(1, width + 1) - camera[0, 2]) / camera[0, 0]
    down = (np.arange(1, height + 1) - camera[1, 2]) / camera[1, 1]
    return np.stack([right * centimeters, down[:, None] * centimeters, centimeters], axis=-1)


def _normals(points: np.ndarray, missing: np.ndarray, reach: int) -> np.ndarray:
    """Returns the unit normal of the plane around each pixel, pointing away from the camera.

    The plane n.p = 1 is fitted by least squares to n.(p / z) = 1 / z over a window, as disparity
    has the same error everywhere, and depth has not. NaN where the window determines no plane.
    """
    z = np.where(missing, 1.0, points[..., 2])
    x, y, one = np.moveaxis(np.where(missing[..., None], 0.0, points / z[..., None]), -1, 0)
    equations = [x * x, x * y, x, y * y, y, one, x / z, y / z, one / z]
    xx, xy, xz, yy, yz, zz, bx, by, bz = _window_sums(np.stack(equations), reach)
    # Cramer's rule without its division, which changes no direction.
    cofactors = (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy)
    determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]
    normals = np.stack(
        [
            cofactors[0] * bx + cofactors[1] * by + cofactors[2] * bz,
            cofactors[1] * bx + (xx * zz - xz * xz) * by + (xy * xz - xx * yz) * bz,
            cofactors[2] * bx + (xy * xz - xx * yz) * by + (xx * yy - xy * xy) * bz,
        ],
        axis=-1,
    )
    # Fewer than three pixels, or all in a line: what is left is rounding.
    normals[determinant <= 1e-14 * (xx + yy + zz) ** 3] = np.nan
    normals /= np.sqrt(np.sum(normals * normals, axis=-1, keepdims=True))
    facing = np.sum(normals * points, axis=-1, keepdims=True)
    # A pixel without depth is no point to face: its normal points forward.
    facing = np.where(facing == 0, normals[..., 2:], facing)
    return np.where(facing < 0, -normals, normals)


def _window_sums(values: np.ndarray, reach: int) -> np.ndarray:
    """Returns the sums of maps over windows of `2 * reach + 1` pixels a side, 0 outside."""
    ones = np.ones(2 * reach + 1)
    return convolve1d(convolve1d(values, ones, 1, mode="constant"), ones, 2, mode="constant")


def _find_gravity(normals: np.ndarray) -> np.ndarray:
    """Returns the direction that floors' normals are most along, and walls' most across."""
    normals = normals[np.isfinite(normals).all(axis=-1)]
    down = np.array([0.0, 1.0, 0.0])
    for degrees in _GRAVITY_ROUNDS:
        along = np.abs(normals @ down)
        is_wall = along < np.sin(np.radians(degrees))
        is_floor = along > np.cos(np.radians(degrees))
        weights = is_wall.astype(np.float64) - is_floor
        _, directions = np.linalg.eigh(normals.T @ (weights[:, None] * normals))
        down = directions[:, 0] * (1 if directions[:, 0] @ down >= 0 else -1)
    return down


def _checked_depth(depth: np.ndarray, missing: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the depth in centimeters, 0 where there is none, and which pixels are missing."""
    depth = np.asarray(depth, np.float64)
    if depth.ndim != 2:
        raise ValueError(f"`depth` must have the shape (height, width). Received: {depth.shape}.")
    finite = np.where(np.isfinite(depth), depth, 0.0)
    if finite.min(initial=0) < 0:
        raise ValueError(f"`depth` must be 0 or more, in meters. Received: {finite.min()}.")
    without = finite == 0
    if missing is not None:
        if np.shape(missing) != depth.shape:
            raise ValueError(
                f"`missing` must have the shape of `depth`, {depth.shape}. Received: "
                f"{np.shape(missing)}."
            )
        without = without | np.asarray(missing, bool)
    if without.all():
        raise ValueError("`depth` must have at least one pixel that is not missing.")
    return finite * 100, without


def _checked_camera(camera_matrix: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
    camera = np.asarray(camera_matrix, np.float64)
    if camera.shape != (3, 3) or not (camera[0, 0] > 0 and camera[1, 1] > 0):
        raise ValueError(
            "`camera_matrix` must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with focal lengths fx "
            f"and fy above 0, in pixels. Received: {camera.tolist()}."
        )
    return camera


def _checked_gravity(gravity: Sequence[float]) -> np.ndarray:
    down = np.asarray(gravity, np.float64)
    length = np.linalg.norm(down)
    if down.shape != (3,) or not length > 0:
        raise ValueError(
            "`gravity` must be a direction (right, down, forward) other than (0, 0, 0). "
            f"Received: {gravity}."
        )
    return down / length
