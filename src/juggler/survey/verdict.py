"""What the figures say, in sentences: which network, on which array, at which precision, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

from juggler.survey.amount import UNAVAILABLE
from juggler.survey.results import AtPrecision, Surveyed

WITHIN_POINTS, TOLERATED_POINTS = 3.0, 1.0
MUCH = 1.5


def verdict(networks: Sequence[Surveyed], budget: int) -> tuple[str, ...]:
    """Return the survey's verdict, the recommendation first.

    Args:
        networks: those surveyed.
        budget: processing elements that an array may have.
    """
    scored = [network for network in networks if network.value("top1") is not None]
    lines = []
    if scored:
        lines += [_recommended(scored), _front(scored)]
        untold = [network for network in networks if network not in scored]
        if untold:
            lines.append(f"Not compared there, for no accuracy of theirs is known: {_and(untold)}.")
    else:
        lines.append(
            "No accuracy is known of these networks, so none can be recommended over another: give "
            "--pictures and --weights, or compare their costs."
        )
    lines.append(_extremes(networks))
    if len(networks) > 1:
        lines.append(_one_array(networks, budget))
    lines.append(_precision(networks))
    return tuple(lines)


def chosen_precision(network: Surveyed) -> AtPrecision:
    """Return the narrowest precision whose loss is not known to be more than a point."""
    for at_precision in network.precisions:
        if at_precision.loss.value is None or at_precision.loss.value <= TOLERATED_POINTS:
            return at_precision
    return network.precisions[-1]


def front(networks: Sequence[Surveyed]) -> list[Surveyed]:
    """Return those that no other beats or equals in accuracy, cycles and energy, and beats in one of them."""
    return [network for network in networks if not any(_beats(rival, network) for rival in networks)]


def pick(networks: Sequence[Surveyed]) -> Surveyed:
    """Return, of those within 3 points of the most accurate, the one of the least energy times cycles."""
    best = max(_top1(network) for network in networks)
    close = [network for network in networks if _top1(network) >= best - WITHIN_POINTS]
    return min(close, key=lambda network: chosen_precision(network).energy_mj * network.array.cycles)


def why(network: Surveyed) -> str:
    """Say in a sentence what sets a network's cycles on its best array."""
    share = network.shares[0]
    text = f"{_percent(share.cycles)} of its cycles go to {share.kind}, "
    text += f"which do {_percent(share.macs)} of its work"
    if share.cycles > MUCH * share.macs:
        reason = {
            "depthwise convolutions": "each of their products fills only a few elements",
            "linear layers": "at batch 1 they pass one row through an array that has to be filled for it",
            "grouped convolutions": "their groups run one after another",
        }.get(share.kind, "they fill the array badly")
        text += f": {reason}"
    return text + "."


def array_of(network: Surveyed) -> str:
    """Name the array of a network: `128 × 128, weight-stationary`."""
    return f"{network.array.rows} × {network.array.columns}, {dataflow_of(network)}"


def dataflow_of(network: Surveyed) -> str:
    """Return the dataflow in words; of two output-stationary ones the sweep has one."""
    return network.array.dataflow.replace("output_drained", "output_stationary").replace("_", "-")


def compromise(networks: Sequence[Surveyed]) -> tuple[Surveyed, float]:
    """Return whose array slows all networks least, and by what geometric mean over their own best arrays."""

    def slowdown(owner: Surveyed) -> float:
        logs = [math.log(network.cycles_on[owner.name] / network.array.cycles) for network in networks]
        return math.exp(sum(logs) / len(logs))

    best = min(networks, key=slowdown)
    return best, slowdown(best)


def _recommended(scored: Sequence[Surveyed]) -> str:
    network = pick(scored)
    at = chosen_precision(network)
    top = max(scored, key=_top1)
    lead = (
        "it is the most accurate"
        if network is top
        else f"it lies {_top1(top) - _top1(network):.1f} points below the most accurate, {top.title}"
    )
    return (
        f"Take {network.title} on an array of {array_of(network)}, at {at.bits} bits: "
        f"{network.array.cycles:,} cycles and {_short(at.energy_mj)} mJ an image, both modelled. "
        f"Of the networks within {WITHIN_POINTS:g} points of the best top-1 accuracy it has the least energy "
        f"times cycles; {lead} ({_top1(network):.1f} %, {network.amounts['top1'].origin}). {_caveat(at)}"
    )


