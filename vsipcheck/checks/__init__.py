"""The checks: one file each, named after its subcommand, and the registry."""
