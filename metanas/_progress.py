"""The progress of a search: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from metanas.study import Ending, Listener
from metanas.trial import EpochReport, Result, Status, TrialRecord

_SHOWN_WORKERS = 8


def make_progress(objectives: tuple[tuple[str, str], ...], epochs: int | None, *, quiet: bool = False) -> Listener:
    """The progress for this standard error: live, plain, or none. ``epochs`` of a trial, None where results are looked up."""
    if quiet:
        return Listener()
    console = _Display(stderr=True, highlight=False)
    return (
        LiveProgress(console, objectives, epochs) if console.is_terminal else PlainProgress(console, objectives, epochs)
    )


class _Display(Console):
    """Where progress is shown; once its reader has left, as ``head`` does, the search goes on unseen."""

    def on_broken_pipe(self) -> None:
        """Say nothing more; the default ends the process."""
        self.quiet = True


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m20s`` or ``12s``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"


def values_text(record: TrialRecord, objectives: tuple[tuple[str, str], ...]) -> str:
    """``accuracy 0.981, params 12,345``."""
    if record.values is None:
        return record.status.replace("_", " ") if record.status else "running"
    return ", ".join(f"{name} {number(value)}" for (name, _), value in zip(objectives, record.values, strict=True))


def number(value: float) -> str:
    """A metric or a cost, short."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """``1 epoch``, ``12 epochs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class _Progress(Listener):
    """What both displays count."""

    def __init__(self, console: Console, objectives: tuple[tuple[str, str], ...], epochs: int | None) -> None:
        self.console = console
        self.objectives = objectives
        self.epochs = epochs
        self.total: int | None = None
        self.budget: float | None = None
        self.done = 0
        self.known = 0
        self.duplicates = 0
        self.supernet_epochs = self.proxies = 0
        self.first: dict[str, int] = {}
        self.best: TrialRecord | None = None
        self.start = time.monotonic()

    def began(
        self, *, folder: Path, trials: int | None, time: float | None, workers: int, known: int, spent: float = 0.0
    ) -> None:
        self.total, self.done, self.known = trials, known, known
        self.budget = None if time is None else max(0.0, time - spent)
        self.start = _now()
        what = counted(trials, "architecture") if trials is not None else "architectures"
        limit = f" within {duration(time)}" if time else ""
        again = f", {known} of them done before" if known else ""
        self.say(f"Searching {what}{limit} with {counted(workers, 'worker')}{again}. Run folder: {folder}")

    def constrained(self, plain_share: float, share: float) -> None:
        plain = f"{plain_share:.0%}" if plain_share >= 0.01 else "fewer than 1 in 100"
        steered = f"; of those proposed at random, {share:.0%} do" if share > plain_share else ""
        self.say(f"The constraints hold for {plain} of the networks of the space{steered}.")

    def informed(self, tasks: Sequence[str], agreement: float | None, *, trusted: bool, few: float | None) -> None:
        on = "" if few is None else f" on {few:.0f} networks each"
        named = ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")
        worth = (
            "; how far one task can be trusted is not known" if agreement is None
            else f", which rank each other's networks with a Kendall's tau of {agreement:.2f}{on}" if trusted
            else f", which do not rank each other's networks (Kendall's tau {agreement:.2f}{on}), so the search begins without them"
        )  # fmt: skip
        self.say(f"The predictor knows {named}{worth}.")

    def carried_over(self, tasks: tuple[int, int], kept: int, results: int) -> None:
        some, known = tasks
        part = "They are" if some == known else f"{some} of them {'is' if some == 1 else 'are'}"
        what = "It is" if known == 1 else part
        self.say(
            f"{what} of another version of the space; {kept:,} of {results:,} results are of networks of this one."
        )

    def noted(self, text: str) -> None:
        self.say(f"Note: {text}.")

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        self.best = best
        if record.duplicate_of is None:
            self.done += 1
        else:
            self.duplicates += 1

    def draining(self, running: int) -> None:
        self.say(
            f"Stopping: {running} {'trial is' if running == 1 else 'trials are'} finishing. Press Ctrl-C again to stop at once."
            if running else "Stopping."
        )  # fmt: skip

    def search_ended(self, ending: Ending) -> None:
        if ending not in (Ending.TRIALS, Ending.INTERRUPTED):
            self.say(f"The search has ended: {ending}.")

    def proxies_started(self, networks: int) -> None:
        self.proxies = networks
        self.say(f"Scoring {counted(networks, 'random network')} by zero-cost proxies.")

    def proxies_ended(self, networks: int) -> None:
        self._trials_begin()
        if networks < self.proxies:
            self.say(f"There was time for {networks} of them.")

    def _trials_begin(self) -> None:
        """The pace of trials is counted from here."""
        elapsed = _now() - self.start
        self.start += elapsed
        self.budget = None if self.budget is None else self.budget - elapsed

    def proxies_left(self, message: str) -> None:
        self.say(f"No proxies: {message}. The search goes on without.")

    def supernet_started(self, epochs: int) -> None:
        self.supernet_epochs = epochs
        self.say(f"Training all networks as one, by shared weights, for {counted(epochs, 'epoch')}.")

    def supernet_ended(self, result: Result) -> None:
        self._trials_begin()
        if result.status is not Status.COMPLETE:
            self.say(f"No supernet: {result.message or result.status}. The search goes on without. {result.remedy}")
            return
        ranked = int(result.metrics.get("candidates", 0))
        short = result.epochs < self.supernet_epochs
        early = f", trained for {counted(result.epochs, 'epoch')} in its share of the time" if short else ""
        self.say(f"The supernet has ranked {counted(ranked, 'network')} ({duration(result.seconds or 0.0)}{early}).")
        if collapsed := int(result.metrics.get("collapsed", 0)):
            self.say(
                f"Ops without weights had won the decisions after epoch {collapsed}; from then on all were trained evenly."
            )

    def supernet_left(self, agreement: float) -> None:
        self.say(
            f"The supernet's ranking does not agree with the evaluations (Kendall's tau {agreement:.2f}): "
            "the search goes on by evolution."
        )

    def say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    @property
    def left(self) -> float | None:
        """Seconds until the search ends, as far as its pace so far tells."""
        new, elapsed = self.done - self.known, _now() - self.start
        guesses = []
        if self.total is not None and new > 0:
            guesses.append((self.total - self.done) * elapsed / new)
        if self.budget is not None:
            guesses.append(self.budget - elapsed)
        return max(0.0, min(guesses)) if guesses else None


