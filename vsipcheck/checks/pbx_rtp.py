"""Two seconds of paced RTP to where an SDP answer wants it, and what came back to the port that our offer named."""

from __future__ import annotations

# Topic of the note that says what was sent and what came back.
RTP_NOTE = "pbx_rtp"
