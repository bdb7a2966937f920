"""Train a network on the latencies of kernels, and predict with it: PerfNet's, ResPerfNet's, one for ratios.

The training loop of `juggler.models` classifies pictures and survives a kill; this one is for tables of some
thousand rows, regresses, and is over in minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from juggler.arrays import Arrays, Floats
from juggler.errors import ArtefactError
from juggler.nouns import Progress, ReportProgress
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import Epoch, Validation, check_target
from juggler.predict.learning.net_inputs import Inputs
from juggler.predict.learning.scores import mape

SCALE = 10.0  # the paper's Eq. 8: latencies in tenths of milliseconds, which its loss needs
CHANNELS = (128, 64, 32)  # ResPerfNet's three heads; the third is not given in the paper, 32 its blocks'
_HIDDEN, _DROPOUT = 128, 0.2
_LARGEST_LOG = 30.0
_SHOWN = 500  # training rows whose error is taken after each epoch: more would take as long as training


class Residual(nn.Module):
    """Two convolutions and a sum (Eq. 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Files of fitted networks name these: they stay `one` and `two`.
        self.one = nn.Conv1d(channels, channels, 3, padding=1)
        self.two = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n, channels, columns]` from the same."""
        y: Tensor = self.two(torch.relu(self.one(x)))
        return torch.relu(y + x)


class ResPerfNet(nn.Module):
    """The 26 layers of the paper's section 3: 15 convolutions, 6 sums, 4 dense layers, 1 dropout.

    Each of three groups is a head convolution and two residual blocks; the features are the one channel's
    columns. The last dense layer has one neuron.

    Args:
        columns: of features.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        groups: list[nn.Module] = []
        before = 1
        for channels in CHANNELS:
            head = nn.Conv1d(before, channels, 3, padding=1)
            groups += [head, nn.ReLU(), Residual(channels), Residual(channels)]
            before = channels
        self.groups = nn.Sequential(*groups)
        self.head = nn.Sequential(
            *(nn.Linear(before * columns, _HIDDEN), nn.ReLU()),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU()),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT)),
            nn.Linear(_HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n]` from `[n, columns]`."""
        answer: Tensor = self.head(self.groups(x.unsqueeze(1)).flatten(1))
        return answer.squeeze(1)


class Perceptron(nn.Module):
    """Dense layers with an activation between.

    Args:
        columns: of features.
        hidden: neurons, layer by layer.
        smooth: SiLU in place of ReLU.
    """

    def __init__(self, columns: int, hidden: tuple[int, ...], *, smooth: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((columns, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(before, after), nn.SiLU() if smooth else nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n]` from `[n, columns]`."""
        answer: Tensor = self.layers(x)
        return answer.squeeze(1)


def build(architecture: str, columns: int) -> nn.Module:
    """Return an untrained network.

    Raises:
        ArtefactError: no architecture has that name.
    """
    if architecture == "resperfnet":
        return ResPerfNet(columns)
    if architecture == "perfnet":
        # Wang et al. 2020 is quoted without its widths: a perceptron that widens, of PerfNet's depth.
        return Perceptron(columns, (32, 64, 128, 256))
    if architecture == "ratio":
        return Perceptron(columns, (192, 192, 96), smooth=True)
    raise ArtefactError(f"build the network {architecture!r}", "there is none", "Fit the learner again")


@dataclass(frozen=True)
class NetPlan:
    """How a network is built and trained.

    Attributes:
        architecture: as `build` names them.
        features: kind of features.
        transform: Box-Cox on matrix and kernel size.
        output: `scaled` (softplus of the answer is 10 t, as in the paper), `log` (the answer is log t) or
            `ratio` (it is the log of the ratio to a fitted roofline).
        epochs: passes over the training rows.
        rate: Adam's.
        batch: rows a step.
        decay_every: epochs after which the rate is multiplied by `decay_by`, again and again.
        decay_by: see there.
        l2: factor of the squared weights in the loss.
    """

    architecture: str
    features: str = "paper"
    transform: bool = False
    output: str = "scaled"
    epochs: int = 200
    rate: float = 0.1
    batch: int = 128
    decay_every: int = 40
    decay_by: float = 0.5
    l2: float = 0.1


@dataclass(frozen=True, eq=False)
class FittedNet:
    """A trained network.

    Attributes:
        plan: how it was built and trained.
        inputs: what it sees.
        roofline: by which a `ratio` is multiplied; else only kept.
        module: the network, in evaluation mode.
        span: least and largest latency in ms, or log ratio, that it answers.
        history: errors by epoch.
    """

    plan: NetPlan
    inputs: Inputs
    roofline: Roofline
    module: nn.Module
    span: tuple[float, float]
    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        return self.answers(torch.from_numpy(self.inputs.matrix(table)), self.roofline.latency_ms(table))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        fields = {"plan": asdict(self.plan), "inputs": self.inputs.to_dict(), "span": list(self.span)}
        weights = {name: tensor.numpy() for name, tensor in self.module.state_dict().items()}
        return {**fields, "roofline": self.roofline.to_dict()}, weights

    def answers(self, rows: Tensor, roofline_ms: Floats) -> Floats:
        """Return milliseconds `[n]` from inputs `[n, columns]` and what the roofline says."""
        low, high = self.span
        with torch.inference_mode():
            outputs = [self.module(batch) for batch in torch.split(rows, 1024)] if len(rows) else []
            raw = torch.nan_to_num(torch.cat([*outputs, torch.zeros(0)]).double())
            if self.plan.output == "ratio":
                ratio: Floats = np.exp(raw.clamp(low, high).numpy())
                return roofline_ms * ratio
            logs = self.plan.output == "log"
            found_ms = torch.exp(raw.clamp(max=_LARGEST_LOG)) if logs else softplus(raw) / SCALE
            milliseconds: Floats = found_ms.clamp(min=low).numpy()
            return milliseconds


