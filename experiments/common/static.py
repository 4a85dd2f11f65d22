"""The shared part of the experiments on public figures of small networks on MNIST.

The figures are of three data sets, though all are called binarized MNIST: drawn anew in each step,
drawn once, and thresholded. Figures of one are not comparable with those of another.
"""

STDERR = "Standard errors are over images, paired for differences; one training run each."
OWN_DRAW = (
    "The static images are a draw of our own, from the seed 0: the files of the source are another "
    "draw of the same probabilities. The digest in the JSON identifies the test images."
)
HELD_OUT = 10_000
"""The training images that the sources hold out; they are not trained on, here as there."""
