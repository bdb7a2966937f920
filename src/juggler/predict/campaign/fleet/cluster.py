"""Open the Ray cluster that a fleet lives in: one that runs already, or a small one on this machine.

Ray's telemetry and dashboard are off. A cluster of this machine listens on the loopback alone, and whoever
has not its token, drawn anew each time, can do nothing with the ports that Ray opens there.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from juggler.errors import ConfigError, JugglerError, Unavailable
from juggler.extras import install_command
from juggler.files import scratch_folder
from juggler.nouns import Machine
from juggler.predict.campaign.fleet.worker import TURN, FleetWorker, Introduction
from juggler.predict.campaign.store.measurements import turn_of
from juggler.predict.campaign.timing import RoundTiming, UnsupportedKernel
from juggler.predict.kernels.spec import KernelSpec

LOCAL = "local:"
MOST_LOCAL = 64
# Ray listens on the loopback alone where its address is 127.0.0.1; yet it puts the outer one in its place,
# unless it takes the system for one of those on which it makes no clusters of several machines.
LOOPBACK, ALONE = "127.0.0.1", {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
OTHER_LOOPBACK = "127.0.0.2"  # which Ray leaves as it is, though it then listens to all
OBJECT_STORE_BYTES = 100 << 20  # a turn is a kilobyte
CONNECT_S, START_S, TURN_S = 5.0, 180.0, 900.0


class Lost(JugglerError):  # noqa: N818  # it names a state, as `Unavailable` does
    """A worker is gone: its process died, or its machine does not answer."""


@dataclass(frozen=True)
class Member:
    """One worker of a fleet, as the driver sees it: a `juggler.predict.campaign.block.KernelTimer`.

    Attributes:
        name: of its machine, or its number on this one.
        machine: its record.
        memory_bytes: that it may think its own.
        pid: of its process, there.
        actor: Ray's handle.
    """

    name: str
    machine: Machine
    memory_bytes: int
    pid: int
    actor: Any

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Return the kernel: drivers adapt what they draw before they give it out."""
        return spec

    def take(self, spec: KernelSpec) -> RoundTiming:
        """Time one kernel there for one round.

        Raises:
            UnsupportedKernel: the runtime does not make this kernel.
            Lost: the worker is gone.
        """
        kind, text = _answer(self.actor.take.remote(spec.to_json()), self.name, TURN_S)
        if kind != TURN:
            raise UnsupportedKernel(f"time {spec.family} on {self.name}", text, "Leave it out")
        return turn_of(text)


@dataclass(frozen=True)
class Fleet:
    """The workers that can work, and why others cannot."""

    members: tuple[Member, ...]
    absent: tuple[str, ...]


@contextmanager
def open_fleet(address: str, backend: str, threads: int) -> Iterator[Fleet]:
    """Connect to a cluster, or start one, with a worker a device; leave it as it was found.

    Args:
        address: `local:N` for N workers on this machine, or the address of a Ray cluster, `HOST:PORT`.
        backend: what workers run kernels on.
        threads: cores that a kernel may use.

    Raises:
        ConfigError: neither of these, or this process is in a cluster already.
        Unavailable: ray is not installed, nothing answers there, or no worker can work.
    """
    workers = _local_workers(address)
    with nullcontext() if workers is None else _guarded():
        ray = _ray()
        if ray.is_initialized():
            fault = "this process is in a Ray cluster already"
            raise ConfigError(f"open the fleet {address}", fault, "Call ray.shutdown() before")
        with _connected(ray, address) if workers is None else _started(ray, workers * threads):
            places = _nodes(ray, threads) if workers is None else _places(workers)
            yield _introduced(ray, address, places, backend, threads)


