"""Calls to language models behind one small protocol: HTTP, embedded, scripted. Knows no store and no cohort."""
