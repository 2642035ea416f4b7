"""Figures in README and docs are the ones of the results files."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data_report, parameters, scaling, speed
from d2e2s.reporting import compare
from d2e2s.study import page as study_page
from d2e2s.study import plan as study_plan
from d2e2s.study import significance

ROOT = Path(__file__).resolve().parents[1]


def run(seed: int, f1: float, **config: str) -> dict[str, Any]:
    figures = {name: f1 for name in compare.FIGURES}
    arguments = {"config": config, "data": {"dataset_name": "d"}, "training": {"num_train_epochs": 1}}
    return {"seed": seed, "encoder": "e", "arguments": arguments, **figures}


def test_readme_shows_the_results_files() -> None:
    table = compare.table(compare.read_runs(ROOT / "results" / "runs"))
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_architecture_page_shows_the_measured_parameters() -> None:
    measured = json.loads((ROOT / "results" / "parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert parameters.table(measured) in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_runs_that_differ_in_their_seed_share_a_row() -> None:
    (row,) = compare.rows([run(1, 0.5), run(2, 0.7)])
    assert row[3] == "1, 2"
    assert row[4] == "60.00 ± 14.14"


def test_other_models_have_their_own_row() -> None:
    assert len(compare.rows([run(1, 0.5), run(1, 0.7, fusion_type="tin")])) == 2


def test_another_recipe_is_not_another_seed() -> None:
    longer = run(2, 0.7)
    longer["arguments"]["training"]["num_train_epochs"] = 2
    assert len(compare.rows([run(1, 0.5), longer])) == 2


def test_one_seed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="two results files of one seed"):
        compare.rows([run(1, 0.5), run(1, 0.5)])


def test_no_placeholder_is_left() -> None:
    assert "_OUTPUT" not in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results files"):
        compare.read_runs(tmp_path)


def results(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "section"),
    [("speed.json", speed.section), ("speed_gpu.json", speed.section), ("scaling.json", scaling.section)],
)
def test_speed_page_shows_the_results_files(name: str, section: Callable[[Any], str]) -> None:
    assert section(results(name)) in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def test_readme_gives_the_measured_speed() -> None:
    ratios, readme = results("speed.json")["ratios"], (ROOT / "README.md").read_text(encoding="utf-8")
    names = ("train_step_cross_attention", "evaluate_file_order", "raw_text")
    sentence = readme[readme.index("On two CPU threads") : readme.index("([speed](docs/speed.md))")]
    assert re.findall(r"[0-9]+\.[0-9]+", sentence) == [f"{ratios[name]:.2f}" for name in names]


def test_from_dess_gives_the_counted_shares() -> None:
    sets = data_report.read_counts(ROOT / "results" / "data")
    differ, changed = (data_report.share(sets, key) for key in ("parser_tokens_differ", "trees_repaired"))
    page = " ".join((ROOT / "docs" / "from_dess.md").read_text(encoding="utf-8").split())
    assert f"differ from the sentence's words in {differ} of a file's sentences" in page
    assert f"{changed} of a file's trees are changed by it" in page


def test_readme_gives_how_many_steps_trees_add() -> None:
    run, readme = results("runs/14res-seed42-ewt.json"), (ROOT / "README.md").read_text(encoding="utf-8")
    trees, sentences = run["parser_train_sentences"], run["train_sentences"]
    assert f"14res + {trees} trees" in readme and f"{(trees + sentences) / sentences:.1f} times as many steps" in readme


def test_reliability_page_gives_what_ten_kills_came_to() -> None:
    found, page = results("faults.json"), (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    seconds = found["seconds"]
    memory = [round(quarter) for quarter in found["memory"]["peak_mb_by_quarter"][0]]
    for text in (
        f"{found['rows_in']:,} rows in, {found['rows_out']:,} out, {found['rejected']} rejected, "
        f"{found['duplicates']} twice, {found['lost']} lost, in order; {found['kills']} kills",
        f"{seconds['1']:.2f} s with one process, {seconds['2']:.2f} s with two",
        f"{', '.join(map(str, memory[:-1]))} and {memory[-1]} MB",
    ):
        assert text in page
    assert found["in_order"] and found["same_shards_as_without_kills"]


def test_reliability_page_gives_what_the_fuzzer_found() -> None:
    found, page = results("fuzz.json"), (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    readers = found["readers"]
    faulty = [name for name, reader in readers.items() if reader["failures"]]
    assert f"{found['examples']:,} inputs of {len(readers)} readers, {found['failures']} faults" in page
    assert len(faulty) == 3 and "of three readers" in page
    again = results("fuzz_tables.json")
    assert set(again["readers"]) == set(faulty)
    assert f"{again['examples']:,} inputs: {again['failures']} faults" in page


SETS = ("14res", "14lap", "15res")


def paths_of(pattern: str) -> list[str]:
    """Results files of a pattern, as `results` takes them."""
    return sorted(str(path.relative_to(ROOT / "results")) for path in (ROOT / "results").glob(pattern))


def spread(pattern: str, figure: str) -> str:
    """Of a figure in the results files of a pattern: mean and standard deviation, or the one value; in percent."""
    return spread_of(paths_of(pattern), figure)


def spread_of(paths: Sequence[str], figure: str) -> str:
    values = [100 * results(path)[figure] for path in paths]
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def test_the_readme_gives_what_two_steps_came_to() -> None:
    """Mean and standard deviation of the seeds, and how many sentences the first step has."""
    page = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for figure in ("test_triplet_f1", "eval_triplet_f1"):
        for name in ("14res", "14lap", "15res"):
            assert spread(f"two_steps/{name}-seed*.json", figure) in page
    first = [results(f"two_steps/joint-seed{seed}.json") for seed in (42, 43, 44)]
    second = [
        results(f"two_steps/{name}-seed{seed}.json") for name in ("14res", "14lap", "15res") for seed in (42, 43, 44)
    ]
    assert {run["train_sentences"] for run in first} == {2274}
    minutes = [round(statistics.mean(run["train_runtime"] for run in runs) / 60) for runs in (first, second)]
    assert "first step took {} minutes, and the second {} on each set".format(*minutes) in page


def mean_of_sets(runs: str, figure: str) -> float:
    """Of the runs of the three sets (SET in their pattern), as many of each; in percent."""
    values = [[100 * results(path)[figure] for path in paths_of(runs.replace("SET", name))] for name in SETS]
    assert len({len(of_one_set) for of_one_set in values}) == 1
    return statistics.mean(map(statistics.mean, values))


@pytest.mark.parametrize("page", ["README.md", "docs/experiments.md"])
def test_pages_give_what_ratings_came_to(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for name in ("14res", "14lap", "15res"):
        assert len(list((ROOT / "results" / "three_steps").glob(f"{name}-seed*.json"))) == 3
        for figure in ("test_triplet_f1", "eval_triplet_f1"):
            assert spread(f"three_steps/{name}-seed*.json", figure) in text
    gains = []
    for figure in ("eval_triplet_f1", "test_triplet_f1"):
        after, before = (mean_of_sets(f"{folder}/SET-seed*.json", figure) for folder in ("three_steps", "two_steps"))
        gains.append(after - before)
        assert page == "README.md" or f"({after:.2f} against {before:.2f})" in text
    assert "half a point" in text and all(0.45 <= gain < 0.55 for gain in gains)


def test_the_experiments_page_gives_what_the_encoders_learned() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    runs = [results(f"three_steps/rated-seed{seed}.json") for seed in (42, 43, 44)]
    assert {(run["texts"], run["held_out"]) for run in runs} == {(17587, 926)}
    own_data = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    assert f"{17587 + 926:,} sentences of reviews and tweets" in own_data
    low, high = min(run["correlation"] for run in runs), max(run["correlation"] for run in runs)
    assert "17,587 sentences of VADER" in page and f"the ratings of 926 others {low:.2f} to {high:.2f}" in page


TRIALS = {
    "configs/minilm.yaml": {
        "64.35": "runs/14res-seed42.json",
        "65.64": "trials/14res-seed42-lr1e-4-head5e-4.json",
        "65.67": "trials/14res-seed42-lr2e-4-head3e-4.json",
        "65.83": "trials/14res-seed42-lr1.5e-4.json",
        "65.94": "trials/14res-seed42-lr1.5e-4-24-epochs.json",
    },
    "docs/own_data.md": {
        "65.97": "trials/14res-seed42-lr1.5e-4-with-14lap-15res.json",
        "65.94": "trials/14res-seed42-lr1.5e-4-24-epochs.json",
        "73.71 ± 0.75": "two_steps/15res-seed*.json",
        "62.45 ± 0.56": "two_steps/15res-seed*.json test_triplet_f1",
        "73.03 ± 2.33": "study/15res/cross-attention-8-heads-seed*.json",
        "60.01 ± 1.41": "study/15res/cross-attention-8-heads-seed*.json test_triplet_f1",
    },
}


@pytest.mark.parametrize("page", TRIALS)
def test_trials_are_given_as_they_came_out(page: str) -> None:
    shown = re.findall(r"[67][0-9]\.[0-9]{2}(?: ± [0-9.]{4})?", (ROOT / page).read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(TRIALS[page])
    for figure, runs in TRIALS[page].items():
        runs, _, name = runs.partition(" ")
        assert figure == spread(runs, name or "eval_triplet_f1")


def recipe_rows(name: str) -> list[list[str]]:
    """The cells of a table of the experiments page, without its head."""
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    table = page[page.index(f"<!-- {name}:begin -->") : page.index(f"<!-- {name}:end -->")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[3:]]


def test_the_experiments_page_gives_every_trial_as_it_came_out() -> None:
    given = {runs: dev_f1 for _, _, runs, dev_f1, _ in recipe_rows("recipe")}
    given |= {runs: dev_f1 for _, runs, dev_f1 in recipe_rows("first-step")}
    for _, runs, *figures in recipe_rows("two-steps"):
        given |= {runs.replace("SET", name): dev_f1 for name, dev_f1 in zip(SETS, figures, strict=True)}
    for runs, dev_f1 in given.items():
        assert spread(runs, "eval_triplet_f1") == dev_f1
    shown = {path for runs in given for path in (ROOT / "results").glob(runs)}
    assert set((ROOT / "results" / "trials").iterdir()) <= shown
    assert set((ROOT / "results" / "two_steps_gpu").iterdir()) <= shown


def test_the_experiments_page_gives_what_was_scored_once() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    best = [f"two_steps_gpu/{name}-cross-attention-basic-*.json" for name in SETS]
    kept = [f"two_steps/{name}-seed*.json" for name in SETS]
    for runs in (*best, *kept, "two_steps_gpu/15res-no-graphs-*.json"):
        assert spread(runs, "test_triplet_f1") in page


def test_the_experiments_page_gives_the_sizes_and_times_of_its_files() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    reviews, joint = results("trials/joint-voted-reviews-seed42.json"), results("two_steps/joint-seed42.json")
    sentences, triplets = (reviews[f"train_{name}"] - joint[f"train_{name}"] for name in ("sentences", "triplets"))
    assert f"{sentences:,} sentences of reviews" in page and f"the {triplets:,} triplets whose score" in page
    voted = results("trials/joint-no-graphs-20-candidates-voted-ewt-seed42.json")
    plain = results("trials/joint-no-graphs-20-candidates-seed42.json")
    sentences, triplets = (voted[f"train_{name}"] - plain[f"train_{name}"] for name in ("sentences", "triplets"))
    assert f"the {sentences:,} different training sentences of EWT" in page and f"the {triplets:,} triplets" in page
    scored = results("trials/joint-scores-of-twelve-models-seed42.json")["earlier_training"][0]["sentences"]
    assert f"{scored - joint['train_sentences']:,} unlabelled sentences" in page
    assert f"dev sentences of the three sets together ({plain['dev_sentences']})" in page
    seconds = [
        json.loads(path.read_text(encoding="utf-8"))["train_runtime"] for path in ROOT.glob("results/study/*/*.json")
    ]
    assert f"{min(seconds):.0f} to {max(seconds):.0f} seconds of training a run" in page


NEARER = "ensembles_one_standard_error"  # threshold nearer to 0.5
MOVED = "ensembles_moved"
FUSIONS = "fusions_together"
TOGETHER = {"one": "seed??", "three": "seeds-??-??-??", "five": "seeds-??-??-??-??-??"}


def test_the_experiments_page_gives_every_ensemble_as_it_came_out() -> None:
    shown = set()
    for _, count, runs, *cells in recipe_rows("ensembles"):
        patterns = [runs.replace("SET", name) for name in SETS]
        assert [len(paths_of(pattern)) for pattern in patterns] == [int(count)] * 3
        assert cells == [spread(each, f"{split}_triplet_f1") for each in patterns for split in ("eval", "test")]
        shown |= {path for pattern in patterns for path in paths_of(pattern)}
    assert shown == {*paths_of("ensembles*/1*.json")}


def test_no_two_ensembles_of_a_row_share_a_model() -> None:
    for row in [row[2] for row in recipe_rows("ensembles") if "seeds" in row[2]]:
        for runs in (row.replace("SET", name) for name in SETS):
            models = []
            for path in paths_of(runs):
                name, seeds = Path(path).stem.split("-seeds-")
                members = results(path)["arguments"]["model"]["ensemble_of"]
                assert members == [f"outputs/{name}-seed{seed}" for seed in seeds.split("-")]
                models += members
            assert len(models) == len(set(models)) > 0


def test_pages_give_what_ensembles_came_to() -> None:
    readme, own_data, page = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("README.md", "docs/own_data.md", "docs/experiments.md")
    )
    for split in ("test", "eval"):
        for name in SETS:
            assert spread(f"ensembles/{name}-{TOGETHER['five']}.json", f"{split}_triplet_f1") in readme
    together = {models: f"ensembles/SET-{seeds}.json" for models, seeds in TOGETHER.items()}
    for models in ("three", "five"):
        gains = []
        for figure in ("eval_triplet_f1", "test_triplet_f1"):
            gains.append(mean_of_sets(together[models], figure) - mean_of_sets(together["one"], figure))
            for name in SETS:
                several, alone = (spread(together[some].replace("SET", name), figure) for some in (models, "one"))
                assert float(several.split()[0]) > float(alone.split()[0])
        assert f"{models} {gains[0]:.1f} on dev and {gains[1]:.1f} on test" in own_data
    other_first_step = f"ensembles/SET-cross-attention-basic-20-candidates-{TOGETHER['five']}.json"
    five, three, other = (
        mean_of_sets(runs, "eval_triplet_f1") for runs in (together["five"], together["three"], other_first_step)
    )
    assert f"five are better than three ({five:.2f} against {three:.2f}" in page
    assert f"({five:.2f} and {other:.2f} with five)" in page
    for models, text in (
        ("one", "{:.2f} with the threshold that is best on dev and {:.2f} with this one for models"),
        ("five", "{:.2f} and {:.2f} for five as one"),
    ):
        both = [together[models].replace("ensembles/", folder) for folder in ("ensembles/", f"{NEARER}/")]
        assert text.format(*(mean_of_sets(runs, "test_triplet_f1") for runs in both)) in page
    assert {results(path)["decision_threshold"] for path in paths_of(f"{NEARER}/1*.json")} == {0.5}
    assert "which was 0.5 in all of them" in page
    one = results("ensembles/15res-seeds-45-46-47-48-49.json")
    size, encoder = one["parameters"] / 1e6, one["encoder_parameters"] / 1e6
    assert f"{size:.0f} million parameters, of which {encoder:.0f} in the encoders" in page
    assert f"{size:.0f} million parameters" in readme


def shortest_to_longest(figure: str, *patterns: str, unit: int = 1) -> str:
    """Of a duration in the results files of the patterns, in seconds or what else the unit says."""
    found = [results(path)[figure] / unit for pattern in patterns for path in paths_of(pattern)]
    return f"{min(found):.0f} to {max(found):.0f}"


def test_the_experiments_page_gives_what_the_best_figures_cost() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    ratings = shortest_to_longest("seconds", "ensembles/rated-seed*.json")
    first, second = (
        shortest_to_longest("train_runtime", f"ensembles/{name}-seed??.json") for name in ("joint", "1????")
    )
    assert f"the ratings took {ratings} seconds of training, the first step {first}, and the second {second};" in page
    on_cpu = f"{NEARER}/{{}}-seed4?.json".format
    first = shortest_to_longest("train_runtime", "three_steps/joint-*.json", on_cpu("joint"), unit=60)
    second = shortest_to_longest("train_runtime", on_cpu("1*"), unit=60)
    assert f"two runs at once, the first step {first} minutes and the second {second};" in page


def test_the_experiments_page_gives_five_as_one_over_both_machines() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    both = f"ensemble*[su]/15res-{TOGETHER['five']}.json"  # ensembles and ensembles_cpu
    assert f"the four ensembles come to {spread(both, 'test_triplet_f1')} on test of 15res" in page


def test_the_experiments_page_gives_what_moved_embeddings_came_to() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    spreads = []
    for steps, seeds, text in (
        ("second-step", "4[234]", "the mean of the three sets on dev is {:.2f} against {:.2f};"),
        ("both-steps", "4[234]", "in both steps, from the same ratings, {:.2f}, with the same three seeds."),
    ):
        trials = f"trials/SET-rated-adversarial-{steps}" if steps == "second-step" else f"{MOVED}/SET"
        pair = (f"{trials}-seed{seeds}.json", f"three_steps/SET-seed{seeds}.json")
        assert text.format(*(mean_of_sets(runs, "eval_triplet_f1") for runs in pair)) in page
        for runs in pair:
            alone = [runs.replace(seeds, f"4{seed}") for seed in seeds[2:-1]]
            spreads.append(statistics.stdev(mean_of_sets(run, "eval_triplet_f1") for run in alone))
    assert {f"{each:.1f}" for each in spreads} == {"0.4"}
    assert "In that mean the seeds of a row differ by 0.4." in page
    (test, test_without), (dev, dev_without) = (
        [mean_of_sets(f"{folder}/SET-seed??.json", f"{split}_triplet_f1") for folder in (MOVED, "ensembles")]
        for split in ("test", "eval")
    )
    assert f"{test:.2f} in that mean, with nine seeds, where the 15 of other seeds without" in page
    assert f"without came to {test_without:.2f} (dev {dev:.2f} and {dev_without:.2f})" in page


def test_pages_give_what_ensembles_of_moved_embeddings_came_to() -> None:
    readme, page = (" ".join((ROOT / name).read_text("utf-8").split()) for name in ("README.md", "docs/experiments.md"))
    together = TOGETHER["five"]
    for split in ("test", "eval"):
        cells = [spread(f"{MOVED}/{name}-{together}.json", f"{split}_triplet_f1") for name in SETS]
        assert (f"{cells[0]}, {cells[1]} and {cells[2]}" if split == "test" else f"(dev {', '.join(cells)})") in readme
    alone, three = (
        [spread(f"{MOVED}/{name}-{TOGETHER[models]}.json", "test_triplet_f1") for name in SETS]
        for models in ("one", "three")
    )
    assert f"nine models alone come to {alone[0]}, {alone[1]} and {alone[2]}" in readme
    assert f"three as one to {three[0]}, {three[1]} and {three[2]}" in readme
    runs = (f"{MOVED}/SET-seed4[2-6].json", f"{MOVED}/SET-{together}.json", f"ensembles_cpu/SET-{together}.json")
    one, five, without = (mean_of_sets(each, "eval_triplet_f1") for each in runs)
    assert f"{one:.2f} alone, and {five:.2f} against {without:.2f} of the fourth row five as one" in page
    gains = {}
    for name in SETS:
        moved, plain = (float(spread(each.replace("SET", name), "test_triplet_f1")) for each in runs[1:])
        gains[name] = moved - plain
    assert f"On test of 14lap five as one are {-gains['14lap']:.1f} below the fourth row" in page
    assert f"on the two other sets {gains['14res']:.1f} and {gains['15res']:.1f} above it" in page
    both_steps = (f"{MOVED}/{name}-seed??.json" for name in ("joint", "1????"))
    first, second = (shortest_to_longest("train_runtime", runs, unit=60) for runs in both_steps)
    assert f"with moved embeddings {first} and {second}." in page


def test_the_experiments_page_gives_what_more_seeds_of_moved_embeddings_came_to() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    said = {
        range(47, 51): "On test the four alone come to {} on 14res, {} on 14lap and {} on 15res",
        range(42, 47): "where the five before had {}, {} and {}",
    }
    for seeds, text in said.items():
        runs = [[f"{MOVED}/{name}-seed{seed}.json" for seed in seeds] for name in SETS]
        assert text.format(*(spread_of(paths, "test_triplet_f1") for paths in runs)) in page
        if "four" in text:
            assert "(dev {}, {} and {})".format(*(spread_of(paths, "eval_triplet_f1") for paths in runs)) in page
    moved, without = (
        [spread(f"{folder}/{name}-{TOGETHER['three']}.json", "test_triplet_f1") for name in SETS]
        for folder in (MOVED, "ensembles")
    )
    assert f"three as one are there what they are without moved embeddings ({moved[2]} and {without[2]})" in page
    gain, loss, _ = (float(a.split()[0]) - float(b.split()[0]) for a, b in zip(moved, without, strict=True))
    assert f"Three as one gain {gain:.1f} on 14res and lose {-loss:.1f} on 14lap" in page


def test_the_experiments_page_gives_what_one_of_each_fusion_came_to() -> None:
    shown, fusions = set(), ["tin", "cross_attention", "light_cross_attention", "gated", "none"]
    for row, (_, count, runs, *cells) in enumerate(recipe_rows("fusions")):
        assert len(paths_of(runs)) == int(count)
        assert cells == [spread(runs, f"{split}_triplet_f1") for split in ("eval", "test")]
        shown |= {*paths_of(runs)}
        for first, path in zip((70, 75, 80), paths_of(runs), strict=True):
            run = results(path)
            if "seeds" in path:
                assert run["arguments"]["config"]["fusion_type"] == fusions
                members = [f"outputs/15res-seed{seed}" for seed in range(first, first + 5)]
                assert run["arguments"]["model"]["ensemble_of"] == members
            else:
                start = results(f"{FUSIONS}/joint-seed{first + row}.json")["arguments"]
                assert start["config"] == {"fusion_type": fusions[row], "semantic_gcn": "basic", "max_candidates": 20}
                assert start["model"]["encoder_name_or_path"] == f"outputs/rated-seed{first}"
                assert run["arguments"]["model"]["model_name_or_path"] == start["training"]["output_dir"]
    assert shown == {*paths_of(f"{FUSIONS}/15*.json")}


def test_pages_give_what_one_of_each_fusion_is_worth() -> None:
    readme, page = (" ".join((ROOT / name).read_text("utf-8").split()) for name in ("README.md", "docs/experiments.md"))
    together = f"15res-{TOGETHER['five']}.json"
    test, dev, test_same, dev_same = (
        spread(f"{folder}/{together}", f"{split}_triplet_f1")
        for folder in (FUSIONS, "ensembles")
        for split in ("test", "eval")
    )
    each = ", ".join(spread(path, "test_triplet_f1") for path in paths_of(f"{FUSIONS}/{together}"))
    assert f"the mean of the three ensembles given: {test} ({each}), more than the 65.0" in page
    assert f"five of one fusion ({test_same}) is not shown: dev has them lower ({dev} against {dev_same})" in page
    assert f"comes to {test} on 15res" in readme and f"dev {dev}; `results/{FUSIONS}`" in readme
    others = [
        [spread(f"{FUSIONS}/{name}-{runs}.json", f"{split}_triplet_f1") for name in SETS[:2]]
        for runs in (TOGETHER["five"], TOGETHER["one"])
        for split in ("test", "eval")
    ]
    said = "{} on test of 14res and {} of 14lap (dev {} and {}); its models alone come to {} and {} (dev {} and {})"
    assert said.format(*(figure for figures in others for figure in figures)) in page
    assert f"and to {others[0][0]} on 14res and {others[0][1]} on 14lap (one ensemble each)" in readme
    size = results(f"{FUSIONS}/15res-seeds-70-71-72-73-74.json")["parameters"] / 1e6
    assert f"Five models have {size:.0f} to " in readme
    folders = ("ensembles", "ensembles_cpu", MOVED, FUSIONS)
    fives = [path for folder in folders for path in paths_of(f"{folder}/{together.replace('15res', '15res*')}")]
    assert len(fives) == 11
    assert "All eleven ensembles of five on this page whose threshold is the best on dev, whatever their first" in page
    assert f"come to {spread_of(fives, 'test_triplet_f1')} on test of 15res" in page
    first, second = (
        shortest_to_longest("train_runtime", f"{FUSIONS}/{name}-seed??.json", unit=60) for name in ("joint", "15res")
    )
    assert second == "3 to 3" and f"the first step took {first} minutes and the second 3." in page


def test_files_of_trials_hold_no_figure_of_test() -> None:
    for path in (ROOT / "results" / "trials").iterdir():
        assert not [name for name in json.loads(path.read_text(encoding="utf-8")) if name.startswith("test_")]


def test_the_experiments_page_and_its_summary_are_those_of_the_study_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but what is drawn at random, which the summary holds: the tests over sentences."""
    monkeypatch.chdir(ROOT)
    study, configuration = study_plan.read_study(Path("configs/study.yaml")), Path("configs/study.yaml")
    shown, found = results("study/summary.json"), study_page.summarise(study, resamples=9)
    measured = {name for name, data in shown["datasets"].items() if any(row["seeds"] for row in data["rows"])}
    plots = {name: Path(f"docs/images/experiments-{name}.svg") for name in measured}
    assert study_page.markdown(study, configuration, shown, plots) in study.page.read_text(encoding="utf-8")
    for name, data in json.loads(json.dumps(found))["datasets"].items():
        for row, kept in zip(data["rows"], shown["datasets"][name]["rows"], strict=True):
            differences = [(line.pop("against_first") or {"difference": None})["difference"] for line in (row, kept)]
            assert row == kept
            assert differences[0] == differences[1]


