import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from keras_fcn.data.augmentation import Augmentation
from keras_fcn.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from keras_fcn.datasets import from_arrays
from keras_fcn.labels import LabelSpec

SIZES = [(6, 9), (9, 6), (7, 7)]
EVERYTHING = Augmentation(hue=0.2, rotation=20.0, aspect=(0.8, 1.2), grayscale=0.3)


def numbered(count, labels=None):
    """A dataset whose example i is filled with i + 1, in three sizes, all labeled 1."""
    examples = [
        {
            "image": np.full((*SIZES[i % 3], 3), i + 1, "uint8"),
            "label": np.ones(SIZES[i % 3], "uint8"),
        }
        for i in range(count)
    ]
    return from_arrays("numbered", labels or LabelSpec.numbered(2), {"train": examples})


def noisy(count):
    """A dataset in which no two pixels are alike by rule."""
    rng = np.random.default_rng(0)
    examples = [
        {
            "image": rng.integers(0, 256, (*SIZES[i % 3], 3)).astype("uint8"),
            "label": rng.integers(0, 2, SIZES[i % 3]).astype("uint8"),
        }
        for i in range(count)
    ]
    return from_arrays("noisy", LabelSpec.numbered(2), {"train": examples})


def numbers(dataset, num_batches, **settings):
    """The numbers of the examples in each batch, shape (num_batches, batch)."""
    batches = training_batches(dataset, crop_size=(4, 4), **settings).take(num_batches)
    return np.array([images[:, 0, 0, 0] for images, _ in batches.as_numpy_iterator()])


