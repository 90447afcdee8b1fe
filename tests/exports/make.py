"""Makes the exports of this folder with the tools themselves: python tests/exports/make.py.

Each tool is installed in a virtual environment of its own, from PyPI, and writes into the folder
of its name: what users would have after an export, and `expected/`, the class maps that the
tool itself makes of it, as gray PNG. `versions.json` has the versions. Existing environments in
the folder `--venvs` are used as they are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "labelme": ["labelme"],
    "labelstudio": ["label-studio-sdk"],
    "supervision": ["supervision", "opencv-python-headless"],
    "datumaro": ["datumaro"],
}
SIZE = (36, 48)
NAMES = ("cat", "dog", "sky")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venvs", type=Path, default=Path("export-venvs"))
    parser.add_argument("--inside", choices=PACKAGES)
    arguments = parser.parse_args()
    if arguments.inside:
        folder = HERE / arguments.inside
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        globals()[f"make_{arguments.inside}"](folder)
        print(json.dumps({name: version(name) for name in PACKAGES[arguments.inside]}))
        return
    versions = {}
    for tool, packages in PACKAGES.items():
        environment = arguments.venvs / tool
        if not environment.exists():
            venv.create(environment, with_pip=True)
            subprocess.run([environment / "bin/pip", "install", "-q", *packages], check=True)
        result = subprocess.run(
            [environment / "bin/python", __file__, "--inside", tool],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        versions[tool] = json.loads(result.stdout.splitlines()[-1])
    (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


# === What is annotated ===


def polygons():
    """Returns the name of a class and the corners of each polygon, by image."""
    return {
        "one": [
            ("sky", [(0, 0), (48, 0), (48, 11.5), (20.25, 14), (0, 9)]),
            ("cat", [(6, 8), (30.5, 10.25), (26, 31), (9.75, 28)]),
            ("dog", [(22, 18), (45.5, 16), (40, 34), (24, 30)]),
        ],
        "two": [
            ("dog", [(10, 10), (40, 12), (25, 33)]),
            ("cat", [(3, 3), (14, 3), (14, 14), (3, 14)]),
        ],
    }


def mask_with_hole():
    """Returns a mask, boolean, with a hole and a second part."""
    import numpy as np

    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    ring = np.hypot(y - 18, x - 20)
    return ((ring > 4.2) & (ring < 11.3)) | ((x > 38) & (y > 25))


def picture(name):
    """Returns the pixels of an image."""
    import numpy as np

    value = {"one": 90, "two": 170}[name]
    pixels = np.full((*SIZE, 3), value, np.uint8)
    pixels[::6, ::8] = (200, 40, value)
    return pixels


def save(path, pixels):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, optimize=True)


def label(name):
    """Returns the class of a name in the expected maps."""
    return 1 + NAMES.index(name)


# === The tools ===


def make_labelme(folder):
    import numpy as np
    from labelme import utils
    from labelme._label_file import LabelFile

    def shape(name, points, kind="polygon", mask=None):
        return {
            "label": name,
            "points": [list(map(float, point)) for point in points],
            "group_id": None,
            "description": "",
            "shape_type": kind,
            "flags": {},
            "mask": mask,
        }

    box = mask_with_hole()[5:30, 8:48]
    shapes = {name: [shape(*item) for item in items] for name, items in polygons().items()}
    shapes["one"] += [
        shape("_background_", [(14, 14), (20, 14), (20, 20), (14, 20)]),
        shape("__ignore__", [(44, 2), (47, 6)], "rectangle"),
    ]
    shapes["two"] += [
        shape("sky", [(30, 10), (34, 13)], "circle"),
        shape("cat", [(8, 5), (47, 29)], "mask", box),
        shape("sky", [(2, 30), (14, 22)], "linestrip"),
    ]
    values = {"_background_": 0, "__ignore__": 255, **{name: label(name) for name in NAMES}}
    for name, items in shapes.items():
        classes, _ = utils.shapes_to_label(SIZE, items, values)
        save(folder / "expected" / f"{name}.png", classes.astype(np.uint8))
        save(folder / "export" / f"{name}.png", picture(name))
        for item in items:
            if item["mask"] is not None:
                item["mask"] = utils.img_arr_to_b64(item["mask"].astype(np.uint8))
        # One with the image inside, as labelme saves by default; one with its path.
        data = (folder / "export" / f"{name}.png").read_bytes() if name == "two" else None
        LabelFile().save(
            filename=str(folder / "export" / f"{name}.json"),
            shapes=items,
            image_path=f"{name}.png",
            image_height=SIZE[0],
            image_width=SIZE[1],
            image_data=data,
        )
    (folder / "export" / "two.png").unlink()


def make_labelstudio(folder):
    """The brush is packed by its converter, and the JSON converted to COCO and YOLO by it."""
    import numpy as np
    from label_studio_sdk.converter import Converter, brush

    config = (
        '<View><Image name="image" value="$image"/>'
        '<PolygonLabels name="polygons" toName="image">'
        + "".join(f'<Label value="{name}"/>' for name in NAMES)
        + '</PolygonLabels><BrushLabels name="brushes" toName="image">'
        + "".join(f'<Label value="{name}"/>' for name in NAMES)
        + "</BrushLabels></View>"
    )
    tasks, with_polygons = [], []
    for number, (name, items) in enumerate(polygons().items(), 1):
        save(folder / "images" / f"{name}.png", picture(name))
        results = [
            {
                "id": f"{name}{i}",
                "type": "polygonlabels",
                "value": {
                    "points": [[x / SIZE[1] * 100, y / SIZE[0] * 100] for x, y in points],
                    "polygonlabels": [class_name],
                    "closed": True,
                },
                "origin": "manual",
                "to_name": "image",
                "from_name": "polygons",
                "image_rotation": 0,
                "original_width": SIZE[1],
                "original_height": SIZE[0],
            }
            for i, (class_name, points) in enumerate(items)
        ]
        task = {
            "id": number,
            "data": {"image": f"images/{name}.png"},
            "annotations": [{"id": number, "result": results}],
        }
        with_polygons.append(json.loads(json.dumps(task)))
        mask = folder / "mask.png"
        save(mask, (mask_with_hole() * 255).astype(np.uint8))
        annotation = brush.image2annotation(str(mask), "dog", "brushes", "image")
        mask.unlink()
        brushed = annotation["result"][0] | {"id": f"{name}-brush"}
        alpha = brush.decode_rle(brushed["value"]["rle"]).reshape(*SIZE, 4)[..., 3]
        save(folder / "expected" / f"{name}_brush.png", (alpha > 0).astype(np.uint8))
        if name == "two":
            results.append(brushed)
        # As a file that was uploaded.
        task["data"]["image"] = f"/data/upload/1/0{number}abcdef-{name}.png"
        tasks.append(task)
    (folder / "project.json").write_text(json.dumps(tasks))
    source = folder / "tasks.json"
    source.write_text(json.dumps(with_polygons))
    os.chdir(folder)  # the converter writes the paths of images as it gets them
    converter = Converter(config=config, project_dir=None, download_resources=True)
    converter.convert_to_coco(str(source), "coco", is_dir=False)
    converter.convert_to_yolo(str(source), "yolo", is_dir=False)
    source.unlink()


def make_supervision(folder):
    """Masks, which become polygons, or run lengths where they have holes or parts."""
    import numpy as np
    import supervision
    from PIL import Image, ImageDraw

    masks = {}
    for name, items in polygons().items():
        masks[name] = []
        for class_name, points in items:
            drawn = Image.new("1", SIZE[::-1])
            ImageDraw.Draw(drawn).polygon(points, fill=1)
            masks[name].append((class_name, np.asarray(drawn)))
    masks["two"].append(("sky", mask_with_hole()))
    annotations = {}
    for name, items in masks.items():
        file = folder / "images" / f"{name}.png"
        save(file, picture(name))
        stack = np.stack([mask for _, mask in items])
        annotations[str(file)] = supervision.Detections(
            xyxy=supervision.mask_to_xyxy(stack),
            mask=stack,
            class_id=np.array([NAMES.index(class_name) for class_name, _ in items]),
        )
        expected = np.zeros(SIZE, np.uint8)
        for class_name, mask in items:
            expected[mask] = label(class_name)
        save(folder / "expected" / f"{name}.png", expected)
    dataset = supervision.DetectionDataset(list(NAMES), list(annotations), annotations)
    dataset.as_coco(annotations_path=str(folder / "coco" / "annotations.json"))
    dataset.as_yolo(
        annotations_directory_path=str(folder / "labels"),
        data_yaml_path=str(folder / "data.yaml"),
    )


def make_datumaro(folder):
    import datumaro as dm
    import numpy as np
    from datumaro.components.media import Image as Media

    items = []
    for (name, shapes), subset in zip(polygons().items(), ("train", "val"), strict=True):
        annotations = [
            dm.Polygon(
                [number for point in points for number in point],
                label=NAMES.index(class_name),
                z_order=order,
                id=order,
                group=order + 1,
            )
            for order, (class_name, points) in enumerate(shapes)
        ]
        if name == "two":
            mask = dm.Mask(mask_with_hole(), label=NAMES.index("sky"), z_order=9, id=9, group=10)
            annotations.append(mask)
        media = Media.from_numpy(picture(name)[..., ::-1])
        items.append(dm.DatasetItem(name, subset=subset, media=media, annotations=annotations))
    dataset = dm.Dataset.from_iterable(items, categories=list(NAMES), media_type=Media)
    dataset.export(str(folder / "coco"), "coco_instances", save_media=True, image_ext=".png")
    dataset.export(str(folder / "cvat"), "cvat", save_media=True, image_ext=".png")
    save(folder / "expected" / "mask.png", mask_with_hole().astype(np.uint8))


if __name__ == "__main__":
    sys.exit(main())
