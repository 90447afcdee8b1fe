"""VGG16 and VGG19, laid out layer by layer as in the paper's figure."""

from keras import KerasTensor, layers

from keras_fcn.backbones.blocks import scaled

# Convolutions in each of the five blocks (Simonyan and Zisserman, ICLR 2015, table 1, D and E).
VGG16_BLOCKS = (2, 2, 3, 3, 3)
VGG19_BLOCKS = (2, 2, 4, 4, 4)
FILTERS = (64, 128, 256, 512, 512)


def vgg(
    images: KerasTensor,
    blocks: tuple[int, ...] = VGG16_BLOCKS,
    *,
    padding: str = "same",
    alpha: float = 1.0,
    fc_filters: int = 4096,
    dropout: float = 0.5,
    suffix: str = "",
) -> dict[str, KerasTensor]:
    """Returns the outputs of pool3, pool4 and drop7.

    Layers have the names of `keras.applications`, so that its weights fit, but
    for fc6 and fc7: the two fully connected layers as convolutions.

    Args:
        images: Normalized images, shape `(batch, height, width, channels)`.
        blocks: Number of convolutions in each of the five blocks.
        padding: `"same"` for images whose sides 32 divides: the features then
            have 1/8, 1/16 and 1/32 of their size. `"valid"`, as in the
            reference, for images with a border: block1_conv1 and fc6 are not
            padded.
        alpha: Width multiplier of the convolutions before fc6.
        fc_filters: Width of fc6 and fc7; 4096 in the paper.
        dropout: Share of the activations of fc6 and fc7 dropped in training.
        suffix: Appended to the name of each layer.

    Returns:
        `"P3"`, `"P4"`, `"P5"`: features at strides 8, 16 and 32.
    """

    def conv(x: KerasTensor, filters: int, size: int, name: str, padding: str) -> KerasTensor:
        return layers.Conv2D(
            filters,
            size,
            padding=padding,
            activation="relu",
            kernel_initializer="he_normal",
            name=name + suffix,
        )(x)

    features = {}
    x = images
    for block, (num_convolutions, filters) in enumerate(zip(blocks, FILTERS, strict=True), start=1):
        for index in range(1, num_convolutions + 1):
            mode = padding if (block, index) == (1, 1) else "same"
            x = conv(x, scaled(filters, alpha), 3, f"block{block}_conv{index}", mode)
        # "same" equals the ceil mode that Caffe pools with; "valid" would drop the last row.
        x = layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool{suffix}")(x)
        features[f"P{block}"] = x

    x = conv(x, fc_filters, 7, "fc6", padding)
    x = layers.Dropout(dropout, name=f"drop6{suffix}")(x)
    x = conv(x, fc_filters, 1, "fc7", padding)
    x = layers.Dropout(dropout, name=f"drop7{suffix}")(x)
    return {"P3": features["P3"], "P4": features["P4"], "P5": x}
