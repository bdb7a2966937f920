"""`juggler flows`: a capture in, its flows out."""

from __future__ import annotations

from typing import Annotated

import typer

from juggler.capture.flow_cuts import FlowOptions
from juggler.capture.flow_files import write_flows
from juggler.cli.audience import PLANT
from juggler.cli.console import ERRORS, bar

Capture = Annotated[str, typer.Argument(help="A pcap or pcapng, compressed or not; '-' is standard input.")]
Target = Annotated[str, typer.Option("--out", help="A .parquet or .csv file; '-' prints CSV.")]
Idle = Annotated[float, typer.Option(help="Silence after which a flow has ended.")]
Active = Annotated[float, typer.Option(help="The longest a flow lasts before it is given out and goes on.")]
Unanswered = Annotated[float, typer.Option(help="Silence that ends a flow which nobody answered.")]


def flows(
    capture: Capture,
    out: Target = "-",
    idle_s: Idle = 120.0,
    active_s: Active = 1800.0,
    unanswered_s: Unanswered = 1.0,
) -> None:
    """Put the packets of a capture into flows: addresses, sizes, gaps, flags, how each connection went.

    Columns are named as NFStream's. Every packet is accounted for: what is in no flow is counted by reason.

    Examples: juggler flows capture.pcap --out flows.parquet; juggler flows capture.pcapng.gz | head
    """
    options = FlowOptions(idle_s=idle_s, active_s=active_s, unanswered_s=unanswered_s)
    with bar(f"reading {capture}") as report:
        account, count = write_flows(capture, out, options, on_progress=report)
    ERRORS.print(account.described(count), soft_wrap=True)


VERB = flows
PANEL = PLANT
