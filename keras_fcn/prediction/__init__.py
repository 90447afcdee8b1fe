"""Trained networks of every format behind one interface."""
