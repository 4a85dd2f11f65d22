"""Benchmarks: ``reparam`` beside a tutorial's loop, a loop by hand, pythae and the machine's limit.

``run.py`` measures on a CPU and writes ``docs/benchmarks.md``; ``gpu.py`` measures on a GPU. Jobs
and contenders are in the folders of these names; rows, records and provenance are those of
``experiments.ledger``.
"""