def _caveat(at: AtPrecision) -> str:
    if at.loss.origin == UNAVAILABLE:
        return f"Whether its accuracy holds at {at.bits} bits was not measured here."
    if at.loss.value == 0 and at.loss.origin != "measured":
        return "That is the precision it was trained in."
    return f"At {at.bits} bits it loses {at.loss.value:+.1f} points, {at.loss.origin}."


def _front(scored: Sequence[Surveyed]) -> str:
    best = front(scored)
    beaten = [network for network in scored if network not in best]
    text = f"No other network is at once more accurate, faster and thriftier than {_and(best)}."
    if beaten:
        text += f" Beaten on all three by another: {_and(beaten)}."
    return text


def _extremes(networks: Sequence[Surveyed]) -> str:
    fewest = min(networks, key=lambda network: network.array.cycles)
    least = min(networks, key=lambda network: chosen_precision(network).energy_mj)
    text = f"Fewest cycles: {fewest.title} ({fewest.array.cycles:,}). "
    at = chosen_precision(least)
    text += f"Least energy: {least.title} ({_short(at.energy_mj)} mJ at {at.bits} bits)."
    timed = [network for network in networks if network.value("latency_ms") is not None]
    if timed:
        first = min(timed, key=lambda network: network.value("latency_ms") or math.inf)
        shortest_ms = _short(first.value("latency_ms") or 0.0)
        text += f" Shortest time on this machine: {first.title} ({shortest_ms} ms, measured)."
    return text


def _one_array(networks: Sequence[Surveyed], budget: int) -> str:
    owner, mean = compromise(networks)
    worst = max(networks, key=lambda network: network.cycles_on[owner.name] / network.array.cycles)
    times = worst.cycles_on[owner.name] / worst.array.cycles
    return (
        f"One array for all, of at most {budget:,} elements: {array_of(owner)}, {owner.title}'s. It takes "
        f"{mean:.2f} times the cycles of each network's own best array (geometric mean); worst off is "
        f"{worst.title}, at {times:.2f} times."
    )


def _precision(networks: Sequence[Surveyed]) -> str:
    ratios = [network.precisions[-1].energy_mj / network.precisions[0].energy_mj for network in networks]
    narrow, wide = networks[0].precisions[0].bits, networks[0].precisions[-1].bits
    if narrow == wide:
        return f"Only {narrow} bits were looked at."
    return (
        f"{narrow} bits take {_range(ratios)} times less energy than {wide} bits, modelled, and "
        f"{wide / narrow:g} times less room for weights. Cycles are the same at every width, for an element "
        f"does one multiply-accumulate a cycle whatever its width. {_measured_losses(networks, narrow)}"
    )


def _measured_losses(networks: Sequence[Surveyed], bits: int) -> str:
    gains_by_network = [
        (network, at.loss.value)
        for network in networks
        if (at := network.at(bits)) is not None and at.loss.value is not None and at.loss.origin == "measured"
    ]
    if not gains_by_network:
        return f"What {bits} bits cost in accuracy was not measured here."
    gains = ", ".join(f"{network.title} {value:+.1f}" for network, value in gains_by_network)
    return f"Measured points of top-1 accuracy lost at {bits} bits: {gains}."


def _beats(network: Surveyed, rival: Surveyed) -> bool:
    mine, theirs = _costs(network), _costs(rival)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def _costs(network: Surveyed) -> tuple[float, ...]:
    return -_top1(network), float(network.array.cycles), chosen_precision(network).energy_mj


def _top1(network: Surveyed) -> float:
    return network.value("top1") or 0.0


def _and(networks: Sequence[Surveyed]) -> str:
    names = [network.title for network in networks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.01 else "less than 1 %"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
