"""The numbers of a report, against NumPy and SciPy; the page as text."""

import json
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from keras_fcn_report import Report, split_role
from keras_fcn_report.examples import viewable
from keras_fcn_report.report import MAX_PICTURE_BYTES
from keras_fcn_report.statistics import HeadStatistics, Worst
from keras_fcn_train.config import Config
from scipy.special import softmax

from keras_fcn import LabelSpec
from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.evaluation import EvaluatedImage, Evaluation, save_json
from keras_fcn.labels import Heads

from .cases import SPEC, examples, report_on
from .scenes import scene
from .test_boundaries import inner_boundary
from .test_calibration import error_by_definition

EXAMPLES = examples(12)


@pytest.fixture(scope="module")
def made():
    return report_on(EXAMPLES)


@pytest.fixture(scope="module")
def details(made):
    return made[2][Heads.ONLY]


def ious(labels, predictions, unscored=()):
    """The IoU of each class from masks; NaN where it is neither labeled nor predicted."""
    values, counted = [], labels != 255
    for label in range(3):
        ours, theirs = counted & (labels == label), counted & (predictions == label)
        union = (ours | theirs).sum()
        values.append((ours & theirs).sum() / union if union else np.nan)
    return np.delete(values, list(unscored))


def test_every_image_has_its_metrics(details):
    assert [row["id"] for row in details["per_image"]] == [e["id"] for e in EXAMPLES]
    for row, example in zip(details["per_image"], EXAMPLES, strict=True):
        labels, predictions = example["label"], example["predictions"]
        counted = labels != 255
        assert row["mean_iou"] == pytest.approx(np.nanmean(ious(labels, predictions)))
        assert row["pixel_accuracy"] == pytest.approx((labels == predictions)[counted].mean())
        assert (row["num_pixels"], row["num_ignored_pixels"]) == (counted.sum(), (~counted).sum())
        assert (row["height"], row["width"]) == labels.shape
        probabilities = softmax(example["image"].astype(float), -1).max(-1)
        assert row["mean_confidence"] == pytest.approx(probabilities[counted].mean(), rel=1e-5)
        wrong = row["main_error"]
        pair = (SPEC.class_names.index(wrong["label"]), SPEC.class_names.index(wrong["prediction"]))
        assert wrong["num_pixels"] == ((labels == pair[0]) & (predictions == pair[1])).sum()


def test_boundary_iou_counts_the_boundaries_of_all_images(details):
    shared, union = np.zeros(3), np.zeros(3)
    for row, example in zip(details["per_image"], EXAMPLES, strict=True):
        labels = example["label"]
        predictions = np.where(labels == 255, 255, example["predictions"])
        boundaries = [
            (inner_boundary(labels == label), inner_boundary(predictions == label))
            for label in range(3)
        ]
        of_image = np.array([[(a & b).sum(), (a | b).sum()] for a, b in boundaries])
        assert row["boundary_iou"] == pytest.approx(np.mean(of_image[:, 0] / of_image[:, 1]))
        shared, union = shared + of_image[:, 0], union + of_image[:, 1]

    assert list(details["per_class_boundary_iou"].values()) == pytest.approx(shared / union)
    assert details["boundary_iou"] == pytest.approx(np.mean(shared / union))
    assert details["boundary_dilation_ratio"] == 0.02


def test_calibration_is_that_of_the_softmax(details):
    counted = [e["label"] != 255 for e in EXAMPLES]
    confidences = np.concatenate(
        [
            softmax(e["image"].astype("float32"), -1).max(-1)[of]
            for e, of in zip(EXAMPLES, counted, strict=True)
        ]
    )
    is_right = np.concatenate(
        [(e["label"] == e["predictions"])[of] for e, of in zip(EXAMPLES, counted, strict=True)]
    )

    calibration = details["calibration"]

    expected = error_by_definition(confidences, is_right)
    assert calibration["ece"] == pytest.approx(expected, rel=1e-4)
    assert calibration["accuracy"] == pytest.approx(is_right.mean())
    assert sum(of["num_pixels"] for of in calibration["bins"]) == is_right.size
    assert len(calibration["bins"]) == 15


