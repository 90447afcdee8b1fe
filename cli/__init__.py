"""The command line: `keras-fcn`."""
