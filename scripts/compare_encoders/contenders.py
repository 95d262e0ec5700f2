"""Who is compared, and how to start and ask each; used by compare.py and by scripts/compare_fidelity.py."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Contender:
    name: str
    label: str
    precision: str
    ours: bool = False


CONTENDERS = [
    Contender("ours-f32", "topicwire", "f32", ours=True),
    Contender("ov-f32", "OpenVINO", "f32"),
    Contender("ort-f32", "ONNX Runtime", "f32"),
    Contender("st-f32", "sentence-transformers", "f32"),
    Contender("fastembed", "fastembed", "f32"),
    Contender("ours-bf16", "topicwire", "bf16", ours=True),
    Contender("ov-bf16", "OpenVINO", "bf16"),
    Contender("st-bf16", "sentence-transformers", "bf16"),
    Contender("ours-int8", "topicwire", "int8", ours=True),
    Contender("ov-int8", "OpenVINO", "int8"),
    Contender("ov-int8-bf16", "OpenVINO, the rest in bf16", "int8"),
    Contender("ort-int8", "ONNX Runtime", "int8"),
]


@dataclass(frozen=True)
class Places:
    """Folders of everything that runs."""

    encoder: Path
    exports: Path
    programs: Path

    def worker_command(self, contender: Contender, n_threads: int) -> list[str]:
        if contender.ours:
            program = str(self.programs / "examples/encode_worker")
            return [program, str(self.encoder), "--precision", contender.precision, "--threads", str(n_threads)]
        return [sys.executable, str(WORKER), contender.name, str(n_threads), str(self.encoder), str(self.exports)]

    def cold_command(self, contender: Contender, n_threads: int, text: str, file: Path) -> list[str]:
        """Embeds one text and ends; `file` holds the same text as JSON Lines."""
        if not contender.ours:
            return [*self.worker_command(contender, n_threads), "--cold", text]
        program = [str(self.programs / "topicwire"), "embed", str(file), "--encoder", str(self.encoder)]
        settings = ["--precision", contender.precision, "--threads", str(n_threads)]
        return [*program, *settings, "--progress", "none", "--quiet", "--offline"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    defaults = {
        "encoder": (ROOT / "models/all-MiniLM-L6-v2", "folder of the encoder"),
        "exports": (Path(sys.prefix) / "exports", "folder that export.py filled from it"),
        "programs": (target / "release", "folder of our release build"),
    }
    for name, (default, text) in defaults.items():
        parser.add_argument(f"--{name}", type=Path, default=default, help=f"{text} [default: %(default)s]")
    parser.add_argument("--only", default="", help="contenders to run, separated by commas; all unless given")


def places(args: argparse.Namespace) -> Places:
    """The folders of the arguments; ends the program where something is missing."""
    needed = [args.encoder, args.exports]
    if any(contender.ours for contender in chosen(args)):
        needed += [args.programs / "topicwire", args.programs / "examples/encode_worker"]
    for path in needed:
        if not path.exists():
            raise SystemExit(f"error: {path} is missing; scripts/compare_encoders.sh --setup makes it")
    return Places(args.encoder, args.exports, args.programs)


def chosen(args: argparse.Namespace) -> list[Contender]:
    names = [name for name in args.only.split(",") if name]
    unknown = set(names) - {contender.name for contender in CONTENDERS}
    if unknown:
        known = ", ".join(contender.name for contender in CONTENDERS)
        raise SystemExit(f"error: no contender is called {', '.join(sorted(unknown))}; there are {known}")
    return [contender for contender in CONTENDERS if not names or contender.name in names]


class ContenderError(Exception):
    """A contender could not be started, or did not do what it was asked."""


class Worker:
    """A running contender."""

    def __init__(self, contender: Contender, places: Places, n_threads: int, cores: Iterable[int], log: Path) -> None:
        self.contender = contender
        self.log = log
        with open(log, "a", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                places.worker_command(contender, n_threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment(n_threads),
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self.load_s: float = self._read()["load_s"]

    def ask(self, *request: object) -> dict:
        self.process.stdin.write(" ".join(map(str, request)) + "\n")
        self.process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            raise ContenderError(f"{self.contender.name} ended with status {status}; {self.log} may say why")
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(f"{self.contender.name}: {answer['error']}")
        return answer


def environment(n_threads: int) -> dict[str, str]:
    """Settles threads for what reads them before worker.py can."""
    return {**os.environ, "RAYON_NUM_THREADS": str(n_threads), "OMP_NUM_THREADS": str(n_threads)}
