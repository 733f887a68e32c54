"""The leaderboard: records in, a static page, Markdown, CSV and plots out."""

from leaderboard.board import build, check
from leaderboard.render.terminal import terminal_tables

__all__ = ["build", "check", "terminal_tables"]
