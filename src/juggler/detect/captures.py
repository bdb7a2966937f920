"""Run the detector over a capture: packets in, alerts with addresses out, every packet accounted for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.alerts.sink import Sink, SinkError
from juggler.capture.files import is_capture, read_frames
from juggler.capture.flow_columns import addresses
from juggler.capture.flow_cuts import FlowOptions
from juggler.capture.flows import Flows, FlowTable
from juggler.capture.frames import Account
from juggler.capture.header_features import HeaderFeatures
from juggler.capture.packets import ICMP, ICMP6
from juggler.capture.services import in_schema
from juggler.detect.detector import Detector
from juggler.detect.options import DetectOptions, Summary
from juggler.detect.run import Run, RunError
from juggler.errors import ConfigError, JugglerError
from juggler.nouns import Progress, ReportProgress, ignore_progress
from juggler.reading.streams import inflated
from juggler.runtime import Artefact, Session
from juggler.stopping import StopRequest


def looks_like_capture(path: str | Path) -> bool:
    """Say whether a file is a capture, by its first bytes, inflated where it is compressed."""
    if str(path) == "-" or not Path(path).is_file():
        return False
    try:
        with inflated(path) as file:
            return is_capture(file.read(4))
    except (JugglerError, OSError, EOFError, ValueError):
        return False


def detect_capture(
    artefact: Artefact,
    capture: str | Path,
    sink: Sink,
    *,
    options: DetectOptions | None = None,
    flow_options: FlowOptions | None = None,
    session: Session | None = None,
    stop: StopRequest | None = None,
    on_progress: ReportProgress | None = None,
    on_summary: Callable[[Summary], None] | None = None,
) -> Summary:
    """Put the packets of a capture into flows, score each as it ends, and hand alerts to the sink.

    Alerts carry the addresses, the ports and the capture's own time of the first flow. Windows in seconds go
    by the capture's clock. The summary holds what became of every packet.

    Args:
        artefact: a detector of NSL-KDD's schema that reads header features alone.
        capture: the file, pcap or pcapng, compressed or not; `-` is standard input.
        sink: takes each alert when it opens and when it ends.
        options: thresholds and windows.
        flow_options: when a flow ends.
        session: runs the network; the artefact's own where it is left out.
        stop: its `request()` ends the run.
        on_progress: told the packets read.
        on_summary: given the summary however the run ends.

    Raises:
        ConfigError: the detector reads what packet headers do not say.
        RunError: the capture cannot be read, or the alerts cannot be written.
    """
    options, report = options or DetectOptions(), on_progress or ignore_progress
    detector = Detector(artefact, session, threshold=options.threshold, batch_records=options.batch_records)
    _refuse_other_features(detector)
    account, run = Account(), Run(detector, sink, options)
    table, features = FlowTable(account, flow_options), HeaderFeatures()

    def summary() -> Summary:
        return replace(
            run.summary(),
            packets={"received": account.received, "processed": account.processed, **account.dropped},
            packet_notes=dict(account.noted),
        )

    def take(flows: Flows) -> None:
        known = in_schema(flows)
        account.note("flows_of_other_protocols", int(np.count_nonzero(~known)))
        flows = flows.take(known)
        if len(flows):
            records = replace(features.records(flows), context=_context(flows))
            run.take_records(records, float(flows.ended_us[-1]) / 1e6)

    with stop or StopRequest() as request:
        try:
            for frames in read_frames(capture, account):
                take(table.take(frames))
                report(Progress("detect", account.received, None, "packets", {"records": run.records}))
                if request.requested:
                    run.ended_by = "a request to stop"
                    break
            take(table.flush())
            run.close()
        except BrokenPipeError:
            run.ended_by = "the reader of the alerts hung up"
        except JugglerError as error:
            run.ended_by = f"an error: {error.found}"
            with suppress(SinkError, BrokenPipeError):
                run.close()
            raise RunError(error, summary()) from error
        finally:
            if on_summary is not None:
                on_summary(summary())
    return summary()


def _refuse_other_features(detector: Detector) -> None:
    schema = HeaderFeatures.schema
    unknown = [name for name in detector.encoder.features if name not in schema.header_features]
    if detector.schema.name != schema.name or unknown:
        raise ConfigError(
            "detect in a capture",
            f"a detector of {detector.schema.name}" + (f" that reads {unknown[0]}" if unknown else ""),
            "Take one that reads NSL-KDD's 28 header features: `juggler train nsl-kdd` makes it",
        )


def _context(flows: Flows) -> dict[str, NDArray[Any]]:
    """Return time, addresses and ports of the flows, as a record's row would say them."""
    is_icmp = np.isin(flows.protocol, (ICMP, ICMP6))
    times = [
        datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        .replace(microsecond=time_ns // 1000 % 1_000_000)
        .isoformat(timespec="microseconds")
        for time_ns in flows.state["start_ns"].tolist()
    ]

    def ports(values: NDArray[Any]) -> list[str]:
        return ["" if none else str(port) for port, none in zip(values.tolist(), is_icmp, strict=True)]

    columns = {
        "time": times,
        "src_ip": addresses(flows.sources),
        "src_port": ports(flows.source_port),
        "dst_ip": addresses(flows.destinations),
        "dst_port": ports(flows.destination_port),
    }
    return {name: np.array(column, object) for name, column in columns.items()}
