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
}
