"""The jobs, a file each."""

from benchmarks.jobs import (
    cifar,
    explorer,
    frontier,
    imports,
    likelihood,
    memory,
    scaling,
    serving,
    throughput,
    to_elbo,
)

JOBS = {
    module.JOB.name: module.JOB
    for module in (
        *(imports, throughput, to_elbo, frontier, likelihood, cifar, scaling, memory),
        *(serving, explorer),
    )
}
"""Every job by its name, in the order in which they run."""

ALONE = ("scaling", "frontier", "memory", "serving", "explorer")
"""The jobs that are run by themselves, each stored in a file of its own."""
