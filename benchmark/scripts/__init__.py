"""Measurements that are not part of the command line.

Run one as `python -m keras_fcn_benchmark.scripts.NAME`; `--help` lists its options.
"""

import argparse
import os

# Before TensorFlow is loaded by any of them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def options_parser(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser whose help begins with the first line of a script's docstring."""
    return argparse.ArgumentParser(description=(doc or "").partition("\n")[0])


def add_timing_options(parser: argparse.ArgumentParser, *, size: int) -> None:
    """Adds the options of a script that times a network on square images.

    Args:
        parser: The parser.
        size: Default height and width.
    """
    parser.add_argument("--size", type=int, default=size, help="height and width in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
