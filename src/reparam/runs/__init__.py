"""Runs: train a recipe on data, keep it in a folder, and load it again."""