def _now() -> float:
    return time.monotonic()


class PlainProgress(_Progress):
    """One line a trial."""

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        super().trial_ended(record, best)
        first = self.first.setdefault(record.canonical_id, record.number)
        count = f"{self.done}/{self.total}" if self.total is not None else str(self.done)
        text = f"[{count}] trial {record.number}: {values_text(record, self.objectives)}"
        if record.duplicate_of is not None:
            text += f" (the network of trial {record.duplicate_of})"
        elif record.status is not None and record.values is None:
            text += f" ({record.message})"
        else:
            notes = [] if first == record.number else [f"trial {first} again"]
            # A table has no epochs, and may know no times.
            notes += [] if self.epochs is None else [counted(record.epochs, "epoch")]
            notes += [duration(record.seconds)] if self.epochs is not None or record.seconds else []
            text += f" ({', '.join(notes)})" if notes else ""
        if best is not None:
            text += f"; best {values_text(best, self.objectives)} (trial {best.number})"
        if self.left is not None and self.done < (self.total or self.done + 1):
            text += f"; {duration(self.left)} left"
        self.say(text)

    def final_started(self, record: TrialRecord, epochs: int) -> None:
        self.say(
            f"Training the network of trial {record.number} on training and validation data for {counted(epochs, 'epoch')}."
        )


