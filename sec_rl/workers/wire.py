"""Messages over a socket, none of which can block for long: who is at the other end may have been stopped."""

from __future__ import annotations

import pickle
import socket
from typing import Any

# Longest pause in the middle of a message.
PAUSE_SECONDS = 30.0
_LENGTH_BYTES, _CHUNK_BYTES = 8, 1 << 20


class Wire:
    """One end. It trusts the other one: both were made by the same program, and messages are pickles.

    Args:
        end: a connected stream socket.
        pause_seconds: longest pause in the middle of a message, and before one; None: no limit.
    """

    def __init__(self, end: socket.socket, pause_seconds: float | None = PAUSE_SECONDS) -> None:
        self._socket = end
        end.settimeout(pause_seconds)

    def fileno(self) -> int:
        """Return the number of the socket, for `selectors`."""
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send something picklable.

        Raises:
            OSError: the other end is gone, or does not read.
        """
        content = pickle.dumps(message)
        self._socket.sendall(len(content).to_bytes(_LENGTH_BYTES, "big") + content)

    def receive(self) -> Any:
        """Return the next message.

        Raises:
            OSError: the other end is gone, or stopped in the middle of it.
        """
        return pickle.loads(self._exactly(int.from_bytes(self._exactly(_LENGTH_BYTES), "big")))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _exactly(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            chunk = self._socket.recv(min(length - len(content), _CHUNK_BYTES))
            if not chunk:
                raise ConnectionError("the other end is closed")
            content += chunk
        return bytes(content)
