"""Measurements that are not part of the command line; run each with `python`."""
