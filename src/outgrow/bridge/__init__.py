"""Token log-probabilities carried from one tokenizer to another: [BW]'s word bridge, and ours over characters.

Needs only numpy (rapidfuzz where offsets must be found first): offsets and numbers in, numbers out.
"""

from outgrow.bridge.pieces import piece_offsets
from outgrow.bridge.segments import Bridged, Bridging, Split, Where, bridge, bridge_many, bridge_words

__all__ = ["Bridged", "Bridging", "Split", "Where", "bridge", "bridge_many", "bridge_words", "piece_offsets"]
