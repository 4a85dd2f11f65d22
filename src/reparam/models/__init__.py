"""Models: conditionals, latent-variable models, directed models and their parts."""
