"""The metrics, one file for each section of the table: see ``evaluation/metric.py``."""
