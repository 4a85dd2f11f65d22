"""The metrics, one class in one file: see ``evaluation/metric.py``."""
