"""Estimates of log p(x) by importance sampling and by annealing, and what they are in bits."""
