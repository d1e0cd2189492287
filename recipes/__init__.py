"""Deep-learning recipes for computer vision: what the notebooks import."""

import os

# Read by TensorFlow when it is first imported, so set before anything else of ours is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # start-up chatter in every notebook
# On by default for Intel CPUs only; an AMD CPU with AVX2 trains the GANs 2 to 4 times as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
