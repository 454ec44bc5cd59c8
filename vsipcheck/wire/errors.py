"""The one exception of the codecs."""


class WireError(ValueError):
    """The bytes are not what the codec reads, or the value is not what it can write."""