def maple(answer: Tensor, target: Tensor) -> Tensor:
    """Return Eq. 7, the mean absolute percentage logarithmic error, of log(1 + y) against log(1 + t)."""
    return ((answer - target).abs() / target).mean()


def fit_net(
    plan: NetPlan,
    table: KernelTable,
    target_ms: Floats,
    *,
    seed: int,
    progress: ReportProgress | None = None,
    validation: Validation | None = None,
) -> FittedNet:
    """Train a network; what is random comes from the seed alone.

    Raises:
        DataError: as `juggler.predict.learning.learner.check_target`.
    """
    target = check_target(table, target_ms)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = Inputs.fit(plan.features, table, transform=plan.transform)
        roofline = Roofline.fit(table, target)
        ratio = np.log(target / roofline.latency_ms(table))
        relative = plan.output == "ratio"
        span = (float(ratio.min()), float(ratio.max())) if relative else (float(target.min()) / 2.0, math.inf)
        span = (span[0], min(span[1], 1e12))
        goals = {"ratio": ratio, "log": np.log(target), "scaled": np.log1p(SCALE * target)}
        goal = torch.from_numpy(goals[plan.output]).float()
        fitted = FittedNet(plan, inputs, roofline, build(plan.architecture, inputs.width), span)
        rows = torch.from_numpy(inputs.matrix(table))
        sides = [(rows[:_SHOWN], roofline.latency_ms(table)[:_SHOWN], target[:_SHOWN])]
        if validation is not None:
            held, answers = validation
            sides.append((torch.from_numpy(inputs.matrix(held)), roofline.latency_ms(held), answers))
        with flushed():
            history = _train(fitted, rows, goal, lambda number: _epoch(number, fitted, sides), progress)
    return FittedNet(plan, inputs, roofline, fitted.module, span, history)


@contextmanager
def flushed() -> Iterator[None]:
    """Take denormal numbers for zero: a penalty drives weights there, and each takes many times as long."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def restore_net(fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> FittedNet:
    """Return a trained network from its state.

    Raises:
        ValueError: the weights do not fit the network.
    """
    plan, inputs = NetPlan(**fields["plan"]), Inputs.from_dict(fields["inputs"])
    module = build(plan.architecture, inputs.width).eval().requires_grad_(False)
    try:
        module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    low, high = (float(bound) for bound in fields["span"])
    return FittedNet(plan, inputs, Roofline.from_dict(fields["roofline"]), module, (low, high))


def _train(
    fitted: FittedNet,
    rows: Tensor,
    goal: Tensor,
    after: Callable[[int], Epoch],
    progress: ReportProgress | None,
) -> tuple[Epoch, ...]:
    plan, module = fitted.plan, fitted.module
    # Adam's weight decay adds its factor times w to the gradient: that of factor / 2 times w squared.
    optimizer = torch.optim.Adam(module.parameters(), lr=plan.rate, weight_decay=2.0 * plan.l2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, plan.decay_every, plan.decay_by)
    history: list[Epoch] = []
    for epoch in range(1, plan.epochs + 1):
        module.train()
        sound = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        for batch in torch.split(torch.randperm(len(rows)), plan.batch):
            optimizer.zero_grad()
            answer = module(rows[batch])
            _loss(answer, goal[batch], plan.output).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        module.eval()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()):
            module.load_state_dict(sound)  # diverged: keep the last epoch that did not, and stop
            break
        history.append(after(epoch))
        if progress is not None:
            progress(Progress("fit", epoch, plan.epochs, "epochs"))
    module.eval().requires_grad_(False)
    return tuple(history)


def _loss(answer: Tensor, goal: Tensor, output: str) -> Tensor:
    if output == "scaled":
        return maple(torch.log1p(softplus(answer)), goal)
    return (answer - goal).abs().mean()


def _epoch(number: int, fitted: FittedNet, sides: Sequence[tuple[Tensor, Floats, Floats]]) -> Epoch:
    """Return the errors on training rows and, where there are any, on held ones."""
    errors: list[tuple[float, float]] = []
    for rows, roofline_ms, target in sides:
        predicted = fitted.answers(rows, roofline_ms)
        errors.append((mape(target, predicted), float(np.sqrt(((predicted - target) ** 2).mean()))))
    held = errors[1] if len(errors) > 1 else (None, None)
    return Epoch(number, *errors[0], *held)
