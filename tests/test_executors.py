"""Shares of the work, cluster files, and what is submitted to a Slurm of scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmark import cli, ends
from benchmark.collected import collect
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.experiments.experiment import Experiment
from benchmark.files import locked
from benchmark.records import Store
from benchmark.studies import experiments as runner
from benchmark.study.executors import slurm, submission
from benchmark.study.executors.slurm import Slurm
from benchmark.study.executors.submission import Progress, progress
from benchmark.study.run import Shard
from tests import tiny_experiment

CPU = torch.device("cpu")
QUIET = tiny_experiment.QUIET
METHODS = ["nothing", "newton"]


def read(path: Path) -> slurm.Cluster:
    """What a file says of a cluster."""
    return slurm.of_table(slurm.read(path), path)


@pytest.fixture
def tiny(tmp_path: Path) -> Experiment:
    path = tiny_experiment.write(tmp_path, ("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    return experiments.load(str(path))


def run(tiny: Experiment, folder: Path, **more: object) -> runner.Tally:
    options = {"methods": METHODS, "console": QUIET, **more}
    return runner.run([tiny], Store(folder), CPU, **options)


# --- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shares_together_are_everything_once(count: int) -> None:
    work = [f"piece {i}" for i in range(11)]
    shares = [Shard(number, count).of(work) for number in range(1, count + 1)]
    assert sorted(piece for share in shares for piece in share) == sorted(work)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_is_named_from_1() -> None:
    assert Shard.parse("2/3") == Shard(2, 3)
    for wrong in ("0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/3/5", "", "1.0/3", "²/3"):
        with pytest.raises(LetheError, match="--shard is i/n"):
            Shard.parse(wrong)


def test_shards_of_a_run_write_every_record_once(tiny: Experiment, tmp_path: Path) -> None:
    tallies = [run(tiny, tmp_path / "runs", shard=Shard(i, 2)) for i in (1, 2)]
    assert [tally.ran for tally in tallies] == [4, 2]
    assert [tally.kept for tally in tallies] == [0, 0]
    assert run(tiny, tmp_path / "runs").kept == 6


# --- the file of a cluster ------------------------------------------------------------------------


def test_a_file_becomes_what_submitit_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(
        "\ufeffpartition = 'main'\nminutes = 90\nmemory_gb = 1.5\ncpus = 2\ngpus = 1\n"
        "setup = ['module load cuda']\nat_once = 4\n[sbatch]\naccount = 'lab'\nexclusive = true\n",
        encoding="utf-8",
    )
    assert read(path).parameters("lethe-1") == {
        "job_name": "lethe-1",
        "partition": "main",
        "time": 90,
        "mem": "1536MB",
        "cpus_per_task": 2,
        "gpus_per_node": 1,
        "setup": ["module load cuda"],
        "array_parallelism": 4,
        "additional_parameters": {"account": "lab", "exclusive": True},
        "signal_delay_s": 20,
        "srun_args": ["--cpus-per-task=2"],
    }


def test_the_file_in_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "guide" / "cluster.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "cluster.toml"
    path.write_text(example, encoding="utf-8")
    assert read(path).model_fields_set == set(slurm.Cluster.model_fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("minutes = ", "is not valid TOML"),
        ("hours = 2", "hours: there is no such setting"),
        ("minutes = 1", "minutes: Input should be greater than or equal to 2"),
        ("minutes = true", "minutes: Input should be a valid integer"),
        ("cpus = 0", "cpus: "),
        ("gpus = -1", "gpus: "),
        ("memory_gb = inf", "memory_gb is inf: write a finite number"),
        ('partition = "a\\nb"', "partition: "),
        ("setup = 'module load cuda'", "setup: "),
        ("[sbatch]\ntime = 5", "Lethe sets time itself"),
        ("[sbatch]\nexclusive = false", "leave out exclusive"),
        ("[sbatch]\n'--account' = 'lab'", "sbatch.--account"),
        ('[sbatch]\ncomment = "a\\n#SBATCH --account=b"', "sbatch.comment"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LetheError) as caught:
        read(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LetheError, match="cannot be read"):
        read(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"partition = '\xe9t\xe9'")
    with pytest.raises(LetheError, match=r"latin\.toml is not UTF-8 .*save it as UTF-8"):
        read(tmp_path / "latin.toml")
    (tmp_path / "deep.toml").write_text(f"x = {'[' * 3000}{']' * 3000}", encoding="utf-8")
    with pytest.raises(LetheError, match=r"deep\.toml is not valid TOML: nested too deeply"):
        read(tmp_path / "deep.toml")


# --- a Slurm of scripts ---------------------------------------------------------------------------

#: Each prints what lies in the folder of the scripts, or fails as the file `down` says.
SCRIPT = """#!/bin/sh
[ -e {folder}/down ] && {{ cat {folder}/down >&2; exit 1; }}
cat {folder}/{name}.txt
"""
#: Takes a job, whose number grows, and puts its tasks into the queue.
SBATCH = """#!/bin/sh
[ -e {folder}/down ] && {{ cat {folder}/down >&2; exit 1; }}
echo x >> {folder}/jobs
number=$(wc -l < {folder}/jobs)
name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
for i in $(seq 0 ${{last:-0}}); do
  echo "$name|${{last:+$i}}|PENDING" >> {folder}/squeue.txt
