"""Plan, calls, store: runs a cohort's generations as fast as the models answer, and never twice."""
