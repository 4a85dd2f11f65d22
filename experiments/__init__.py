"""Experiments: published tables and instructive claims, run again and compared with their sources.

Each file of this folder is one experiment and has its name. ``ledger`` lists and runs them, and
stores and prints their figures with their provenance; ``common`` holds what several of them share.
This package is part of a clone and is not installed. It uses the public interface of ``reparam``.

    reparam reproduce --list
    python -m experiments swapped-gradient
"""
