"""The overview: one list of rows of every problem, and what each method amounts to in a track."""

from __future__ import annotations

from leaderboard.overview.cards import Card, cards
from leaderboard.overview.overview import Overview, overview
from leaderboard.overview.ranking import RULE, Standing
from leaderboard.overview.row import OverviewRow
from leaderboard.overview.track import Track

__all__ = [
    "RULE",
    "Card",
    "Overview",
    "OverviewRow",
    "Standing",
    "Track",
    "cards",
    "overview",
]
