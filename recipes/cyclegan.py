"""CycleGAN: images of one kind translated into another, learned without pairs.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(arXiv:1703.10593). The book's version has U-Nets and the cross-entropy; the paper's ResNets, least
squares, image pool and learning-rate decay are switches.
"""

from functools import partial

import keras
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import ReflectionPadding2D, conv, normalize, upsample
from recipes.training import distribution
from recipes.training.base import GAN
from recipes.training.checks import check_images, check_number
from recipes.translation import check_discriminator, check_sides, translate


def build_resnet(base_filters=64, blocks=9, upsampling="transposed"):
    """The paper's generator: image -> image in [-1, 1], of any sides divisible by 4.

    Args:
        base_filters: filters of the first layer; 64 in the paper.
        blocks: residual blocks in the middle; 9 for 256x256 in the paper, 6 for 128x128.
        upsampling: "transposed" convolutions, as in the paper, or "resize"; see `layers.upsample`.
    """

    def same_size(x, filters, size):
        x = ReflectionPadding2D(size // 2)(x)
        return normalize(conv(filters, size, 1, "valid")(x), "instance")

    x = images = keras.Input((None, None, 3))
    x = layers.ReLU()(same_size(x, base_filters, 7))  # (batch, 256, 256, 64)
    for filters in (2 * base_filters, 4 * base_filters):  # (batch, 64, 64, 256)
        x = layers.ReLU()(normalize(conv(filters, 3, 2)(x), "instance"))
    for _ in range(blocks):
        y = layers.ReLU()(same_size(x, 4 * base_filters, 3))
        x = layers.Add()([x, same_size(y, 4 * base_filters, 3)])
    for filters in (2 * base_filters, base_filters):  # (batch, 256, 256, 64)
        x = layers.ReLU()(normalize(upsample(x, filters, 3, upsampling), "instance"))
    x = conv(3, 7, 1, "valid", bias=True)(ReflectionPadding2D(3)(x))
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 256, 256, 3)
    return keras.Model(images, x, name="generator")


@keras.saving.register_keras_serializable(package="recipes")
class CycleGAN(GAN):
    """Two generators and two discriminators, trained by `fit` on a dataset of `(real_x, real_y)`.

    Both are float32 images in [-1, 1], `(batch, height, width, 3)`, from the two domains,
    unpaired. In the paper, G: X -> Y is `generator_g` and F: Y -> X is `generator_f`.

    Args:
        generator_g, generator_f: models from images to images; see `translation.build_unet` (the
            book) and `build_resnet` (the paper).
        discriminator_x, discriminator_y: models from images of X or Y to a map of logits; see
            `translation.build_patchgan`.
        cycle_weight: weight of |x - F(G(x))| + |y - G(F(y))|.
        identity_weight: weight of |y - G(y)| + |x - F(x)|, which keeps colours that need no
            change; 0 skips these passes.
        least_squares: LSGAN's loss, as in the paper, instead of the book's cross-entropy.
        pool_size: number of past fakes to keep; half of the time the discriminators see one of
            them (Shrivastava et al. 2017; 50 in the paper). 0, as in the book: always the newest.
        image_size: side of the training images, for the pools.
        ema_decay: decay of a moving average of the generators' weights, which then translate; 0, as
            in the book, uses the weights themselves.
        seed: seed of the pools.
    """

    trained = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
    averaged = ("generator_g", "generator_f")
    reported = ("adversarial_loss", "cycle_loss", "identity_loss", "discriminator_loss")

    def __init__(
        self,
        generator_g,
        generator_f,
        discriminator_x,
        discriminator_y,
        cycle_weight=10.0,
        identity_weight=5.0,
        least_squares=False,
        pool_size=0,
        image_size=256,
        ema_decay=0.0,
        seed=0,
        **kwargs,
    ):
        networks = dict(
            generator_g=generator_g, generator_f=generator_f, discriminator_x=discriminator_x,
            discriminator_y=discriminator_y,
        )  # fmt: skip
        settings = dict(
            cycle_weight=cycle_weight, identity_weight=identity_weight,
            least_squares=least_squares, pool_size=pool_size, image_size=image_size,
            ema_decay=ema_decay, seed=seed,
        )  # fmt: skip
        super().__init__(networks, settings, **kwargs)
        self.target_loss = losses.least_squares if least_squares else losses.bce
        self.pool_x = ImagePool(pool_size, image_size, seed)
        self.pool_y = ImagePool(pool_size, image_size, seed + 1)

    def train_step(self, data):
        real_x, real_y = data
        real, fake = partial(self.target_loss, 1.0), partial(self.target_loss, 0.0)
        with tf.GradientTape(persistent=True) as tape:
            fake_y = self.generator_g(real_x, training=True)
            fake_x = self.generator_f(real_y, training=True)
            cycled_x = self.generator_f(fake_y, training=True)
            cycled_y = self.generator_g(fake_x, training=True)
            same_x = self.generator_f(real_x, training=True) if self.identity_weight else real_x
            same_y = self.generator_g(real_y, training=True) if self.identity_weight else real_y
            adversarial_loss = real(self.discriminator_x(fake_x, training=True))
            adversarial_loss += real(self.discriminator_y(fake_y, training=True))
            cycle_loss = losses.l1(real_x, cycled_x) + losses.l1(real_y, cycled_y)
            identity_loss = losses.l1(real_x, same_x) + losses.l1(real_y, same_y)
            generator_loss = (
                adversarial_loss
                + self.cycle_weight * cycle_loss
                + self.identity_weight * identity_loss
            )
        # G's own losses do not depend on F, nor F's on G: so one backward pass through the sum
        # gives both their gradients.
        self.minimize(generator_loss, (self.generator_g, self.generator_f), tape)
        old_x, old_y = self.pool_x(fake_x), self.pool_y(fake_y)
        with tf.GradientTape(persistent=True) as tape:
            loss_x = real(self.discriminator_x(real_x, training=True))
            loss_x = (loss_x + fake(self.discriminator_x(old_x, training=True))) / 2
            loss_y = real(self.discriminator_y(real_y, training=True))
            loss_y = (loss_y + fake(self.discriminator_y(old_y, training=True))) / 2
        self.minimize(loss_x, self.discriminator_x, tape)
        self.minimize(loss_y, self.discriminator_y, tape)
        return self.report(
            adversarial_loss=adversarial_loss,
            cycle_loss=cycle_loss,
            identity_loss=identity_loss,
            discriminator_loss=loss_x + loss_y,
        )

    def call(self, inputs, training=False):
        inputs = inputs[0] if isinstance(inputs, tuple | list) else inputs
        generator = self.generator_g if training else self.for_inference("generator_g")
        return generator(inputs, training=training)

    def test_step(self, data):
        x, y = data
        g, f = self.for_inference("generator_g"), self.for_inference("generator_f")
        loss = losses.l1(x, f(g(x))) + losses.l1(y, g(f(y)))
        return self.report_held_out(tf.shape(x)[0], cycle_loss=loss)

    def translate(self, images, back=False):
        """Translates images of any size, x to y, or y to x if `back`; see `translation`."""
        return translate(self.for_inference("generator_f" if back else "generator_g"), images)

    def check_batch(self, batch):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("a batch has to be (images of domain x, images of domain y)")
        pairs = (self.generator_g, "images of x"), (self.generator_f, "images of y")
        for (generator, name), images in zip(pairs, batch, strict=True):
            if self.pool_size:
                check_images(images, name, (self.image_size, self.image_size, 3))
            self.check_input(generator, images, name)
            check_sides(generator, images, name)
            self.check_output(generator, images.shape[1:], images.shape[1:])
        for discriminator in (self.discriminator_x, self.discriminator_y):
            check_discriminator(discriminator, 1)
        if len(batch[0]) != len(batch[1]):
            raise ValueError(f"a batch of {len(batch[0])} images of x, {len(batch[1])} of y")
        self.check_rows(len(batch[0]))


