"""CycleGAN: pictures of one kind translated into another, learnt without pairs.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(arXiv:1703.10593). The book's version has U-Nets and the cross-entropy; the paper's ResNets, least
squares, image pool and learning-rate decay are switches.
"""

import keras
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import ReflectionPadding2D, convolution, normalize
from recipes.training import distribution as replicas
from recipes.training.checks import check_images
from recipes.translation import TranslationGAN, build_patchgan, build_unet, translate


def build_resnet(base_filters=64, blocks=9):
    """The generator of CycleGAN's paper: picture -> picture, any sides that 4 divides.

    Args:
        base_filters: filters of the first layer; 64 in the paper.
        blocks: residual blocks in the middle; 9 for 256x256, 6 for 128x128.
    """

    def block(x, filters, size, strides=1, transposed=False):
        padding = "same" if strides > 1 else "valid"
        if strides == 1:
            x = ReflectionPadding2D(size // 2)(x)
        x = convolution(filters, size, strides, padding, transposed)(x)
        return normalize(x, "instance")

    images = keras.Input((None, None, 3))
    x = layers.ReLU()(block(images, base_filters, 7))  # (batch, 256, 256, 64)
    x = layers.ReLU()(block(x, 2 * base_filters, 3, 2))  # (batch, 128, 128, 128)
    x = layers.ReLU()(block(x, 4 * base_filters, 3, 2))  # (batch, 64, 64, 256)
    for _ in range(blocks):
        y = layers.ReLU()(block(x, 4 * base_filters, 3))
        x = layers.Add()([x, block(y, 4 * base_filters, 3)])
    x = layers.ReLU()(block(x, 2 * base_filters, 3, 2, transposed=True))
    x = layers.ReLU()(block(x, base_filters, 3, 2, transposed=True))  # (batch, 256, 256, 64)
    x = convolution(3, 7, 1, "valid", bias=True)(ReflectionPadding2D(3)(x))
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 256, 256, 3)
    return keras.Model(images, x, name="generator")


