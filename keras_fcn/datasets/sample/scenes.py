"""Scenes of the sample dataset: the objects, their places and their textures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The classes after the background, in the order of their labels from 1.
SHAPES = ("disc", "ring", "square", "triangle", "cross", "star")

# Height and width in pixels, multiples of a network's stride and others.
SIZES = ((96, 128), (128, 96), (120, 120), (113, 97), (104, 136))

PATTERNS = ("plain", "stripes", "checker", "gradient", "waves")

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """A pattern that mixes two colors.

    Args:
        pattern: One of `PATTERNS`.
        colors: The two colors, each red, green and blue in 0..255.
        angle: Direction of the pattern in radians.
        period: Length in pixels after which the pattern repeats.
        phase: Shift of the pattern in radians.
    """

    pattern: str
    colors: tuple[Color, Color]
    angle: float
    period: float
    phase: float


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Args:
        shape: One of `SHAPES`, or `bar`: clutter that is labeled background.
        center: Row and column in pixels.
        radius: Distance in pixels from the center to the farthest point.
        angle: Rotation in radians.
        depth: Distance from the viewer in meters; nearer objects hide farther ones.
        texture: Its texture.
    """

    shape: str
    center: tuple[float, float]
    radius: float
    angle: float
    depth: float
    texture: Texture


@dataclass(frozen=True)
class Scene:
    """The contents of one image of the sample dataset.

    Args:
        size: Height and width in pixels.
        background: Texture behind the objects.
        objects: The objects, from the farthest to the nearest.
        noise_seed: Seed of the noise that the camera adds.
    """

    size: tuple[int, int]
    background: Texture
    objects: tuple[SceneObject, ...]
    noise_seed: tuple[int, ...]


def random_scene(seed: Sequence[int]) -> Scene:
    """Returns the scene of a seed; the last number of the seed selects the size."""
    rng = np.random.default_rng(seed)
    size = SIZES[seed[-1] % len(SIZES)]
    background = _random_texture(rng)
    objects: list[SceneObject] = []
    for depth in np.sort(rng.uniform(2, 10, size=rng.integers(3, 6)))[::-1]:
        shape = SHAPES[rng.integers(len(SHAPES))] if rng.random() < 0.8 else "bar"
        radius = rng.uniform(15, 30)
        center = _free_place(rng, size, radius, objects)
        if center is not None:
            objects.append(
                SceneObject(
                    shape=shape,
                    center=center,
                    radius=radius,
                    angle=rng.uniform(0, 2 * np.pi),
                    depth=float(depth),
                    texture=_random_texture(rng, unlike=background),
                )
            )
    return Scene(size, background, tuple(objects), noise_seed=(*seed, 1))


def _free_place(
    rng: np.random.Generator, size: tuple[int, int], radius: float, objects: Sequence[SceneObject]
) -> tuple[float, float] | None:
    """Returns a center at which little of the other objects is hidden, or None if none is found."""
    for _ in range(20):
        # Up to a third of the radius may leave the image.
        row, column = (rng.uniform(0.7 * radius, length - 0.7 * radius) for length in size)
        if all(
            np.hypot(row - other.center[0], column - other.center[1])
            > 0.8 * (radius + other.radius)
            for other in objects
        ):
            return float(row), float(column)
    return None


def _random_texture(rng: np.random.Generator, unlike: Texture | None = None) -> Texture:
    """Returns a texture, with a mean color that differs clearly from that of `unlike`."""
    while True:
        middle = rng.uniform(30, 225, size=3)
        if unlike is None or np.linalg.norm(middle - np.mean(unlike.colors, axis=0)) > 90:
            break
    half = rng.uniform(-25, 25, size=3)
    return Texture(
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        colors=(tuple(middle - half), tuple(middle + half)),
        angle=rng.uniform(0, np.pi),
        period=rng.uniform(6, 24),
        phase=rng.uniform(0, 2 * np.pi),
    )
