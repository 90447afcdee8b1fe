"""Several hosts that train one network together, by JAX: which they are, and what they exchange."""

import hashlib
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .interrupts import TrainingStopped

# A host that has sent nothing for this long counts as lost.
HEARTBEAT_SECONDS = 20
# For a while after this one has come, the others may still be starting.
_START_SECONDS = 300
# Errors of what connects hosts, where another one was lost.
_LOST = re.compile(r"gloo|nccl|coordination service|connection (closed|reset)|socket", re.I)


@dataclass(frozen=True)
class Hosts:
    """The hosts of a training. A single one is no special case: it exchanges nothing.

    Every method that exchanges something must be called on all hosts, in the same order.

    Args:
        addresses: `HOST:PORT` of each; the first one coordinates the others at its port.
        index: Which of them this one is.
    """

    addresses: tuple[str, ...] = ("",)
    index: int = 0

    @property
    def count(self) -> int:
        """Number of hosts."""
        return len(self.addresses)

    @property
    def is_first(self) -> bool:
        """Whether this host writes the files of the training."""
        return self.index == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This host's part of the data, and how many parts there are."""
        return self.index, self.count

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Connects the hosts, before JAX computes anything; at the end all wait for the last one.

        If another host is lost meanwhile, JAX ends this process within half a minute with a
        message that names it, and not with a Python exception. Inside this context it may be
        entered again, which does nothing: JAX connects once in a process.
        """
        if self.count == 1:
            yield
            return
        import jax

        distributed: Any = jax.distributed
        if distributed.is_initialized():
            yield
            return
        handler = signal.getsignal(signal.SIGTERM)
        distributed.initialize(
            self.addresses[0],
            self.count,
            self.index,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # which JAX has replaced
        try:
            yield
        except TrainingStopped:  # on all hosts
            distributed.shutdown()
            raise
        except Exception as error:
            if _LOST.search(str(error)):
                # JAX is going to end the process, and to name the host.
                time.sleep(3 * HEARTBEAT_SECONDS)
            raise
        distributed.shutdown()

    def gather(self, values: Any) -> list[np.ndarray]:
        """Returns the arrays of all hosts, which have one shape and dtype."""
        array = np.asarray(values)
        if self.count == 1:
            return [array]
        from jax.experimental import multihost_utils

        # As bytes: JAX has no float64 and no int64.
        rows = multihost_utils.process_allgather(_to_bytes(array))
        return [_from_bytes(row, array) for row in rows]

    def add_up(self, values: Any) -> np.ndarray:
        """Returns the sum of the arrays of all hosts."""
        return np.sum(self.gather(values), axis=0)

    def any(self, flag: bool) -> bool:
        """Returns whether it is true on any host."""
        return any(bool(value) for value in self.gather(np.array(flag)))

    def first(self, value: float) -> float:
        """Returns the value of the first host."""
        return float(self.gather(np.array(value, "float64"))[0])

    def share(self, array: np.ndarray) -> np.ndarray:
        """Returns the array of the first host; the others give any of that shape and dtype."""
        if self.count == 1:
            return array
        from jax.experimental import multihost_utils

        return _from_bytes(multihost_utils.broadcast_one_to_all(_to_bytes(array)), array)

    def share_text(self, text: str) -> str:
        """Returns the text of the first host."""
        if self.count == 1:
            return text
        content = np.frombuffer(text.encode(), "uint8")
        length = int(self.first(len(content)))
        return bytes(self.share(np.resize(content, length))).decode()

    def check_same(self, what: str, content: str) -> None:
        """Raises ValueError on all hosts unless a text is the same on all."""
        digest = np.frombuffer(hashlib.sha256(content.encode()).digest(), "uint8")
        digests = self.gather(digest)
        others = [i for i, other in enumerate(digests) if bytes(other) != bytes(digests[0])]
        if others:
            names = ", ".join(f"{i} ({self.addresses[i]})" for i in others)
            raise ValueError(
                f"All hosts must have the same {what}. They differ from those of host 0 on: host "
                f"{names}. Start all hosts with the same command but --host-index, and give them "
                "the same data."
            )


def _to_bytes(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes(), "uint8")


def _from_bytes(content: Any, like: np.ndarray) -> np.ndarray:
    """Returns the array that `_to_bytes` took, of which one of that shape and dtype is known."""
    values: np.ndarray = np.frombuffer(np.asarray(content).tobytes(), like.dtype)
    return values.reshape(like.shape)


# The training on one host.
ALONE = Hosts()


def find_hosts(text: str, index: int | None, environment: Mapping[str, str]) -> Hosts:
    """Returns the hosts that a command names, or a cluster.

    Args:
        text: `HOST:PORT,HOST:PORT`; several names at once as `node[1-3,7]:PORT`; or `slurm` for
            the tasks of a job step of SLURM.
        index: Which of them this one is; by default as SLURM or Kubernetes numbers it.
        environment: That of the process.

    Raises:
        ValueError: If something is missing, or does not fit.

    Example:
        >>> find_hosts("node[08-10]:9000", 2, {}).addresses
        ('node08:9000', 'node09:9000', 'node10:9000')
    """
    if text == "slurm":
        hosts = _slurm_hosts(environment)
        return hosts if index is None else Hosts(hosts.addresses, _checked(index, hosts.addresses))
    addresses = tuple(expand_names(text))
    if len(addresses) < 2 or not all(re.fullmatch(r".+:\d+", a) for a in addresses):
        raise ValueError(
            "`hosts` must be at least two addresses, such as a:9000,b:9000 or node[1-3]:9000, or "
            f"slurm. Received: hosts={text!r}."
        )
    if index is None:
        for name in ("SLURM_PROCID", "JOB_COMPLETION_INDEX"):
            if name in environment:
                return Hosts(addresses, _checked(int(environment[name]), addresses, name))
        raise ValueError(
            "`host_index` must be given: 0 on the first of the hosts, 1 on the second, and so on. "
            "(It is known where SLURM sets SLURM_PROCID, or an indexed job of Kubernetes "
            "JOB_COMPLETION_INDEX.)"
        )
    return Hosts(addresses, _checked(index, addresses))


def expand_names(text: str) -> list[str]:
    """Returns the names in a list in the notation of SLURM.

    >>> expand_names("a[1-2,09-10]:9,b")
    ['a1:9', 'a2:9', 'a09:9', 'a10:9', 'b']
    """
    names = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        expanded = [""]
        for piece in re.split(r"(\[[^\]]*\])", part):
            ends = _numbers(piece[1:-1]) if piece.startswith("[") else [piece]
            expanded = [name + end for name in expanded for end in ends]
        names += expanded
    return names


def _numbers(text: str) -> list[str]:
    numbers = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if not high:
            numbers.append(low)
            continue
        numbers += [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
    return numbers


def _slurm_hosts(environment: Mapping[str, str]) -> Hosts:
    try:
        nodes = expand_names(environment["SLURM_STEP_NODELIST"])
        count, index = int(environment["SLURM_NTASKS"]), int(environment["SLURM_PROCID"])
        job = int(environment["SLURM_JOB_ID"])
    except KeyError as error:
        raise ValueError(
            f"`hosts` is slurm, but {error} is not set: start the training inside a job, by srun."
        ) from error
    if count < 2:
        raise ValueError(f"`hosts` is slurm, but the step has {count} task. Start it with more.")
    # The jobs of a node get different ports. Only the first one's is used.
    port = 61440 + job % 4096
    # Which task runs on which node is known where there is one on each.
    names = nodes if len(nodes) == count else [nodes[0], *(f"task {i}" for i in range(1, count))]
    return Hosts(tuple(f"{name}:{port}" for name in names), index)


def _checked(index: int, addresses: tuple[str, ...], name: str = "host_index") -> int:
    if not 0 <= index < len(addresses):
        raise ValueError(
            f"`{name}` must be a number from 0 to {len(addresses) - 1}, one for each of the "
            f"{len(addresses)} hosts. Received: {name}={index}."
        )
    return index
