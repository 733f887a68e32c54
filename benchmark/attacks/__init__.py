"""Membership attacks: classes found by being here.

An attack is a subclass of `RowAttack` or `ModelAttack` (benchmark/metrics/attacks.py) with
a name, a title, a source and `score`. Packages outside this repository register theirs through the
entry-point group `lethe.attacks`. The contract tests run over every attack without an edit.
"""
