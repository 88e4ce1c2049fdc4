"""What the local server remembers: one SQLite database, in a file or in memory."""
