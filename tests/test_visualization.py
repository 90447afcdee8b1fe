import io

import numpy as np
import pytest
from PIL import Image

from keras_fcn import visualization
from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.labels import LabelSpec

SPEC = LabelSpec(("background", "cat", "dog"))
BLACK, RED, GREEN = (0, 0, 0), (128, 0, 0), (0, 128, 0)  # the first colors of the VOC palette


def test_label_image_holds_the_labels_and_their_colors():
    labels = np.array([[0, 1, 2], [2, 255, 7]])

    image = visualization.label_image(labels, SPEC)

    np.testing.assert_array_equal(np.asarray(image), labels)
    colors = np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()
    void, stray = (224, 224, 192), (255, 0, 255)
    assert [tuple(color) for color in colors] == [BLACK, RED, GREEN, GREEN, void, stray]


def test_label_image_survives_png_as_a_palette_image():
    labels = np.array([[0, 1], [2, 255]], "uint8")
    file = io.BytesIO()

    visualization.label_image(labels, SPEC).save(file, format="PNG")

    image = Image.open(file)
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)


def test_label_image_draws_another_ignored_label_as_void():
    spec = LabelSpec(("sky", "road"), ignore_class=11)

    image = visualization.label_image(np.array([[11, 255]]), spec).convert("RGB")

    assert [image.getpixel((0, 0)), image.getpixel((1, 0))] == [(224, 224, 192)] * 2


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 2, 3), int), np.zeros((2, 2)), np.array([[256]]), np.array([[-1]])]
)
def test_label_image_refuses_what_is_no_label_map(labels):
    with pytest.raises(ValueError, match="`labels` must"):
        visualization.label_image(labels, SPEC)


def test_overlay_mixes_colors_and_leaves_black_classes_clear():
    image = np.full((1, 3, 3), 200, "uint8")

    mixed = np.asarray(visualization.overlay(image, np.array([[0, 1, 255]]), SPEC, alpha=0.25))

    # 200 * 3/4 + color / 4: red (128, 0, 0) and void (224, 224, 192).
    assert mixed.tolist() == [[[200, 200, 200], [182, 150, 150], [206, 206, 198]]]


def test_overlay_refuses_another_size():
    with pytest.raises(ValueError, match=r"labels of shape \(2, 2\)"):
        visualization.overlay(np.zeros((2, 3, 3), "uint8"), np.zeros((2, 2), "uint8"), SPEC)


def test_gallery_shows_images_maps_and_a_legend(tmp_path):
    image = np.full((10, 20, 3), (10, 200, 30), "uint8")
    rows = [(image, np.full((10, 20), 1), np.full((10, 20), 2))] * 3

    path = visualization.save_gallery(
        tmp_path / "new" / "gallery.png",
        rows,
        [SPEC, SPEC],
        captions=["first", "second", "third"],
        examples_per_line=2,
        cell_width=100,
    )

    page = np.asarray(Image.open(path))
    # Three examples of 100x50 pictures, and the swatches of the legend.
    assert (page == (10, 200, 30)).all(-1).sum() == 3 * 100 * 50
    for color in (RED, GREEN):
        pixels = (page == color).all(-1).sum()
        assert 3 * 100 * 50 < pixels < 3 * 100 * 50 + 500
    assert [file.name for file in path.parent.iterdir()] == ["gallery.png"]


def test_gallery_takes_pictures_of_several_sizes_and_many_classes(tmp_path):
    spec = LabelSpec.numbered(200)
    labels = np.arange(200).reshape(20, 10)
    rows = [
        (np.zeros((20, 10, 3), "uint8"), labels),
        (np.zeros((7, 90, 3), "uint8"), np.zeros((7, 90), int)),
    ]

    path = visualization.save_gallery(
        tmp_path / "gallery.png", rows, [spec], titles=("image", "labels"), cell_width=120
    )

    with Image.open(path) as page:
        assert page.width == 16 + 120 + 8 + 120 + 16


def test_gallery_refuses_rows_that_do_not_fit_the_titles(tmp_path):
    with pytest.raises(ValueError, match=r"3 pictures \(image, truth, prediction\)"):
        visualization.save_gallery(tmp_path / "g.png", [(np.zeros((1, 1, 3)),)], [SPEC])

    assert list(tmp_path.iterdir()) == []


def test_gallery_refuses_label_maps_without_classes(tmp_path):
    row = (np.zeros((1, 1, 3)), np.zeros((1, 1), int), np.zeros((1, 1), int))

    with pytest.raises(
        ValueError, match=r"one entry per label map.*Received: 1 for \[2\] label maps"
    ):
        visualization.save_gallery(tmp_path / "g.png", [row], [SPEC])


def test_gallery_has_a_legend_for_each_set_of_classes(tmp_path):
    row = (np.zeros((9, 9, 3), "uint8"), np.ones((9, 9), int), np.ones((9, 9), int))
    other = LabelSpec(("place", "shape"))

    heights = []
    for specs in ([SPEC, SPEC], [SPEC, other]):
        with Image.open(visualization.save_gallery(tmp_path / "g.png", [row], specs)) as page:
            heights.append(page.height)

    # A line of text is 21 pixels high, and 16 pixels lie between the parts of a page.
    assert heights[1] - heights[0] == 21 + 16


def test_confusion_matrix_is_written_also_with_absent_classes(tmp_path):
    matrix = ConfusionMatrix.from_counts([[8, 2, 0], [0, 0, 0], [1, 1, 8]])

    path = visualization.save_confusion_matrix(tmp_path / "m.png", matrix, "three classes")

    picture = np.asarray(Image.open(path).convert("RGB"))
    gray_row = (picture == round(0.93 * 255)).all(-1).mean()
    assert 0.05 < gray_row < 0.3  # a third of the square is the absent class


def test_curves_are_drawn_from_a_log_with_gaps(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(
        "epoch,loss,mean_iou,val_loss,val_mean_iou\n0,1.5,0.2,NA,NA\n1,1.0,0.4,1.2,0.3\n"
    )

    path = visualization.save_curves(log, tmp_path / "curves.png")

    with Image.open(path) as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "time,speed\n1,2\n"])
def test_curves_refuse_a_log_without_numbers(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)

    with pytest.raises(ValueError, match=r"log\.csv must contain"):
        visualization.save_curves(tmp_path / "log.csv", tmp_path / "curves.png")

    assert not (tmp_path / "curves.png").exists()
