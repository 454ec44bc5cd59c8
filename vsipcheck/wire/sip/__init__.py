"""SIP messages as values: bytes in, messages with their deviations out, and back. RFC 3261, RFC 3581, RFC 5626.

The reader is tolerant: what can be understood is returned, with a `Deviation` for every rule that the bytes break,
since who broke which rule is evidence. Values keep the received text; `raw` joined gives the received bytes again.
Nothing but `WireError` is raised, for any bytes whatever, and every cost is linear in the input and capped.
"""
