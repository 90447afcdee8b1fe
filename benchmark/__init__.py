"""How fast a network runs, how much memory it takes, and whether its predictions stay the same.

Imports nothing: the process of a candidate loads only the libraries that the candidate needs.
"""
