"""The engine Ray: a pool of processes on this machine or on a cluster."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from neuronym._core.checks import missing_extra, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import Name, number, text, whole
from neuronym._core.terminal import counted
from neuronym.atlas.schema import EngineFacts
from neuronym.extraction.cache import Cache
from neuronym.extraction.shards import shard_length
from neuronym.pipeline.engines._pool import Pool
from neuronym.pipeline.engines._worker import Load, Worker, sample
from neuronym.pipeline.engines.base import ENGINES, Engine, Running

if TYPE_CHECKING:
    from neuronym.extraction.shards import Shard, Work
    from neuronym.pipeline.plan import Plan

#: More workers than this on one machine get several threads each, unless asked for otherwise.
MANY = 16
#: The port of Ray Client, which takes runs from machines that are not part of the cluster.
CLIENT = 10001


@dataclass(frozen=True)
class Shape:
    """How many workers there are and what each takes.

    Attributes:
        threads: of torch in each.
        cpus: the share of CPUs that each takes: together they leave one on every machine.
        gpus: cards that each takes.
    """

    workers: int
    threads: int
    cpus: float
    gpus: float

    @classmethod
    def of(
        cls,
        machines: Sequence[tuple[float, float]],
        *,
        cards: bool,
        most: int,
        workers: int | None = None,
        threads: int | None = None,
        gpus: float = 1.0,
    ) -> Shape:
        """Workers for machines of so many CPUs and GPUs each.

        Args:
            cards: networks run on GPUs.
            most: there is no work for more.
            workers, threads, gpus: as asked for.

        >>> Shape.of([(2, 0)], cards=False, most=100)
        Shape(workers=2, threads=1, cpus=0.5, gpus=0.0)
        >>> Shape.of([(64, 0)], cards=False, most=100)
        Shape(workers=16, threads=4, cpus=3.9375, gpus=0.0)
        >>> Shape.of([(96, 8), (96, 8)], cards=True, most=100)
        Shape(workers=16, threads=11, cpus=11.875, gpus=1.0)
        """
        fit, shares, own = 0, [], []
        for cpus, here in machines:
            if cards:
                room = math.floor(here / gpus + 1e-9)
                each = threads or max(1, int((cpus - 1) // max(room, 1)))
            else:
                each = threads or max(1, math.ceil(cpus / MANY))
                room = max(1, int(cpus // each)) if cpus >= 1 else 0
            if room:
                fit += room
                own.append(each)
                shares.append(max(cpus - 1, 0.5) / room)
        if not fit:
            raise NeuronymError(
                f"No machine of the cluster has {'a GPU' if cards else 'a CPU'} for a worker"
                + (f" that takes {gpus:g} of one." if cards else ".")
            )
        count = max(1, min(workers or fit, most))
        share = min(shares) * min(1.0, fit / count)  # more workers than fit share what there is
        return cls(count, min(own), math.floor(share * 1e4) / 1e4, gpus if cards else 0.0)


@ENGINES.register(
    "ray",
    syntax="ray[://ADDRESS][:workers=…,threads=…,gpus=…]",
    example="ray:workers=2",
    extra="ray",
)
@dataclass(frozen=True)
class Ray(Engine):
    """Workers of Ray, on this machine or, with an address, on a cluster.

    Args:
        address: of a cluster that is there: `HOST:6379` of its head on a machine that is part of
            it, `auto` for the one this machine is part of, `HOST:10001` through Ray Client. None:
            Ray is started here and ended with the run.
        workers: how many. None: on CPUs one for each, sixteen at most on a machine; one per card.
        threads: of each. None: so many that all CPUs have work.
        gpus: cards for each worker; 0.5 puts two on a card.
    """

    name: ClassVar[str] = "ray"
    address: str | None = text(None)  # type: ignore[misc]  # of its cluster, not of its class
    workers: int | None = whole(None, low=1)
    threads: int | None = whole(None, low=1)
    gpus: float = number(1.0, low=0.01, high=64)

    @classmethod
    def from_name(cls, name: Name) -> Self:
        """`ray`, `ray:workers=4`, `ray://HOST:PORT,workers=4`."""
        if name.detail.startswith("//") and len(name.detail) > 2:
            name = Name(name.kind, "", {"address": name.detail[2:], **name.params})
        elif name.detail:
            raise misuse("engine", "ray, or ray://ADDRESS", f"ray:{name.detail}")
        return super().from_name(name)

    @property
    def spec(self) -> str:
        """`ray://HOST:PORT,workers=4`."""
        if self.address is None:
            return super().spec
        rest = replace(self, address=None).spec.partition(":")[2]
        return f"{self.name}://{self.address}" + (f",{rest}" if rest else "")

    @contextmanager
    def start(self, plan: Plan, progress: Progress) -> Iterator[Running]:
        """Connect or start Ray, and workers in it; both end with the context."""
        with ExitStack() as stack:
            ray = stack.enter_context(_connected(self.address))
            machines = [
                (node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
                for node in ray.nodes()
                if node["Alive"]
            ]
            cards = plan.device.type == "cuda"
            shape = Shape.of(
                machines,
                cards=cards,
                most=-(-len(plan.probe) // shard_length(plan.settings.batch_size)),
                workers=self.workers,
                threads=self.threads,
                gpus=self.gpus,
            )
            pool = _pool(ray, plan, shape, progress)
            stack.callback(pool.close)
            facts = EngineFacts(name=self.spec, workers=shape.workers, threads=shape.threads)
            facts.gpus = shape.gpus if cards else None
            running = Running(facts=facts)

            def shards(work: Work, tick: Any) -> Iterator[tuple[Shard, int]]:
                yield from pool.shards(work, tick)
                facts.replaced, facts.again = pool.replaced, pool.again

            running.shards = shards
            if progress is not silent:
                on = f"{counted(len(machines), 'machine')}" if self.address else "this machine"
                each = counted(shape.threads, "thread") + (f", {shape.gpus:g} GPU" if cards else "")
                workers = counted(shape.workers, "worker")
                print(f"{'ray':<11} {workers} on {on}, each of {each}", file=sys.stderr)
            yield running


def _pool(ray: Any, plan: Plan, shape: Shape, progress: Progress) -> Pool:
    """Workers with what they need of a plan, being set up."""
    probe, s = plan.probe, plan.settings
    probe.prepare(len(probe), Cache(s.cache).root, s.threads, progress)
    load = Load(
        plan.target,
        plan.recorded,
        plan.encoder,
        probe,
        plan.device.type,
        plan.dtype,
        s.batch_size,
        shape.threads,
        plan.maps,
        sample(probe),
    )
    try:
        packed = load.packed(ray.cloudpickle)
    except Exception as error:
        raise NeuronymError(
            "Something of this run cannot be sent to the workers of the engine ray: "
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}. Give target, probe "
            "and encoder by name, or leave the engine out."
        ) from error
    groups = {"read": 1, "compute": 2, "talk": 1}
    made = ray.remote(
        num_cpus=shape.cpus, num_gpus=shape.gpus, max_restarts=0, concurrency_groups=groups
    )(Worker)

    def room() -> str:
        free = ray.available_resources()
        has = f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs are free"
        takes = f"Each takes {shape.cpus:g} CPUs and {shape.gpus:g} GPUs"
        return f"{takes}; {has} in the cluster."

    # Over all machines, rather than the first one full before the next.
    spread = made.options(scheduling_strategy="SPREAD")
    return Pool(ray, spread.remote, ray.put(packed), shape.workers, room)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """The module ray, connected; what is started for it ends with the context."""
    # Before ray is imported: it counts its users on the network, and tells of settings to come.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.cloudpickle
    except ImportError:
        raise missing_extra("The engine ray", "ray", "ray") from None
    if ray.is_initialized():  # by the user, who ends it, too
        yield ray
        return
    with ExitStack() as stack:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            # The paths of its sockets are short ones: a user's own temporary folder may be deep.
            base = "/tmp" if Path("/tmp").is_dir() else None
            folder = tempfile.mkdtemp(prefix="neuronym-ray-", dir=base)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            quiet |= {"address": "local", "_temp_dir": folder}
        else:
            client = address.endswith(f":{CLIENT}")
            quiet["address"] = f"ray://{address}" if client else address
        stack.callback(ray.shutdown)
        try:
            ray.init(**quiet)
        except Exception as error:
            what = f"at {address} cannot be reached" if address else "cannot be started here"
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NeuronymError(f"Ray {what}: {said}") from error
        stack.enter_context(_without_reports())
        yield ray


@contextmanager
def _without_reports() -> Iterator[None]:
    """Ray prints the deaths of workers to standard output, at length; the pool tells of them."""
    from ray._private import worker

    name = "print_to_stdstream"
    before = getattr(worker, name, None)
    if before is not None:  # else this Ray does it otherwise
        setattr(worker, name, lambda *args, **kwargs: None)
    try:
        yield
    finally:
        if before is not None:
            setattr(worker, name, before)