def assert_equal_batches(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_an_epoch_shows_every_example_once():
    first, second = numbers(numbered(12), 6, batch_size=4).reshape(2, 12).tolist()

    assert sorted(first) == sorted(second) == list(range(1, 13))
    assert first != second
    assert first != sorted(first)


def test_an_epoch_leaves_out_what_does_not_fill_a_batch():
    dataset = numbered(11)
    epochs = numbers(dataset, 4, batch_size=4).reshape(2, 8)

    assert steps_per_epoch(dataset, "train", batch_size=4) == 2
    for epoch in epochs:
        assert len(set(epoch)) == 8


def test_a_split_smaller_than_a_batch_is_gone_through_several_times():
    dataset = numbered(3)
    batches = numbers(dataset, 2, batch_size=7)

    assert steps_per_epoch(dataset, "train", batch_size=7) == 1
    for batch in batches:
        assert sorted(batch[:3].tolist()) == sorted(batch[3:6].tolist()) == [1, 2, 3]
        assert batch[6] in (1, 2, 3)


def test_without_shuffle_the_order_is_that_of_the_split():
    batches = numbers(numbered(5), 4, batch_size=2, shuffle=False)

    assert batches.tolist() == [[1, 2], [3, 4]] * 2


def test_limit_keeps_the_first_examples():
    epochs = numbers(numbered(12), 8, batch_size=1, limit=2).reshape(4, 2)

    assert np.sort(epochs).tolist() == [[1, 2]] * 4
    assert steps_per_epoch(numbered(12), "train", batch_size=1, limit=2) == 2


def test_every_order_is_about_as_likely_as_every_other():
    orders = numbers(numbered(3), 600, batch_size=3)

    counts = np.unique(orders, axis=0, return_counts=True)[1]
    # Six orders, 100 each on average; chi-squared with 5 degrees of freedom exceeds 20.5 once
    # in a thousand times.
    assert len(counts) == 6
    assert ((counts - 100) ** 2 / 100).sum() < 20.5


def test_with_replacement_examples_repeat():
    drawn = numbers(numbered(10), 100, batch_size=10, replacement=True).ravel()

    counts = np.bincount(drawn, minlength=11)[1:]
    # 1000 draws of ten: chi-squared with 9 degrees of freedom exceeds 27.9 once in a thousand.
    assert ((counts - 100) ** 2 / 100).sum() < 27.9
    assert len(set(drawn[:10])) < 10


@pytest.mark.parametrize("settings", [{}, {"replacement": True}, {"shuffle": False}])
@pytest.mark.parametrize("start_step", [1, 5, 8])
def test_starting_at_a_step_equals_leaving_out_the_steps_before(start_step, settings):
    # Three steps an epoch: inside the first, inside the second, at the end of one.
    settings = {"batch_size": 3, "augmentation": EVERYTHING, "crop_size": (5, 8), **settings}
    dataset = noisy(10)

    from_start = training_batches(dataset, **settings).skip(start_step).take(7)
    resumed = training_batches(dataset, start_step=start_step, **settings).take(7)

    assert_equal_batches(from_start, resumed)


def test_the_number_of_threads_and_the_cache_change_nothing():
    settings = {"batch_size": 3, "augmentation": EVERYTHING, "crop_size": (5, 8)}
    dataset = noisy(10)
    one_thread = tf.data.Options()
    one_thread.threading.private_threadpool_size = 1

    tf.random.set_seed(1)
    usual = list(training_batches(dataset, **settings).take(8))
    tf.random.set_seed(2)
    slow = training_batches(dataset, **settings).with_options(one_thread).take(8)
    read_again = training_batches(dataset, cache_bytes=0, **settings).take(8)

    assert_equal_batches(usual, slow)
    assert_equal_batches(usual, read_again)


def test_seeds_and_epochs_differ():
    settings = {"batch_size": 10, "augmentation": EVERYTHING, "crop_size": (5, 8)}
    dataset = noisy(10)

    first, second = training_batches(dataset, shuffle=False, **settings).take(2)
    (other_seed,) = training_batches(dataset, shuffle=False, seed=1, **settings).take(1)
    (far_seed,) = training_batches(dataset, shuffle=False, seed=2**31, **settings).take(1)

    for other in (second, other_seed, far_seed):
        for image, other_image in zip(first[0], other[0], strict=True):
            assert (image.numpy() != other_image.numpy()).any()


def test_shards_joined_are_the_batch():
    settings = {"batch_size": 6, "augmentation": EVERYTHING, "crop_size": (5, 8), "start_step": 1}
    dataset = noisy(13)

    whole = training_batches(dataset, **settings).take(5)
    shards = [training_batches(dataset, shard=(k, 3), **settings).take(5) for k in range(3)]

    joined = [
        tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
        for batches in zip(*shards, strict=True)
    ]
    assert_equal_batches(whole, joined)


def test_images_without_crop_are_padded_to_the_largest_of_the_batch():
    batches = training_batches(numbered(12), batch_size=3).take(8)

    for images, labels in batches.as_numpy_iterator():
        sizes = [SIZES[(image[0, 0, 0] - 1) % 3] for image in images]
        assert images.shape[1:3] == tuple(np.max(sizes, axis=0))
        for image, label, (height, width) in zip(images, labels, sizes, strict=True):
            inside = np.zeros(label.shape, bool)
            inside[:height, :width] = True
            assert (image[inside] == image[0, 0, 0]).all()
            assert (label[inside] == 1).all()
            assert (image[~inside] == 0).all()
            assert (label[~inside] == 255).all()


def test_padding_takes_the_data_sets_ignored_label():
    labels = LabelSpec.numbered(2, ignore_class=11)

    padded = training_batches(numbered(3, labels), batch_size=3).take(1)
    cropped = training_batches(numbered(3, labels), batch_size=3, crop_size=(12, 12)).take(1)

    for _, label in [*padded, *cropped]:
        assert set(np.unique(label)) == {1, 11}


def test_several_label_maps_stay_together():
    rng = np.random.default_rng(0)
    labels = {"semantic": LabelSpec.numbered(7), "geometric": LabelSpec.numbered(7, 9)}
    maps = [rng.integers(0, 7, SIZES[i % 3]).astype("uint8") for i in range(6)]
    examples = [
        {"image": np.zeros((*m.shape, 3), "uint8"), "label": {"semantic": m, "geometric": m}}
        for m in maps
    ]
    dataset = from_arrays("two", labels, {"train": examples})

    for settings in ({"crop_size": (8, 8), "augmentation": EVERYTHING}, {}):
        for _, label in training_batches(dataset, batch_size=3, **settings).take(4):
            semantic, geometric = label["semantic"].numpy(), label["geometric"].numpy()
            np.testing.assert_array_equal(semantic == 255, geometric == 9)
            np.testing.assert_array_equal(semantic[semantic < 7], geometric[semantic < 7])


def test_shapes_that_are_known_are_static():
    dataset = numbered(3)

    cropped = training_batches(dataset, batch_size=2, crop_size=(4, 5)).element_spec
    whole = training_batches(dataset, batch_size=2).element_spec

    assert [spec.shape.as_list() for spec in cropped] == [[2, 4, 5, 3], [2, 4, 5]]
    assert [spec.shape.as_list() for spec in whole] == [[2, None, None, 3], [2, None, None]]


def test_evaluation_batches_hold_one_size_and_every_example_once():
    dataset = numbered(20)

    batches = list(evaluation_batches(dataset, "train", batch_size=3).as_numpy_iterator())
    again = list(evaluation_batches(dataset, "train", batch_size=3).as_numpy_iterator())

    shown = [int(image[0, 0, 0]) for images, _ in batches for image in images]
    assert sorted(shown) == list(range(1, 21))
    for images, labels in batches:
        assert len(images) <= 3
        assert {SIZES[(image[0, 0, 0] - 1) % 3] for image in images} == {images.shape[1:3]}
        assert (labels == 1).all()
    # 7, 7 and 6 images of the three sizes, at most three a batch.
    assert len(batches) == 3 + 3 + 2
    assert_equal_batches(batches, again)


def test_evaluation_batches_of_large_images_are_smaller(monkeypatch):
    # Images of 54, 54 and 49 pixels: two of each are above 107.
    for most, sizes in ((10, {1}), (107, {1, 2}), (108, {2}), (10**6, {4})):
        monkeypatch.setattr("keras_fcn.data.pipeline.EVALUATION_PIXELS", most)

        batches = list(evaluation_batches(numbered(12), "train", batch_size=4))

        assert {len(images) for images, _ in batches} == sizes
        assert sorted(int(image[0, 0, 0]) for images, _ in batches for image in images) == [
            *range(1, 13)
        ]


def test_evaluation_one_by_one_keeps_the_order():
    batches = evaluation_batches(numbered(7), "train")

    assert [int(images[0, 0, 0, 0]) for images, _ in batches] == list(range(1, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"start_step": -2}, "`start_step` must be at least 0"),
        ({"limit": 0}, "`limit` must be at least 1"),
        ({"crop_size": (0, 4)}, r"`crop_size` must be a height and a width.*crop_size=\(0, 4\)"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\).*shard=\(2, 2\)"),
        ({"shard": (0, 2), "batch_size": 3}, "must be a multiple of the number of shards"),
        ({"split": "test"}, "no split 'test'"),
    ],
)
def test_arguments_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        training_batches(numbered(4), **{"batch_size": 2, **settings})


