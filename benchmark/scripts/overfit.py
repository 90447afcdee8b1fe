"""Overfits a VGG16 FCN-8s to a few real images, which fails if any part of the training is wrong.

Run:    python -m keras_fcn_benchmark.scripts.overfit --source VOCdevkit --images 1
        python -m keras_fcn_benchmark.scripts.overfit --source VOCdevkit --images 8 --epochs 60

The first images of VOC with a large object, downscaled so that it takes minutes and not hours,
become a folder of images and masks. A training without augmentation and dropout runs on it,
validated on the images that it is trained on. Prints the mean IoU of `best.keras` on them.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras_fcn_train import Config, fit
from PIL import Image

from . import options_parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, and prints the mean IoU."""
    parser = options_parser(__doc__)
    parser.add_argument("--source", type=Path, required=True, help="VOCdevkit")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--longest-side", type=int, default=224, help="pixels")
    parser.add_argument("--fc-filters", type=int, default=256)
    parser.add_argument("--backbone-weights", help="of VGG16; random without")
    parser.add_argument("--workdir", help="folder of the training")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        names = write_folder(Path(folder), options.source, options.images, options.longest_side)
        print(f"Images: {', '.join(names)}")
        result = fit(
            Config().replace(
                dataset=f"folder:{folder}",
                validation_split="train",
                variant="fcn8s",
                backbone="vgg16",
                backbone_weights=options.backbone_weights,
                fc_filters=options.fc_filters,
                dropout=0.0,
                upsampling="learned",
                augment=False,
                batch_size=1,
                epochs=options.epochs,
                learning_rate=options.learning_rate,
                weight_decay=0.0,
                global_clipnorm=1.0,
                validate_every=10,
                workdir=options.workdir or f"{folder}/run",
            )
        )
        mean_iou = result.metrics["mean_iou"]
        print(f"Mean IoU on the {len(names)} images it was trained on: {mean_iou:.4f}")


def write_folder(folder: Path, devkit: Path, count: int, longest_side: int) -> list[str]:
    """Writes images and masks, all of them for training, and returns their names."""
    (root,) = devkit.glob("**/SegmentationClass")
    names = []
    for path in sorted(root.glob("*.png")):
        mask = Image.open(path)
        labels = np.asarray(mask)
        if not 0.15 < np.isin(labels, (0, 255), invert=True).mean() < 0.8:
            continue
        scale = longest_side / max(mask.size)
        size = (round(mask.width * scale), round(mask.height * scale))
        image = Image.open(root.parent / "JPEGImages" / f"{path.stem}.jpg")
        for kind, picture in (
            ("images", image.resize(size, Image.Resampling.BICUBIC)),
            ("masks", mask.resize(size, Image.Resampling.NEAREST)),
        ):
            target = folder / "train" / kind / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.save(target)
        names.append(path.stem)
        if len(names) == count:
            return names
    raise SystemExit(f"{root} has {len(names)} images with a large object, not {count}.")


if __name__ == "__main__":
    main()