def test_bands_end_in_the_mean_iou_of_nearly_all_pixels(details, made):
    trimap = details["trimap"]

    assert [of["width"] for of in trimap] == list(range(1, 41))
    # In these images no pixel is further than 40 from a boundary.
    mean_iou = made[1][Heads.ONLY].metrics.mean_iou
    assert trimap[-1]["mean_iou"] == pytest.approx(mean_iou, abs=1e-12)
    assert trimap[0]["mean_iou"] < mean_iou


def test_intervals_are_those_of_a_bootstrap_over_images(details):
    counts = np.stack(
        [
            ConfusionMatrix(3).update(example["label"], example["predictions"])
            for example in EXAMPLES
        ]
    )

    def mean_iou(indices):
        total = counts[indices].sum(0)
        right = total.diagonal()
        return (right / (total.sum(0) + total.sum(1) - right)).mean()

    def accuracy(indices):
        total = counts[indices].sum(0)
        return total.trace() / total.sum()

    intervals, random = details["intervals"], np.random.default_rng(7)

    assert (intervals["level"], intervals["draws"], intervals["seed"]) == (0.95, 1000, 0)
    for name, metric in (("mean_iou", mean_iou), ("pixel_accuracy", accuracy)):
        draws = [metric(random.integers(0, len(counts), len(counts))) for _ in range(4000)]
        low, high = np.quantile(draws, [0.025, 0.975])
        # Two bootstraps with other draws differ by a part of the width.
        assert intervals[name] == pytest.approx([low, high], abs=0.15 * (high - low))
    assert set(intervals["per_class_iou"]) == set(SPEC.class_names)
    for name in ("boundary_iou", "mean_accuracy", "frequency_weighted_iou", "ece"):
        low, high = intervals[name]
        assert low < high
    low, high = intervals["boundary_iou"]
    assert low < details["boundary_iou"] < high


def test_equal_images_have_an_interval_without_width_and_one_image_has_none():
    same = [{**EXAMPLES[0], "id": str(i)} for i in range(5)]

    low, high = report_on(same, pictures=False)[2][Heads.ONLY]["intervals"]["mean_iou"]

    assert low == pytest.approx(high, abs=1e-12)
    single = report_on(EXAMPLES[:1])[2][Heads.ONLY]["intervals"]
    assert single == {"level": 0.95, "draws": 1000, "seed": 0}


def test_the_same_numbers_again(details):
    again = report_on(EXAMPLES)[2][Heads.ONLY]

    assert json.dumps(again) == json.dumps(details)


def test_unscored_and_chosen_classes_are_as_in_the_evaluation():
    spec = LabelSpec(SPEC.class_names, unscored=("blue",))

    _, evaluations, details = report_on(EXAMPLES, spec, classes=("red", "blue"))

    details = details[Heads.ONLY]
    low, high = details["intervals"]["mean_iou"]
    assert low < evaluations[Heads.ONLY].metrics.mean_iou < high
    low, high = details["intervals"]["mean_iou_of_classes"]
    assert low < evaluations[Heads.ONLY].mean_iou_of_classes < high
    row, example = details["per_image"][0], EXAMPLES[0]
    expected = ious(example["label"], example["predictions"], unscored=[2])
    assert row["mean_iou"] == pytest.approx(np.nanmean(expected))
    of_class = details["per_class_boundary_iou"]
    assert details["boundary_iou"] == pytest.approx((of_class["red"] + of_class["green"]) / 2)


def test_json_has_the_numbers_beside_the_metrics(made, tmp_path):
    _, evaluations, details = made

    saved = json.loads(save_json(evaluations, tmp_path / "m.json", details).read_text())

    assert saved["mean_iou"] == evaluations[Heads.ONLY].metrics.mean_iou
    assert saved["per_image"] == details[Heads.ONLY]["per_image"]
    assert saved["split_role"] == "unknown"
    assert {"boundary_iou", "intervals", "calibration", "trimap", "region_sizes"} < set(saved)


