"""Membership attacks: one file each, found by being here.

A file declares one subclass of `RowAttack` or `ModelAttack` (benchmark/metrics/attack_contract.py)
with a name, a title, a source and `score`. Packages outside this repository register theirs through
the entry-point group `lethe.attacks`. The contract tests run over every attack without an edit.
"""
