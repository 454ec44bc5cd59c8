"""The public address, whose it is, and what NATs do to ports."""
