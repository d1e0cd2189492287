import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
