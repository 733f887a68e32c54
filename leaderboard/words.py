"""What the words on the board mean: shown on the page and in the Markdown."""

from __future__ import annotations

from benchmark.contract.certificate import Definition, Mode, Provenance, Verdict

INTRODUCTION = (
    "Lethe measures certified machine unlearning: a model is asked to forget some of the rows it "
    "was trained on, and answers without training anew. For every method the board shows how "
    "close the answer comes to retraining, what it costs, and whether the proof that comes with "
    "it holds on the very model it was given for."
)

READING = (
    "Each row is one method on one experiment and device: the mean over seeds ± the half-width "
    "of its 95 % t interval. With one seed there is no interval.",
    "A gap is a difference to the retrained model of the same seed, so that what varies between "
    "seeds cancels. The nearer to 0 the better, on either side.",
    "A row lacking seeds says so, and each of its means says over how many it is, as n. Nothing "
    "is filled in.",
    "A row in red is violated: on one seed or more the measured distance or ε exceeds the "
    "certified one, so the certificate is wrong whatever its verdict says.",
)

ORDER = (
    "The three yardsticks come first. Entries follow by verdict, a row having the weakest of its "
    "seeds', then by the mean over seeds of |test gap|, then by label."
)

BEST = (
    "Bold is best among a column's entries; for gaps that is the smallest mean size, without "
    "sign. ≈ marks an entry tied with the best: the 95 % t interval of their difference, taken "
    "seed by seed, holds 0. A row lacking seeds is never best, and in the columns on slack and "
    "realised ε neither is a vacuous or violated one. The certified (ε, δ) is not ranked: rows "
    "differ in what they define it against."
)

YARDSTICKS = {
    "reference": "the retrained model every gap is measured to",
    "floor": "retrained once more: with another seed, how far apart two perfect answers are; for a "
    "budget of epochs, what as much compute gives without the original",
    "ceiling": "the original model, unchanged: what nothing at all achieves",
}

VERDICTS: dict[Verdict, str] = {
    "exact": "By construction the release is what retraining would publish, or (reference) what "
    "another algorithm publishes that never saw a row to forget.",
    "proved": "A theorem gives (ε, δ), and every constant in it holds by proof or full "
    "computation.",
    "conditional": "A theorem gives (ε, δ), but a constant in it was estimated or assumed, or a "
    "hypothesis is false or unchecked.",
    "local": "The statement is about nearness to a stationary point, not about (ε, δ).",
    "vacuous": "The bound is no better than the one doing nothing has.",
    "none": "The method proves nothing.",
}

DEFINITIONS: dict[Definition, str] = {
    "retrain": "Against the retrained model itself, A(D_r) (Guo et al. 2020).",
    "unlearn-on-retain": "Against the retrained model put through the same release noise "
    "(Sekhari et al. 2021; Zhang et al. 2024).",
    "reference": "Against some algorithm of the retained rows D_r alone (Koloskova et al. 2025).",
    "local": "Near a stationary point; not an (ε, δ) statement.",
}

MODES: dict[Mode, str] = {
    "budgeted": "The noise was fixed before the request was seen.",
    "instance": "The noise follows from what was measured on this very request: instance-wise, "
    "not a DP-style guarantee.",
    "noiseless": "No noise is needed: the release is what retraining publishes.",
}

PROVENANCES: dict[Provenance, str] = {
    "exact": "holds by a proof or a full computation",
    "estimated": "was measured, and may err on the wrong side",
    "assumed": "was written down by whoever set up the experiment",
}
