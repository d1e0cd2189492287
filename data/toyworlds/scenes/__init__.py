"""Everyday scenes drawn from a seed, each with five captions and the box of every object named.

The embedded data of the captioning recipes, in the layouts of Flickr8k and COCO. A scene is
decided first: a place, a light, one to three actors with colours and an action, perhaps somebody
beside them and a tree or a house behind. Picture, captions, boxes and tags all follow from that,
so that a caption never names what is not there.
"""

from toyworlds.scenes.captions import check_caption, describe, nouns
from toyworlds.scenes.composition import TAGS, Actor, Scene, attributes, compose
from toyworlds.scenes.folders import STUFF, write_coco, write_flickr8k
from toyworlds.scenes.picture import draw

__all__ = [
    "STUFF",
    "TAGS",
    "Actor",
    "Scene",
    "attributes",
    "check_caption",
    "compose",
    "describe",
    "draw",
    "nouns",
    "write_coco",
    "write_flickr8k",
]
