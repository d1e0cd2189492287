"""What each switch brings to captions of Flickr8k: one line of JSON for each variant, on dev.

    python -m benchmarks.caption_switches pack DIR         # for a machine without network
    python -m benchmarks.caption_switches unpack DIR ROOT      # makes a data root of it
    RECIPES_DATA_DIR=ROOT python -m benchmarks.caption_switches run OUT --seconds 420

`run` writes `captions.jsonl` into OUT, and the weights of the best captioner of each kind. It is
meant for a GPU: the features of all photos lie in its memory. Variants come in the order of worth;
what does not fit into the time is left out.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tarfile
import time
from pathlib import Path

PIECE = 50_000_000  # bytes of a packed file, about
PACKED = [
    "flickr8k/Images/*.jpg", "flickr8k/*.txt", "flickr8k_boxes/*", "weights/mobilenet*",
    "weights/efficientnet*",
]  # fmt: skip

# What a variant does not say is as in its kind's baseline.
BASELINES = {
    "merge": dict(
        features="mobile", batch=128, rate=2e-3, epochs=6, average=None, smoothing=0.0,
        model=dict(width=512, embedding=256),
    ),
    "attention": dict(
        features="mobile", batch=64, rate=1e-3, epochs=9, average=0.999, smoothing=0.0,
        model=dict(attention_units=256, dropout=0.4),
    ),
    "transformer": dict(
        features="mobile", batch=64, rate=5e-4, epochs=10, average=0.999, smoothing=0.1,
        model=dict(width=256, heads=4, blocks=2, dropout=0.3),
    ),
}  # fmt: skip
VARIANTS = [
    ("baseline", "attention", {}),
    ("baseline", "merge", {}),
    ("baseline", "transformer", {}),
    ("lite2", "attention", dict(features="lite2")),
    ("lite2", "transformer", dict(features="lite2")),
    ("lite2", "merge", dict(features="lite2")),
    ("average", "merge", dict(average=0.999)),
    ("lite2, average, 10 epochs", "merge", dict(features="lite2", average=0.999, epochs=10)),
    ("smoothing .1", "attention", dict(smoothing=0.1)),
    ("both, average, 10 epochs", "merge", dict(features="both", average=0.999, epochs=10)),
    ("average, smoothing .1", "merge", dict(average=0.999, smoothing=0.1)),
    ("lite2, smoothing .1, 15 epochs, dropout .5", "attention",
     dict(features="lite2", smoothing=0.1, epochs=15, model=dict(dropout=0.5))),
    ("lite2, 3 blocks, dropout .4, 15 epochs", "transformer",
     dict(features="lite2", epochs=15, model=dict(blocks=3, dropout=0.4))),
    ("average, 12 epochs", "merge", dict(average=0.999, epochs=12)),
    ("average, dropout .6, 12 epochs", "merge",
     dict(average=0.999, epochs=12, model=dict(dropout=0.6))),
    ("average, width 1024, 10 epochs", "merge",
     dict(average=0.999, epochs=10, model=dict(width=1024))),
    ("15 epochs", "attention", dict(epochs=15)),
    ("dropout .5", "attention", dict(model=dict(dropout=0.5))),
    ("doubly stochastic 1", "attention", dict(model=dict(doubly_stochastic=1.0))),
    ("both", "attention", dict(features="both")),
    ("no smoothing", "transformer", dict(smoothing=0.0)),
    ("rate 1e-3", "transformer", dict(rate=1e-3)),
    ("1 block", "transformer", dict(model=dict(blocks=1))),
    ("width 384, 6 heads", "transformer", dict(model=dict(width=384, heads=6))),
    ("seed 1", "attention", dict(seed=1)),  # with the baseline an ensemble of two
    ("seed 1", "merge", dict(seed=1)),
    ("seed 1", "transformer", dict(seed=1)),
    ("words seen 2 times", "attention", dict(min_count=2)),
    ("words seen 8 times", "attention", dict(min_count=8)),
    ("wide: 1024 units", "attention", dict(model=dict(units=1024, attention_units=512))),
    ("both, average, smoothing .1, 12 epochs", "merge",
     dict(features="both", average=0.999, smoothing=0.1, epochs=12)),
    ("batch 256, rate 2e-3, 12 epochs", "attention", dict(batch=256, rate=2e-3, epochs=12)),
    ("dropout .5, 20 epochs", "transformer", dict(epochs=20, model=dict(dropout=0.5))),
    ("fine-tuned", "attention", dict(epochs=6, fine_tune="block_13_expand")),
]  # fmt: skip
ENSEMBLES = ["attention", "merge", "transformer"]


def pack(folder, root):
    """Writes tar files of about `PIECE` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path for pattern in PACKED for path in sorted(root.glob(pattern))]
    archive, size, pieces = None, PIECE, 0
    for path in paths:
        if size + path.stat().st_size > PIECE:
            if archive:
                archive.close()
            archive, size = tarfile.open(folder / f"piece_{pieces}.tar", "w"), 0  # noqa: SIM115
            pieces += 1
        archive.add(path, path.relative_to(root))
        size += path.stat().st_size + 1024
    import defusedxml  # of NLTK's
    import nltk  # a GPU machine may have no BLEU

    for package in (nltk, defusedxml):
        home = Path(package.__file__).parent
        archive.add(home, f"site/{home.name}", filter=_without_bytecode)
    archive.close()
    for path in sorted(folder.glob("piece_*.tar")):
        print(path, path.stat().st_size)


