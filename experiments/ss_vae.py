"""M2, the VAE with the label as a latent variable, trained on a hundred labels."""

from experiments.common import Experiment, Findings, Protocol
from experiments.common.few_labels import SOURCE, few_labels


@Experiment(
    source=SOURCE,
    protocol=(
        "MNIST, 60,000 training images, 10 of each class with a label, binarized anew in each "
        "step; M2, 784-500-50, all ten classes summed over, α = 1 (0.1 in the source); 10 epochs "
        "of Adam, batch 200 and 50 labeled images, learning rate 3e-3; the share of the 10,000 "
        "test images whose label q(y | x) does not find, mean of three draws of the labels"
    ),
    data="mnist",
    epochs=10,
    minutes=20,
)
def ss_vae(protocol: Protocol) -> Findings:
    """M2 with a hundred labels: the label as a latent variable."""
    return few_labels(protocol, "ss-vae", 11.97)
