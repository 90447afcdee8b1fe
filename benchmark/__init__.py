"""How fast a network runs, how much memory it takes, and whether it still answers the same.

Imports nothing: a candidate's process shall hold no more than the candidate needs.
"""
