"""Our attacks against those of foolbox and ART, on one network and the same digits.

    pip install --no-deps --target build/reference foolbox eagerpy adversarial-robustness-toolbox
    PYTHONPATH=build/reference python -m benchmarks.attacks_reference

Prints what docs/attacks.md quotes. Neither library is needed for anything else.
"""

import recipes  # noqa: F401  before TensorFlow: it sets how that starts

# isort: split
import foolbox
import keras
import numpy as np
import tensorflow as tf
from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
from art.estimators.classification import TensorFlowV2Classifier

from recipes import attacks, fgsm
from recipes.datasets import digits, scale
from recipes.training.runtime import setup

COUNT, EPSILONS = 100, {"inf": 0.25, 2: 2.5}


def train():
    images, labels = digits.load("train")
    net = fgsm.build_classifier()
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(scale(images), labels, batch_size=64, epochs=4, verbose=0)
    return net


def main():
    setup("reduced", 0)
    net = train()
    logits = attacks.compiled(net)
    images, labels = digits.load("test")
    images, labels = scale(images), labels.astype(np.int64)
    right = np.flatnonzero(attacks.predict(net, images)[0] == labels)[:COUNT]
    images, labels = images[right], labels[right]
    theirs = foolbox.TensorFlowModel(lambda x: logits(x), bounds=(-1, 1))
    x, y = tf.constant(images), tf.constant(labels)

    def accuracy(made):
        return (attacks.predict(net, np.asarray(made, np.float32))[0] == labels).mean()

    def report(name, ours, reference):
        reference = np.array(reference, np.float32)
        broken = np.isnan(reference).any((1, 2, 3))  # ART's Square divides by zero in L2
        reference[broken] = images[broken]
        gap = np.abs(reference - ours)
        print(
            f"{name:<34} ours {accuracy(ours):.2f}, theirs {accuracy(reference):.2f}; "
            f"largest difference of a pixel {gap.max():.1e}; theirs NaN: {broken.sum()}",
            flush=True,
        )

    for norm, epsilon in EPSILONS.items():
        kind = {"inf": "Linf", 2: "L2"}[norm]
        made, _, _ = getattr(foolbox.attacks, f"{kind}FastGradientAttack")()(
            theirs, x, y, epsilons=epsilon
        )
        report(
            f"FGSM {norm}, foolbox",
            fgsm.fgsm(net, images, labels, epsilon=epsilon, norm=norm),
            made,
        )
        size = epsilon / 4
        attack = getattr(foolbox.attacks, f"{kind}ProjectedGradientDescentAttack")
        made, _, _ = attack(steps=10, abs_stepsize=size, random_start=False)(
            theirs, x, y, epsilons=epsilon
        )
        options = {"epsilon": epsilon, "steps": 10, "step_size": size, "random_start": False}
        report(f"PGD {norm}, foolbox", fgsm.pgd(net, images, labels, norm=norm, **options), made)
        attack = getattr(foolbox.attacks, f"{'LInf' if norm == 'inf' else 'L2'}FMNAttack")
        made, _, found = attack(steps=100)(theirs, x, y, epsilons=None)
        ours, distances = attacks.fmn(net, images, labels, norm=norm)
        other = attacks.size_of(made - x, norm).numpy().ravel()
        fooled = found.numpy()
        print(
            f"FMN {norm}, foolbox: median ours {np.median(distances):.4f} (all {len(labels)}), "
            f"theirs {np.median(np.where(fooled, other, np.inf)):.4f} ({fooled.sum()} found); "
            f"ours nearer or within 1 % for {(distances <= 1.01 * other)[fooled].mean():.0%}",
            flush=True,
        )
        classifier = TensorFlowV2Classifier(
            model=keras.Model(net.input, net.output),
            nb_classes=10,
            input_shape=(28, 28, 1),
            clip_values=(-1, 1),
            loss_object=keras.losses.CategoricalCrossentropy(),
        )
        order = np.inf if norm == "inf" else 2
        made = AutoProjectedGradientDescent(
            classifier, norm=order, eps=epsilon, eps_step=2 * epsilon, max_iter=50,
            nb_random_init=1, loss_type="cross_entropy", verbose=False,
        ).generate(images, keras.utils.to_categorical(labels, 10))  # fmt: skip
        report(
            f"APGD-CE {norm}, 50 steps, ART",
            attacks.apgd(net, images, labels, epsilon=epsilon, steps=50, norm=norm),
            made,
        )
        for queries in (100, 500):
            made = SquareAttack(
                classifier, norm=order, eps=epsilon, max_iter=queries, nb_restarts=1, p_init=0.8,
                verbose=False,
            ).generate(images, keras.utils.to_categorical(labels, 10))  # fmt: skip
            report(
                f"Square {norm}, {queries} queries, ART",
                attacks.square(net, images, labels, epsilon=epsilon, queries=queries, norm=norm),
                made,
            )


if __name__ == "__main__":
    main()
