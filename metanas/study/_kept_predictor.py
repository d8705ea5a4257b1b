"""What a search knows from earlier ones, kept in its run folder: it goes on with the same, whatever was learned since."""

from __future__ import annotations

from contextlib import suppress

from metanas.errors import MetanasError
from metanas.predictor import NO_PREDICTOR, SHIPPED, Predictor, find_predictor, read_card, save_predictor
from metanas.study._folder import RunFolder
from metanas.study._plan import Plan
from metanas.study._strategies import takes_model


def predictor_kept(planned: Plan) -> str | None:
    """What the run file of the run folder names as predictor; None where the strategy takes none."""
    if not takes_model(planned.run.strategy):
        return None
    return RunFolder.PREDICTOR if _knows(planned) else NO_PREDICTOR


def keep_predictor(planned: Plan, folder: RunFolder) -> None:
    """Copy what the plan's predictor knows of the space into the run folder, unless it is there already."""
    if not _knows(planned):
        return
    assert planned.model is not None
    name = SHIPPED
    if planned.run.predictor is not None:
        found = find_predictor(planned.run.predictor, base=planned.run.base)
        if found.resolve() == folder.predictor.resolve():
            return
        name = read_card(found)["name"]
    save_predictor(Predictor(name=name, models=(planned.model,)), folder.predictor)


def predictor_line(folder: RunFolder) -> str:
    """Name and tasks of the predictor in a run folder; empty where there is none that can be read."""
    # A report is written whatever someone did to the files.
    with suppress(MetanasError, KeyError, TypeError):
        card = read_card(folder.predictor)
        tasks = [str(task["name"]) for entry in card["card"] for task in entry["tasks"]]
        return f"{card['name']}, which knows {', '.join(tasks)}"
    return ""


def _knows(planned: Plan) -> bool:
    return planned.model is not None and bool(planned.model.sources)