class LiveProgress(_Progress):
    """A bar, the best so far, and what each worker does."""

    def __init__(self, console: Console, objectives: tuple[tuple[str, str], ...], epochs: int | None) -> None:
        super().__init__(console, objectives, epochs)
        self.running: dict[int, tuple[str, int]] = {}
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"), console=console,
        )  # fmt: skip
        self.task = self.bar.add_task("search", total=None, note="")
        self.live = Live(self._view(), console=console, refresh_per_second=5, transient=True)

    def began(self, **what: Any) -> None:
        super().began(**what)
        self.bar.update(self.task, total=self.total, completed=self.done)
        self.live.start()

    def trial_started(self, record: TrialRecord, worker: str) -> None:
        self.running[record.number] = (worker, 0)
        self._refresh()

    def trial_reported(self, record: TrialRecord, report: EpochReport) -> None:
        worker, _ = self.running.get(record.number, ("", 0))
        self.running[record.number] = (worker, report.epoch)
        self._refresh()

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        super().trial_ended(record, best)
        self.running.pop(record.number, None)
        if record.values is None:
            self.say(f"trial {record.number}: {values_text(record, self.objectives)} ({record.message})")
        self._refresh()

    def proxies_started(self, networks: int) -> None:
        super().proxies_started(networks)
        self.task = self._swap("scoring networks", networks, note="networks")
        self._refresh()

    def proxies_reported(self, done: int) -> None:
        self.bar.update(self.task, completed=done)
        self._refresh()

    def proxies_ended(self, networks: int) -> None:
        super().proxies_ended(networks)
        self._search_again()

    def proxies_left(self, message: str) -> None:
        super().proxies_left(message)
        self._search_again()

    def supernet_started(self, epochs: int) -> None:
        super().supernet_started(epochs)
        self.task = self._swap("training the supernet", epochs)
        self._refresh()

    def supernet_reported(self, report: EpochReport) -> None:
        self.bar.update(self.task, completed=report.epoch)
        self._refresh()

    def supernet_ended(self, result: Result) -> None:
        super().supernet_ended(result)
        self._search_again()

    def final_started(self, record: TrialRecord, epochs: int) -> None:
        self.running.clear()
        self.task = self._swap(f"training the best (trial {record.number})", epochs)
        self._refresh()

    def final_reported(self, report: EpochReport) -> None:
        self.bar.update(self.task, completed=report.epoch)
        self._refresh()

    def final_ended(self, result: Result) -> None:
        self.close()

    def close(self) -> None:
        """Take the display away."""
        if self.live.is_started:
            self.live.stop()

    def _search_again(self) -> None:
        self.task = self._swap("search", self.total, note="")
        self.bar.update(self.task, completed=self.done)
        self._refresh()

    def _swap(self, text: str, total: int | None, note: str = "epochs") -> Any:
        self.bar.remove_task(self.task)
        return self.bar.add_task(text, total=total, note=note)

    def _refresh(self) -> None:
        if self.bar.tasks and self.bar.tasks[0].description == "search":
            left = "" if self.left is None else f"about {duration(self.left)} left"
            self.bar.update(self.task, completed=self.done, note=left)
        self.live.update(self._view())

    def _view(self) -> Group:
        parts: list[Any] = [self.bar]
        if self.best is not None:
            parts.append(
                Text(
                    f"  best so far: {values_text(self.best, self.objectives)} (trial {self.best.number})",
                    style="green",
                )
            )
        if self.duplicates:
            were = "was a network" if self.duplicates == 1 else "were networks"
            parts.append(Text(f"  {counted(self.duplicates, 'proposal')} {were} already known", style="dim"))
        if self.running:
            table = Table.grid(padding=(0, 2))
            for trial, (worker, epoch) in list(self.running.items())[:_SHOWN_WORKERS]:
                at = "" if self.epochs is None else f"epoch {epoch}/{self.epochs}"
                table.add_row(Text(f"  {worker}", style="dim"), f"trial {trial}", at)
            if len(self.running) > _SHOWN_WORKERS:
                table.add_row("", f"and {len(self.running) - _SHOWN_WORKERS} more", "")
            parts.append(table)
        return Group(*parts)
