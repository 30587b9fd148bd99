"""The traps of architecture search that other people's code fell into, and what guards each here.

A same batch at every step and a last network in place of the best were bugs of published ports of
DARTS; synflow of 1e61 and proxies of the wrong sign are in the issues of zero-cost code. The tests
named below each failed when the trap was set in the source; those in this file belong to no other.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from small_run import Untouchable
from torch import Tensor

from hypernas.exporting import read_export
from hypernas.files import read_json, write_json
from hypernas.finalists import renewed
from hypernas.results import Training
from hypernas.runs import Run
from hypernas.scoring import Scorer

GUARDS: dict[str, str] = {
    "the same batch at every step": (
        "test_fitting.test_every_step_has_its_own_batch_and_candidates "
        "test_training.test_every_step_has_its_own_batch "
        "test_scoring.test_images_are_fixed_and_distinct "
        "test_scoring.test_score_is_the_cross_entropy_computed_by_hand "
        "test_traps.test_the_gradient_of_a_search_is_over_all_scoring_batches"
    ),
    "the last in place of the best": (
        "test_best.test_stage_that_does_not_improve_is_not_taken "
        "test_finalists.test_best_is_by_mean_validation_then_a_finalist_then_by_size "
        "test_searching.test_top_is_by_score_then_by_params_within_limits"
    ),
    "the network exported is not the one scored": (
        "test_traps.test_what_is_exported_is_what_was_scored "
        "test_jobs.test_generated_start_is_the_candidate "
        "test_normalising.test_scores_are_those_of_a_plain_network"
    ),
    "a proxy with the wrong sign": (
        "test_proxies.test_size_and_flow_grow_with_width_and_depth "
        "test_proxies.test_naswot_is_higher_the_more_codes_differ "
        "test_proxies.test_jacob_cov_is_lowest_of_what_treats_all_inputs_alike "
        "test_proxies.test_gradients_are_less_where_weights_hardly_matter "
        "test_signals.test_a_search_by_a_proxy"
    ),
    "a proxy that overflows": (
        "test_proxies.test_synflow_of_deep_and_wide_networks_is_a_number "
        "test_proxies.test_what_overflows_is_worst_and_no_error"
    ),
    "a score that depends on the order of candidates": (
        "test_scoring.test_order_and_neighbours_do_not_matter "
        "test_scoring.test_calls_before_do_not_matter "
        "test_proxies.test_networks_that_draw_or_write_into_their_inputs_have_one_value"
    ),
    "a score that depends on the number of processes": (
        "test_workers.test_two_processes_score_as_one_does "
        "test_workers.test_answers_are_in_order_and_from_all_processes "
        "test_resuming.test_one_process_gives_the_same_result"
    ),
    "the test split touched before the end": (
        "test_traps.test_no_step_before_the_last_looks_at_the_test_split "
        "test_traps.test_the_test_split_decides_nothing "
        "test_climbing.test_the_test_split_decides_nothing_on_the_ladder "
        "test_climbing.test_no_rung_below_the_top_looks_at_the_test_split "
        "test_jobs.test_training_is_done_once_and_the_test_split_measured_once"
    ),
    "another policy of norms in a column beside": (
        "test_traps.test_all_scores_of_a_table_are_of_one_policy_of_norms "
        "test_finalists.test_every_pick_has_the_score_of_the_protocol "
        "test_traps.test_both_accuracies_are_by_the_networks_own_statistics "
        "test_climbing.test_all_rungs_are_of_the_policy_of_norms_of_the_scores"
    ),
    "a candidate larger than any in training scored without a word": (
        "test_largest.test_what_is_larger_is_said_of_each_size "
        "test_largest.test_the_bound_is_of_the_steps_and_not_of_the_survey "
        "test_largest.test_a_run_keeps_the_bound_beside_the_weights "
        "test_largest.test_a_line_of_scores_warns test_largest.test_answers_warn "
        "test_largest.test_a_comparison_and_an_explanation_warn "
        "test_largest.test_calibrated_answers_warn test_largest.test_a_report_warns "
        "test_fit_space.test_larger_than_what_was_fitted_on_is_warned_about"
    ),
}
"""the tests of each trap"""


@pytest.mark.parametrize("trap", GUARDS)
def test_every_guard_is_there(trap: str) -> None:
    for guard in GUARDS[trap].split():
        file, name = guard.split(".")
        tree = ast.parse((Path(__file__).parent / f"{file}.py").read_text())
        tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert name in tests, f"{guard} guards against {trap!r}, and is gone"


def test_the_gradient_of_a_search_is_over_all_scoring_batches(finished_run: Run) -> None:
    """What DARTS' ports got wrong: steps by the first validation batch alone."""
    place = finished_run.place
    scorer = Scorer(
        place.hypernet, place.batches(place.splits.validation, 20), place.task, images=60, seed=0
    )
    assert len(scorer.batches) == 3
    candidate = place.candidates.of(finished_run.scored[0].choices)
    with torch.no_grad():
        loss = scorer.loss(candidate, place.hypernet([candidate])[0])
    assert -loss.item() == pytest.approx(scorer([candidate])[0].score, abs=1e-4)