def test_a_split_without_examples_is_an_error():
    dataset = from_arrays("empty", LabelSpec.numbered(2), {"train": []})

    with pytest.raises(ValueError, match="Split 'train' of dataset 'empty' has no examples"):
        training_batches(dataset, batch_size=2)


def test_replicas_and_workers_share_a_batch(tmp_path):
    # Logical devices can be made before TensorFlow starts only: a process of its own.
    script = textwrap.dedent("""
        import json
        import numpy as np
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from tensorflow.python.data.experimental.ops.distribute import compute_batch_size
        from keras_fcn.datasets import from_arrays
        from keras_fcn.labels import LabelSpec
        from keras_fcn.data.pipeline import training_batches

        one = [{"image": np.full((4, 4, 3), i, "uint8"), "label": np.ones((4, 4), "uint8")}
               for i in range(10)]
        dataset = from_arrays("ten", LabelSpec.numbered(2), {"train": one})
        batches = training_batches(dataset, batch_size=4, crop_size=(4, 4))
        read = lambda images: [int(image[0, 0, 0]) for image in images]
        whole = [read(images) for images, _ in batches.take(4)]
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        replicas = [
            sum((read(part) for part in strategy.experimental_local_results(images)), [])
            for (images, _), _ in zip(strategy.experimental_distribute_dataset(batches), range(4))
        ]
        # What keras.distribution does to a dataset for each of two processes.
        halves = batches.rebatch(int(compute_batch_size(batches)) // 2)
        workers = [
            [read(images) for images, _ in halves.shard(2, index).take(4)] for index in range(2)
        ]
        print(json.dumps([whole, replicas, [a + b for a, b in zip(*workers)]]))
    """)
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    whole, replicas, workers = json.loads(result.stdout.splitlines()[-1])
    assert replicas == whole
    assert workers == whole


