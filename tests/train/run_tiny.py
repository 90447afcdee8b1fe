"""Trains the tiny network in a process of its own: `python run_tiny.py '{"settings": {...}}'`.

Keys: `settings` of the configuration; `folder`, true where `dataset` is one; `num_cpus` to
split the CPU into;
`send`, a signal that the process sends itself, and `at_step`, after which.
"""

import json
import os
import signal
import sys
from pathlib import Path

import tensorflow as tf

order = json.loads(sys.argv[1])
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * order.get("num_cpus", 1)
)

sys.path.append(str(Path(__file__).parents[1]))  # for helpers.py

import helpers  # noqa: E402
import keras_fcn_train  # noqa: E402
import tiny_training  # noqa: E402
from keras_fcn_train.callbacks import SaveState  # noqa: E402

from keras_fcn.backbones import BACKBONES  # noqa: E402

BACKBONES.update(helpers.TINY_BACKBONES)
if "send" in order:
    on_train_batch_end = SaveState.on_train_batch_end

    def send_signal(self, batch, logs=None):
        if self._tracker.global_step == order["at_step"]:
            os.kill(os.getpid(), signal.Signals[order["send"]])
        on_train_batch_end(self, batch, logs)

    SaveState.on_train_batch_end = send_signal

try:
    config = tiny_training.tiny_config(**order["settings"])
    keras_fcn_train.fit(config, None if order.get("folder") else tiny_training.tiny_dataset())
except keras_fcn_train.TrainingStopped as error:
    sys.exit(str(error))
