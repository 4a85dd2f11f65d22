"""Trained runs behind an HTTP server."""
