"""Web pages over the tables and the store."""