def test_ignored_images_are_listed_without_metrics():
    ignored = {**EXAMPLES[0], "label": np.full_like(EXAMPLES[0]["label"], 255), "id": "blank"}

    _, _, details = report_on([ignored])

    (row,) = details[Heads.ONLY]["per_image"]
    assert row["mean_iou"] is row["pixel_accuracy"] is row["main_error"] is None
    assert row["mean_confidence"] is row["boundary_iou"] is None
    assert details[Heads.ONLY]["calibration"]["ece"] is None


def test_memory_does_not_grow_with_the_pixels():
    labels, predictions = scene(0, (200, 300), 3)
    confidences = np.full(labels.shape, 0.9, "float32")
    matrix = ConfusionMatrix.of(SPEC)
    matrix.update(labels, predictions)
    statistics = HeadStatistics(SPEC)

    def add(count):
        for _ in range(count):
            statistics.add("image", labels, predictions, matrix, confidences)

    add(40)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    add(40)
    grown = (tracemalloc.get_traced_memory()[0] - before) / 40
    tracemalloc.stop()

    assert grown < 3000  # bytes per image; the label map alone has 60,000


def test_only_the_largest_are_made_and_kept():
    worst, made = Worst(3), []

    for value in [5, 1, 9, 1, 7, 2, 9]:
        worst.push(value, lambda value=value: made.append(value) or len(made))

    assert made == [5, 1, 9, 7, 9]
    assert list(worst) == [3, 5, 4]


def origin(dataset="streets", train="train", validation="val"):
    config = Config().replace(dataset=dataset, train_split=train, validation_split=validation)
    return {"config": config.to_dict()}


@pytest.mark.parametrize(
    ("origin", "role", "text"),
    [
        (origin(), "selection", "This split chose the network"),
        (origin(train="val", validation="test"), "training", "trained on this split"),
        (origin(validation="dev"), "other", "neither trained nor chosen on this split"),
        (origin(validation=None), "other", "neither trained nor chosen on this split"),
        (origin(dataset="camvid"), "other", "another dataset: camvid"),
        ({}, "unknown", "does not state"),
        ({"converted_from": "voc.caffemodel", "config": None}, "unknown", "does not state"),
    ],
)
def test_the_role_of_the_split_is_stated(made, origin, role, text):
    evaluation = made[1][Heads.ONLY]

    assert split_role(origin, evaluation)[0] == role
    assert text in split_role(origin, evaluation)[1]


def test_a_folder_that_was_moved_is_still_the_dataset_of_the_training(made):
    evaluation = replace(made[1][Heads.ONLY], dataset="folder:/media/disk/photos")

    assert split_role(origin("folder:photos"), evaluation)[0] == "selection"
    assert split_role(origin("folder:photos2"), evaluation)[0] == "other"


# === The page ===


def page_of(made, folder, **options):
    report, evaluations, details = made
    path = report.save(folder, evaluations, details)
    assert path == folder / "index.html"
    return path.read_text()


def pictures_in(page):
    found = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', page, re.S)
    return json.loads(found[1])


def test_the_page_has_the_numbers_and_needs_nothing_else(made, tmp_path):
    page = page_of(made, tmp_path / "new")

    metrics = made[1][Heads.ONLY].metrics
    assert f"{metrics.mean_iou:.3f}" in page and f"{metrics.pixel_accuracy:.3f}" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "url(" not in page and "http" not in re.sub(r"http-equiv|https?://www.w3.org", "", page)
    assert len(pictures_in(page)["examples"]) <= 12 + 20
    assert len([key for key in pictures_in(page)["buttons"] if key.startswith("s0w")]) == 12
    assert page == page_of(made, tmp_path / "again")