def _local_workers(address: str) -> int | None:
    """Return how many workers are asked for on this machine; None where it is an address."""
    remedy = "Give local:2, or the address of a Ray cluster, such as 10.0.0.1:6379"
    if address.startswith(LOCAL):
        number = address.removeprefix(LOCAL)
        if not (number.isdecimal() and 1 <= int(number) <= MOST_LOCAL):
            fault = f"{number!r} workers, not 1 to {MOST_LOCAL}"
            raise ConfigError(f"open the fleet {address!r}", fault, remedy)
        return int(number)
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ConfigError(f"open the fleet {address!r}", "neither local:N nor HOST:PORT", remedy)
    return None


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415  # heavy, and an extra
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise Unavailable(
            "open a fleet", "ray is not installed", f"Run: {install_command('train', 'fleet')}"
        ) from error
    return ray


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn telemetry off, and let nobody in without a token, for a cluster that is started meanwhile.

    Its workers run with the priority of this process: Ray's own, 15 steps lower, would time the neighbours.
    """
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", **ALONE}
    if token := _token():
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@lru_cache(maxsize=1)
def _token() -> str | None:
    """Return this process's token; None where somebody else has imported Ray, which reads it only then."""
    return None if "ray" in sys.modules else secrets.token_hex(32)


@lru_cache(maxsize=1)
def _loopback() -> str:
    """Return the address of a cluster of this machine; another one where Ray has read its settings before."""
    return OTHER_LOOPBACK if _token() is None else LOOPBACK


@contextmanager
def _started(ray: Any, cpus: int) -> Iterator[None]:
    """Start a cluster on this machine, and take it down with all that it wrote."""
    with scratch_folder() as folder:
        try:
            ray.init(
                num_cpus=cpus, num_gpus=0, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False,
                log_to_driver=False, logging_level=logging.CRITICAL, _node_ip_address=_loopback(),
                _temp_dir=str(folder),
            )  # fmt: skip
            yield
        finally:
            ray.shutdown()


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Connect to a cluster that runs; it goes on running."""
    remedy = "Run this on the cluster's head. Start one with: ray start --head --port 6379 --num-cpus 0"
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError) as error:  # a ConnectionError is an OSError
        fault = f"no cluster answers there ({error})"
        raise Unavailable(f"open the fleet {address}", fault, remedy) from error
    try:
        yield
    finally:
        ray.shutdown()


def _places(workers: int) -> list[tuple[str, Any]]:
    return [(f"worker {number}", None) for number in range(1, workers + 1)]


def _nodes(ray: Any, threads: int) -> list[tuple[str, Any]]:
    """Return the machines of a cluster that have cores to give, one that is bound to each."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    return [
        (str(node["NodeManagerHostname"]), NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0.0) >= threads
    ]


def _introduced(ray: Any, address: str, places: list[tuple[str, Any]], backend: str, threads: int) -> Fleet:
    """Start a worker at each place and let it say what it is."""
    worker = ray.remote(FleetWorker)
    actors = [
        worker.options(num_cpus=threads, max_restarts=0, scheduling_strategy=where).remote(backend, threads)
        for _, where in places
    ]
    waiting = [actor.introduce.remote() for actor in actors]
    members, absent = [], []
    for (name, where), actor, reference in zip(places, actors, waiting, strict=True):
        try:
            introduction = Introduction.from_json(_answer(reference, name, START_S))
        except Lost as error:
            absent.append(str(error))
            continue
        if introduction.missing:
            absent.append(f"{name}: {introduction.missing}")
            continue
        memory_bytes = introduction.memory_bytes // (len(places) if where is None else 1)
        members.append(
            Member(name, Machine.from_json(introduction.machine), memory_bytes, introduction.pid, actor)
        )
    if not members:
        fault = "; ".join(absent) or f"no machine with {threads} cores to give"
        raise Unavailable(
            f"measure on the fleet {address}", fault, "Install juggler[train,fleet] on its machines"
        )
    return Fleet(tuple(members), tuple(absent))


def _answer(reference: Any, name: str, most_s: float) -> Any:
    """Wait for a worker's answer.

    Raises:
        Lost: it is gone, failed, or says nothing.
    """
    import ray  # noqa: PLC0415

    try:
        return ray.get(reference, timeout=most_s)
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The last line of a failed call is its own error; of a dead worker the first says it best.
        said = lines[-1] if isinstance(error, ray.exceptions.RayTaskError) else lines[0] if lines else ""
        remedy = "What it measured is kept; the same line goes on"
        raise Lost(f"measure on {name}", said or type(error).__name__, remedy) from error
