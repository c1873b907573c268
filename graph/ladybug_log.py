"""Where the log of an embedded database ends, if its process was killed while it wrote it."""

from __future__ import annotations

# As ladybug 0.22 writes it: the database's id (16 bytes), whether records have checksums (1) and
# the checksum of both (8); then records, each its length (8), its kind and content, and the
# checksum of these (8). What begins a transaction and what commits it have no content.
_HEADER = 25
_AROUND = 16
_BEGIN = bytes.fromhex("09000000000000000100000000000000009a5330c505cb3899")
_COMMIT = bytes.fromhex("0900000000000000020000000000000000517d1de0b202d058")


def committed_end(log: bytes) -> int | None:
    """The end of the last transaction that was committed, in bytes, if behind it the log is torn.

    A process that is killed, or a machine that loses power, leaves a record half written, of a
    transaction that nobody has been told of. That one can go; the database itself refuses the
    whole log for it (https://github.com/LadybugDB/ladybug/issues/714).

    Returns:
        None if the log ends with a whole record, is of another form, or has a commit behind that
        end: then it is damaged in another way, and nothing may be dropped. What lies before the end
        is not checked; the database does that.
    """
    if not _BEGIN.startswith(log[_HEADER : _HEADER + len(_BEGIN)]):
        return None
    committed, at = 0, _HEADER
    while at < len(log):
        length = int.from_bytes(log[at : at + 8], "little")
        after = at + length + _AROUND
        if length == 0 or after > len(log):
            return None if _COMMIT in log[committed:] else committed
        if log.startswith(_COMMIT, at):
            committed = after
        at = after
    return None if len(log) >= _HEADER else 0
