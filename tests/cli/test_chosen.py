"""What a search with a model says of the network that it hands out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

Command = Any


def test_the_chosen_network_is_told_of_with_its_chance(tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(
        "space: mlp\ndata: breast_cancer\nsearch: {strategy: {meta: {start: 3}}, trials: 5, seed: 0}\nfidelity: {epochs: 2}\n"
    )
    code, out, err = command("search", run, "--runs", tmp_path / "runs", "-q")
    assert (code, err) == (0, "")
    (chosen,) = [line for line in out.splitlines() if line.startswith("Chosen:")]
    (folder,) = (tmp_path / "runs").iterdir()
    choice = json.loads((folder / "best" / "choice.json").read_text())
    probability = f"{100 * choice['sureness']:.0f} %"
    assert f"trial {choice['trial']}, the best of those evaluated with a probability of {probability}" in chosen
    report = (folder / "report.html").read_text()
    assert f"<b>#{choice['trial']}</b>" in report
    drawn = [int(number) for number in re.findall(r"<h3>Trial (\d+)</h3>", report)]
    assert drawn[0] == choice["trial"]
    assert len(set(drawn)) == len(drawn)
    assert f"{100 * choice['sureness']:.0f} % sure" in report
    # A file that somebody damaged is as good as none.
    (folder / "best" / "choice.json").write_text("[")
    code, out, _ = command("resume", folder, "-q")
    assert code == 0
    assert "Chosen:" not in out
