"""A loopback Hub for tests and benchmarks: the Hub's HTTP protocol without the network."""

from .checkpoints import Tensors, safetensors_file, sharded_checkpoint
from .content import HubFile
from .process import RemoteHub, Traffic, hub_process
from .server import LoopbackHub
from .traffic import Fault, RecordedRequest

__all__ = [
    "Fault",
    "HubFile",
    "LoopbackHub",
    "RecordedRequest",
    "RemoteHub",
    "Tensors",
    "Traffic",
    "hub_process",
    "safetensors_file",
    "sharded_checkpoint",
]
