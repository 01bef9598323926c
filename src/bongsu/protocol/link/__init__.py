"""The state of one link between two gateways: what is known of it, one verdict, and why.

Pure: takes `now` and evidence, gives back a verdict. It never touches what it judges.
"""

from bongsu.protocol.link.evidence import Bgp, Cause, Evidence, Health, Layer, Probe, judge
from bongsu.protocol.link.machine import Change, Config, LinkMachine, Verdict

__all__ = [
    "Bgp",
    "Cause",
    "Change",
    "Config",
    "Evidence",
    "Health",
    "Layer",
    "LinkMachine",
    "Probe",
    "Verdict",
    "judge",
]
