"""Mutants that compute the same as the code, which no test can notice."""

# The reason by module and changed line, as `mutation.py` prints it.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("keras_fcn/data/masks.py", "if self.kind >= 'rgb':"): "No other kind is after it in order.",
    (
        "keras_fcn/metrics.py",
        "is_scored = np.ones(matrix.shape[1], 'float32')",
    ): "The matrix is square.",
    (
        "keras_fcn/models/geometry.py",
        "padding = max(size - stride, 1) // 2 if layer.padding == 'same' else 0",
    ): "Half of 0 and of 1 are both 0 in whole numbers.",
    (
        "keras_fcn/evaluation.py",
        "table = Table(box=None, pad_edge=False, padding=(0, 3))",
    ): "Space between the columns of a printed table.",
    (
        "keras_fcn/confusion_matrix.py",
        "counted &= labels == np.ceil(labels)",
    ): "A number equals its rounding up exactly if it equals its rounding down.",
    (
        "keras_fcn/weights/transfer.py",
        "return all((o.ndim == n.ndim and (o.ndim < 4 or o.shape[0] >= 1 or o.shape[:3] == "
        "n.shape[:3]) for o, n in zip(old, new, strict=True)))",
    ): "The layer before a score layer, whose filters differ then, is refused first.",
    (
        "keras_fcn/data/image_io.py",
        "if numbers.min(initial=0) < -1 or numbers.max(initial=1) > 255:",
    ): "Neither 0 nor 1 is above 255.",
    (
        "keras_fcn/weights/classes.py",
        "return self.sources == self.targets == tuple(range(len(self.old))) and len(self.old) >= "
        "len(self.new)",
    ): "Where all old classes have a target, there are as many new ones or more.",
    (
        "keras_fcn/losses.py",
        "classes = ops.cast(ops.where(counted, labels, 1.0), 'int32')",
    ): "The loss of these pixels is multiplied by 0, whatever their class.",
    (
        "keras_fcn/weights/transfer.py",
        "return channels[0] <= channels[1] and [w.shape for w in old[1:]] == "
        "[w.shape for w in new[1:]] and ([len(shape) for shape in kernels] == [4, 4]) and "
        "(tuple((shape[2] for shape in kernels)) == channels) and (kernels[0][:2] + "
        "kernels[0][3:] == kernels[1][:2] + kernels[1][3:])",
    ): "Kernels with equally many channels that agree in all else have equal shapes, which fit.",
}
