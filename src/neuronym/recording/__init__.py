"""Which layers a network has, and what they put out during a forward pass."""

from neuronym.recording.hooks import Recording, record
from neuronym.recording.names import resolve_layers
from neuronym.recording.outputs import in_precision_of, tensor_of
from neuronym.recording.table import LayerInfo, describe_layers, output_layer

__all__ = [
    "LayerInfo",
    "Recording",
    "describe_layers",
    "in_precision_of",
    "output_layer",
    "record",
    "resolve_layers",
    "tensor_of",
]
