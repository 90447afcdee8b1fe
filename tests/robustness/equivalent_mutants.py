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
}
