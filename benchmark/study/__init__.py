"""One mechanism for every study: what it consists of, what is kept, and who runs it where."""
