"""The matrix speed that our program measures on this machine, against which its encoding is held."""

import json
import os
import subprocess
from pathlib import Path

from contenders import Contender, Places, environment


def ceiling_gflops(places: Places, articles: Path, contenders: list[Contender], n_threads: int, cores: set[int]) -> list[dict]:
    """GFLOP/s of each of our precisions by `topicwire bench`; without those that the program does not have."""
    ceilings = []
    for contender in contenders:
        if not contender.ours:
            continue
        program = [str(places.programs / "topicwire"), "bench", str(articles), "--encoder", str(places.encoder)]
        settings = ["--precision", contender.precision, "--threads", str(n_threads), "--json"]
        # The ceiling is measured beside encoding, of which little will do.
        settings += ["--articles", "64", "--rounds", "1"]
        done = subprocess.run(
            [*program, *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(n_threads),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        if done.returncode == 0:
            gflops = json.loads(done.stdout)["ceiling_gflops"]
            ceilings.append({"contender": contender.name, "threads": n_threads, "ceiling_gflops": gflops})
    return ceilings
