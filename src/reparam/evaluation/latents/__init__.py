"""Functions of latent codes: activity, clusters, probes, and the parts of the KL."""
