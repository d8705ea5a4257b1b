"""Architecture -> ``torch.nn.Module``, and the export of one as a file of plain PyTorch."""

from metanas.network._build import Network, build_network
from metanas.network._export import export_onnx, export_source
from metanas.network._user import user_modules

__all__ = ["Network", "build_network", "export_onnx", "export_source", "user_modules"]
