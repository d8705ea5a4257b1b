"""The shipped spaces have as many rows, and where they can be counted as many networks, as their sources say."""

import math

import pytest

from metanas.space import builtin_spaces, load_space


def macro_of_hierarchical_nasbench201() -> int:
    """The grammar of Schrodi et al. 2023, section 5, without its cells."""
    c = down = 3
    keep = c**2 + c**3 + c**2
    reduce = c**2 * down + c**3 * down + c**2 * down**2
    return 2 * reduce**2 * keep + reduce**2 * keep**2


def motifs(depth: int) -> int:
    """Leaves, chains, forks and residuals of motifs."""
    return 4 if depth == 1 else 4 + 2 * motifs(depth - 1) ** 2 + motifs(depth - 1)


ROWS = {
    "nasbench101": 3**5 * sum(math.comb(21, edges) for edges in range(10)),  # Ying et al. 2019: at most 9 of 21 edges
    "nasbench201": 5**6,  # Dong & Yang 2020: 15,625
    "darts": (7**8 * 1 * 3 * 6 * 10) ** 2,  # Liu et al. 2019, section 3: about 10^9 a cell, none left out
    "mobile": 3 * sum(18**blocks for blocks in (2, 3, 4)) ** 5,
    "resnet": 5 * math.prod(9 * depth for depth in (4, 4, 6, 4)),
    # Without a tower or an MLP nothing reads the activation and the dropout.
    "two_tower": 4 * (2 * ((1 + 3) ** 2 * 9 - 9 + 1) + (1 + 3) ** 2 * 3 * 9),
    "convnet": 4 * 3 * (5 * 2) * 2 * (5 * 3) * 2 * 2,
    "mlp": 5 * 3 * 3 * 4 * (4 + 4),
    "mlp_classification": 10**4 * 3,  # Eggensperger et al. 2021: 30,000
    "mlp_regression": 2**2 * 4 * 3**2 * 6 * 2 * 6**2,  # Klein & Hutter 2019: 62,208
    "nasbench_graph": 9 * 9**4
    - 9,  # Qin et al. 2022: nine trees of nine operations, each without the rows of skips alone
    "nats_bench_size": 8**5,  # Dong et al. 2021: 32,768
    "nasbench_macro": 3**8,  # Su et al. 2021: 6,561
    "once_for_all": (9**2 + 9**3 + 9**4) ** 5,  # Cai et al. 2020, section 3.2: about 2e19
    "hierarchical_nasbench201": macro_of_hierarchical_nasbench201() * (3 + 27) ** 6,
    "hierarchical": motifs(3) ** 2,
    "vit": 3 * 3 * sum(9**depth for depth in range(4, 9)),
    "text_encoder": 3 * 2 * 3 * sum(18**depth for depth in range(1, 7)) * 3 * 1001,
    "recurrent": 3 * 3 * 3 * 2 * (3 * 2 * 2) * 3 * 3,
    "tabular_resnet": 4 * 3 * 4 * 3 * 8,
    "ft_transformer": 4 * 3 * 3 * 4 * 2 * 3 * 4,
    "temporal": 4 * 3 * 2 * 3 * (4 + 4**2 + 4**3) ** 3 * 3,
}


@pytest.mark.parametrize("name", builtin_spaces())
def test_rows(name: str) -> None:
    assert load_space(name).size == ROWS[name]


@pytest.mark.parametrize("name", builtin_spaces())
def test_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.about.endswith(".")
    assert space.source == "metanas" or space.source.startswith("https://")
