"""Several processes are one run: the same losses, every sentence counted once, one process that writes."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from safetensors.torch import load_file
from tiny_runs import ROOT, command, launch, main, state_of, write_data
from two_processes import PLAIN, SIZES, scores

from d2e2s.training.distributed import LOSS_COUNTS, EpochSampler, loss_counts, loss_shares, own_class

# Sums of float32 in another order: the last bits of a loss differ, and grow with every step.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder has no dropout; 32 sentences are whole batches for one process and for two."""
    folder = write_data(tmp_path_factory.mktemp("data"), train=32, dev=9)
    config = json.loads((folder / "encoder" / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "encoder" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def one(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of one process, 8 sentences a step."""
    out = tmp_path_factory.mktemp("one") / "out"
    assert main(command(data, out, per_device_train_batch_size=8, **PLAIN)) == 0
    return out


@pytest.fixture(scope="module")
def two(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Output folder of two processes, 4 sentences a step each, and what each of them saw."""
    out = tmp_path_factory.mktemp("two") / "out"
    config = str(ROOT / "configs" / "accelerate" / "cpu.yaml")
    launch("-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0",
           "tests/two_processes.py", str(data), str(out))  # fmt: skip
    return out, [json.loads(Path(f"{out}-{rank}.json").read_text()) for rank in range(2)]


def losses_of(folder: Path) -> list[float]:
    return [entry["loss"] for entry in state_of(folder)["log_history"] if "loss" in entry]


def assert_same_course(folder: Path, one: Path) -> None:
    assert len(losses_of(one)) == 8
    assert losses_of(folder) == pytest.approx(losses_of(one), rel=TOLERANCE)
    mine, expected = (load_file(path / "model.safetensors") for path in (folder, one))
    for name, value in expected.items():
        torch.testing.assert_close(mine[name], value, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_two_processes_take_the_course_of_one(one: Path, two: tuple[Path, list[dict[str, Any]]]) -> None:
    out, seen = two
    assert [process["code"] for process in seen] == [0, 0]
    assert json.loads((out / "all_results.json").read_text())["processes"] == 2
    assert_same_course(out, one)


@pytest.mark.slow
def test_accumulated_batches_take_the_course_of_one(one: Path, data: Path, tmp_path: Path) -> None:
    words = command(data, tmp_path / "out", gradient_accumulation_steps=2, **PLAIN)
    assert main(words) == 0
    assert_same_course(tmp_path / "out", one)


@pytest.mark.slow
def test_two_processes_move_the_embeddings_as_one_does(one: Path, data: Path, tmp_path: Path) -> None:
    """Along the gradient of all their sentences."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    moved = {"adversarial_distance": 0.5, "do_predict": None, **PLAIN}
    assert main(command(data, alone, per_device_train_batch_size=8, **moved)) == 0
    config = str(ROOT / "configs" / "accelerate" / "cpu.yaml")
    launch("-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0", "run_aste.py",
           *command(data, together, per_device_train_batch_size=4, **moved))  # fmt: skip
    assert_same_course(together, alone)
    assert losses_of(alone) != pytest.approx(losses_of(one), rel=TOLERANCE)


@pytest.mark.slow
def test_two_processes_save_memory_where_the_parser_has_no_loss(data: Path, tmp_path: Path) -> None:
    """Checkpointing must not make each process wait for gradients that never come."""
    config = str(ROOT / "configs" / "accelerate" / "cpu.yaml")
    words = command(data, tmp_path / "out", max_steps=3, gradient_checkpointing=True, parser_loss_weight=0, **PLAIN)
    launch("-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0", "run_aste.py",
           *words)  # fmt: skip
    assert len(losses_of(tmp_path / "out")) == 3


@pytest.mark.slow
def test_every_sentence_is_counted_once(data: Path, two: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """However many are left over for the last batch: figures to the last digit, triplets in order."""
    alone = scores(data, tmp_path / "out")
    assert [len(result["triplets"]) for result in alone.values()] == list(SIZES)
    assert len({result["figures"]["test_triplet_f1"] for result in alone.values()}) > 2
    for process in two[1]:
        assert process["scores"] == alone


@pytest.mark.slow
def test_only_the_first_process_writes(two: tuple[Path, list[dict[str, Any]]]) -> None:
    """The other one writes its own random state, which an exact resume needs, and nothing else."""
    out, (first, second) = two
    assert any(path.endswith("model.safetensors") for path in first["written"])
    assert any("rng_state_1.pth" in path for path in map(str, out.rglob("*")))
    paths = {str(Path(path).relative_to(out)) for path in second["written"]}
    assert {path for path in paths if not re.fullmatch(r"\.|checkpoint-\d+(/rng_state_1.pth)?", path)} == set()


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_all(two: tuple[Path, list[dict[str, Any]]]) -> None:
    messages = [process["error"] for process in two[1]]
    assert messages[0] == messages[1] and "nan at step 1" in messages[0]
    assert len(messages[0].rpartition(": ")[2].split(", ")) == 8


# --- several machines -------------------------------------------------------------------------------------


def launch_machines(data: Path, outputs: list[Path], code: int = 0) -> list[str]:
    """What each of several machines prints: one launch each, as configs/accelerate/multi_machine.yaml says, on CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    config = str(ROOT / "configs" / "accelerate" / "multi_machine.yaml")

    def machine(rank: int) -> str:
        place = ["--machine_rank", str(rank), "--main_process_ip", "127.0.0.1", "--main_process_port", port]
        sizes = ["--num_machines", str(len(outputs)), "--num_processes", str(len(outputs)), "--mixed_precision", "no"]
        words = command(data, outputs[rank], per_device_train_batch_size=4, **PLAIN)
        launcher = ["-m", "accelerate.commands.launch", "--config_file", config, *place, *sizes]
        return launch(*launcher, "run_aste.py", *words, seconds=120, code=code)

    with ThreadPoolExecutor(len(outputs)) as pool:
        return list(pool.map(machine, range(len(outputs))))


@pytest.mark.slow
def test_two_machines_take_the_course_of_one_process(one: Path, data: Path, tmp_path: Path) -> None:
    launch_machines(data, [tmp_path / "out"] * 2)
    assert json.loads((tmp_path / "out" / "all_results.json").read_text())["processes"] == 2
    assert_same_course(tmp_path / "out", one)


@pytest.mark.slow
def test_machines_with_folders_of_their_own_are_refused(data: Path, tmp_path: Path) -> None:
    """Else one of them would not find the best checkpoint, and go on with other weights than the first."""
    outputs = [tmp_path / "first", tmp_path / "second"]
    for printed in launch_machines(data, outputs, code=1):
        assert f"{tmp_path}/" in printed and "process 1 does not see what process 0 writes there" in printed
    assert list(outputs[0].iterdir()) == [] and not outputs[1].exists()


@pytest.mark.slow
def test_two_shards_take_the_course_of_one(one: Path, data: Path, tmp_path: Path) -> None:
    """FSDP: the same losses, the weights whole in the checkpoint, and the model's own code beside them."""
    config = str(ROOT / "configs" / "accelerate" / "fsdp.yaml")
    sizes = ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
    layers = ["--fsdp_transformer_layer_cls_to_wrap", "BertLayer"]
    words = command(data, tmp_path / "out", per_device_train_batch_size=4, ema_decay=0, **PLAIN)
    launch("-m", "accelerate.commands.launch", "--config_file", config, *sizes, *layers, "tests/two_shards.py", *words)
    assert losses_of(tmp_path / "out") == pytest.approx(losses_of(one), rel=TOLERANCE)
    saved, expected = (load_file(path / "model.safetensors") for path in (tmp_path / "out", one))
    assert {name: weight.shape for name, weight in saved.items()} == {
        name: weight.shape for name, weight in expected.items()
    }
    auto_map = json.loads((tmp_path / "out" / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModel"] == "modeling_d2e2s.D2E2SForTripletExtraction"
    assert {path.name for path in (tmp_path / "out").glob("*.py")} == {path.name for path in one.glob("*.py")}


def test_a_model_is_saved_with_its_own_class() -> None:
    """As FSDP does it: a class made at run time, in a module of torch."""
    model = torch.nn.Linear(1, 1)
    kind = type("Linear", (torch.nn.Linear,), {"__module__": __name__})
    sharded = type("FSDPLinear", (kind,), {"__module__": "torch.distributed.fsdp"})
    model.__class__ = sharded
    with own_class(model):
        assert type(model) is kind
    assert type(model) is sharded


# --- order and weights ------------------------------------------------------------------------------------


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [5, 9, 3, 7, 7, 2, 8, 4, 6, 1] * 4
    epoch = 0
    sampler = EpochSampler(4, lengths, 1, lambda: epoch)
    first = list(sampler)
    torch.rand(7)
    assert list(sampler) == first and sorted(first) == list(range(len(lengths)))
    epoch = 1
    assert list(sampler) != first
    assert list(EpochSampler(4, lengths, 2, lambda: 0)) != first


def batch(words: list[int], labelled: list[bool], heads: bool = True) -> dict[str, torch.Tensor]:
    mask = torch.arange(max(words)) < torch.tensor(words)[:, None]
    labels = torch.full((len(words), 1, 5), -100)
    labels[~torch.tensor(labelled)] = -1
    return {"word_mask": mask, "labels": labels} | ({"heads": mask.long() - 1} if heads else {})


def test_shares_make_the_mean_of_parts_the_loss_of_the_whole() -> None:
    """A loss of 1 a word: the parts' means, weighed, give 1 again, whatever the parts' sizes."""
    parts = [batch([5, 3], [True, True]), batch([2, 9], [True, False]), batch([4, 4], [False, False], heads=False)]
    counts = loss_counts(parts)
    assert counts.tolist() == [10, 10, 19, 33]
    total = {name: 0.0 for name in LOSS_COUNTS}
    for part in parts:
        own = dict(zip(LOSS_COUNTS, loss_counts([part]).tolist(), strict=True))
        for name, share in loss_shares(part, counts, len(parts)).items():
            total[name] += (own[name] > 0) * float(share) / len(parts)
    assert total == pytest.approx(dict.fromkeys(LOSS_COUNTS, 1.0))


# --- configurations ---------------------------------------------------------------------------------------

CONFIGS = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))
KINDS = {"cpu": "MULTI_GPU", "fsdp": "FSDP", "multi_gpu": "MULTI_GPU", "multi_machine": "MULTI_GPU", "single_gpu": "NO"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configuration_is_one_of_accelerate(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.distributed_type == KINDS[path.stem] and config.num_processes >= config.num_machines >= 1
    assert path.name in path.read_text().split("compute_environment")[0]  # its command stands at its head


def test_there_is_a_configuration_of_every_kind() -> None:
    assert {path.stem for path in CONFIGS} == set(KINDS)
