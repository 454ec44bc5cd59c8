"""The PBX's configuration, read as the PBX reads it."""
