"""The commands: a thin layer over :mod:`hypernas.api` and :class:`hypernas.runs.Run`.

Torch is imported only when a command has to work, so that ``--help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import tyro
from tyro.conf import OmitArgPrefixes, Positional

from hypernas.asked import GroundTruth, SpaceCheck
from hypernas.config import Config
from hypernas.errors import ConfigError
from hypernas.flags import OtherOptions, OutFile, Size, SizeRange
from hypernas.results import Limits

if TYPE_CHECKING:
    from hypernas.runs import Run

Folder = Positional[Path]


def run(config: OmitArgPrefixes[Config], *, out: Path | None = None, quiet: bool = False) -> None:
    """Find, train and export the best network for a data set: all steps, one after the other.

    A run that was stopped goes on by the same command.

    Args:
        config: what to search, where, and for how long.
        out: the run folder; by default runs/NAME.
        quiet: print nothing.
    """
    from hypernas.api import folder_for
    from hypernas.runs import Run

    Run.start(out or folder_for(config.data), config, quiet=quiet).everything()


def init(config: OmitArgPrefixes[Config], *, out: Path | None = None, quiet: bool = False) -> None:
    """Make a run folder and fix its counts, without doing a step.

    Args:
        config: what to search, where, and for how long.
        out: the run folder; by default runs/NAME.
        quiet: print nothing.
    """
    from hypernas.api import folder_for
    from hypernas.runs import Run

    made = Run.start(out or folder_for(config.data), config, quiet=quiet)
    first = "fit" if config.fits else "search"
    made.voice.say(f"run folder {made.folder}; next: hypernas {first} {made.folder}")


def fit(folder: Folder, *, quiet: bool = False) -> None:
    """Train the hypernetwork of a run folder.

    Args:
        folder: the run folder.
        quiet: print nothing.
    """
    _open(folder, quiet).fit()


def search(folder: Folder, *, trials: int | None = None, quiet: bool = False) -> None:
    """Score candidates: with generated weights, or by what the run has in their place.

    Args:
        folder: the run folder.
        trials: candidates there are to be in all; by default as planned.
        quiet: print nothing.
    """
    _open(folder, quiet).search(trials=trials)


def train(
    folder: Folder,
    *,
    best: bool = False,
    scale: OtherOptions | None = None,
    start: Literal["scratch", "grown"] | None = None,
    transfer_to: str | None = None,
    native: Path | None = None,
    random: int | None = None,
    image_size: int | None = None,
    finalists: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    quiet: bool = False,
) -> None:
    """Train the finalists, as many random networks, and the biggest that fits; or the winner on.

    The winner goes on (--best), is built under other options of the space (--best --scale), or is
    trained on other data (--transfer-to). With SPACE DATA --table FILE, random networks of a space
    are trained into a table: see train-table --help.

    Args:
        folder: the run folder.
        best: go on with the winner, for --epochs more.
        scale: with --best or --transfer-to, build it anew under these options of the space, such as
            width=32.
        start: of the network so built: from scratch (the default), or grown from the trained winner
            (Net2Net).
        transfer_to: train the winner and random architectures on these data, given as to run.
        native: run folder on the data of --transfer-to, whose winner is trained beside.
        random: random architectures beside the transferred one; by default 3.
        image_size: side to which the images of --transfer-to are brought, pixels.
        finalists: best candidates to train, with the ladder those that get all seeds; by default as
            planned.
        seeds: trainings of each network; by default as planned.
        epochs: of each training; by default as planned.
        quiet: print nothing.
    """
    counts = {"seeds": seeds, "epochs": epochs}
    target = {"random": random, "image_size": image_size}
    opened = _open(folder, quiet)
    if transfer_to is not None:
        _none("--transfer-to", best=best or None, start=start, finalists=finalists)
        from hypernas.transferring import Target

        given = {k: v for k, v in (counts | target).items() if v is not None}
        opened.transfer(Target(data=transfer_to, options=scale or {}, **given), native=native)
        return
    _none("a training without --transfer-to", native=native, **target)
    if not best:
        _none("a training without --best", scale=scale, start=start)
        opened.train(finalists=finalists, **counts)
        return
    _none("--best", finalists=finalists)
    if epochs is None:
        raise ConfigError("--best needs --epochs N, how long the winner is trained")
    if scale is not None:
        opened.scale(scale, epochs=epochs, seeds=seeds, start=start or "scratch")
        return
    _none("--best without --scale", start=start, seeds=seeds)
    opened.go_on(epochs=epochs)


def train_table(asked: OmitArgPrefixes[GroundTruth], *, table: Path, quiet: bool = False) -> None:
    """Train random networks of a space for real, into a table (train SPACE DATA --table FILE).

    A table that was stopped goes on by the same command; more --architectures, --seeds and
    --repeated add to it.

    Args:
        asked: which networks, on what, and how.
        table: file of one line a network; its name ends in .jsonl or .jsonl.gz.
        quiet: print nothing.
    """
    from hypernas import ground_truth
    from hypernas.console import Voice

    ground_truth.make(table, asked, Voice(quiet=quiet))


def trust(folder: Folder, *, train: int = 20, quiet: bool = False) -> None:
    """Train random networks for real, and say how far the scores may be believed.

    Args:
        folder: the run folder.
        train: random networks there are to be in all, 8 or more; new ones are trained once, with
            --score-by training twice. They are spread over sizes, kept, and may become the winner.
        quiet: print nothing.
    """
    _open(folder, quiet).trust(train=train)


def report(folder: Folder, *, quiet: bool = False) -> None:
    """Write result.json and report.html of a run folder.

    Args:
        folder: the run folder.
        quiet: print nothing.
    """
    _open(folder, quiet).report()


def export(folder: Folder, *, quiet: bool = False) -> None:
    """Write the best network of a run folder to best/, without a need for this package.

    Args:
        folder: the run folder.
        quiet: print nothing.
    """
    _open(folder, quiet).export()


def ask(
    folder: Folder,
    *,
    max_params: Size | None = None,
    max_macs: Size | None = None,
    budgets: SizeRange | None = None,
    budget_scale: Literal["linear", "log"] | None = None,
    top: int = 5,
    calibrated: bool = False,
    out: OutFile | None = None,
) -> None:
    """Show the best candidates within new limits, or over new budgets; nothing is trained again.

    Says with which probability each is better than the next and than the first, and which are a
    tie. Where fewer than --top of the scored candidates fit, up to 200 new ones are scored.

    Args:
        folder: the run folder.
        max_params: most parameters a network may have.
        max_macs: most multiply-accumulates for one example.
        budgets: range of budgets, in MACs, over which scores are means in place of the run's; for
            networks with early exits.
        budget_scale: budgets are equally likely by their MACs, or by the logarithm of these; by
            default as in the run.
        top: how many candidates to show.
        calibrated: rank by expected accuracy, foretold from the networks that the run has trained.
        out: file for their choices, one dictionary a line as `score` reads them; by default they
            are printed.
    """
    from hypernas import asking, calibrating

    if top < 1:
        raise ConfigError(f"--top is {top}; expected 1 or more")
    if calibrated and (budgets or budget_scale):
        raise ConfigError(
            "--calibrated is over the run's budgets; leave out --budgets and its scale"
        )
    opened = _open(folder, quiet=False)
    limits, word = Limits(max_params=max_params, max_macs=max_macs), opened.place.task.short
    answer = opened.ask(limits, top=top, budgets=budgets, budget_scale=budget_scale)
    found = answer.found
    if calibrated:
        foretold = opened.calibrated(limits)
        calibrating.show(opened.voice, foretold, top, word)
        found = [one.candidate for one in foretold.found[:top]]
    else:
        asking.show(opened.voice, answer, opened.standings(answer), top, word)
    _give((msgspec.json.encode(scored.choices).decode() for scored in found), out)


def score(
    folder: Folder, networks: Positional[str], *, out: OutFile | None = None, quiet: bool = False
) -> None:
    """Score given architectures, or place a network of your own among the run's candidates.

    Architectures are one dictionary of choices a line in, one line each out. A network gets its
    score, its rank among scored candidates of its size, and the nearest ones that are better; one
    that is unlike all that the hypernetwork was trained on is refused.

    Args:
        folder: the run folder.
        networks: a .jsonl file, or FILE.py:FUNCTION that returns a torch.nn.Module.
        out: file for what is found; by default it is printed.
        quiet: show no progress.
    """
    opened = _open(folder, quiet)
    if ".py:" not in networks:
        given = list(_architectures(Path(networks)))
        lines = (msgspec.json.encode(line).decode() for line in opened.score(given))
        return _give(lines, out)
    from hypernas.placing import place

    return _give(place(networks, opened).lines(), out)


def explain(
    folder: Folder,
    *,
    random: int | None = None,
    every: Annotated[bool, tyro.conf.arg(name="all")] = False,
    out: OutFile | None = None,
    quiet: bool = False,
) -> None:
    """Say what scores depend on: choices, pairs, motifs; what MACs buy, and how to save some.

    Writes explain.json and explain.svg, and a section of report.html where there is one.

    Args:
        folder: the run folder.
        random: look at as many random candidates, scored for it, in place of those of the search.
        every: look at every candidate of a small space, scored for it.
        out: file for the explanation, with its picture beside; by default explain.json of the run.
        quiet: print nothing.
    """
    _open(folder, quiet).explain(random=random, every=every, out=out)


def _give(lines: Iterable[str], out: Path | None) -> None:
    """Print lines, or write them to a file."""
    from hypernas.files import write_text

    if out is not None:
        write_text(out, "".join(f"{line}\n" for line in lines))
        return
    for line in lines:
        print(line)


def spaces() -> None:
    """List the search spaces and their options."""
    from hypernas.options import in_words
    from hypernas.spaces import find, known

    for name, about in known().items():
        print(f"{name:15} {about}\n{'':15} --set {in_words(find(name).options)}")
    print(f"{'FILE.py:NAME':15} a space of your own: def NAME(choose, data, *, option=1): …")


def spaces_check(check: OmitArgPrefixes[SpaceCheck], *, quiet: bool = False) -> None:
    """Draw architectures of a space and print what they are like: sizes, limits, seconds.

    Args:
        check: the space, its options, and the data.
        quiet: show no progress.
    """
    from hypernas.checking import report_on
    from hypernas.console import Voice

    with Voice(quiet=quiet).bar("draw") as update:
        lines = report_on(check, lambda done, total: update(done, total, "architectures"))
    print("\n".join(lines))


def data_list() -> None:
    """List the known data sets, and where each is or how to get it."""
    from hypernas.data import known

    for name, about, available, where in known():
        print(f"{name:15} {about}\n{'':15} {'found' if available else 'not here'}: {where}")
    print(f"{'FOLDER':15} images in one subfolder a class, or in train/ and test/ with such")
    print(f"{'FILE.npz':15} arrays `images`, `texts`, `tokens` or `table`, and `labels`")
    print(f"{'FILE.csv|jsonl':15} texts or a table, a row each, with a cell `label`")
    print("docs/tasks.md says more, also of masks and boxes")


def data_fetch(name: Positional[str], *, folder: Path | None = None) -> None:
    """Download a known data set, and check its digest.

    Args:
        name: name of the data set.
        folder: where to; by default HYPERNAS_DATA, or the user's cache.
    """
    from hypernas.data import fetch

    print(fetch(name, folder=folder))


def _none(of: str, **options: object) -> None:
    """Refuse options that do not go together."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name.replace('_', '-')} does not go with {of}; leave it out")


def _open(folder: Path, quiet: bool) -> Run:
    from hypernas.runs import Run

    return Run.open(folder, quiet=quiet)


def _architectures(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {str(path)!r}: {error}; give a .jsonl file of choices, or for a network "
            "of your own FILE.py:FUNCTION"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConfigError(
                f"{path}, line {number}: {error}; expected one JSON dictionary of choices a line, "
                "or for a network of your own FILE.py:FUNCTION"
            ) from error


COMMANDS: dict[str, Any] = {
    "run": run,
    "init": init,
    "fit": fit,
    "search": search,
    "train": train,
    "train-table": train_table,
    "trust": trust,
    "report": report,
    "export": export,
    "ask": ask,
    "score": score,
    "explain": explain,
    "spaces": spaces,
    "spaces-check": spaces_check,
    "data": data_list,
    "data-fetch": data_fetch,
}
