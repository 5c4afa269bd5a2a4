"""The 1,797 handwritten digits of UCI, 8 x 8 pixels with 17 grey levels, included in the package.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi.org/10.24432/C50P49, CC BY 4.0 (see embedded/digits.md); its test set, as distributed with scikit-learn.
"""

from importlib import resources

import numpy as np

from score_sde.data.source import ArraySource, check_split


def digits(split: str = "train") -> ArraySource:
    """The digits with a fixed split: every fifth example of each class, in file order, is "test" (355 of 1,797)."""
    check_split("digits", split, ("train", "test"))
    with (resources.files("score_sde.data") / "embedded" / "digits.npz").open("rb") as file, np.load(file) as arrays:
        data, label = arrays["data"], arrays["label"]
    place = np.zeros(len(label), int)  # the index within its class
    for k in range(10):
        place[label == k] = np.arange(np.sum(label == k))
    chosen = (place % 5 == 4) == (split == "test")
    return ArraySource("digits", data[chosen], label[chosen], levels=17, num_classes=10)
