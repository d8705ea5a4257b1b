"""What a report says about a search apart from its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metanas.trial import Scalar, Timeline

Objective = tuple[str, str]
"""Name and direction, ``maximize`` or ``minimize``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """The data set that was searched on."""

    name: str
    """As the run file names it."""
    task: str = ""
    """Such as ``classification, 10 classes``."""
    shape: tuple[int, ...] = ()
    """Shape of one sample."""
    samples: Mapping[str, int] = field(default_factory=dict)
    """Split to number of samples."""
    fingerprint: str = ""
    """Digest of the data's content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSummary:
    """One line of the space's table of decisions."""

    name: str
    """Such as ``stage1.kernel``."""
    kind: str
    """``choice``, ``int`` or ``float``."""
    values: tuple[Scalar, ...]
    """A choice's options in order; both ends of a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A search, as far as its trials do not tell."""

    name: str
    """Name of the run."""
    space: str
    """Name of the search space."""
    space_about: str = ""
    """The space in one line."""
    space_size: int | None = None
    """Number of architectures; None when it is infinite or unknown."""
    data: DataSummary
    """The data set."""
    objectives: tuple[Objective, ...]
    """One or more, in the order of the trials' values."""
    strategy: str
    """Who proposed, such as ``evolution``."""
    predictor: str = ""
    """What it knew from earlier searches, in one line."""
    looked_up: bool = False
    """Whether results come from a table."""
    trains: bool = True
    """Whether the search trains networks itself, and the best one for good at its end."""
    seed: int
    """Seed of the search."""
    under_way: bool = False
    """Whether the search is running."""
    trials: int | None = None
    """Trials budgeted; None when something else ended the search."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""
    machine: str = ""
    """What it ran on, in one line."""
    seconds: float | None = None
    """Wall time of the search, pauses between its sessions left out."""
    workers: int | None = None
    """Worker processes."""
    timeline: Timeline = field(default_factory=Timeline)
    """What they did."""
    decisions: tuple[DecisionSummary, ...] = ()
    """The space's table of decisions, in order."""
    best_trial: int | None = None
    """Number of the trial whose network was trained last; None to take the best of the trials."""
    sureness: float | None = None
    """The probability that it is the best of those evaluated, as the strategy sees it; None where it cannot tell."""
    test_metrics: Mapping[str, float] | None = None
    """Of that network after its final training, on the test split; None when there was none."""
    drawings: Mapping[str, str] = field(default_factory=dict)
    """Caption to SVG document, best network first."""
    artefacts: tuple[str, ...] = ()
    """Files of the run folder that a reader may want."""
    baseline: str = ""
    """How a simple model does on the same split, in one line."""
    command: str = ""
    """The command that runs the search again."""
    use: str = ""
    """The command that predicts with the network; none where there is no network."""

    @property
    def directions(self) -> tuple[str, ...]:
        """Direction of each objective."""
        return tuple(direction for _, direction in self.objectives)
