"""The front page: one file that finds, ranks, compares and exports, without a network."""

from __future__ import annotations

from leaderboard.front.front import render_front, same_front

__all__ = ["render_front", "same_front"]
