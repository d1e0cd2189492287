"""From photos to captions: features, words, captioners, decoding, evaluation."""

from recipes.captioning.attention import BahdanauAttention, CNNEncoder, ImageCaptioner, RNNDecoder
from recipes.captioning.batches import CaptionBatches
from recipes.captioning.beam_search import PrintCaptions, generate
from recipes.captioning.evaluation import (
    all_scores,
    attention_in_boxes,
    bleu,
    boxes_of_words,
    by_noun,
    cider,
    most_frequent_caption,
    nearest_captions,
    rouge_l,
    variety,
)
from recipes.captioning.features import Features, ImageCaptionFeatureExtractor
from recipes.captioning.merge import MergeCaptioner
from recipes.captioning.pipeline import Captioner
from recipes.captioning.transformer import TransformerCaptioner
from recipes.captioning.vocabulary import Vocabulary
