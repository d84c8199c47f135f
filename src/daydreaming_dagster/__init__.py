"""DayDreaming: experiments on how language models have ideas, as Dagster assets over a store of plain files."""

__version__ = "0.1.0"
