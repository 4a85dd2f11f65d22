"""A hyperspherical VAE with a learned and with a fixed concentration."""

from experiments.common import STDERR, Experiment, Findings, Protocol, samples, sphere


@Experiment(
    source=f"{sphere.SOURCE}; the target is ours, a prototype had -97.1 in 200 s",
    protocol=f"{sphere.DATA}; 80 epochs, and a fifth of them with the fixed κ = 20",
    data="mnist",
    epochs=80,
    n_samples=1000,
    minutes=12,
)
def vmf_vae(protocol: Protocol) -> Findings:
    """Codes on a sphere: von Mises–Fisher posteriors, with a learned and with a fixed κ."""
    data = protocol.dataset("mnist", binarize="dynamic")
    # The fixed κ is a warning, which a fifth of the epochs is enough to show.
    few = max(1, protocol.epochs // 5)
    learned = sphere.train(protocol, data, protocol.epochs)
    fixed = sphere.train(protocol, data, few, concentration=20.0)
    rows = [
        *sphere.rows(protocol, data, "learned κ", learned, -95.5),
        *sphere.rows(protocol, data, f"κ = 20, {few} epochs", fixed, None),
    ]
    figures = {"samples": samples({"learned κ": learned, "κ = 20": fixed}, protocol.seed)}
    return Findings(rows, (STDERR,), figures)
