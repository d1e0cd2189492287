"""Deep-learning recipes for computer vision: what the notebooks import."""

import ctypes
import os
import sys

# Read by TensorFlow when it is first imported, so set before anything else of ours is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # start-up chatter in every notebook
# On by default for Intel CPUs only; an AMD CPU with AVX2 trains the GANs 2 to 4 times as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# glibc hands the memory of a large array back when it is freed, and the next step asks for it
# again, page by page: a quarter of the CPU's time at 256x256. So it is told to keep it.
if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    libc.mallopt(-4, 0)  # M_MMAP_MAX
