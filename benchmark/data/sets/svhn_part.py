"""House numbers: a part of SVHN's training crops, and never the official split."""

from __future__ import annotations

from benchmark.data.images import Source
from benchmark.data.named import ImageSet

# The first 45,000 of the 73,257 training crops, and no test split: never official SVHN. Digits of
# one house number overlap, so rows of one photograph belong together.
SVHN_PART = Source(
    name="svhn-part",
    title="SVHN, first 45,000 training crops",
    family="SVHN (part, not the official split)",
    folder="svhn",
    hub=None,
    image_column="image",
    classes=10,
    hashes={"train": "e281d6ae6f6722c9a64057f4d07949e81c56af81c8edbcaf68eb9113b2a003b6"},
    citation="Netzer et al. 2011: Reading digits in natural images (non-commercial use only)",
    groups={"train": "80579516a32f58570a27374258ed5b98e919a76cd1d3e09d92bb96bab45e8182"},
)


class SvhnPart(ImageSet):
    """See `SVHN_PART`."""

    images = SVHN_PART