done
echo "Submitted batch job $number"
"""


class Scripts:
    """The queue and the accounting of a Slurm that runs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("srun", "squeue", "sacct", "sbatch"):
            text = SBATCH if name == "sbatch" else SCRIPT
            (folder / name).write_text(text.format(folder=folder, name=name), encoding="utf-8")
            (folder / name).chmod(0o755)
            (folder / f"{name}.txt").touch()

    @property
    def queue(self) -> list[str]:
        return (self.folder / "squeue.txt").read_text(encoding="utf-8").splitlines()

    @queue.setter
    def queue(self, lines: list[str]) -> None:
        (self.folder / "squeue.txt").write_text("\n".join(lines), encoding="utf-8")

    def account(self, *lines: str) -> None:
        (self.folder / "sacct.txt").write_text("\n".join(lines), encoding="utf-8")

    def down(self, reason: str) -> None:
        (self.folder / "down").write_text(reason, encoding="utf-8")


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    pytest.importorskip("submitit")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Scripts(folder)


Submit = Callable[..., list[str]]


@pytest.fixture
def submit(tiny: Experiment, tmp_path: Path, scripts: Scripts) -> Submit:
    """Submit the experiment; the lines that are said."""

    def call(**more: object) -> list[str]:
        said: list[str] = []
        executor = Slurm(slurm.Cluster(), "cpu", 1, "off", False, said.append)
        run(tiny, tmp_path / "runs", executor=executor, **more)
        return said

    return call


def states(folder: Path) -> dict[int, str]:
    return {int(one.part.removeprefix("seed ")): one.state for one in progress(Store(folder))}


def told(folder: Path, seed: int) -> Progress:
    (one,) = (one for one in progress(Store(folder)) if one.part == f"seed {seed}")
    return one


def worked(runs: Path, seed: int) -> None:
    """Do what the task of a seed would."""
    place = submission.submitted(Store(runs))["tiny", f"seed {seed}"][-1]
    slurm.work(str(submission.path_of(Store(runs), place.submission.name).parent), place.index)


