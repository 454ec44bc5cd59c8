"""The checks: a package each, named after its subcommand, what several of them share, and the registry."""
