"""Whether RTP leaves the network and returns."""