def test_what_runs_or_is_done_is_not_submitted_again(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    assert submit() == ["job 1: tiny (3 tasks)"]
    assert states(runs) == {0: "waiting", 1: "waiting", 2: "waiting"}
    assert submit() == ["not submitted: 0 done, 3 running or waiting"]

    scripts.queue = [scripts.queue[1].replace("PENDING", "RUNNING"), scripts.queue[2]]
    worked(runs, 0)
    assert states(runs) == {0: "done", 1: "running", 2: "waiting"}
    kept = {path: path.read_bytes() for path in runs.rglob("seed-*.json")}
    assert len(kept) == len(METHODS)

    scripts.queue = []
    scripts.account("1_0|COMPLETED", "1_1|OUT_OF_MEMORY", "1_[2]|CANCELLED by 0")
    assert states(runs) == {0: "done", 1: "failed", 2: "gone"}
    assert told(runs, 1).reason == "OUT_OF_MEMORY"
    assert submit() == [
        "job 2: tiny (2 tasks)",
        "not submitted: 1 done, 0 running or waiting",
    ]
    assert states(runs) == {0: "done", 1: "waiting", 2: "waiting"}
    worked(runs, 1)
    worked(runs, 2)
    assert states(runs) == {0: "done", 1: "done", 2: "done"}
    assert submit() == ["not submitted: 3 done, 0 running or waiting"]
    assert {path: path.read_bytes() for path in kept} == kept
    assert not (runs / "leaderboard").exists(), "a task renders nothing"


def test_an_interrupt_of_the_wait_says_that_the_jobs_go_on(
    tiny: Experiment,
    tmp_path: Path,
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    executor = Slurm(slurm.Cluster(), "cpu", 1, "off", True, lambda line: None)

    def interrupt(seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(slurm, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
    with pytest.raises(SystemExit) as caught, ends.program():
        run(tiny, tmp_path / "my runs", executor=executor)
    assert caught.value.code == 130
    status = f"lethe status --results '{tmp_path / 'my runs'}'"
    assert capsys.readouterr().err == f"waits no more: the jobs go on, and {status} says how\n"
    assert set(states(tmp_path / "my runs").values()) == {"waiting"}


def test_a_job_whose_number_was_never_written_is_found_by_its_name(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    """A kill may come between sbatch and the note of what it said."""
    submit()
    (path,) = (tmp_path / "runs" / ".slurm").glob("*/submission.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["digest"]
    path.write_text(json.dumps(content | {"job": None}), encoding="utf-8")
    assert set(states(tmp_path / "runs").values()) == {"waiting"}
    assert submit() == ["not submitted: 0 done, 3 running or waiting"]
    scripts.queue = []
    assert set(states(tmp_path / "runs").values()) == {"gone"}
    assert submit() == ["job 2: tiny (3 tasks)"]


def test_a_task_that_ends_while_slurm_is_asked_is_done(
    submit: Submit, scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(places: list) -> dict:
        run(experiments.load(str(tmp_path / "tiny.toml")), tmp_path / "runs", seeds=[0])
        return in_queue(places)

    submit()
    in_queue, scripts.queue = submission.in_queue, []
    monkeypatch.setattr(submission, "in_queue", ends)
    assert states(tmp_path / "runs") == {0: "done", 1: "gone", 2: "gone"}
    for path in (tmp_path / "runs" / "tiny").glob("*/seed-0.json"):
        path.unlink()
    assert submit()[0] == "job 2: tiny (2 tasks)"


def test_collected_records_are_done(submit: Submit, scripts: Scripts, tmp_path: Path) -> None:
    run(experiments.load(str(tmp_path / "tiny.toml")), tmp_path / "runs")
    assert len(list(collect(tmp_path / "runs"))) == 1
    assert submit() == ["not submitted: 3 done, 0 running or waiting"]
    assert set(states(tmp_path / "runs").values()) == {"not run"}, "of the other methods"


def test_other_rows_of_a_seed_in_the_queue_are_submitted_as_well(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    submit(methods=["nothing"])
    assert submit(methods=["nothing"]) == ["not submitted: 0 done, 3 running or waiting"]
    assert submit(methods=["newton"]) == ["job 2: tiny (3 tasks)"]
    worked(tmp_path / "runs", 0)  # the last one, of newton
    assert states(tmp_path / "runs") == {0: "waiting", 1: "waiting", 2: "waiting"}


def test_a_single_task_is_no_array(submit: Submit, scripts: Scripts, tmp_path: Path) -> None:
    assert submit(seeds=[1]) == ["job 1: tiny (1 task)"]
    scripts.queue = [scripts.queue[0].replace("||", "|N/A|")]
    assert states(tmp_path / "runs") == {0: "not run", 1: "waiting", 2: "not run"}
    scripts.queue = []
    scripts.account("1|TIMEOUT")
    one = told(tmp_path / "runs", 1)
    assert (one.state, one.place.job) == ("failed", "1")


def test_a_shard_is_submitted_alone(submit: Submit) -> None:
    assert submit(shard=Shard(1, 2)) == ["job 1: tiny (2 tasks)"]
    assert submit()[0] == "job 2: tiny (1 task)"


def test_an_array_has_no_more_tasks_than_slurm_takes(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "ARRAY", 2)
    assert submit() == ["job 1: tiny (2 tasks)", "job 2: tiny (1 task)"]


def test_the_log_says_why_a_task_failed(submit: Submit, scripts: Scripts, tmp_path: Path) -> None:
    submit()
    scripts.queue = []
    (folder,) = (path for path in (tmp_path / "runs" / ".slurm").iterdir() if path.is_dir())
    log = folder / "1_0_0_log.err"
    log.write_text("error: the disk is full\nsrun: error: task 0: Exited\n\n", encoding="utf-8")
    assert told(tmp_path / "runs", 0).state == "failed", "also where there is no accounting"
    scripts.account("1_0|FAILED")
    one = told(tmp_path / "runs", 0)
    assert (one.state, one.reason, one.log) == ("failed", "FAILED: error: the disk is full", log)


def test_nothing_is_submitted_while_slurm_cannot_be_asked(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    submit()
    scripts.down("Unable to contact\nslurm controller")
    with pytest.raises(LetheError, match="Unable to contact slurm controller"):
        submit()
    assert len(list((tmp_path / "runs" / ".slurm").glob("*/submission.json"))) == 1
    assert set(states(tmp_path / "runs").values()) == {"unknown"}


def test_an_accounting_that_is_away_is_no_word_on_a_task(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    submit()
    scripts.queue = []
    for says, state in (
        ("Slurm accounting storage is disabled", "gone"),
        ("unable to contact slurmdbd", "unknown"),
    ):
        text = f"#!/bin/sh\necho '{says}' >&2\nexit 1\n"
        (scripts.folder / "sacct").write_text(text, encoding="utf-8")
        assert set(states(tmp_path / "runs").values()) == {state}


def test_what_slurm_refuses_leaves_nothing_behind(
    submit: Submit, scripts: Scripts, tmp_path: Path
) -> None:
    scripts.down("sbatch: error: invalid\npartition")
    with pytest.raises(LetheError, match="Slurm refuses the job: sbatch: error: invalid partition"):
        submit()
    assert [path.name for path in (tmp_path / "runs" / ".slurm").iterdir()] == ["lock"]


def test_fresh_is_refused(submit: Submit) -> None:
    with pytest.raises(LetheError, match="delete the records to run again"):
        submit(fresh=True)


def test_an_error_of_a_task_is_one_line_and_an_exit_code(
    submit: Submit, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    submit()
    shutil.rmtree(tmp_path / "runs" / ".artifacts", ignore_errors=True)
    (tmp_path / "runs" / ".artifacts").write_text("not a folder", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        worked(tmp_path / "runs", 0)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_ends_a_task_and_is_no_failure_of_its_method(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), number)
        raise ValueError("the signal came first")

    submit()
    monkeypatch.setattr("baselines.nothing.Nothing.unlearn", interrupted)
    with pytest.raises(SystemExit) as caught:
        worked(tmp_path / "runs", 0)
    assert caught.value.code == 128 + number
    found = Store(tmp_path / "runs").records("tiny")
    assert "nothing" not in [record.method.name for record in found]


def test_a_job_of_accounting_is_all_its_tasks() -> None:
    assert list(submission.expanded("17_[0,3-5%2]")) == ["17_0", "17_3", "17_4", "17_5"]
    assert list(submission.expanded("17_3")) == ["17_3"]
    assert list(submission.expanded("17")) == ["17"]


@pytest.mark.parametrize(
    ("settings", "threads", "device", "words"),
    [
        ({}, 2, "cpu", "wants cpus = 2"),
        ({}, 1, "cuda", "wants gpus = 1"),
        ({"gpus": 1}, 1, "mps", "unknown device 'mps'"),
    ],
)
def test_a_task_that_asks_for_too_little_is_refused(
    settings: dict, threads: int, device: str, words: str
) -> None:
    with pytest.raises(LetheError, match=words):
        Slurm(slurm.Cluster(**settings), device, threads, "off", False, print)


def test_without_submitit_there_is_one_line(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(slurm.sys.modules, "submitit", None)
    with pytest.raises(LetheError, match=r"pip install 'lethe\[slurm\]'"):
        submit()


def test_without_slurm_there_is_one_line(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(LetheError, match="there is no sbatch here"):
        submit()


def test_a_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "lock"
    with locked(path), path.open("wb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with locked(path):
        pass


# --- where a record comes from --------------------------------------------------------------------


def test_a_record_names_its_node_on_a_cluster_only(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny, tmp_path / "here", seeds=[0])
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    run(tiny, tmp_path / "there", seeds=[0])
    here, there = (Store(tmp_path / name).records("tiny")[0] for name in ("here", "there"))
    assert (here.environment.node, there.environment.node) == (None, "n1")
    assert "node" not in json.loads(here.model_dump_json())["environment"], "as in old records"


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def lethe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Call the command line in an empty folder: exit code, what it prints."""
    monkeypatch.chdir(tmp_path)
    tiny_experiment.widen(monkeypatch)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(slurm.sys, "argv", ["lethe", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out + captured.err

    return call


def test_shards_of_the_command_line_leave_the_board_to_others(
    tiny: Experiment, lethe: Callable, tmp_path: Path
) -> None:
    command = ("run", "tiny.toml", "--method", "newton", "--only", "--no-board")
    for number, count in ((1, 2), (2, 1)):
        code, said = lethe(*command, "--shard", f"{number}/2")
        assert (code, f"{count} cells run, 0 kept" in said) == (0, True)
    assert not (tmp_path / "runs" / "leaderboard").exists()
    code, said = lethe("status")
    assert code == 0
    assert "not run" in said, "of the other methods, nothing was asked"


def test_every_study_may_be_shared_out_and_submitted(lethe: Callable) -> None:
    for command in ("run", "forget-quality", "slack", "audit", "soundness", "inverse-hessian"):
        code, said = lethe(command, "--help")
        assert code == 0
        for option in ("--shard", "--jobs", "--on", "--wait", "--track", "--fresh", "--results"):
            assert option in said, command


def test_on_submits_and_says_where_to_look(
    tiny: Experiment, lethe: Callable, tmp_path: Path, scripts: Scripts
) -> None:
    (tmp_path / "cluster.toml").write_text("gpus = 1\n", encoding="utf-8")
    code, said = lethe("run", "tiny.toml", "--on", "cluster.toml", "--device", "cuda")
    assert code == 0, said
    assert "job 1: tiny (3 tasks)" in said
    assert "lethe status --results runs" in said
    assert not (tmp_path / "runs" / "leaderboard").exists()
    ((one,), *_) = submission.submitted(Store(tmp_path / "runs")).values()
    assert one.submission.device == "cuda", "whatever this machine has"
    code, said = lethe("status")
    assert code == 0
    assert "waiting" in said
    scripts.queue = []
    code, said = lethe("status")
    assert code == 1
    assert "gone: tiny, seed 0, job 1_0: Slurm does not know it" in said
    scripts.down("slurmctld is away")
    code, said = lethe("status")
    assert code == 0
    assert said.count("unknown: squeue cannot be asked (slurmctld is away)") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--wait",), "name its file with --on"),
        (("--on", "cluster.toml", "--jobs", "2"), "--jobs is for runs here"),
        (("--on", "absent.toml"), "absent.toml cannot be read"),
        (("--on", "cluster.toml", "--fresh"), "--fresh is for runs here"),
        (("--shard", "3/2"), "--shard is i/n"),
        (("--only",), "--only is for --method"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    tiny: Experiment, lethe: Callable, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "cluster.toml").write_text("", encoding="utf-8")
    code, said = lethe("run", "tiny.toml", *arguments)
    assert (code, said.count("\n")) == (2, 1), said
    assert said.startswith("error: ")
    assert words in said


def test_status_tells_of_every_study(lethe: Callable) -> None:
    assert lethe("soundness", "--count", "1", "--streams", "0")[0] == 0
    code, said = lethe("status")
    assert code == 0
    assert "soundness" in said
    assert said.count("1") == 1


def test_soundness_of_nothing_is_refused(lethe: Callable) -> None:
    code, said = lethe("soundness", "--count", "0", "--streams", "0")
    assert (code, "above 0" in said) == (2, True)


def test_status_of_nothing_is_one_line(lethe: Callable) -> None:
    code, said = lethe("status", "--results", "nowhere")
    assert (code, said.count("\n")) == (2, 1)
    assert "no experiment was run or submitted" in said
