"""Trains the tiny network in a process of its own: `python run_tiny.py '{"settings": {...}}'`.

Keys: `settings` of the configuration; `folder`, true where `dataset` is one; `num_train` images;
`num_cpus` to split the CPU into; `hosts`, their addresses, and `index`, which of them this is;
`send`, a signal that the process sends itself, and `at_step`, after which. A list of such trainings
runs one after the other. Why one stopped is in the standard error stream.
"""

import json
import os
import signal
import sys
from pathlib import Path

import tensorflow as tf

orders = json.loads(sys.argv[1])
orders = orders if isinstance(orders, list) else [orders]
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * orders[0].get("num_cpus", 1)
)

sys.path.append(str(Path(__file__).parents[1]))  # for helpers.py

import helpers  # noqa: E402
import keras_fcn_train  # noqa: E402
import tiny_training  # noqa: E402
from keras_fcn_train.callbacks import SaveState  # noqa: E402
from keras_fcn_train.hosts import Hosts  # noqa: E402

from keras_fcn.backbones import BACKBONES  # noqa: E402

BACKBONES.update(helpers.TINY_BACKBONES)
on_train_batch_end = SaveState.on_train_batch_end


def train(order):
    def send_signal(self, batch, logs=None):
        if "send" in order and self._tracker.global_step == order["at_step"]:
            os.kill(os.getpid(), signal.Signals[order["send"]])
        on_train_batch_end(self, batch, logs)

    SaveState.on_train_batch_end = send_signal
    config = tiny_training.tiny_config(**order["settings"])
    num_train = {"num_train": order["num_train"]} if "num_train" in order else {}
    dataset = None if order.get("folder") else tiny_training.tiny_dataset(**num_train)
    keras_fcn_train.fit(config, dataset, hosts=hosts)


stopped = []
hosts = Hosts(tuple(orders[0].get("hosts", [""])), orders[0].get("index", 0))
with hosts.connected():
    for order in orders:
        try:
            train(order)
        except (keras_fcn_train.TrainingStopped, ValueError) as error:
            if "Gloo" in str(error):  # another host was lost
                raise
            stopped.append(str(error))
sys.exit("\n".join(stopped) or None)