def compared(row: str, other: str, folders: str) -> tuple[float, float]:
    """Difference in points of F1 and p of two rows of a study, from all their runs in the folders of a pattern."""
    runs: dict[str, list[Any]] = {}
    for path in sorted((ROOT / "results").glob(f"{folders}/*-seed??.json")):
        runs.setdefault(path.stem[: -len("-seed42")], []).append(json.loads(path.read_text(encoding="utf-8")))
    deviation = significance.pooled_deviation([run["test_triplet_f1"] for run in row] for row in runs.values())
    counts = [[study_plan.from_text(run["study"]["counts"]["test"]) for run in runs[name]] for name in (row, other)]
    test = significance.compare(*counts, deviation=deviation)
    return round(100 * test.difference, 2), round(max(test.p_randomisation, test.p_seeds), 3)


def test_the_experiments_page_gives_the_rows_that_were_run_twice() -> None:
    page = " ".join((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").split())
    rows = ("cross-attention-basic-semgcn", "tin-basic-semgcn")
    (there, p_there), (both, p_both) = compared(*rows, "study_cpu/14res"), compared(*rows, "study*/14res")
    assert f"−{-there} points (p = {p_there}), and −{-both} over the six runs of both machines (p = {p_both})" in page
    means = [
        spread(f"{name}/14res/cross-attention-8-heads-*.json", "test_triplet_f1") for name in ("study_cpu", "study")
    ]
    assert "was {} there, where the GPU had {}".format(*means) in page


def test_the_readme_says_what_the_study_says() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    sets = results("study/summary.json")["datasets"]
    assert {tuple(row["seeds"]) for data in sets.values() for row in data["rows"]} == {(42, 43, 44)}
    fusions, graphs, basic = zip(*(data["questions"][:3] for data in sets.values()), strict=True)
    assert all(test["verdict"] == "no difference shown" for asked in fusions for test in asked["rows"].values())
    verdicts = {
        name: [test["verdict"] for test in asked["rows"].values()] for name, asked in zip(sets, basic, strict=True)
    }
    assert verdicts == {"14res": ["worse"], "14lap": ["no difference shown"], "15res": ["no difference shown"]}
    difference, p = compared("cross-attention-basic-semgcn", "tin-basic-semgcn", "study*/14res")
    assert f"(−{-difference} points of F1 over six runs each, p = {p}, a question asked late)" in readme
    beat = {name: asked["rows"].values() for name, asked in zip(sets, graphs, strict=True)}
    assert {test["verdict"] for test in beat.pop("14lap")} == {"better"}
    assert {test["verdict"] for tests in beat.values() for test in tests} == {"no difference shown"}
    gains = [100 * test["difference"] for test in graphs[list(sets).index("14lap")]["rows"].values()]
    assert f"by {min(gains):.2f} to {max(gains):.2f} points" in readme
