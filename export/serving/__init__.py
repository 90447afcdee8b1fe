"""The configuration of TensorFlow Serving, and a client."""
