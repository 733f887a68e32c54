"""What the words on the board mean: shown on the page and in the Markdown."""

from __future__ import annotations

from benchmark.contract.claim import Provenance, Verdict
from benchmark.theory import statements

INTRODUCTION = (
    "Lethe measures certified machine unlearning: a model is asked to forget some of the rows it "
    "was trained on, and responds without retraining from scratch. For every method the board "
    "shows how close the result is to retraining, what it costs, what exactly is claimed, and "
    "whether the claim holds on the very model that it was made for."
)

READING = (
    "Each row is one method on one experiment and device. A number is the mean over seeds ± the "
    "half-width of its 95 % t interval. With one seed there is no interval.",
    "A gap is the difference to the retrained model of the same seed, so that what varies between "
    "seeds cancels. The nearer to 0 the better, on either side.",
    "A row that lacks seeds says so, and each of its means says over how many seeds it is, as n. "
    "Nothing is filled in.",
    "A row in red is violated: on at least one seed something was measured that its claim rules "
    "out. This is a distance beyond a bound, an ε above the certified one, or published noise that "
    "is not what is claimed. The row says which. Its claim is wrong, whatever its verdict.",
)

ORDER = (
    "The three yardsticks come first. Entries follow by verdict, where the weakest seed decides, "
    "then by the mean over seeds of |test gap|, then by label."
)

BEST = (
    "Bold is the best entry of a column. For gaps this is the smallest mean size, without sign. ≈ "
    "marks an entry that is tied with the best: the 95 % t interval of their difference, taken "
    "seed by seed, includes 0. A row that lacks seeds is never best. In the columns about bounds "
    "and their cost, a row that is vacuous, of this pair only or violated is never best either. "
    "The certified (ε, δ) is not ranked, because rows differ in what they define it against."
)

YARDSTICKS = {
    "reference": "the retrained model, which every gap is measured to",
    "floor": "a second retraining. With another seed it shows how far apart two perfect results "
    "are; for a budget of epochs, what as much compute gives without the original model",
    "ceiling": "the original model, unchanged: what you get by doing nothing",
}

#: What a verdict is called on the board.
BADGES: dict[str, str] = {
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
    "proved": "The named definition holds, word for word, for the algorithm as it is coded. It "
    "holds for every data set and request of the declared kind, with noise that was fixed "
    "beforehand, and no request is refused.",
    "conditional": "The named definition holds if its caveats hold, and the constants that were "
    "measured, estimated or assumed. On other data they may not.",
    "pair": "A yardstick, and no proof of unlearning: these two Gaussians are hard to tell apart, "
    "under noise that was computed from this very request. Never counted, listed or ranked as "
    "proved.",
    "vacuous": "The bound is no better than the bound for doing nothing, whatever the data.",
    "none": "The method claims nothing.",
}

VIOLATED = (
    "On at least one seed the slack is below 1, the distance is beyond the claim's bound, the "
    "audited ε is above the certified one, or the published noise fails its tests. The claim is "
    "wrong."
)

#: By the kind of a guarantee; `m` is what every one has in common.
GUARANTEES = {
    "exact": "The two sides of the definition are the same: ε is 0.",
    "gaussian": "No test tells the two sides apart better than N(0, 1) from N(m, 1). This m is the "
    "Gaussian certifiability of arXiv 2510.13094. It gives an ε for every δ.",
    "curve": "Some points (ε, δ) of a trade-off curve. Its m belongs to a Gaussian that is "
    "no better anywhere, so that the claim is at least as good as that m.",
}

PROVENANCES: dict[Provenance, str] = {
    "exact": "follows from a proof, or is a setting of the algorithm",
    "declared": "is a public bound that the data were checked against",
    "measured": "is a function of the rows at hand",
    "estimated": "was measured, and may err on the wrong side",
    "assumed": "was written down by whoever set up the experiment",
}

PUBLISHED = "What an observer of the release is told."
SAME = "Nothing in it depends on the forgotten rows."
DEPENDS = "Some of it depends on the forgotten rows, which no such claim should."
WITHHELD = (
    "This part is not part of the release. It follows from this very request, and is for the "
    "reader of the benchmark."
)


def statement(theorem: str) -> str:
    """The name of a statement and its id; a reason in words as it is."""
    name = statements.name(theorem)
    return name if name == theorem else f"{name} ({theorem})"
