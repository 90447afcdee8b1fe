"""Speed and memory of a network in every format, and whether its predictions stay the same.

This module imports nothing: the process of a candidate loads only the libraries that it needs.
"""
