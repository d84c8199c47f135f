"""Tables to tables, and pictures of them. Reads and writes no files."""
