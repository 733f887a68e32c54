"""The leaderboard: records in, a static page, Markdown, CSV and plots out."""

from leaderboard.board import build, check, terminal_tables

__all__ = ["build", "check", "terminal_tables"]
