"""Helpers that know nothing of models: arguments, files, memory, random numbers, terminals."""
