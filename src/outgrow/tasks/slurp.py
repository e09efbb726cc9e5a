"""SLURP (Bastianelli et al. 2020): commands to a home assistant, and the slots they fill.

Two kinds of rows, told apart by their fields: SLURP's own,
`{"tokens": [{"surface": "wake"}, …], "entities": [{"span": [4, 5], "type": "time"}]}`, and those of the data set it
grew from, `{"text": "wake me up at five am", "entities": [{"value": "five am", "entity": "time"}]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from outgrow.evaluate.slot_json import slots_of, tidy
from outgrow.tasks.slots import SlotTask, Utterance

_SLOTS = """
alarm_type app_name artist_name audiobook_author audiobook_name business_name business_type change_amount coffee_type
color_type cooking_type currency_name date definition_word device_type drink_type email_address email_folder
event_name food_type game_name game_type general_frequency house_place ingredient joke_type list_name meal_type
media_type movie_name movie_type music_album music_descriptor music_genre news_topic order_type person personal_info
place_name player_setting playlist_name podcast_descriptor podcast_name radio_name relation song_name sport_type time
time_zone timeofday transport_agency transport_descriptor transport_name transport_type weather_descriptor
"""


@dataclass(frozen=True)
class Slurp(SlotTask):
    """`task: {name: slurp, path: …}`: a folder with `test.jsonl.gz` and `train_proxy`, `train` or `devel`, or one file.

    An utterance is its tokens with a space between, so a filler can always be copied from it. The older data set has
    SLURP's slots but for `sport_type`, and draws some spans more widely.
    """

    files: ClassVar[tuple[str, ...]] = ("train_proxy", "train", "devel", "test")
    schema: ClassVar[tuple[str, ...]] = tuple(_SLOTS.split())

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """One row of either kind."""
        if row.get("tokens") is None:
            slots = [(one["entity"], tidy(one["value"])) for one in row["entities"]]
            return Utterance(tidy(row["text"]), slots_of(slots))
        words = [tidy(token["surface"]) for token in row["tokens"]]
        slots = [(one["type"], " ".join(words[place] for place in one["span"])) for one in row["entities"]]
        return Utterance(" ".join(words), slots_of(slots))
