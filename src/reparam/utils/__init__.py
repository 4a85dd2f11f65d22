"""Helpers without models: arguments, equality, files, memory, random numbers, terminals."""
