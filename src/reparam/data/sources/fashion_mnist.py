"""Fashion-MNIST: 70,000 grey images of clothes, 28 × 28 pixels, in the format of MNIST.

References:
    Xiao, Rasul & Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017.
"""

from reparam.data.download import Remote
from reparam.data.image_set import ImageSet
from reparam.data.registry import SOURCES
from reparam.data.sources import mnist

CLOTHES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)

SOURCES.add(
    "fashion-mnist",
    ImageSet(
        name="fashion-mnist",
        description="clothes, grey, in the format of MNIST, of Zalando Research",
        n_train=60_000,
        n_test=10_000,
        shape=(1, 28, 28),
        levels=256,
        class_names=CLOTHES,
        read=mnist.read,
        files=mnist.FILES,
        remote=Remote(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            {
                "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
        binarize="dynamic",
    ),
)
