"""SSGAN: a DCGAN whose discriminator is also a classifier, trained with few labels.

Salimans et al. 2016, "Improved Techniques for Training GANs" (arXiv:1606.03498), with the
architecture and settings of the book. One network looks at a picture and gives K class logits.
Their softmax is the class head; `sigmoid(logsumexp(logits))` is the real/fake head. So every
unlabelled picture, real or generated, trains the features that the class head stands on.
"""

import keras
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import batch_norm, copy_of, update_average
from recipes.training import distribution as replicas
from recipes.training.checks import check_images, check_labels
from recipes.training.gan import LatentGAN


def build_generator(latent_dim=100, width=128, norm=False):
    """Noise -> 28x28x1 picture in [-1, 1].

    Args:
        latent_dim: length of a latent vector.
        width: number of filters; 128 in the book.
        norm: batch norm before each activation, as in DCGAN; the book has none, and learns
            slower.
    """
    x = latent = keras.Input((latent_dim,))
    x = activate(layers.Dense(7 * 7 * width)(x), norm)
    x = layers.Reshape((7, 7, width))(x)
    x = activate(layers.Conv2DTranspose(width, 4, 2, "same")(x), norm)  # (batch, 14, 14, width)
    x = activate(layers.Conv2DTranspose(width, 4, 2, "same")(x), norm)  # (batch, 28, 28, width)
    x = layers.Conv2D(1, 7, padding="same")(x)
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 28, 28, 1)
    return keras.Model(latent, x, name="generator")


def activate(x, norm):
    return layers.LeakyReLU(0.2)(batch_norm()(x) if norm else x)


def build_classifier(num_classes=10, width=128, image_shape=(28, 28, 1)):
    """Picture in [-1, 1] -> {"features": (batch, f), "logits": (batch, num_classes)}.

    Args:
        num_classes: number of classes, the generated ones not counted.
        width: number of filters of each convolution; 128 in the book.
        image_shape: (height, width, channels) of a picture.
    """
    images = keras.Input(image_shape)
    x = images
    for _ in range(3):  # 28 -> 14 -> 7 -> 4
        x = layers.Conv2D(width, 3, 2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    features = layers.Flatten(name="features")(x)  # (batch, 4 * 4 * width)
    x = layers.Dropout(0.4)(features)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, {"features": features, "logits": logits}, name="classifier")


