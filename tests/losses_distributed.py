"""Trains on two logical CPUs and on one device, and compares. Run in a process of its own.

One loss a process: two `fit` calls with different losses under MirroredStrategy abort TensorFlow.
"""

import argparse
import json

import keras
import numpy as np
import tensorflow as tf

from keras_fcn.losses import create
from keras_fcn.metrics import SegmentationMetrics

BATCH = 4


def data():
    """Batches of 4 images, so that each replica gets 2; replica 1 of batch 0 has no valid pixel."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 4, 5, 3)).astype("float32")
    labels = rng.integers(0, 3, (8, 4, 5)).astype("uint8")
    labels[0, :3] = 255
    labels[2:4] = 255
    labels[4, 1:] = 255
    weights = rng.uniform(0.5, 2.0, labels.shape).astype("float32")
    return images, labels, weights


def train(loss, reduction, num_images):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        loss=create(loss, reduction=reduction, class_weights=[1.0, 2.0, 3.0]),
        metrics=[SegmentationMetrics(3)],
    )
    batches = tf.data.Dataset.from_tensor_slices(tuple(a[:num_images] for a in data())).batch(BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = batches.with_options(options)
    history = model.fit(batches, epochs=3, verbose=0, validation_data=batches).history
    return {
        "weights": [w.tolist() for w in model.get_weights()],
        "history": history,
        "evaluate": model.evaluate(batches, verbose=0, return_dict=True),
        "confusion": model.metrics[1].metrics[0].confusion_matrix().counts.tolist(),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("loss")
    parser.add_argument("reduction")
    parser.add_argument("num_images", type=int)
    arguments = parser.parse_args()
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

    one = train(**vars(arguments))
    with tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope():
        two = train(**vars(arguments))

    print(json.dumps({"one": one, "two": two}))


if __name__ == "__main__":
    main()
