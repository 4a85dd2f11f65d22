"""The jobs, a file each."""

from benchmarks.jobs import cifar, imports, likelihood, throughput, to_elbo

JOBS = {module.JOB.name: module.JOB for module in (imports, throughput, to_elbo, likelihood, cifar)}
"""Every job by its name, in the order in which they run."""