@keras.saving.register_keras_serializable(package="recipes")
class SSGAN(LatentGAN):
    """A semi-supervised GAN that behaves as a Keras classifier.

    `fit` takes a dataset of `({"labelled": x, "unlabelled": u}, y)`, see
    `recipes.datasets.semi_supervised`; `evaluate` and `predict` take pictures alone, and `predict`
    returns class probabilities, float32 `(batch, num_classes)`. Pictures are float32,
    `(batch, 28, 28, 1)`, in [-1, 1]; labels are ints, `(batch,)`.

    Every step makes the book's four updates, in its order: the classifier on labelled pictures,
    the discriminator on real ones, the discriminator on generated ones, the generator.

    Args:
        num_classes: number of classes.
        latent_dim: length of a latent vector.
        width: filters of the classifier; 128 in the book.
        generator_width: filters of the generator; 128 in the book.
        generator_norm: batch norm in the generator, which the book has not: it learns faster.
        generator_batch: pictures in a generator update, which is most of a step's work; by
            default twice the unlabelled batch, as in the book. "shared" takes the pictures that
            the discriminator has just seen, which saves drawing others.
        feature_matching: the generator matches the mean features of real pictures (Salimans et
            al. 2016) instead of fooling the discriminator: worse pictures, a better classifier.
        average: decay of a moving average of the classifier's weights, which `evaluate` and
            `predict` then use; 0 for the weights as they are, as in the book.
        supervised_only: leaves out all but the classifier's update. This is the baseline: the
            same network, labels and number of labelled updates.
        seed: seed of the latent vectors.
    """

    def __init__(
        self,
        num_classes=10,
        latent_dim=100,
        width=128,
        generator_width=128,
        generator_norm=False,
        generator_batch=None,
        feature_matching=False,
        average=0.0,
        supervised_only=False,
        seed=0,
        **kwargs,
    ):
        settings = {
            "num_classes": num_classes,
            "latent_dim": latent_dim,
            "width": width,
            "generator_width": generator_width,
            "generator_norm": generator_norm,
            "generator_batch": generator_batch,
            "feature_matching": feature_matching,
            "average": average,
            "supervised_only": supervised_only,
            "seed": seed,
        }
        super().__init__(settings, **kwargs)
        self.generator = build_generator(latent_dim, generator_width, generator_norm)
        self.classifier = build_classifier(num_classes, width)
        if average:
            self.averaged_classifier = copy_of(self.classifier, "averaged_classifier")
        self.noise = keras.random.SeedGenerator(seed)
        names = ["class_loss"]
        if not supervised_only:
            names += ["real_loss", "fake_loss", "generator_loss"]
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        self.built = True  # its networks are, and it has no weights beside theirs

    def compile(self, learning_rate=2e-4, beta_1=0.5, **kwargs):
        """Prepares the three Adam optimizers.

        Args:
            learning_rate: a float or a `keras.optimizers.schedules.LearningRateSchedule`.
            beta_1: decay of Adam's first moment; 0.5 in the book, as for most GANs.
            **kwargs: `jit_compile` and the like, for `keras.Model.compile`.
        """
        self.compile_settings = {"learning_rate": learning_rate, "beta_1": beta_1, **kwargs}
        self.classifier_optimizer = self.adam(self.classifier, learning_rate, beta_1)
        self.discriminator_optimizer = self.adam(self.classifier, learning_rate, beta_1)
        self.generator_optimizer = self.adam(self.generator, learning_rate, beta_1)
        super().compile(optimizer=self.classifier_optimizer, **kwargs)

    def call(self, inputs, training=False):
        images = inputs["labelled"] if isinstance(inputs, dict) else inputs
        return keras.ops.softmax(self.class_logits(images, training))

    def class_logits(self, images, training=False):
        """Class logits, float32 `(batch, num_classes)`; of the averaged weights, if there are."""
        averaged = self.average and not training
        model = self.averaged_classifier if averaged else self.classifier
        return model(images, training=training)["logits"]

    @property
    def metrics(self):
        return [*self.trackers.values(), self.accuracy]

    def check_batch(self, batch):
        try:
            inputs, labels = batch
            labelled, unlabelled = inputs["labelled"], inputs["unlabelled"]
        except (TypeError, ValueError, KeyError):
            raise ValueError(
                'a batch has to be ({"labelled": pictures, "unlabelled": pictures}, labels); '
                "recipes.datasets.semi_supervised makes such a dataset"
            ) from None
        shape = self.classifier.input_shape[1:]
        check_images(labelled, "labelled pictures", shape)
        check_images(unlabelled, "unlabelled pictures", shape)
        check_labels(labels, "labels", self.num_classes, count=len(labelled))
        self.check_share(min(len(labelled), len(unlabelled)))

    def train_step(self, data):
        inputs, labels = data
        labelled, real = inputs["labelled"], inputs["unlabelled"]

        def class_loss():
            logits = self.classifier(labelled, training=True)["logits"]
            self.accuracy.update_state(labels, logits)
            return losses.class_loss(labels, logits)

        def real_loss():
            logits = self.classifier(real, training=True)["logits"]
            return losses.bce(1.0, losses.real_logit(logits))

        def fake_loss():
            logits = self.classifier(fakes, training=True)["logits"]
            return losses.bce(0.0, losses.real_logit(logits))

        def generator_loss():
            out = self.classifier(fakes, training=True)
            if self.feature_matching:
                target = self.classifier(real, training=True)["features"]
                return losses.feature_matching_loss(target, out["features"])
            return losses.generator_loss(losses.real_logit(out["logits"]))

        self.lower(class_loss, self.classifier_optimizer, replicas.Part(tf.shape(labelled)[0]))
        if not self.supervised_only:
            part = replicas.Part(tf.shape(real)[0])
            fakes, tape = self.draw(part)
            self.lower(real_loss, self.discriminator_optimizer, part)
            self.lower(fake_loss, self.discriminator_optimizer, part)
            if self.generator_batch != "shared":
                whole = self.generator_batch
                part = replicas.Part(replicas.split(whole) if whole else 2 * part.rows)
                fakes, tape = self.draw(part)
            with tf.GradientTape(watch_accessed_variables=False) as head:
                head.watch(fakes)
                loss = generator_loss()
            # The chain rule in two pieces: shared fakes pass through the generator only once,
            # although the discriminator has changed since they were drawn.
            variables = self.generator.trainable_variables
            pull = head.gradient(loss, fakes, output_gradients=part.weight)
            gradients = tape.gradient(fakes, variables, output_gradients=pull)
            self.generator_optimizer.apply(gradients, variables)
            self.trackers["generator_loss"].update_state(part.balanced(loss))
        if self.average:
            steps = self.classifier_optimizer.iterations
            update_average(self.averaged_classifier, self.classifier, self.average, steps)
        return {metric.name: metric.result() for metric in self.metrics}

    def lower(self, loss, optimizer, part):
        """One gradient step of `optimizer` on the classifier, by the loss of `part` of the batch;
        `loss` names its tracker."""
        variables = self.classifier.trainable_variables
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, variables, output_gradients=part.weight)
        optimizer.apply(gradients, variables)
        self.trackers[loss.__name__].update_state(part.balanced(value))

    def draw(self, part):
        """New pictures, and the tape on which they were drawn."""
        latent = part.normal(self.latent_dim, self.noise)
        with tf.GradientTape() as tape:
            fakes = self.generator(latent, training=True)
        return fakes, tape

    def test_step(self, data):
        images, labels = data
        self.accuracy.update_state(labels, self.class_logits(images))
        return {"accuracy": self.accuracy.result()}
