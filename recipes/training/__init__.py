"""What a training needs and a recipe need not show: base classes, batches, resume, runtime."""

import keras

# With other axes, layers would build other networks out of the same lines, in silence.
if (keras.backend.backend(), keras.config.image_data_format()) != ("tensorflow", "channels_last"):
    raise ValueError(
        f"Keras is set to the backend {keras.backend.backend()!r} and the image_data_format "
        f"{keras.config.image_data_format()!r}, but the recipes need 'tensorflow' and "
        "'channels_last': set them in ~/.keras/keras.json, or in KERAS_BACKEND, and start again"
    )