def _without_bytecode(item):
    return None if "__pycache__" in item.name else item


def unpack(folder, root):
    for path in sorted(folder.glob("piece_*.tar")):
        with tarfile.open(path) as archive:
            archive.extractall(root, filter="data")


def run(out, seconds, workers, photos, only=None, epochs=None):
    end = time.monotonic() + seconds
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    cache = out / "features"
    process = context.Process(target=extract, args=(cache, photos))
    process.start()
    process.join()  # in a process of its own, so that the GPU's memory is free after it
    if process.exitcode:
        raise SystemExit("extraction failed")
    following, lock = context.Value("i", 0), context.Lock()
    arguments = (out, cache, photos, end, following, lock, only, epochs)
    running = [context.Process(target=work, args=arguments) for _ in range(workers)]
    for process in running:
        process.start()
    for process in running:
        process.join(max(end - time.monotonic() + 60, 1))
        if process.is_alive():
            process.terminate()


def start():
    """TensorFlow, with memory that grows, so that several processes share a GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    return keras, tf


def dataset(photos):
    from recipes.datasets import flickr8k
    from recipes.datasets.captions import CaptionedImages

    parts = (flickr8k.load(split) for split in ("train", "dev"))
    return [
        CaptionedImages(part.paths[:photos], part.captions[:photos]) if photos else part
        for part in parts
    ]


def extract(cache, photos):
    """Grid features of both networks, float16, rows as in train and then dev."""
    keras, tf = start()
    import numpy as np
    from PIL import Image

    from recipes.backbones import load_backbone
    from recipes.datasets.files import data_root

    began = time.monotonic()
    cache.mkdir(exist_ok=True)
    if (cache / "lite2.npy").exists():
        return  # of an earlier run
    train, dev = dataset(photos)
    paths = [*train.paths, *dev.paths]
    weights = data_root() / "weights"
    nets = {
        "mobile": load_backbone(
            "MobileNetV2", weights / "mobilenet_v2_imagenet.weights.h5", spatial=True
        ),
        "lite2": load_backbone(
            keras.models.load_model(weights / "efficientnet_lite2_imagenet.keras"), spatial=True
        ),
    }
    from concurrent.futures import ThreadPoolExecutor

    def read(path):
        return np.asarray(Image.open(path).convert("RGB"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(read, paths)))
    np.save(cache / "photos.npy", images)
    print(f"{len(paths)} photos read after {time.monotonic() - began:.0f} s", flush=True)
    for name, net in nets.items():
        size = net.input_shape[1:3]
        call = tf.function(
            lambda x, net=net, size=size: tf.cast(
                net(tf.image.resize(tf.cast(x, tf.float32), size) / 127.5 - 1, training=False),
                tf.float16,
            ),
            input_signature=[tf.TensorSpec((None, 224, 224, 3), tf.uint8)],
        )
        rows = [call(images[i : i + 128]).numpy() for i in range(0, len(images), 128)]
        rows = np.concatenate(rows)
        np.save(cache / f"{name}.npy", rows)
        print(f"{name} {rows.shape} after {time.monotonic() - began:.0f} s", flush=True)


def work(out, cache, photos, end, following, lock, only, epochs):
    """One process: the next variant, as long as there is time."""
    keras, tf = start()
    bench = Bench(out, cache, photos, end, lock)
    bench.epochs = epochs
    while True:
        with following.get_lock():
            number, following.value = following.value, following.value + 1
        left = end - time.monotonic()
        if number >= len(VARIANTS) + len(ENSEMBLES) or left < 45:
            return
        if only is not None and number not in only:
            continue
        try:
            if number < len(VARIANTS):
                bench.variant(*VARIANTS[number])
            else:
                bench.ensemble(ENSEMBLES[number - len(VARIANTS)])
        except Exception as error:  # the others go on
            bench.write({"number": number, "error": repr(error)[:800]})


class Bench:
    def __init__(self, out, cache, photos, end, lock):
        self.out, self.cache, self.end, self.lock = out, cache, end, lock
        self.train, self.dev = dataset(photos)
        self.tables, self.best = {}, {}

    def write(self, line):
        with self.lock, open(self.out / "captions.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps({k: v for k, v in line.items() if k != "history"})[:400], flush=True)

    def table(self, name, kind):
        """The features as a tensor on the device."""
        import numpy as np
        import tensorflow as tf

        key = name, kind == "merge"
        if key not in self.tables:
            names = ("mobile", "lite2") if name == "both" else (name,)
            grids = [np.load(self.cache / f"{one}.npy") for one in names]
            if kind == "merge":
                arrays = [grid.astype("float32").mean((1, 2)) for grid in grids]
            else:
                size = grids[-1].shape[1:3]
                arrays = [
                    grid if grid.shape[1:3] == size else np.concatenate([
                        tf.cast(tf.image.resize(grid[i : i + 500], size), tf.float16).numpy()
                        for i in range(0, len(grid), 500)
                    ])
                    for grid in grids
                ]  # fmt: skip
            self.tables = {key: tf.constant(np.concatenate(arrays, -1))}  # one at a time
        return self.tables[key]

    def variant(self, name, kind, changes):
        import keras
        import numpy as np
        import tensorflow as tf

        from recipes.captioning import CaptionBatches, Vocabulary
        from recipes.training.batches import set_epoch

        began = time.monotonic()
        settings = {**BASELINES[kind], "seed": 0, "min_count": 4, **changes}
        settings["model"] = {**BASELINES[kind]["model"], **changes.get("model", {})}
        settings["epochs"] = self.epochs or settings["epochs"]
        seed, fine_tune = settings["seed"], settings.get("fine_tune")
        vocabulary = Vocabulary.build(self.train.captions, min_count=settings["min_count"])
        table = self.table(settings["features"], kind)
        build = captioner_class(kind)
        keras.utils.set_random_seed(seed)
        model = build(len(vocabulary), table.shape[1:], seed=seed, **settings["model"])
        count = len(self.train)
        batches = {
            split: CaptionBatches(
                np.arange(len(self.train) + len(self.dev))[:, None], part.captions, vocabulary,
                batch_size=settings["batch"], seed=seed, rows=np.arange(len(part)) + first,
            )
            for split, part, first in (("train", self.train, 0), ("dev", self.dev, count))
        }  # fmt: skip
        steps = batches["train"].steps
        schedule = keras.optimizers.schedules.CosineDecay(
            settings["rate"], settings["epochs"] * steps
        )
        average = settings["average"]
        optimizer = keras.optimizers.Adam(
            schedule, clipnorm=5.0, use_ema=bool(average), ema_momentum=average or 0.99
        )
        encode, tuned = None, []
        if fine_tune:
            encode, tuned, table = self.backbone(fine_tune)
        variables = model.trainable_variables
        optimizer.build(variables)
        slow = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(3e-5, settings["epochs"] * steps)
        )
        slow.build(tuned)
        smoothing, size = settings["smoothing"], len(vocabulary)

        def look(rows):
            found = tf.gather(table, rows)
            return encode(found) if encode else tf.cast(found, tf.float32)

        def loss(logits, words):
            chances = tf.nn.log_softmax(logits)
            losses = -tf.gather(chances, words, batch_dims=2)
            losses = (1 - smoothing) * losses - smoothing * tf.reduce_sum(chances, -1) / size
            mask = tf.cast(words != 0, tf.float32)
            return tf.reduce_sum(losses * mask) / tf.reduce_sum(mask)

        signature = [tf.TensorSpec((None,), tf.int32), *[tf.TensorSpec((None, None), tf.int32)] * 2]

        @tf.function(input_signature=signature)
        def step(rows, words, following):
            with tf.GradientTape() as tape:
                logits = model({"features": look(rows), "words": words}, training=True)
                total = loss(logits, following) + tf.add_n([0.0, *model.losses])
            gradients, tuned_gradients = tape.gradient(total, [variables, tuned])
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            if tuned:
                slow.apply_gradients(zip(tuned_gradients, tuned, strict=True))
            return total

        @tf.function(input_signature=signature)
        def test(rows, words, following):
            logits = model({"features": look(rows), "words": words})
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(following, logits)
            mask = tf.cast(following != 0, tf.float32)
            return tf.reduce_sum(losses * mask), tf.reduce_sum(mask)

        def epoch(split):
            set_epoch(len(history))
            for inputs, following in batches[split]._batches():
                rows = tf.constant(inputs["features"][:, 0].astype("int32"))
                yield rows, tf.constant(inputs["words"]), tf.constant(following)

        history, first, best = [], None, None
        for number in range(settings["epochs"]):
            last = 0.0
            for i, batch in enumerate(epoch("train")):
                last = step(*batch)
                if first is None:
                    float(last)
                    first = time.monotonic()
                if i % 50 == 49 and self.end - time.monotonic() < 25:
                    break
            float(last)
            raw = [variable.numpy() for variable in variables] if average else None
            if average:
                optimizer.finalize_variable_values(variables)
            sums = [test(*batch) for batch in epoch("dev")]
            value = float(sum(s for s, _ in sums)) / float(sum(n for _, n in sums))
            history.append([float(last), value])
            if best is None or value < best[0]:
                best = value, number + 1, [variable.numpy() for variable in variables]
            if self.end - time.monotonic() < 25 + 2:
                break
            if raw and number + 1 < settings["epochs"]:
                for variable, value in zip(variables, raw, strict=True):
                    variable.assign(value)
        trained = time.monotonic()
        line = {
            "name": name, "kind": kind, "changes": changes, "epochs_done": number + 1,
            "words": size, "parameters": model.count_params(),
            "history": [[round(a, 3), round(b, 3)] for a, b in history],
            "best_epoch": best[1], "training_seconds": round(trained - first, 1),
            "ms_a_step": round(1000 * (trained - first) / (number + 1) / steps, 1),
        }  # fmt: skip
        features = np.concatenate([
            look(tf.range(i, min(i + 250, count + len(self.dev)), dtype=tf.int32)).numpy()
            for i in range(count, count + len(self.dev), 250)
        ])  # fmt: skip
        scores, captions = self.measure(model, vocabulary, features)
        line["last"] = scores
        if best[1] < number + 1 and self.end - time.monotonic() > 20:
            final = [variable.numpy() for variable in variables]
            for variable, value in zip(variables, best[2], strict=True):
                variable.assign(value)
            line["lowest_loss"], _ = self.measure(model, vocabulary, features)
            for variable, value in zip(variables, final, strict=True):
                variable.assign(value)
        if self.end - time.monotonic() > 30:
            line["length_power"] = {
                power: self.measure(model, vocabulary, features, power=power)[0]
                for power in (0.0, 1.0)
            }
            line["5 beams"] = self.measure(model, vocabulary, features, beams=5)[0]
        line["seconds"] = round(time.monotonic() - began, 1)
        self.write(line)
        self.keep(kind, line, model, captions, settings)
        if kind in ENSEMBLES and name in ("baseline", "seed 1"):
            np.savez(self.out / "features" / f"{kind}_{seed}.npz", *model.get_weights())

    def measure(self, model, vocabulary, features, beams=3, power=0.7):
        from recipes.captioning import bleu, cider, generate, rouge_l, variety

        made = generate(model, features, beams, length_power=power, batch_size=250)
        captions = vocabulary.decode(made.words)
        references = self.dev.captions
        scores = bleu(references, captions) | {
            "CIDEr-D": cider(references, captions), "ROUGE-L": rouge_l(references, captions),
        } | variety(captions, vocabulary)  # fmt: skip
        return {key: round(value, 4) for key, value in scores.items()}, captions

    def keep(self, kind, line, model, captions, settings):
        """The weights of the best of its kind, as float16."""
        import numpy as np

        note = self.out / f"best_{kind}.json"
        with self.lock:
            score = line["last"]["CIDEr-D"]
            if note.exists() and json.loads(note.read_text())["last"]["CIDEr-D"] >= score:
                return
            weights = [weight.astype(np.float16) for weight in model.get_weights()]
            np.savez_compressed(self.out / f"best_{kind}.npz", *weights)
            note.write_text(json.dumps({**line, "settings": settings, "captions": captions}))

    def backbone(self, first):
        """MobileNetV2 from photos, its layers from `first` on to be trained too."""
        import numpy as np
        import tensorflow as tf

        from recipes.backbones import load_backbone
        from recipes.datasets.files import data_root

        frozen = load_backbone(
            "MobileNetV2", data_root() / "weights" / "mobilenet_v2_imagenet.weights.h5",
            spatial=True,
        )  # fmt: skip
        net = frozen.layers[-1]
        net.trainable, training = True, False
        for layer in net.layers:
            training = training or layer.name == first
            layer.trainable = training and "BN" not in layer.name
        photos = tf.constant(np.load(self.cache / "photos.npy"))
        return (
            lambda x: net(tf.cast(x, tf.float32) / 127.5 - 1, training=False),
            [variable for variable in net.trainable_variables],
            photos,
        )

    def ensemble(self, kind):
        """Two captioners whose probabilities are averaged."""
        import keras
        import numpy as np
        import tensorflow as tf

        from recipes.captioning import Vocabulary

        files = [self.out / "features" / f"{kind}_{seed}.npz" for seed in (0, 1)]
        while not all(file.exists() for file in files):
            if self.end - time.monotonic() < 30:
                return
            time.sleep(2)
        time.sleep(2)
        settings = BASELINES[kind]
        vocabulary = Vocabulary.build(self.train.captions, min_count=4)
        table = self.table(settings["features"], kind)
        build = captioner_class(kind)
        keras.utils.set_random_seed(0)
        models = [build(len(vocabulary), table.shape[1:], **settings["model"]) for _ in files]
        for model, file in zip(models, files, strict=True):
            with np.load(file) as weights:
                model.set_weights([weights[name] for name in weights.files])

        class Ensemble:
            vocabulary_size, feature_shape = len(vocabulary), tuple(table.shape[1:])
            places, searches = models[0].places, {}
            check_features = models[0].check_features

            def begin(self, features):
                begun = [model.begin(features) for model in models]
                return tuple(m for m, _ in begun), tuple(s for _, s in begun)

            def step(self, words, memory, state):
                made = [
                    model.step(words, m, s)
                    for model, m, s in zip(models, memory, state, strict=True)
                ]
                logits = sum(tf.nn.log_softmax(logits) for logits, _, _ in made)
                return logits / 2, tuple(s for _, s, _ in made), made[0][2]

        features = tf.cast(table[len(self.train) :], tf.float32).numpy()
        scores, _ = self.measure(Ensemble(), vocabulary, features)
        self.write({"name": "ensemble of two seeds", "kind": kind, "last": scores})


def captioner_class(kind):
    from recipes.captioning import ImageCaptioner, MergeCaptioner, TransformerCaptioner

    return {
        "merge": MergeCaptioner,
        "attention": ImageCaptioner,
        "transformer": TransformerCaptioner,
    }[kind]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("pack", "unpack", "run"):
        sub = commands.add_parser(command)
        sub.add_argument("folder", type=Path)
        if command == "unpack":
            sub.add_argument("root", type=Path)
        if command == "run":
            sub.add_argument("--seconds", type=int, default=420)
            sub.add_argument("--workers", type=int, default=4)
            sub.add_argument("--photos", type=int, help="of each split; by default all")
            sub.add_argument("--only", type=int, nargs="*", help="numbers of variants")
            sub.add_argument("--epochs", type=int, help="of each variant")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.folder, Path(os.environ["RECIPES_DATA_DIR"]))
    elif arguments.command == "unpack":
        unpack(arguments.folder, arguments.root)
    else:
        sys.path.append(str(Path(os.environ["RECIPES_DATA_DIR"], "site").resolve()))
        run(
            arguments.folder,
            arguments.seconds,
            arguments.workers,
            arguments.photos,
            arguments.only,
            arguments.epochs,
        )
