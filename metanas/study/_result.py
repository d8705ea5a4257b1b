"""What a search gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metanas.architecture import Architecture
from metanas.data import ROLES, Preparation, prepare_raw
from metanas.errors import StudyError
from metanas.evaluator import python_refused
from metanas.study._final import read_final
from metanas.study._folder import RunFolder
from metanas.study._run_reader import read_run_file
from metanas.study._session import read_run
from metanas.trial import TrialRecord, best_trial, comparable, pareto_front

if TYPE_CHECKING:
    import optuna

    from metanas.network import Network

_BATCH = 256
"""Samples that the network reads at once."""


@dataclass(frozen=True)
class SearchResult:
    """A search, read from its run folder."""

    folder: RunFolder
    """Where everything lies."""
    allow_python: bool = False
    """Whether modules of the user's, which the space may name, are imported to build the network."""
    storage: str | None = field(default=None, repr=False)
    """URL of the study's storage where the run file's does not do, as it holds no password."""

    @classmethod
    def load(cls, path: str | Path, *, allow_python: bool = False, storage: str | None = None) -> SearchResult:
        """The result in a run folder.

        Raises
        ------
        StudyError
            If the folder holds no run.

        """
        return cls(RunFolder.open(Path(path)), allow_python, storage)

    @cached_property
    def _run(self) -> Any:
        return read_run(self.folder, storage=self.storage)

    @property
    def study(self) -> optuna.Study:
        """The study, as Optuna knows it."""
        study: optuna.Study = self._run[2].study
        return study

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials, by number."""
        return [record for _, record in sorted(self._run[2].records.items())]

    @property
    def objectives(self) -> tuple[tuple[str, str], ...]:
        """Name and direction of each objective."""
        objectives: tuple[tuple[str, str], ...] = self._run[2].objectives
        return objectives

    @property
    def best(self) -> TrialRecord:
        """The best trial; of several objectives, the best by the first.

        Raises
        ------
        StudyError
            If no trial has a value yet, with what the last one said.

        """
        best = best_trial(self.trials, [direction for _, direction in self.objectives])
        if best is None:
            raise self._none_succeeded()
        return best

    @property
    def pareto(self) -> list[TrialRecord]:
        """The trials that no other beats in every objective."""
        valued = comparable(self.trials)
        directions = [direction for _, direction in self.objectives]
        return [valued[index] for index in pareto_front([t.values or () for t in valued], directions)]

    @property
    def architecture(self) -> Architecture:
        """The best architecture."""
        return Architecture.from_values(self._run[1], self.best.decisions)

    @cached_property
    def trained(self) -> Architecture:
        """The architecture of :attr:`network`, which the strategy chose and which need not be the best trial's."""
        return Architecture.from_json(self._run[1], self.artefact("architecture.json").read_text(encoding="utf-8"))

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the final network: ``test_…`` on the test split, and its costs; empty before the final training."""
        final = read_final(self.folder)
        return final.metrics if final else {}

    @cached_property
    def preparation(self) -> Preparation:
        """How raw samples become the network's input."""
        return Preparation.from_json(json.loads(self.artefact("preparation.json").read_text(encoding="utf-8")))

    @cached_property
    def network(self) -> Network:
        """The trained network, on the CPU, ready to predict."""
        from metanas.network import build_network, load_weights, user_modules

        architecture = self.trained
        if architecture.modules and not self.allow_python:
            raise python_refused(", ".join(architecture.modules), where=str(self.folder.path))
        outputs = len(self.preparation.classes) or 1
        shape, vocabulary = self.preparation.input_shape, self.preparation.vocabulary
        network = build_network(architecture.layers(shape, outputs, vocabulary, modules=user_modules))
        load_weights(network, self.artefact("weights.safetensors"))
        return network.eval()

    def predict(self, samples: Any) -> np.ndarray[Any, Any]:
        """Class names, or values, ``(n,)``, for raw samples: images and sequences as an array, table rows and pairs as mappings by
        column, lists of values, an array, a tensor or a data frame, texts as a list.

        Columns of an array are called x0, x1 and so on, as in a search on arrays.
        """
        outputs = self._outputs(samples)
        if not self.preparation.classes:
            return outputs[:, 0]
        names: np.ndarray[Any, Any] = np.asarray(self.preparation.classes)[outputs.argmax(1)]
        return names

    def predict_proba(self, samples: Any) -> np.ndarray[Any, Any]:
        """The probability of each class, ``(n, classes)``, in the order of ``preparation.classes``; samples as in :meth:`predict`.

        Raises
        ------
        StudyError
            If the network predicts values.

        """
        if not self.preparation.classes:
            raise StudyError(
                "probabilities are of classes", found="a network that predicts values", remedy="use predict"
            )
        outputs = self._outputs(samples)
        powers = np.exp(outputs - outputs.max(1, keepdims=True))
        shares: np.ndarray[Any, Any] = powers / powers.sum(1, keepdims=True)
        return shares

    def _outputs(self, samples: Any) -> np.ndarray[Any, Any]:
        """Logits ``(n, classes)``, or values in the target's own unit, ``(n, 1)``."""
        import torch

        data = self._run[0].data
        roles = {data[role]: role for role in ROLES if role in data} if isinstance(data, dict) else {}
        inputs = torch.from_numpy(np.ascontiguousarray(prepare_raw(self.preparation, samples, names=roles)))
        with torch.inference_mode():
            parts = [self.network(part) for part in torch.split(inputs, _BATCH)]
        return np.asarray(torch.cat(parts).numpy())

    def artefact(self, name: str) -> Path:
        """A file of the trained network, one of :data:`ARTEFACTS`.

        Raises
        ------
        StudyError
            If it is not there.

        """
        path = self.folder.best / name
        if path.is_file():
            return path
        where = str(self.folder.path)
        run = read_run_file(self.folder.run_file)
        if not run.trains:
            kind = "over a table" if run.looked_up else "with an evaluator of your own"
            raise StudyError(
                f"a search {kind} trains no network", found=f"no {name}", where=where,
                remedy=f"see its architecture with: metanas architecture show {where}",
            )  # fmt: skip
        if read_final(self.folder) is not None:
            raise StudyError(
                "the files of the network belong together", found=f"no {name}", where=str(self.folder.best),
                remedy=f"train it again with: {self.folder.command('resume')}",
            )  # fmt: skip
        if self.trials and best_trial(self.trials, [direction for _, direction in self.objectives]) is None:
            raise self._none_succeeded()
        raise StudyError(
            "the search must have finished", found=f"no {name}", where=where,
            remedy=f"finish it with: {self.folder.command('resume')}",
        )  # fmt: skip

    def _none_succeeded(self) -> StudyError:
        failed = [trial for trial in self.trials if trial.message]
        found, remedy = "none", f"finish the search with: {self.folder.command('resume')}"
        if failed:
            found = f"none of {len(self.trials)}; the last said: {failed[-1].message}"
            remedy = f"change what that says and search again; all trials are in {self.folder.report}"
        return StudyError("some trial must have succeeded", found=found, where=str(self.folder.path), remedy=remedy)
