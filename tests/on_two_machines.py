"""One of two machines that train a DCGAN together, and what it ends with, as JSON.

A program of its own, which `test_strategy.py` runs twice, with `TF_CONFIG` set.
"""

import hashlib
import json

import numpy as np

from recipes.dcgan import DCGAN
from recipes.training.batches import Batches
from recipes.training.callbacks import ImageGrid
from recipes.training.resume import Resume
from recipes.training.runtime import is_chief, output_dir, setup, strategy

if __name__ == "__main__":
    setup("reduced", 0)
    pictures = np.random.default_rng(0).uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
    batches = Batches(pictures, batch_size=4, seed=0)
    with strategy(4).scope():
        gan = DCGAN(width=2, latent_dim=4, paper=True, average=0.9)
        gan.compile(1e-3, 0.5)
    folder = output_dir("dcgan")
    resume = Resume(folder / "checkpoints", batches)
    grid = ImageGrid(lambda gan: gan.generate(4, seed=0), folder / "pictures")
    if not is_chief():
        gan.generator.weights[0].assign(gan.generator.weights[0] * 0)
    resume.restore(gan)  # there is no checkpoint, but the second gets what the first has
    gan.fit(batches.dataset, callbacks=[grid, resume], verbose=0)
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
