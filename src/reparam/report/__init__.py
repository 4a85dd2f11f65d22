"""Reports: what a model has learned, as pictures (``pictures``) and plots (``plots``)."""
