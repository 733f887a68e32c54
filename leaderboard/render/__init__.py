"""What a page is written in: HTML, Markdown, a terminal's tables. None knows what a page says."""
