"""The leaderboard: records in, a static page, Markdown, CSV and plots out."""
