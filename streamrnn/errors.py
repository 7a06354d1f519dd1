"""Every exception raised on purpose that may end a command, one tree with facts; knows no other module.

StreamrnnError
+-- ConfigError            a setting is wrong                         exit 2
+-- DataError              a file or argument is not what it must be  exit 2
+-- BundleError            a model on disk is refused                 exit 3
+-- EngineError            the device or its bookkeeping failed       exit 4
|   +-- CaptureVoid        the rows being copied for a snapshot were undone or dropped
+-- StateError             kept state is gone or cannot be trusted    exit 6
|   +-- StoreUnavailable   the store of snapshots does not answer (retriable)
+-- Damaged                a snapshot that is there is not what it should be
+-- NotInTime              something of ours was not done in time     exit 5
+-- BrokerError            Kafka said no                              exit 5
    +-- BrokerUnavailable  it may come back (retriable)
    |   +-- Unsettled      a transaction that may move the committed offset is pending
    |   +-- BatchTooLarge  the broker refused a batch, smaller ones may pass
    +-- BrokerRefused      password, certificate, rights
    +-- TopicError         a topic is missing or has the wrong shape
    |   +-- TopicReplaced  it was deleted, or made anew under its name
    +-- RecordRefused      the broker refused a record (too large)
    |   +-- RecordsRefused by the ticks they were made of
    +-- Rebalanced         the group has moved on (retriable)
    +-- TicksLost          retention was faster than the reader (retriable)
    +-- WorkerFenced       another worker has this one's name         exit 7
    +-- CorruptBatch       a batch of the log cannot be read
OSError
+-- NotPlain               a file is there and is refused unread
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


class CaptureVoid(EngineError):
    """What a capture was copying has been undone, dropped or loaded anew: take another."""

    retriable = True


class StateError(StreamrnnError):
    """State cannot be made what it was, and the settings say not to go on without."""

    exit_code = 6


class StoreUnavailable(StateError):
    """The store of snapshots does not answer; it may come back."""

    retriable = True


class Damaged(StreamrnnError):
    """A part or manifest of a snapshot is missing, torn, corrupt or another than it should be.

    Asking again does not help. A store that fails or is away raises an OSError instead, whose filename says where.
    """


class NotInTime(StreamrnnError):
    """A daemon, a recovery or a shutdown took longer than it may; what is slow need not be Kafka."""

    exit_code = 5
    retriable = True


class BrokerError(StreamrnnError):
    """Kafka refused or failed."""

    exit_code = 5


class BrokerUnavailable(BrokerError):
    """No broker answers; it may come back."""

    retriable = True


class Unsettled(BrokerUnavailable):
    """A transaction that may yet move the committed offset is pending: ask again, it ends or times out."""


class BatchTooLarge(BrokerUnavailable):
    """A batch of several records was refused, of `size` bytes: sent again in smaller ones they may pass."""

    def __init__(self, topic: str, size: int) -> None:
        self.size = size
        super().__init__(f"{topic}: a batch of {size} bytes is more than the broker takes (see output.batch_bytes)")


class BrokerRefused(BrokerError):
    """The broker answers and refuses: authentication, certificate or rights."""


class TopicError(BrokerError):
    """A topic is missing, or its partition count is not what the service needs."""


class TopicReplaced(TopicError):
    """The input topic was deleted, and perhaps made anew: what was made of it is nothing of the new one's."""


class RecordRefused(BrokerError):
    """The broker refused a record for good, for example because it is too large."""


class RecordsRefused(RecordRefused):
    """Records that `topic` refuses for good, by the place of the tick they were made of.

    A place is partition, offset, and index in the record's list. No other record of the interval is promised.
    """

    def __init__(self, topic: str, reasons: dict[tuple[int, int, int], str]) -> None:
        self.topic = topic
        self.reasons = reasons
        (partition, offset, _), why = min(reasons.items())
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        super().__init__(f"{topic}: what was made of tick {partition}:{offset}{more} is refused: {why}")


class Rebalanced(BrokerError):
    """The group has moved on: this worker no longer holds what it wanted to commit.

    Not a failure: the next rebalance that the group tells of says what it holds now.
    """

    retriable = True


class TicksLost(BrokerError):
    """Retention has deleted ticks that were to be read next: the partition is to be recovered."""

    retriable = True


class WorkerFenced(BrokerError):
    """Another worker of the same name has taken this one's place; started again, it would take it back."""

    exit_code = 7


class CorruptBatch(BrokerError):
    """A batch of the log cannot be read, and input.corrupt says not to go on behind it."""


class NotPlain(OSError):
    """A file is there and is refused unread: too large, not a plain file, or a link that leads elsewhere.

    An OSError, as all that a store raises.
    """
