"""The ways in which a training ends before its time."""


class TrainingStopped(RuntimeError):
    """A training that did not come to its end; the text says what to do."""


class TrainingInterrupted(TrainingStopped):
    """Stopped from outside, with its state saved: it can be resumed."""


class TrainingDiverged(TrainingStopped):
    """Stopped because the loss or the weights were no longer finite."""
