"""Every exception raised on purpose, one tree with facts; knows no other module.

StreamrnnError
+-- ConfigError            a setting is wrong                         exit 2
+-- DataError              a file or argument is not what it must be  exit 2
+-- BundleError            a model on disk is refused                 exit 3
+-- EngineError            the device or its bookkeeping failed       exit 4
|   +-- StaleHandle        a slot handle outlived its stream
|   +-- CaptureVoid        the rows being copied for a snapshot were undone or dropped
+-- StateError             kept state is gone or cannot be trusted    exit 6
|   +-- StoreUnavailable   the store of snapshots does not answer (retriable)
+-- BrokerError            Kafka said no                              exit 5
    +-- BrokerUnavailable  it may come back (retriable)
    +-- BrokerRefused      password, certificate, rights
    +-- TopicError         a topic is missing or has the wrong shape
    |   +-- TopicReplaced  it was deleted, or made anew under its name
    +-- RecordRefused      the broker refused one record (too large)
    +-- WorkerFenced       another worker has this one's name         exit 7
    +-- CorruptBatch       a batch of the log cannot be read
"""

from typing import ClassVar


class StreamrnnError(Exception):
    """Base of all errors raised on purpose; the message names what and where."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class ConfigError(StreamrnnError):
    """A setting is missing, unknown or out of range."""

    exit_code = 2


class DataError(StreamrnnError):
    """A data file or argument is not what it must be; names the file, row and column."""

    exit_code = 2


class BundleError(StreamrnnError):
    """A model bundle is refused: damaged, unsafe, or not what its manifest says."""

    exit_code = 3


class EngineError(StreamrnnError):
    """The device or the engine's bookkeeping failed; the process must not go on."""

    exit_code = 4


class StaleHandle(EngineError):
    """A slot handle's generation is not the slot's: its stream was evicted or dropped."""


class CaptureVoid(EngineError):
    """What a capture was copying has been undone, dropped or loaded anew: take another."""

    retriable = True


class StateError(StreamrnnError):
    """State cannot be made what it was, and the settings say not to go on without."""

    exit_code = 6


class StoreUnavailable(StateError):
    """The store of snapshots does not answer; it may come back."""

    retriable = True


class BrokerError(StreamrnnError):
    """Kafka refused or failed."""

    exit_code = 5


class BrokerUnavailable(BrokerError):
    """No broker answers; it may come back."""

    retriable = True


class BrokerRefused(BrokerError):
    """The broker answers and refuses: authentication, certificate or rights."""


class TopicError(BrokerError):
    """A topic is missing, or its partition count is not what the service needs."""


class TopicReplaced(TopicError):
    """The input topic was deleted, and perhaps made anew: what was made of it is nothing of the new one's."""


class RecordRefused(BrokerError):
    """The broker refused one record for good, for example because it is too large."""


class WorkerFenced(BrokerError):
    """Another worker of the same name has taken this one's place; started again, it would take it back."""

    exit_code = 7


class CorruptBatch(BrokerError):
    """A batch of the log cannot be read, and input.corrupt says not to go on behind it."""