def test_names_from_files_are_text_in_the_page(tmp_path):
    hostile = '"><script>alert(1)</script><b onmouseover=alert(2)>&amp;\u2028'
    spec = LabelSpec((hostile, "green", "</script><!--<script>"), palette=SPEC.palette)
    example = {**EXAMPLES[0], "id": hostile}

    made = report_on([example, EXAMPLES[1]], spec, name=f"folder:{hostile}")
    page = page_of(made, tmp_path)

    assert "<script>alert" not in page and "<b onmouseover" not in page
    assert page.count("<script") == page.count("</script>") == 2
    titles = {button["title"] for button in pictures_in(page)["buttons"].values()}
    assert hostile in titles


def test_every_head_has_its_section(tmp_path):
    shades = LabelSpec(("dark", "medium", "<light>"))
    both = [
        {**e, "label": {"brightest": e["label"], "darkest": e["label"]}, "id": f"image {i}"}
        for i, e in enumerate(EXAMPLES[:3])
    ]

    made = report_on(both, {"brightest": SPEC, "darkest": shades}, heads=True)
    page = page_of(made, tmp_path)

    assert "Head brightest" in page and "Head darkest" in page and "&lt;light&gt;" in page
    assert {button[:2] for button in pictures_in(page)["buttons"]} == {"s0", "s1"}
    details = made[2]
    assert details["brightest"]["boundary_iou"] > details["darkest"]["boundary_iou"]


def test_without_logits_the_page_says_so(tmp_path):
    made = report_on(EXAMPLES[:3], logits=False)

    page = page_of(made, tmp_path)

    assert made[2][Heads.ONLY]["calibration"] is None
    assert "returns predictions without logits" in page
    assert "--output-type logits" in page
    assert made[2][Heads.ONLY]["suspected_label_errors"] == []


def test_large_noisy_images_fit_into_the_size_of_a_page(tmp_path):
    random = np.random.default_rng(0)
    noise = []
    for i in range(12):
        labels = random.integers(0, 3, (500, 700)).astype("uint8")
        image = random.integers(0, 256, (500, 700, 3)).astype("uint8")
        noise.append({"image": image, "label": labels, "id": str(i)})

    page = page_of(report_on(noise), tmp_path)

    assert len(page.encode()) < 5e6
    assert sum(map(len, pictures_in(page)["examples"]["s0e0"].values())) > 10_000
    assert len(json.dumps(pictures_in(page))) < 1.1 * MAX_PICTURE_BYTES


def test_many_classes_are_a_picture(tmp_path):
    spec = LabelSpec.numbered(41)
    labels, predictions = np.random.default_rng(0).integers(0, 41, (2, 60, 80)).astype("uint8")
    matrix = ConfusionMatrix.of(spec)
    matrix.update(labels, predictions)
    report = Report({"shapes": spec})

    report.add(EvaluatedImage(0, {"shapes": matrix}, {"shapes": labels}, {"shapes": predictions}))

    evaluation = Evaluation("m.tflite", "tflite", "shapes", "val", matrix, 1, head="shapes")
    made = report, {"shapes": evaluation}, report.details({"shapes": evaluation})
    page = page_of(made, tmp_path)
    assert 'alt="Confusion matrix of 41 classes"' in page
    assert 'class="confusion"' not in page
    # Of 41 classes 40 have an example; an image that is not known has no picture of its own.
    shown = pictures_in(page)
    assert sum(key.startswith("s0c") for key in shown["buttons"]) == 40
    assert set(shown["examples"]["s0e0"]) == {"Label", "Prediction", "Difference"}


def test_channels_other_than_rgb_are_shown():
    depth = np.linspace(400, 9000, 20, dtype="float32").reshape(4, 5, 1)
    colors_and_depth = np.concatenate([np.full((4, 5, 3), 77.0), depth], -1).astype("float32")

    assert np.asarray(viewable(np.uint8([[[1, 2, 3]]]))).tolist() == [[[1, 2, 3]]]
    gray = np.asarray(viewable(depth))
    assert gray.shape == (4, 5, 3) and (gray[0, 0] == 0).all() and (gray[-1, -1] == 255).all()
    assert (np.asarray(viewable(colors_and_depth)) == 77).all()
