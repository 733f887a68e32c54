"""What the words on the board mean: shown on the page and in the Markdown."""

from __future__ import annotations

from benchmark.contract.claim import Provenance, Verdict
from benchmark.theory import statements

INTRODUCTION = (
    "Lethe measures certified machine unlearning: a model is asked to forget some of the rows it "
    "was trained on, and answers without training anew. For every method the board shows how "
    "close the answer comes to retraining, what it costs, what exactly is claimed of it, and "
    "whether that holds on the very model it was claimed for."
)

READING = (
    "Each row is one method on one experiment and device: the mean over seeds ± the half-width "
    "of its 95 % t interval. With one seed there is no interval.",
    "A gap is a difference to the retrained model of the same seed, so that what varies between "
    "seeds cancels. The nearer to 0 the better, on either side.",
    "A row lacking seeds says so, and each of its means says over how many it is, as n. Nothing "
    "is filled in.",
    "A row in red is violated: on one seed or more something was measured that its claim rules "
    "out. That is a distance beyond a bound, an ε above the certified one, or published noise "
    "that is not what is claimed. The row says which. Its claim is wrong, whatever its verdict.",
)

ORDER = (
    "The three yardsticks come first. Entries follow by verdict, a row having the weakest of its "
    "seeds', then by the mean over seeds of |test gap|, then by label."
)

BEST = (
    "Bold is best among a column's entries; for gaps that is the smallest mean size, without "
    "sign. ≈ marks an entry tied with the best: the 95 % t interval of their difference, taken "
    "seed by seed, holds 0. A row lacking seeds is never best. In the columns on bounds and what "
    "they cost, neither is a row that is vacuous, of this pair only, or violated. The certified "
    "(ε, δ) is not ranked: rows differ in what they define it against."
)

YARDSTICKS = {
    "reference": "the retrained model every gap is measured to",
    "floor": "retrained once more: with another seed, how far apart two perfect answers are; for a "
    "budget of epochs, what as much compute gives without the original",
    "ceiling": "the original model, unchanged: what nothing at all achieves",
}

#: What a verdict is called on the board.
BADGES: dict[Verdict, str] = {
    "exact": "exact",
    "proved": "proved",
    "conditional": "conditional",
    "pair": "this pair only",
    "vacuous": "vacuous",
    "none": "none",
}

VERDICTS: dict[Verdict, str] = {
    "exact": "By construction the release is what the other side of the named definition "
    "publishes: retraining, or another algorithm that never saw a row to forget.",
    "proved": "The named definition holds, word for word, for the algorithm as it is coded, for "
    "every data set and request of the declared kind, with noise that was fixed beforehand; no "
    "request is refused.",
    "conditional": "The named definition holds if its caveats do, and the constants that were "
    "measured, estimated or assumed: they need not, on other data.",
    "pair": "A yardstick, and no proof of unlearning: these two Gaussians are hard to tell apart, "
    "under noise that was computed from this very request. Never counted, listed or ranked as "
    "proved.",
    "vacuous": "The bound is no better than the one that doing nothing has, whatever the data.",
    "none": "The method claims nothing.",
}

VIOLATED = (
    "On one seed or more the slack is below 1, the distance is beyond the claim's bound, the "
    "audited ε is above the certified one, or the published noise fails its tests: the claim is "
    "wrong."
)

#: By the kind of a guarantee; `m` is what every one has in common.
GUARANTEES = {
    "exact": "The two sides of the definition are the same: ε is 0.",
    "gaussian": "No test tells the two sides apart better than N(0, 1) from N(m, 1). This m is the "
    "Gaussian certifiability of arXiv 2510.13094. It gives an ε for every δ.",
    "curve": "Some points (ε, δ) of a trade-off curve. Its m is of a Gaussian that is no better "
    "anywhere, so that the claim is at least as good as that m.",
}

PROVENANCES: dict[Provenance, str] = {
    "exact": "holds by a proof, or is a setting of the algorithm",
    "declared": "is a public bound that the data were checked against",
    "measured": "is a function of the rows at hand",
    "estimated": "was measured, and may err on the wrong side",
    "assumed": "was written down by whoever set up the experiment",
}

PUBLISHED = "What an observer of the release is told."
SAME = "Nothing in it depends on the forgotten rows."
DEPENDS = "Some of it depends on the forgotten rows, which no such claim should."
WITHHELD = (
    "This part is not part of the release: it follows from this very request, and is for the "
    "reader of the benchmark."
)


def statement(theorem: str) -> str:
    """The name of a statement and its id; a reason in words as it is."""
    name = statements.name(theorem)
    return name if name == theorem else f"{name} ({theorem})"