@keras.saving.register_keras_serializable(package="recipes")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is constant for `hold` steps, then falls to 0 in `decay` steps.

    The paper holds 2e-4 for 100 epochs and lets it fall in another 100.
    """

    def __init__(self, learning_rate, hold, decay):
        self.learning_rate, self.hold, self.decay = learning_rate, hold, decay

    def __call__(self, step):
        done = (keras.ops.cast(step, "float32") - self.hold) / self.decay
        return self.learning_rate * (1.0 - keras.ops.clip(done, 0.0, 1.0))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "hold": self.hold, "decay": self.decay}


@keras.saving.register_keras_serializable(package="recipes")
class CycleGAN(TranslationGAN):
    """Two generators and two discriminators, trained by `fit` on a dataset of `(x, y)`.

    x and y are float32 pictures in [-1, 1], `(batch, image_size, image_size, 3)`, of the two
    domains; they are no pairs. In the paper's terms G: X -> Y is `generator_g` and F: Y -> X is
    `generator_f`.

    Args:
        image_size: side of the training pictures: 64, 128, 256 or 512.
        base_filters: filters of the outermost layers; 64 in the book.
        generator: "unet" (the book) or "resnet" (the paper, nine blocks).
        dropout: rate in the U-Nets.
        cycle_weight: weight of |x - F(G(x))| + |y - G(F(y))|.
        identity_weight: weight of |y - G(y)| and |x - F(x)|, which keeps the colours of what needs
            no change; 0 leaves these passes out.
        least_squares: LSGAN's loss, as in the paper, instead of the cross-entropy.
        pool_size: the discriminators see a random one of the last so many fakes (Shrivastava et
            al. 2017; 50 in the paper) half of the time; 0 for the newest always, as in the book.
        seed: seed of dropout and pool.
    """

    def __init__(
        self,
        image_size=256,
        base_filters=64,
        generator="unet",
        dropout=0.5,
        cycle_weight=10.0,
        identity_weight=5.0,
        least_squares=False,
        pool_size=0,
        seed=0,
        **kwargs,
    ):
        settings = {
            "image_size": image_size,
            "base_filters": base_filters,
            "generator": generator,
            "dropout": dropout,
            "cycle_weight": cycle_weight,
            "identity_weight": identity_weight,
            "least_squares": least_squares,
            "pool_size": pool_size,
            "seed": seed,
        }
        names = ("generator_loss", "cycle_loss", "identity_loss", "discriminator_loss")
        super().__init__(settings, names, **kwargs)

        def build(seed):
            if generator == "resnet":
                return build_resnet(base_filters)
            if generator == "unet":
                return build_unet(image_size, base_filters, "instance", dropout, seed)
            raise ValueError(f"generator {generator!r} is unknown; known are: unet, resnet")

        self.generator_g, self.generator_f = build(seed), build(seed + 1)
        self.discriminator_x = build_patchgan(1, base_filters, "instance")
        self.discriminator_y = build_patchgan(1, base_filters, "instance")
        if pool_size:
            self.pool_x = ImagePool(pool_size, image_size, seed)
            self.pool_y = ImagePool(pool_size, image_size, seed + 1)
        self.built = True  # its networks are

    @property
    def networks(self):
        return self.generator_g, self.generator_f, self.discriminator_x, self.discriminator_y

    def compile(self, learning_rate=2e-4, beta_1=0.5, fused_updates=True, **kwargs):
        """Prepares the four Adam optimizers.

        Args:
            learning_rate: a float or a schedule, such as `LinearDecay`.
            beta_1: decay of Adam's first moment.
            fused_updates: let XLA compile the update of the weights, which is faster; on one
                device only.
            **kwargs: for `keras.Model.compile`.
        """
        self.compile_settings = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "fused_updates": fused_updates,
            **kwargs,
        }
        self.fused_updates = fused_updates and not replicas.several()  # XLA cannot add up theirs
        self.optimizers = [self.adam(net, learning_rate, beta_1) for net in self.networks]
        super().compile(optimizer=self.optimizers[0], **kwargs)

    def call(self, inputs, training=False):
        inputs = inputs[0] if isinstance(inputs, tuple | list) else inputs
        return self.generator_g(inputs, training=training)

    def check_batch(self, batch):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("a batch has to be (pictures of domain x, pictures of domain y)")
        shape = (self.image_size, self.image_size, 3)
        for images, name in zip(batch, ("pictures of x", "pictures of y"), strict=True):
            check_images(images, name, shape)
        if len(batch[0]) != len(batch[1]):
            raise ValueError(f"a batch of {len(batch[0])} pictures of x, {len(batch[1])} of y")
        self.check_share(len(batch[0]))

    def train_step(self, data):
        x, y = data
        part = replicas.Part(tf.shape(x)[0])
        gradients, values = self.gradients(x, y, part)
        for optimizer, gradient, net in zip(self.optimizers, gradients, self.networks, strict=True):
            self.descend(optimizer, gradient, net)
        return self.track(part, *values)

    def gradients(self, x, y, part):
        """Gradients of the four nets on one batch, and the values of the losses.

        The book has one tape and one loss for each net. Here what one net sees goes through it as
        one batch (instance norm and dropout keep the pictures apart), and both generators get
        their gradients from the sum of all their losses in one backward pass: G's own loss does
        not depend on F, so the sum changes nothing.
        """
        target = losses.least_squares if self.least_squares else losses.bce
        g, f, disc_x, disc_y = self.networks
        identity = bool(self.identity_weight)
        with tf.GradientTape() as tape:
            fake_y, same_y = self.together(g, x, y) if identity else (g(x, training=True), y)
            fake_x, same_x = self.together(f, y, x) if identity else (f(y, training=True), x)
            cycled_x, cycled_y = f(fake_y, training=True), g(fake_x, training=True)
            fooled = target(1.0, disc_y(fake_y, training=True))
            fooled += target(1.0, disc_x(fake_x, training=True))
            cycle = losses.l1(x, cycled_x) + losses.l1(y, cycled_y)
            same = losses.l1(x, same_x) + losses.l1(y, same_y)
            total = fooled + self.cycle_weight * cycle + self.identity_weight * same
        weights = [g.trainable_variables, f.trainable_variables]
        generator_gradients = tape.gradient(total, weights, output_gradients=part.weight)
        if self.pool_size:
            # Every replica keeps the fakes of all: the pools stay equal.
            fake_x = part.cut(self.pool_x.swap(part.gather(fake_x)))
            fake_y = part.cut(self.pool_y.swap(part.gather(fake_y)))
        weights = [disc_x.trainable_variables, disc_y.trainable_variables]
        with tf.GradientTape() as tape:
            judged = 0.0
            for net, real, fake in ((disc_x, x, fake_x), (disc_y, y, fake_y)):
                real_logits, fake_logits = self.together(net, real, tf.stop_gradient(fake))
                # Half of it: the discriminators learn at half the generators' pace.
                judged += 0.5 * (target(1.0, real_logits) + target(0.0, fake_logits))
        discriminator_gradients = tape.gradient(judged, weights, output_gradients=part.weight)
        values = (fooled, cycle, same, judged)
        return [*generator_gradients, *discriminator_gradients], values

    @staticmethod
    def together(net, *batches):
        """`net` on several batches at once; returns one output for each."""
        return tf.split(net(tf.concat(batches, 0), training=True), len(batches))

    def test_step(self, data):
        x, y = data
        cycle = losses.l1(x, self.generator_f(self.generator_g(x)))
        cycle += losses.l1(y, self.generator_g(self.generator_f(y)))
        return {"cycle_loss": cycle}

    def translate(self, images, back=False):
        """Pictures of any size, x to y, or y to x if `back`; see `recipes.translation`."""
        return translate(self.generator_f if back else self.generator_g, images)


@keras.saving.register_keras_serializable(package="recipes")
class ImagePool(layers.Layer):
    """The last fakes, from which the discriminator gets an old one half of the time.

    Args:
        size: how many fakes it keeps.
        image_size: their side.
        seed: seed of the choice.
    """

    def __init__(self, size, image_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.random = size, keras.random.SeedGenerator(seed)
        shape = (size, image_size, image_size, 3)
        self.images = self.add_weight(shape=shape, initializer="zeros", trainable=False)
        self.count = self.add_weight(dtype="int32", initializer="zeros", trainable=False)
        self.built = True

    def swap(self, fakes):
        """Keeps `fakes`, `(batch, height, width, 3)`; returns as many, new or old."""
        return tf.map_fn(self.swap_one, fakes)

    def swap_one(self, fake):
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
