"""The jobs, a file each."""

from benchmarks.jobs import cifar, imports, likelihood, scaling, throughput, to_elbo

JOBS = {
    module.JOB.name: module.JOB
    for module in (imports, throughput, to_elbo, likelihood, cifar, scaling)
}
"""Every job by its name, in the order in which they run."""

ALONE = "scaling"
"""The job that is run by itself, and stored in a file of its own."""
