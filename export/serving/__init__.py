"""What runs beside TensorFlow Serving: its configuration, and a client."""
