"""M1 + M2, a semi-supervised VAE on the features of another VAE, trained on a hundred labels."""

from experiments.common import Experiment, Findings, Protocol
from experiments.common.few_labels import SOURCE, few_labels


@Experiment(
    source=SOURCE,
    protocol=(
        "MNIST, 60,000 training images, 10 of each class with a label, binarized anew in each "
        "step; M1 784-600-600-50 and M2 50-500-50 on draws of its features, in one run of 20 "
        "epochs of Adam, of which M2 waits for 5, with M1's KL weighted by 0.02 (1 in the "
        "source); batch 200 and 50 labeled images, learning rate 3e-3; the share of the 10,000 "
        "test images whose label q(y | h) does not find, mean of three draws of the labels"
    ),
    data="mnist",
    epochs=20,
    minutes=25,
)
def ss_vae_stacked(protocol: Protocol) -> Findings:
    """M1 + M2 with a hundred labels, and with an encoder trained on distorted images."""
    return few_labels(protocol, "ss-vae-stacked", 3.33)
