"""Memory of one training step kept for the next."""

import os


def keep_freed_memory() -> None:
    """Makes TensorFlow keep what it frees on the CPU; call it before the first operation.

    By default the C library gives large buffers back to the system at every step and asks for
    them anew, which took up to a third of a step's time. TensorFlow's own allocator, which GPUs
    always use, keeps them. `TF_CPU_ALLOCATOR_USE_BFC=0` in the environment switches it off.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
