"""Mutants that compute the same as the code, which no test can notice."""

# The reason by module and changed line, as `mutation.py` prints it.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("keras_fcn/data/masks.py", "if self.kind >= 'rgb':"): "No other kind is after it in order.",
}
