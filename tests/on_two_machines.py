"""One of two machines that train a DCGAN together, and what it ends with, as JSON.

A program of its own, which `test_strategy.py` runs twice, with `TF_CONFIG` set.
"""

import hashlib
import json

from recipes.training.callbacks import ImageGrid
from recipes.training.resume import Resume
from recipes.training.runtime import is_chief, output_dir, setup, strategy
from tests import tiny

if __name__ == "__main__":
    setup("reduced", 0)
    [batches], dataset = tiny.unlabelled()
    with strategy(4).scope():
        gan = tiny.dcgan(ema_decay=0.9)
        gan.compile(1e-3)
    folder = output_dir("dcgan")
    resume = Resume(folder / "checkpoints", batches)
    grid = ImageGrid(lambda gan: gan.generate(4, seed=0), folder / "pictures")
    if not is_chief():
        gan.generator.weights[0].assign(gan.generator.weights[0] * 0)
    resume.restore(gan)  # there is no checkpoint, but the second gets what the first has
    gan.fit(dataset, callbacks=[grid, resume], verbose=0)
    gan.save(folder / "dcgan.keras")
    weights = b"".join(weight.tobytes() for weight in gan.get_weights())
    report = {
        "weights": hashlib.sha256(weights).hexdigest(),
        "losses": gan.history.history,
        "picture": gan.generate(3, seed=0).sum(dtype=float),
        "machines": strategy().num_replicas_in_sync,
        "folder": str(folder),
    }
    print(json.dumps(report))
