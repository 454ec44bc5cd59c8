"""Pre-flight checks for a SIP trunk: what is wrong, whose fault it is, and what proves it."""

# A constant, because importlib.metadata costs more than the rest of `--version`.
VERSION = "0.1.0"
