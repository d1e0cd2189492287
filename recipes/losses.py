"""The losses of the recipes: pure functions on logits, each with its formula and paper."""

import keras
from keras import ops


def bce(target, logits):
    """Mean binary cross-entropy of logits of any shape against one constant target.

    Args:
        target: float in [0, 1]; 1 for "real", 0 for "generated", 0.9 for a smoothed "real".
        logits: float tensor of any shape.

    Returns:
        A scalar, the mean over all elements.
    """
    # keras.ops' version is stable for large |logits|: max(l, 0) - l * t + log(1 + exp(-|l|)).
    return ops.mean(
        ops.binary_crossentropy(ops.full_like(logits, target), logits, from_logits=True)
    )


def discriminator_loss(real_logits, fake_logits, label_smoothing=0.0):
    """Loss of a GAN's discriminator (Goodfellow et al. 2014): BCE(real, 1) + BCE(fake, 0).

    Args:
        real_logits, fake_logits: float tensors of any shape.
        label_smoothing: the target of real images is 1 - label_smoothing, that of generated ones
            still 0 (one-sided label smoothing; Salimans et al. 2016).
    """
    return bce(1.0 - label_smoothing, real_logits) + bce(0.0, fake_logits)


def generator_loss(fake_logits):
    """Non-saturating loss of a GAN's generator (Goodfellow et al. 2014): BCE(fake, 1)."""
    return bce(1.0, fake_logits)


def least_squares(target, logits):
    """Mean of (logit - target)^2: the loss of LSGAN (Mao et al. 2017), instead of `bce`.

    It does not level off for images that the discriminator is sure of, so their gradients do
    not vanish. CycleGAN's paper trains with it.

    Args:
        target, logits: as for `bce`.
    """
    return ops.mean(ops.square(ops.cast(logits, "float32") - target))


def l1(target, output):
    """Mean absolute difference of two float tensors of the same shape."""
    return ops.mean(ops.abs(target - ops.cast(output, target.dtype)))


def real_logit(class_logits):
    """The real/fake logit of a K-class classifier (Salimans et al. 2016).

    With Z = sum(exp(l_k)), D = Z / (Z + 1) = sigmoid(log Z) is the probability that an image is
    real. log Z is returned, because Z itself overflows once a logit reaches about 89.

    Args:
        class_logits: float tensor, `(batch, classes)`.

    Returns:
        Float tensor, `(batch, 1)`.
    """
    return ops.logsumexp(class_logits, axis=-1, keepdims=True)


def class_loss(labels, class_logits):
    """Mean sparse categorical cross-entropy on logits.

    Args:
        labels: int tensor, `(batch,)`, in [0, classes).
        class_logits: float tensor, `(batch, classes)`.
    """
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, class_logits, True))


@keras.saving.register_keras_serializable(package="recipes")
def masked_cross_entropy(words, logits):
    """Mean cross-entropy of the next word, over all words of the batch except padding.

    A mean that included padding would shrink as the longest caption grows.

    Args:
        words: int tensor, `(batch, length)`; 0 is padding.
        logits: float tensor, `(batch, length, vocabulary)`.
    """
    losses = keras.losses.sparse_categorical_crossentropy(words, logits, from_logits=True)
    mask = ops.cast(ops.not_equal(words, 0), losses.dtype)
    return ops.sum(losses * mask) / ops.maximum(ops.sum(mask), 1.0)
