"""`juggler.flatten`: the exact rewriting of `transform`, with a clock in its hand.

`transform` knows no runtime: it is handed what prices a network. Here that is a `Timer` on the backend that
is chosen, and the flat network as a whole is held against what the same runtime makes of the original.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from juggler import transform
from juggler.clock.race import Ratio, race, ratio
from juggler.errors import ConfigError, JugglerError, Refused, first_line
from juggler.nouns import Decision, Refusal, Rewrite
from juggler.runtime.importers._comparison import source_checks
from juggler.runtime.modules import copy_ends, examples
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS, Session
from juggler.runtime.tuning.timer import Call, Timer, opened
from juggler.transform import Flattened
from juggler.transform.plan.forms import AS_IT_IS
from juggler.transform.plan.policy import Cost, Policy
from juggler.transform.rewrite.rule import Rule

ROUNDS = 24
BLOCK_MS = 15.0
WHOLE = "the whole network"
EXECUTING = re.compile(r"While executing %(\w+)")  # of torch.fx


def flatten(
    model: nn.Module,
    example: Tensor,
    *,
    inputs: Tensor | None = None,
    policy: Policy = "work",
    backend: str = "onnxruntime",
    threads: int | None = None,
    cost: Cost | None = None,
    use: Sequence[Rule] | None = None,
    on_rewrite: Callable[[Rewrite], None] | None = None,
) -> Flattened:
    """Rewrite a network into a shorter one that computes the same function, and prove it.

    Works on any network that torch.fx can trace; `model` itself is never changed. With `policy="measure"`
    the forms of every linear region are timed against each other on the backend, and at last the flat
    network against the original, which the runtime optimises by itself: where the flat one is slower, the
    network is handed back as it was.

    Args:
        model: network in evaluation mode.
        example: one input, `[batch, channels, *space]`, of the network's element type; forms are timed at
            its size and batch.
        inputs: real inputs, `[n, channels, *space]`, on which the predicted class must agree.
        policy: `work` takes the form of fewest multiply-accumulates; `measure` the one that is fastest on
            the backend; `model` the one that `cost` says is cheapest; `always` fuses whatever can be fused;
            `never` rewrites nothing.
        backend: what `measure` times on.
        threads: cores that one call may use there; None is the backend's own choice.
        cost: prices a small network for its example inputs, instead of the timer; `model` needs it.
        use: rules to use; all registered ones by default.
        on_rewrite: called with each rewrite as it is made.

    Returns:
        The flat network with its rewrites, refusals, decisions and certificate. With `measure` the last
        decision is about the network as a whole, where anything was rewritten.

    Raises:
        ConfigError: no such policy or backend, or `model` without a cost.
        Unavailable: the backend cannot work here.
        Refused: the network is in training mode, cannot be traced, or does not run on the example.
    """
    runtime = BACKENDS.get(backend)
    exact = _Exact(model, example, inputs, use)
    if policy != "measure":
        return _with_source(exact.flatten(policy, cost, on_rewrite), model)
    require(runtime)
    price = cost or Timer(backend, threads=threads)
    done = _with_unpriced_forms(exact.flatten(policy, price, on_rewrite), price)
    held = _compared_with_original(exact, done, backend, threads) if done.rewrites else done
    return _with_source(held, model)


def _with_source(done: Flattened, model: nn.Module) -> Flattened:
    """Keep what the file calls its ends, and put into the certificate how the network compares with it."""
    copy_ends(done.model, model)
    return replace(done, certificate=replace(done.certificate, source=source_checks(model)))


@dataclass(frozen=True)
class _Exact:
    """A network that may be flattened more than once."""

    model: nn.Module
    example: Tensor
    inputs: Tensor | None
    use: Sequence[Rule] | None

    def flatten(
        self, policy: Policy, cost: Cost | None = None, on_rewrite: Callable[[Rewrite], None] | None = None
    ) -> Flattened:
        options = {"policy": policy, "cost": cost, "use": self.use, "on_rewrite": on_rewrite}
        try:
            return transform.flatten(self.model, self.example, inputs=self.inputs, **options)  # type: ignore[arg-type]
        except JugglerError:
            raise
        except Exception as error:  # a module of the user's may do whatever it likes
            node = EXECUTING.search(str(error))
            raise Refused(
                "flatten the network",
                f"{f'at node {node[1]}: ' if node else ''}{type(error).__name__}: {first_line(error)}",
                "Flatten the parts of it that are plain tensor arithmetic, and please report the network",
            ) from error


@dataclass(frozen=True)
class OriginalComparison:
    """A flat network held against the original on one runtime.

    Attributes:
        wide_ms: median call of the original, in milliseconds.
        flat_ms: median call of the flat network.
        ratio: how many times longer the flat one takes, with its 95 % interval.
    """

    wide_ms: float
    flat_ms: float
    ratio: Ratio

    @property
    def is_slower(self) -> bool:
        """Say whether the interval lies wholly on the slower side."""
        return self.ratio.low > 1.0

    def __str__(self) -> str:
        return (
            f"{self.flat_ms:.4g} ms against {self.wide_ms:.4g} ms, {self.ratio.median:.3f} times as long "
            f"(95 % interval {self.ratio.low:.3f} to {self.ratio.high:.3f})"
        )


def compare_with_original(
    wide: nn.Module,
    flat: nn.Module,
    example: Tensor,
    *,
    backend: str = "onnxruntime",
    threads: int | None = None,
    rounds: int = ROUNDS,
) -> OriginalComparison:
    """Race a flat network against the original, each as the runtime optimises it, in one interleaved race.

    Args:
        wide: the original, in evaluation mode.
        flat: the flat network.
        example: one input, `[batch, channels, *space]`, of which shape and element type count.
        backend: what runs both.
        threads: cores that one call may use; None is the backend's own choice.
        rounds: turns of each.

    Raises:
        ConfigError: one of them cannot be exported.
        ArtefactError: the backend cannot open one of them.
        Unavailable: the backend cannot work here.
    """
    calls = {}
    with ExitStack() as stack:
        for name, network in {"wide": wide, "flat": flat}.items():
            session, calls[name] = _opened(network, example, backend, threads)
            stack.enter_context(session)
        raced = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=0.5)
    medians = {name: float(np.median(samples.round_medians_ms)) for name, samples in raced.items()}
    return OriginalComparison(medians["wide"], medians["flat"], ratio(raced["flat"], raced["wide"]))


def _opened(network: nn.Module, example: Tensor, backend: str, threads: int | None) -> tuple[Session, Call]:
    """Open a network, or its graph where it returns more than tensors."""
    inputs = examples(example)
    try:
        return opened(network, inputs, backend, threads)
    except ConfigError:
        return opened(transform.trace(network, example), inputs, backend, threads)


def _compared_with_original(exact: _Exact, done: Flattened, backend: str, threads: int | None) -> Flattened:
    """Return the flat network with a decision on the whole, or the original where that is faster."""
    try:
        comparison = compare_with_original(
            exact.model, done.model, exact.example, backend=backend, threads=threads
        )
    except JugglerError as error:
        text = f"not held against the original on {backend}: {error.found}"
        return replace(done, decisions=(*done.decisions, _decision(done, "flat", None, text)))
    return _decided_by_race(exact, done, backend, comparison)


def _decided_by_race(
    exact: _Exact, done: Flattened, backend: str, comparison: OriginalComparison
) -> Flattened:
    if not comparison.is_slower:
        decision = _decision(done, "flat", comparison, f"the flat network takes {comparison} on {backend}")
        return replace(done, decisions=(*done.decisions, decision))
    reason = f"the flat network is slower than what {backend} makes of the original: {comparison}"
    refusal = Refusal(
        WHOLE,
        tuple(rewrite.result for rewrite in done.rewrites),
        f"all rewrites were taken back: {reason}",
        'Flatten it with policy="work" to have them all the same, or choose another backend',
    )
    plain = exact.flatten("never")
    decision = _decision(done, AS_IT_IS, comparison, reason)
    return replace(plain, refusals=(refusal, *done.refusals), decisions=(*plain.decisions, decision))


def _with_unpriced_forms(done: Flattened, price: Cost) -> Flattened:
    """Say which forms the backend could not run; their infinite prices are none, and no JSON either."""
    unfit: dict[str, str] = getattr(price, "unfit", {})
    refusals = tuple(
        Refusal("price", (), f"a form of a region was not priced: {reason}", "Choose another backend for it")
        for reason in dict.fromkeys(unfit.values())
    )
    return replace(
        done,
        refusals=(*done.refusals, *refusals),
        decisions=tuple(
            replace(
                decision,
                latency_before_ms=_finite(decision.latency_before_ms),
                latency_after_ms=_finite(decision.latency_after_ms),
            )
            for decision in done.decisions
        ),
    )


def _finite(latency_ms: float | None) -> float | None:
    return latency_ms if latency_ms is not None and math.isfinite(latency_ms) else None


def _decision(done: Flattened, form: str, comparison: OriginalComparison | None, reason: str) -> Decision:
    return Decision(
        region=WHOLE,
        form=form,
        macs_before=done.wide_graph.macs,
        macs_after=(done.wide_graph if form == AS_IT_IS else done.flat_graph).macs,
        latency_before_ms=comparison.wide_ms if comparison else None,
        latency_after_ms=(comparison.wide_ms if form == AS_IT_IS else comparison.flat_ms)
        if comparison
        else None,
        reason=reason,
    )
