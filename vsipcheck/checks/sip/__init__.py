"""Whether a SIP server answers over TCP, and what stands between."""
