"""Architecture -> ``torch.nn.Module``, all networks of a space as one, and the export of one as a file of plain PyTorch."""

from metanas.network._build import Network, build_network
from metanas.network._export import export_onnx, export_source
from metanas.network._modules import Attention
from metanas.network._supernet import Supernet, recalibrate
from metanas.network._user import user_modules
from metanas.network._weights import load_weights

__all__ = [
    "Attention",
    "Network",
    "Supernet",
    "build_network",
    "export_onnx",
    "export_source",
    "load_weights",
    "recalibrate",
    "user_modules",
]
