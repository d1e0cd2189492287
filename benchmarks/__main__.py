"""Each recipe against the classic way of doing the same work: `make bench`.

Both ways run in turn, in one process, on the same data; medians and ratios are printed and
written to build/bench.json. Names on the command line choose some of them.
"""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import tensorflow as tf

from benchmarks import attention, captioning, cyclegan, dcgan, features, fgsm, pix2pix, ssgan
from recipes.training.runtime import setup

BENCHMARKS = {
    "dcgan": dcgan.ways,
    "ssgan": ssgan.ways,
    "pix2pix": pix2pix.ways,
    "cyclegan": cyclegan.ways,
    "fgsm": fgsm.ways,
    "features": features.ways,
    "captioning": captioning.ways,
    "attention": attention.ways,
}


def measure(ways, rounds):
    """Seconds of each of `ways`, a dict of functions, in turn; the first round warms up."""
    seconds = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if i:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(names):
    setup("reduced", 0)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    results = {}
    for name in names or BENCHMARKS:
        for title, (unit, rounds, ways) in BENCHMARKS[name]().items():
            medians = measure(ways, rounds)
            classic = medians["classic"]
            print(f"\n{name}: {title}")
            for way, seconds in medians.items():
                print(f"  {way:<28} {seconds:8.3f} s a {unit} {classic / seconds:7.2f}x")
            results[f"{name}: {title}"] = {"unit": unit, "median_seconds": medians}
    machine = {
        "machine": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    path = Path("build/bench.json")
    path.parent.mkdir(exist_ok=True)
    machine["tensorflow"] = tf.__version__
    path.write_text(json.dumps({**machine, "results": results}, indent=1))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
