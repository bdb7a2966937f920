"""How a connection went, in Zeek's words: S0, SF, REJ and the others, from the flags that each side sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from juggler.capture.flows import Flows
from juggler.capture.packets import TCP

STATES = ("S0", "S1", "S2", "S3", "SF", "REJ", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH")
MEANINGS = {
    "S0": "attempt seen, no reply",
    "S1": "established, not ended",
    "S2": "established, the originator closed, the responder did not",
    "S3": "established, the responder closed, the originator did not",
    "SF": "established and closed",
    "REJ": "attempt rejected",
    "RSTO": "established, the originator aborted",
    "RSTR": "established, the responder aborted",
    "RSTOS0": "the originator sent a SYN and then a RST, no answer to the SYN",
    "RSTRH": "the responder sent a SYN-ACK and then a RST, no SYN was seen",
    "SH": "the originator sent a SYN and then a FIN, no answer to the SYN",
    "SHR": "the responder sent a SYN-ACK and then a FIN, no SYN was seen",
    "OTH": "no SYN seen: traffic from the middle",
}
_CODE = {state: code for code, state in enumerate(STATES)}


def connection_states(flows: Flows) -> NDArray[np.int64]:
    """Return the place in `STATES` of each flow, `[n]`; a flow that is not TCP has SF where both sides spoke.

    Where none did, it is S0. Source: Zeek's `conn_state` (base/protocols/conn).
    """
    flags = flows.state["flag_counts"]
    fin, syn = flags[:, :, 0] > 0, flags[:, :, 1] > 0
    opened, answered = syn[:, 0], syn[:, 1]
    reset_first = flows.state["reset_first"]
    by_responder, by_originator = reset_first == 1, reset_first == 0
    silent = flows.state["size_count"][:, 1] == 0
    cases = [
        (by_responder & opened & ~answered, "REJ"),
        (by_responder & answered & ~opened, "RSTRH"),
        (by_responder, "RSTR"),
        (by_originator & opened & ~answered, "RSTOS0"),
        (by_originator, "RSTO"),
        (fin.all(axis=1), "SF"),
        (fin[:, 0] & opened & ~answered, "SH"),
        (fin[:, 1] & answered & ~opened, "SHR"),
        (fin[:, 0] & opened, "S2"),
        (fin[:, 1] & opened, "S3"),
        (opened & answered, "S1"),
        (opened & silent, "S0"),
    ]
    tcp = np.select([mask for mask, _ in cases], [_CODE[state] for _, state in cases], _CODE["OTH"])
    return np.where(flows.protocol == TCP, tcp, np.where(silent, _CODE["S0"], _CODE["SF"]))
