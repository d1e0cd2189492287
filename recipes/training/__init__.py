"""What a training needs and a recipe need not show: base classes, batches, resume, runtime."""

import keras


def check_keras():
    """Raises `ValueError` unless Keras runs on TensorFlow, in float32, with the channels last.

    With other axes, layers would build other networks out of the same lines, in silence.
    """
    backend, axes = keras.backend.backend(), keras.config.image_data_format()
    if (backend, axes) != ("tensorflow", "channels_last"):
        raise ValueError(
            f"Keras is set to the backend {backend!r} and the image_data_format {axes!r}, but the "
            "recipes need 'tensorflow' and 'channels_last': set them in ~/.keras/keras.json, or in "
            "KERAS_BACKEND, and start again"
        )
    if keras.config.floatx() != "float32":
        raise ValueError(
            f"Keras is set to the floatx {keras.config.floatx()!r}, but the recipes need "
            "'float32': set it in ~/.keras/keras.json, and start again"
        )


check_keras()
