"""Coordinates on the image of a network's features and scores, from which the crops follow.

They are computed from the layers of a functional model, as Caffe's `coord_map` computes them from
the layers of a net.
"""

from dataclasses import dataclass
from typing import Any

from keras import KerasTensor, layers

from keras_fcn.layers import CropLike


@dataclass(frozen=True)
class Window:
    """The part of its input that a layer uses: `size` cells, in steps of `stride`, from `-padding`.

    A transposed convolution has a stride below 1.
    """

    size: int = 1
    stride: float = 1
    padding: int = 0


@dataclass(frozen=True)
class Grid:
    """Coordinates on the image, in pixels: cell `i` is centered on `start + i * stride`."""

    stride: float = 1
    start: float = 0

    def through(self, window: Window) -> "Grid":
        """Returns the coordinates of the cells that a layer computes from these."""
        middle = (window.size - 1) / 2 - window.padding
        stride = self.stride * window.stride
        # A transposed convolution spreads a cell over its window, instead of gathering it.
        shift = -stride * middle if window.stride < 1 else self.stride * middle
        return Grid(stride, self.start + shift)

    def offset_to(self, other: "Grid") -> int:
        """Returns the index of the cell with the coordinates of the first cell of `other`.

        Raises:
            ValueError: If there is none.
        """
        offset = (other.start - self.start) / self.stride
        if self.stride != other.stride or not float(offset).is_integer():
            raise ValueError(
                "The scores to be added must be of the same pixels. Received: cells at "
                f"{self.start:g} + {self.stride:g} i and at {other.start:g} + {other.stride:g} i. "
                'AlexNet and GoogLeNet need upsampling_kernel="2f-1", the VGG networks "2f".'
            )
        return int(offset)


def grid_of(tensor: KerasTensor) -> Grid:
    """Returns the coordinates of the cells of a feature map on the image it is computed from.

    Where paths meet, the first is followed: those of these networks agree.

    Example:
        >>> images = layers.Input((None, None, 3))
        >>> x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(100)(images))
        >>> grid_of(x)
        Grid(stride=2, start=-99.5)
    """
    layer, inputs = producer(tensor)
    if not inputs:
        return Grid()
    return grid_of(inputs[0]).through(window_of(layer))


def producer(tensor: KerasTensor) -> tuple[Any, list[KerasTensor]]:
    """Returns the layer that computes a tensor of a functional model, and the layer's inputs."""
    # The only record of the graph that includes layers called inside other models.
    operation, node_index, _ = tensor._keras_history
    return operation, list(operation._inbound_nodes[node_index].input_tensors)


def window_of(layer: Any) -> Window:
    """Returns the window of a layer along the height; the identity for layers without one.

    "same" is taken for inputs whose size the stride divides.
    """
    if isinstance(layer, layers.ZeroPadding2D):
        return Window(padding=layer.padding[0][0])
    if isinstance(layer, CropLike):
        return Window(padding=-layer.offset)
    if hasattr(layer, "pool_size"):
        size, stride = layer.pool_size[0], layer.strides[0]
    elif hasattr(layer, "kernel_size"):
        size, stride = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1, layer.strides[0]
    else:
        return Window()
    padding = max(size - stride, 0) // 2 if layer.padding == "same" else 0
    if isinstance(layer, layers.Conv2DTranspose):
        return Window(size, 1 / stride, padding)
    return Window(size, stride, padding)
