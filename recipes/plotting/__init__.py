"""The figures of the notebooks, and images as files and animations.

Each function that draws a figure shows it once, where a notebook runs it, and returns it as a
Matplotlib `Figure`, for `savefig`. Backgrounds are transparent, with lines and letters of a grey
that reads on white and on black; figures are so narrow that a phone still shows their letters.
"""

from recipes.plotting.charts import show_counts, show_curves, show_spectrum
from recipes.plotting.display import (
    display_image,
    is_ours,
    mosaic,
    save_gif,
    save_png,
    show_slider,
    to_uint8,
)
from recipes.plotting.images import (
    attention_panels,
    save_attention_gif,
    show_attack,
    show_attention,
    show_captions,
    show_images,
    show_rows,
    show_training,
)
