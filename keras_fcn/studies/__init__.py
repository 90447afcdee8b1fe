"""Experiments of the FCN papers that need no trained network; `keras-fcn study` runs them."""
