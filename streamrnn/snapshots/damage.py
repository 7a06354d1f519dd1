"""What is wrong with a snapshot that is there, in words for people. Knows no store."""

from streamrnn.errors import StreamrnnError


class Damaged(StreamrnnError):
    """A part or manifest is missing, torn, corrupt or another than it should be; asking again does not help.

    A store that fails or is away raises an OSError instead, whose filename says where.
    """