@keras.saving.register_keras_serializable(package="recipes")
class ImagePool(layers.Layer):
    """The last fakes, from which the discriminator gets an old one half of the time.

    Args:
        size: how many fakes it keeps; 0 passes them through unchanged.
        image_size: their side.
        seed: seed of the choice.
    """

    def __init__(self, size, image_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.random = size, keras.random.SeedGenerator(seed)
        if size:
            shape = (size, image_size, image_size, 3)
            self.images = self.add_weight(shape=shape, initializer="zeros", trainable=False)
            self.count = self.add_weight(dtype="int32", initializer="zeros", trainable=False)
        self.built = True

    def call(self, fakes):
        """Keeps `fakes`, `(batch, height, width, 3)`; returns as many, new or old."""
        if not self.size:
            return fakes
        # Every replica keeps the fakes of all, so that the pools stay equal.
        fakes = tf.map_fn(self.swap, distribution.gather(fakes))
        return distribution.own_rows(
            lambda _: fakes, tf.shape(fakes)[0] // distribution.replica_count()
        )

    def swap(self, fake):
        # While it fills, each fake is kept and returned. Then half of them go straight through,
        # and the others change places with one that is in the pool.
        place = keras.random.randint((), 0, self.size, seed=self.random)
        keep = keras.random.uniform((), seed=self.random) < 0.5
        filling = self.count < self.size
        place = tf.where(filling, self.count, place)
        old = self.images[place]
        swap = tf.logical_or(filling, keep)
        self.images.assign(
            tf.tensor_scatter_nd_update(self.images, [[place]], tf.where(swap, fake, old)[None])
        )
        self.count.assign(tf.minimum(self.count + 1, self.size))
        return tf.where(tf.logical_and(swap, tf.logical_not(filling)), old, fake)


@keras.saving.register_keras_serializable(package="recipes")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The paper's schedule: constant at first, then linear decay to 0.

    Args:
        learning_rate: float, the rate at first.
        hold: steps at that rate.
        decay: steps on the way to 0.
    """

    def __init__(self, learning_rate, hold, decay):
        check_number("learning_rate", learning_rate)
        check_number("hold", hold)
        check_number("decay", decay, above=True)
        self.learning_rate, self.hold, self.decay = learning_rate, hold, decay

    def __call__(self, step):
        done = (keras.ops.cast(step, "float32") - self.hold) / self.decay
        return self.learning_rate * (1.0 - keras.ops.clip(done, 0.0, 1.0))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "hold": self.hold, "decay": self.decay}