def test_what_is_exported_is_what_was_scored(finished_run: Run) -> None:
    """The candidate that was scored computes, with the exported weights, what the export does."""
    place, best = finished_run.place, finished_run.best
    exported = read_export(finished_run.folder / "best")
    candidate = place.candidates.of(best.choices)
    assert best.network.score == pytest.approx(place.score([candidate])[0].score, abs=1e-5)
    weights = dict(exported.named_parameters())
    assert weights.keys() == dict(candidate.module.named_parameters()).keys()
    images, _ = next(place.validation_batches.in_order())
    with torch.no_grad():
        torch.testing.assert_close(exported(images), best.module(images), rtol=1e-4, atol=1e-4)
        found = candidate(weights, images)
        assert isinstance(found, Tensor)
        exported.train()  # for the candidate normalises by the batch
        torch.testing.assert_close(found, exported(images), rtol=1e-4, atol=1e-4)


def test_no_step_before_the_last_looks_at_the_test_split(own_run: Run) -> None:
    """Fit, search and the choice of finalists do without; a training ends with it."""
    place, before = own_run.place, own_run.scored
    for name in ("hypernet.safetensors", "study.journal", "picks.json"):
        (own_run.folder / name).unlink()
    for name in ("fit", "networks"):
        shutil.rmtree(own_run.folder / name)
    object.__setattr__(place.splits, "test", Untouchable())
    own_run.fit()
    own_run.search()
    assert own_run.scored == before
    renewed(place, own_run.scored, own_run.voice)
    with pytest.raises(AssertionError, match="the test split was looked at") as refused:
        own_run.train()
    *_, measured = (one for one in refused.traceback if str(one.path).endswith("jobs.py"))
    assert "place.splits.test" in str(measured.statement), "a training has ended"
    assert not list(own_run.folder.glob("networks/*/*/result.json"))


def test_the_test_split_decides_nothing(own_run: Run) -> None:
    """Neither which network is recommended nor which of its weights."""
    best = own_run.best
    for path in own_run.folder.glob("networks/*/*/result.json"):
        result = read_json(path, Training)
        assert result.test_accuracy is not None
        write_json(path, msgspec.structs.replace(result, test_accuracy=1 - result.test_accuracy))
    again = Run.open(own_run.folder, quiet=True).best
    assert again.choices == best.choices
    assert again.final.folder == best.final.folder
    assert again.final.test_accuracy == pytest.approx(1 - (best.final.test_accuracy or 0))


@pytest.mark.parametrize("statistics", ["batch", "reestimated"])
def test_all_scores_of_a_table_are_of_one_policy_of_norms(own_run: Run, statistics: Any) -> None:
    """Of the search, of random networks and of the biggest, also of what is scored later."""
    changed = msgspec.structs.replace(own_run.config, statistics=statistics, trials=8)
    write_json(own_run.folder / "config.json", changed)
    plan = msgspec.structs.replace(own_run.place.plan, trials=8)
    write_json(own_run.folder / "plan.json", plan)
    (own_run.folder / "study.journal").unlink()
    run = Run.open(own_run.folder, quiet=True)
    run.search()
    place = run.place
    picks = renewed(place, run.scored, run.voice).networks
    assert {pick.source for pick in picks} == {"search", "random", "biggest"}
    given = {True: place.statistics, False: ()}
    for pick in picks:
        candidate = place.candidates.of(pick.choices)
        (line,) = run.score([pick.choices])
        by = {}
        for reestimated in given:
            scorer = place.scorer(place.hypernet)
            scorer.statistics = given[reestimated]
            by[reestimated] = scorer([candidate])[0].score
        if statistics == "reestimated":
            assert by[True] != pytest.approx(by[False], abs=1e-4), "the policies differ"
        expected = by[statistics == "reestimated"]
        assert pick.score.score == pytest.approx(expected, abs=1e-5)
        assert line.score == pytest.approx(expected, abs=1e-5)


def test_both_accuracies_are_by_the_networks_own_statistics(finished_run: Run) -> None:
    """The validation and the test column; neither normalises by the batch it is measured on."""
    place, best = finished_run.place, finished_run.best
    module = best.module.eval()
    columns = {"validation": best.final.val_accuracy, "test": best.final.test_accuracy}
    for split, told in columns.items():
        images, targets = next(place.batches(getattr(place.splits, split), 10**6).in_order())
        with torch.no_grad():
            alone = torch.cat([module(image[None]) for image in images])
        assert (alone.argmax(1) == targets).double().mean() == pytest.approx(told), split
