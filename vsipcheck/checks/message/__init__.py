"""INVITEs in a message or a trace."""
