"""returnsd: tells what each returned product is, files what it is sure of, asks a person about the rest."""

__version__ = "0.1.0"
