"""A hyperspherical VAE, trained for as long as a public run."""

from experiments.common import STDERR, Experiment, Findings, Protocol, samples, sphere


@Experiment(
    source=sphere.SOURCE,
    protocol=f"{sphere.DATA}; 500 epochs",
    data="mnist",
    epochs=500,
    n_samples=1000,
    minutes=40,
)
def vmf_vae_long(protocol: Protocol) -> Findings:
    """Codes on a sphere, trained for as long as the public figure."""
    data = protocol.dataset("mnist", binarize="dynamic")
    run = sphere.train(protocol, data, protocol.epochs)
    rows = sphere.rows(protocol, data, "learned κ", run, -93.1)
    return Findings(rows, (STDERR,), {"samples": samples({"learned κ": run}, protocol.seed)})
