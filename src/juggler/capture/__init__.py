"""Packets to flows to features, block by block, every packet accounted for.

    account = Account()
    for flows in flows_of(read_frames("some.pcap", account), account):
        records = features.records(flows)     # features = HeaderFeatures()

A capture is read in blocks of frames (`files`), frames are decoded to packets (`packets`), packets are put
together to flows (`flows`), and flows become what a detector reads (`header_features`) or a table
(`flow_columns`).
"""

from juggler.capture.files import read_frames
from juggler.capture.flow_columns import flow_columns
from juggler.capture.flow_cuts import FlowOptions
from juggler.capture.flow_files import write_flows
from juggler.capture.flows import Flows, FlowTable, flows_of
from juggler.capture.frames import Account, Frames
from juggler.capture.header_features import HeaderFeatures

__all__ = [
    "Account",
    "FlowOptions",
    "FlowTable",
    "Flows",
    "Frames",
    "HeaderFeatures",
    "flow_columns",
    "flows_of",
    "read_frames",
    "write_flows",
]
