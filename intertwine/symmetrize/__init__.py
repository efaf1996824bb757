"""Floor 5: any network made equivariant from outside, by means over a group, over frames, or in one frame."""

from intertwine.symmetrize.backbone import METHODS, SymmetrizedBackbone
from intertwine.symmetrize.canonical import Canonicalize, FrameVectors, LearnedFrames, gram_schmidt
from intertwine.symmetrize.frame_average import FrameAverage
from intertwine.symmetrize.framing import BuiltFrames, Framing, GridFrames
from intertwine.symmetrize.group_average import GroupAverage, elements_of
from intertwine.symmetrize.images import ImageInFrames, InkFrames
from intertwine.symmetrize.sorted_average import SortedAverage
from intertwine.symmetrize.spread import Spread

__all__ = [
    "METHODS",
    "BuiltFrames",
    "Canonicalize",
    "FrameAverage",
    "FrameVectors",
    "Framing",
    "GridFrames",
    "GroupAverage",
    "ImageInFrames",
    "InkFrames",
    "LearnedFrames",
    "SortedAverage",
    "Spread",
    "SymmetrizedBackbone",
    "elements_of",
    "gram_schmidt",
]