def rgbd(count):
    """A dataset whose example i has the color i, HHA 100 + i and depth 1000 + i everywhere."""
    examples = [
        {
            "image": np.full((*SIZES[i % 3], 3), i, "uint8"),
            "hha": np.full((*SIZES[i % 3], 3), 100 + i, "uint8"),
            "depth": np.full((*SIZES[i % 3], 1), 1000 + i, "uint16"),
            "label": np.ones(SIZES[i % 3], "uint8"),
        }
        for i in range(count)
    ]
    return from_arrays("rgbd", LabelSpec.numbered(2), {"train": examples})


@pytest.mark.parametrize(
    ("modalities", "dtype", "offsets"),
    [
        (("hha",), "uint8", [100, 100, 100]),
        (("rgb", "depth"), "float32", [0, 0, 0, 1000]),
        # The order is the network's, not the dataset's.
        (("hha", "depth", "rgb"), "float32", [100, 100, 100, 1000, 0, 0, 0]),
    ],
)
def test_modalities_come_one_after_the_other_along_the_channels(modalities, dtype, offsets):
    settings = {"batch_size": 2, "shuffle": False, "modalities": modalities}
    cropped = training_batches(
        rgbd(3),
        crop_size=(4, 5),
        augmentation=Augmentation.none(),
        cache_bytes=0,  # what is kept in memory is the other half of the test
        **settings,
    )
    padded = training_batches(rgbd(3), **settings)

    for batches, size in ((cropped, (4, 5)), (padded, (9, 9))):
        images, labels = next(iter(batches))
        assert images.dtype == dtype
        assert images.shape == (2, *size, len(offsets))
        np.testing.assert_array_equal(images[1, 0, 0], np.array(offsets) + 1)
        assert labels.shape == (2, *size)


def test_evaluation_joins_modalities_too():
    batches = evaluation_batches(rgbd(4), "train", 2, modalities=("depth", "rgb"))

    seen = {int(image[0, 0, 1]): image for images, _ in batches for image in images.numpy()}
    assert sorted(seen) == [0, 1, 2, 3]
    for i, image in seen.items():
        np.testing.assert_array_equal(image[-1, -1], [1000 + i, i, i, i])
        assert image.shape[:2] == SIZES[i % 3]


def test_a_modality_that_is_not_there_is_an_error():
    for make in (training_batches, evaluation_batches):
        with pytest.raises(ValueError, match="has no modality 'depth'. It has: rgb"):
            make(numbered(3), "train", batch_size=1, modalities=("rgb", "depth"))


def test_a_share_of_the_loss_is_a_function_of_seed_epoch_and_example():
    settings = {"batch_size": 2, "crop_size": (8, 8), "augmentation": EVERYTHING}
    sampled = {**settings, "loss_share": 0.5, "cell_size": 2}
    whole = list(training_batches(noisy(4), **settings).take(4))
    first = list(training_batches(noisy(4), **sampled).take(4))

    assert_equal_batches(training_batches(noisy(4), **sampled, start_step=2).take(2), first[2:])
    for (images, labels), (same_images, all_labels) in zip(first, whole, strict=True):
        np.testing.assert_array_equal(images, same_images)
        dropped = (labels != all_labels).numpy()
        assert dropped.any()
        assert (labels.numpy()[dropped] == 255).all()
    # The first epoch's two batches, and the second's: not the same cells.
    cells = [(labels == 255)[:, ::2, ::2].numpy().tolist() for _, labels in first]
    assert cells[:2] != cells[2:]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_of_the_loss_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match="`loss_share` must be in"):
        training_batches(noisy(2), batch_size=1, loss_share=share)


@pytest.mark.parametrize("batches", [training_batches, evaluation_batches])
def test_values_of_bands_that_are_no_numbers_mean_that_there_is_no_data(batches):
    image = np.arange(40, dtype="float32").reshape(2, 4, 5)
    image[0, 1, 2:] = np.nan, np.inf, -np.inf
    example = {"image": image, "label": np.zeros((2, 4), "uint8")}
    dataset = from_arrays("bands", LabelSpec.numbered(2), {"train": [example]})
    arguments = {"split": "train", "batch_size": 1}
    settings = {} if batches is evaluation_batches else {"augmentation": Augmentation.none()}

    images, _ = next(iter(batches(dataset, **arguments, **settings)))

    expected = image.copy()
    expected[0, 1, 2:] = np.nan
    np.testing.assert_array_equal(images[0], expected)
