"""What the names resolve to, by whom, and whether that is true."""
