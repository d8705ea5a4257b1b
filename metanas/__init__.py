"""metanas finds a neural network for your data.

>>> import metanas
>>> result = metanas.search(space="convnet", data="digits", trials=20)  # doctest: +SKIP
>>> result.network, result.architecture, result.study  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from metanas._lazy import lazy_attributes
from metanas._version import __version__
from metanas.errors import MetanasError

if TYPE_CHECKING:
    from metanas._search import resume, search
    from metanas.architecture import Architecture
    from metanas.space import SearchSpace, load_space
    from metanas.study import MetaSampler, SearchResult, suggest


__all__ = [
    "Architecture",
    "MetaSampler",
    "MetanasError",
    "SearchResult",
    "SearchSpace",
    "__version__",
    "load_space",
    "resume",
    "search",
    "suggest",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Architecture": "metanas.architecture",
        "MetaSampler": "metanas.study",
        "SearchResult": "metanas.study",
        "SearchSpace": "metanas.space",
        "load_space": "metanas.space",
        "resume": "metanas._search",
        "search": "metanas._search",
        "suggest": "metanas.study",
    },
)
