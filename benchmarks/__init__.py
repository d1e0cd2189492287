import recipes  # noqa: F401  before TensorFlow: it sets how that starts

# isort: split
import keras


def in_bfloat16(build, *args):
    """`build(*args)`, whose layers then compute in bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build(*args)
    finally:
        keras.config.set_dtype_policy(before)
