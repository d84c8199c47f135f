"""Holds `draft_parsers.py`, whose path users know; nothing else lives here."""
