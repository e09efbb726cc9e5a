"""Transfer of token log-probabilities from one tokenizer to another: [BW]'s word bridge, and ours over characters.

Needs numpy only, and rapidfuzz to find missing offsets.
"""

from outgrow.bridge.pieces import piece_offsets
from outgrow.bridge.segments import Bridged, Bridging, Split, Where, bridge, bridge_many, bridge_words

__all__ = ["Bridged", "Bridging", "Split", "Where", "bridge", "bridge_many", "bridge_words", "piece_offsets"]
