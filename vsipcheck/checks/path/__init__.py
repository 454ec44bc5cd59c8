"""The way to each address, hop by hop."""
