"""Sans-IO codecs: bytes to values and back. Standard library only; raises nothing but WireError."""
