import recipes  # noqa: F401  before TensorFlow: it sets how that starts
