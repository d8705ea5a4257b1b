"""Descriptions of spaces: what a reader must find in them."""

from __future__ import annotations

import re

from metanas.report import describe_space
from metanas.space import SearchSpace, load_space


def test_description_of_nasbench201() -> None:
    text = describe_space(load_space("nasbench201"))
    assert text.startswith("nasbench201\n")
    assert "15,625 (~10^4.2)" in text
    assert "every edge (0->1, 0->2, 1->2, 0->3, 1->3, 2->3): one of\n        none: none\n        skip: identity" in text
    assert text.count("cell (as above)") == 2
    assert re.search(r"cell\.0->1 … cell\.2->3 \(6\) +choice +none, skip, conv1x1, conv3x3, avg_pool3x3 +always", text)


def test_description_folds_families_of_decisions() -> None:
    text = describe_space(load_space("mobile"))
    assert "50,853,038,332,899,099,030,967,296 (~10^25.7)" in text
    line = next(line for line in text.splitlines() if "stage1.1.kernel" in line)
    assert "stage1.1.kernel … stage1.4.kernel (4)" in line
    assert line.endswith("1 to 2 always; 3 when stage1.times ≥ 3; 4 when stage1.times = 4")
    assert "copies 2 to 4: mbconv out 24 × $width, kernel {3, 5, 7}" in text


def test_description_of_conditions_training_and_constraints(odd: SearchSpace) -> None:
    text = describe_space(load_space("convnet"))
    assert "when stage1 is separable" in text
    assert "stage2: as stage1" in text
    text = describe_space(odd)
    assert "params <= 1e6" in text
    assert "0.0001 to 0.1 log" in text
    assert "branch 1: identity" in text
    assert "edge 0->4: optional" in text
    assert all(decision.name in text or "1->3" in decision.name for decision in odd.decisions)
