"""The number of networks of a space whose parts stand in series, without enumerating its rows.

A network is a word: the names of its pieces in series (``_canonical``). What the rows of a space can spell is a finite
language, which the space's template turns into an automaton: parts in series one after another, options side by side.
Decisions that several parts read are fixed first, once for each of their values. Made deterministic (subset
construction: Rabin & Scott, *Finite automata and their decision problems*, 1959), the automaton has one path for each
different word, so paths are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from metanas.architecture._graph import chosen_copies
from metanas.architecture._identity import CanonicalIds
from metanas.space import Chain, Copies, Scalar, SearchSpace, Switch, Template, columns_read, decisions_in, value_under

_MAX_STEPS = 400_000
"""Parts looked at, and sets of states; beyond this the count is given up."""

Word = tuple[bytes, ...]


class OutOfReachError(Exception):
    """Raised by a way of counting that does not reach the space."""


class _Open(list[int]):
    """A row of which only some decisions are known; reading another says which."""

    def __getitem__(self, column: int) -> int:  # type: ignore[override]
        value = super().__getitem__(column)
        if value < 0:
            raise _Needed(column)
        return value


class _Needed(Exception):
    def __init__(self, column: int) -> None:
        self.column = column


class _OpenValues(Sequence[Scalar | None]):
    """The values of such a row."""

    def __init__(self, space: SearchSpace, row: _Open) -> None:
        self._space = space
        self._row = row

    def __getitem__(self, column: int) -> Scalar:  # type: ignore[override]
        return self._space.decisions[column].values[self._row[column]]

    def __len__(self) -> int:
        return len(self._row)


def count_words(space: SearchSpace, ids: CanonicalIds) -> tuple[int, bool]:
    """Number of different networks, and whether a row may be cut.

    Raises
    ------
    OutOfReachError
        If rows are bound by more than the template, a part reads what is before it, or there is too much to look at.

    """
    if space.tabular or space.constraints or space.limits or ids.whole:
        raise OutOfReachError
    recipes = _count_recipes(space)
    automaton = _Automaton(space, ids)
    end = automaton.add(space.template, 0, _Open([-1] * len(space.decisions)))
    return recipes * automaton.count(end), automaton.cut


def _count_recipes(space: SearchSpace) -> int:
    """Number of different training settings, where the network has no say in them."""
    seen = columns_read(space.template)
    recipes = 1
    for value in space.recipe.values():
        columns = decisions_in(value)
        if not seen.isdisjoint(columns) or any(space.decisions[column].when for column in columns):
            raise OutOfReachError
        seen |= columns
        if len(columns) > 1:
            raise OutOfReachError
        for column in columns:
            levels = range(space.decisions[column].size)
            recipes *= len({value_under(value, {column: space.decisions[column].values[k]}) for k in levels})
    return recipes


class _Automaton:
    """States, each with the states that a letter leads to; state 0 is the start."""

    def __init__(self, space: SearchSpace, ids: CanonicalIds) -> None:
        self.space = space
        self.ids = ids
        self.cut = False
        self._next: list[dict[bytes, set[int]]] = [defaultdict(set)]
        self._silent: list[set[int]] = [set()]
        self._words: dict[tuple[int, tuple[int, ...]], set[Word]] = {}
        self._steps = 0

    def add(self, template: Template, start: int, row: _Open) -> int:
        """Spell a template from a state on; the state where its words end."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise OutOfReachError
        end = self._state()
        match template:
            case Chain(items=items):
                self._in_series(items, start, end, row)
            case Copies(times=_):
                for filled in self._filled(template, row):
                    self._in_series(chosen_copies(template, _OpenValues(self.space, filled)), start, end, filled)
            case Switch(decision=decision, options=options):
                known = list.__getitem__(row, decision)
                for index in range(len(options)) if known < 0 else (known,):
                    last = self.add(options[index], start, _with(row, {decision: index}))
                    self._silent[last].add(end)
            case _:
                for word in self._words_of(template, row):
                    self._spell(word, start, end)
        return end

    def _in_series(self, items: Sequence[Template], start: int, end: int, row: _Open) -> None:
        reads = [self._unknown(item, row) for item in items]
        shared = sorted(c for c, n in Counter(c for columns in reads for c in columns).items() if n > 1)
        for values in product(*(range(self.space.decisions[column].size) for column in shared)):
            filled = _with(row, dict(zip(shared, values, strict=True)))
            state = start
            for item in items:
                state = self.add(item, state, filled)
            self._silent[state].add(end)

    def _filled(self, copies: Copies, row: _Open) -> Iterator[_Open]:
        """The row with every value of the decisions that the number of copies depends on."""
        waiting = [row]
        while waiting:
            filled = waiting.pop()
            try:
                chosen_copies(copies, _OpenValues(self.space, filled))
            except _Needed as needed:
                waiting += [_with(filled, {needed.column: v}) for v in range(self.space.decisions[needed.column].size)]
            else:
                yield filled

    def _words_of(self, template: Template, row: _Open) -> set[Word]:
        """What a part without a series of its own can spell, given the decisions that are known."""
        key = self.ids.number(template), tuple(list.__getitem__(row, c) for c in sorted(columns_read(template)))
        if key not in self._words:
            words: set[Word] = set()
            waiting = [row]
            while waiting:
                self._steps += 1
                if self._steps > _MAX_STEPS:
                    raise OutOfReachError
                filled = waiting.pop()
                try:
                    series = self.ids.series_of_part(template, filled, _OpenValues(self.space, filled))
                except _Needed as needed:
                    size = self.space.decisions[needed.column].size
                    waiting += [_with(filled, {needed.column: value}) for value in range(size)]
                    continue
                if series is None:
                    self.cut = True
                elif series.factor != 1:
                    raise OutOfReachError  # the pieces that follow would be others
                else:
                    words.add(tuple(piece.name for piece in series.pieces()))
            self._words[key] = words
        return self._words[key]

    def _unknown(self, template: Template, row: _Open) -> set[int]:
        return {column for column in columns_read(template) if list.__getitem__(row, column) < 0}

    def _state(self) -> int:
        self._next.append(defaultdict(set))
        self._silent.append(set())
        return len(self._next) - 1

    def _spell(self, word: Word, start: int, end: int) -> None:
        if not word:
            self._silent[start].add(end)
            return
        state = start
        for letter in word[:-1]:
            new = self._state()
            self._next[state][letter].add(new)
            state = new
        self._next[state][word[-1]].add(end)

    def count(self, end: int) -> int:
        """Number of different words from the start to ``end``."""
        start = self._reached({0})
        counts: dict[frozenset[int], int] = {}
        after: dict[frozenset[int], list[frozenset[int]]] = {}
        stack = [start]
        while stack:
            states = stack[-1]
            if states in counts:
                stack.pop()
                continue
            if states not in after:
                if len(after) > _MAX_STEPS:
                    raise OutOfReachError
                letters: dict[bytes, set[int]] = defaultdict(set)
                for state in states:
                    for letter, reached in self._next[state].items():
                        letters[letter] |= reached
                after[states] = [self._reached(reached) for reached in letters.values()]
                stack += after[states]
            else:
                counts[states] = (end in states) + sum(counts[reached] for reached in after[states])
                stack.pop()
        return counts[start]

    def _reached(self, states: set[int]) -> frozenset[int]:
        """These states, and those that no letter leads to from them."""
        found, waiting = set(states), list(states)
        while waiting:
            new = self._silent[waiting.pop()] - found
            found |= new
            waiting += new
        return frozenset(found)


def _with(row: _Open, values: dict[int, int]) -> _Open:
    new = _Open(row)
    for column, value in values.items():
        new[column] = value
    return new
