"""Optuna, define-by-run: random search over an objective that asks and does nothing else."""

from __future__ import annotations

import optuna
from _rates import BLOCKS, DARTS_OPS, DARTS_PAIRS, EDGES, NASBENCH201_OPS, STAGES, main

optuna.logging.set_verbosity(optuna.logging.ERROR)


def nasbench201(trial: optuna.Trial) -> None:
    for edge in EDGES:
        trial.suggest_categorical(edge, NASBENCH201_OPS)


def darts(trial: optuna.Trial) -> None:
    for cell in ("normal", "reduction"):
        for step, pairs in DARTS_PAIRS.items():
            if len(pairs) > 1:
                trial.suggest_categorical(f"{cell}.step{step}.inputs", pairs)
            trial.suggest_categorical(f"{cell}.step{step}.op1", DARTS_OPS)
            trial.suggest_categorical(f"{cell}.step{step}.op2", DARTS_OPS)


def mobile(trial: optuna.Trial) -> None:
    trial.suggest_categorical("width", [0.75, 1.0, 1.25])
    for stage in STAGES:
        for block in range(1, 1 + trial.suggest_int(f"stage{stage}.times", 2, 4)):
            assert block in BLOCKS
            trial.suggest_categorical(f"stage{stage}.{block}.kernel", [3, 5, 7])
            trial.suggest_categorical(f"stage{stage}.{block}.expand", [3, 4, 6])
            trial.suggest_categorical(f"stage{stage}.{block}.se", [False, True])


def draws(define):
    """A study of its own each, anew after 500 trials, as a long history would count against Optuna."""
    state = {"study": None, "trials": 0}

    def draw() -> None:
        if state["trials"] % 500 == 0:
            state["study"] = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        state["trials"] += 1
        trial = state["study"].ask()
        define(trial)
        state["study"].tell(trial, 0.0)

    return draw


if __name__ == "__main__":
    spaces = {"nasbench201": nasbench201, "darts": darts, "mobile": mobile}
    main(optuna.__version__, {name: draws(define) for name, define in spaces.items()}, {}, notes="has no mutation")
