"""Experiments of the FCN papers that train networks; `keras-fcn study` runs them.

A study is a module with two functions. `runs(base, dataset)` returns the trainings, which differ
from the settings `base` in what the study is about; `runs.train_all` trains them, each in a
folder of its own. `report(trained, ...)` makes a `Report` of them: a table and a picture.
"""
