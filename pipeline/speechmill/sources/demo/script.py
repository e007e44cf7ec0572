"""Script of the demo podcast: the text and speaker of each passage, and its planted defect.

It is separate from the synthesis so that the text can be read, and counted, without the signal processing. All of
it was written for this project and is in the public domain (CC0-1.0).
"""

from dataclasses import dataclass
from typing import Literal

Voice = Literal["narrator", "miller", "guest"]
Defect = Literal[
    "noise", "music", "telephone", "overlap", "reverb", "duplicate"
]  # duplicate: occurs in an earlier episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Words spoken in one breath by one voice; with `over`, a second voice talks across them."""

    text: str
    voice: Voice
    defect: Defect | None = None
    over: "Passage | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Passages in order, with the facts that a feed tells of them."""

    number: int
    title: str
    description: str
    passages: tuple[Passage, ...]

    @property
    def name(self) -> str:
        """File name of its audio."""
        return f"episode-{self.number}.mp3"


def _passage(voice: Voice, text: str, defect: Defect | None = None, over: Passage | None = None) -> Passage:
    return Passage(text=text, voice=voice, defect=defect, over=over)


ADVERT = (
    "These stories are brought to you by the bakery at the bridge. "
    "Come in before eight o'clock, say that you heard it here, and the second roll is on the house."
)

THE_MILL = (
    _passage(
        "narrator",
        "The mill stands where the river bends, below the bridge and above the old ford. "
        "Nobody in the village can say who laid the first stone, but everybody knows who mended the roof.",
    ),
    _passage(
        "narrator",
        "On a still morning you hear the water before you see it. "
        "First there is a murmur under the trees, then a steady rush, and at last the slow wooden knock of the wheel.",
    ),
    _passage("narrator", "Then the gate is opened, and the wheel begins to turn."),
    _passage(
        "narrator",
        "Grain comes in by the back door, in sacks as heavy as a grown man. "
        "The miller opens one, lets a handful run through her fingers, and smells it before she says a word.",
    ),
    _passage(
        "narrator",
        "In spring the river is loud and brown, and the whole house trembles with it. "
        "The miller shouts to be heard, and the cups walk slowly along the kitchen shelf.",
        "noise",
    ),
    _passage(
        "narrator",
        "Two stones do the work, and they must never touch. "
        "The lower one lies still, and the upper one floats above it on a cushion of grain no thicker than a leaf.",
    ),
    _passage(
        "narrator",
        "A good sack of wheat passes through many hands before it is bread, because somebody has to plough the field, "
        "and somebody has to sow it, and somebody has to watch the sky all through the summer, and when the harvest is "
        "in it must be threshed and cleaned and carried down the hill to the river, where it waits in the dry loft "
        "until the stones are ready for it, and only then does it fall through the hopper and come out as flour, "
        "still warm, and smelling of the sun.",
    ),
    _passage(
        "narrator",
        "In the evening the gate is shut, and the wheel turns a little longer out of habit. "
        "Then it stops, and the silence is so deep that people look up from their tables.",
    ),
)

THE_MILLER = (
    _passage("narrator", ADVERT),
    _passage(
        "guest",
        "I walked up to the mill on a windy afternoon to meet the man who runs it. "
        "He was covered in flour from his hat to his boots, and he did not want to shake my hand.",
    ),
    _passage(
        "miller",
        "Flour gets into everything, so you learn to live with it. "
        "My grandfather used to say that a clean miller is a miller with nothing to do.",
    ),
    _passage("guest", "So how do you know when the stones are right?"),
    _passage(
        "miller",
        "You listen to them. A worn stone makes a heavy, tired sound, and a sharp one sings. "
        "When the song changes, I stop the wheel and take out my hammer.",
    ),
    _passage(
        "guest",
        "But surely there must be days when the river is too low to turn the wheel at all, "
        "and then the whole village has to wait for rain.",
        "overlap",
        _passage(
            "miller",
            "No, the river has never failed us, not even in the driest summer, "
            "when the children walked across it without wetting their knees.",
        ),
    ),
    _passage(
        "guest",
        "Later that week I called him on the telephone, because I had forgotten to ask about the eels. "
        "He laughed so loudly that I had to hold the receiver away from my ear.",
    ),
    _passage(
        "miller",
        "The eels come down on dark nights in autumn, when the water is high. "
        "My father caught them in a basket by the gate, and we ate them for breakfast with fresh bread.",
        "telephone",
    ),
    _passage(
        "guest",
        "I wrote all of that down by the window, while the weather came over the hill. "
        "It rained until the morning, and the river rose above the second step.",
    ),
    _passage(
        "miller",
        "Tell your listeners that the door is open on market days. "
        "Whoever brings a sack of grain may stay and watch, and nobody goes home without a loaf.",
        "telephone",
    ),
    _passage(
        "guest",
        "Well, thank you for showing me the stones and the wheel and the loft, "
        "I shall certainly come back again in the winter with my family.",
        "overlap",
        _passage(
            "miller",
            "Mind the step on your way out, and take this bag with you, "
            "it is the last of the rye and it will keep until Sunday.",
        ),
    ),
)

THE_WEATHER = (
    _passage("narrator", ADVERT, "duplicate"),
    _passage(
        "guest",
        "Every wind has its own voice, and the people here can name them in the dark. "
        "The north wind whistles in the keyhole, and the west wind leans on the door.",
    ),
    _passage(
        "guest",
        "When the big storm came, I stood in the yard and tried to describe it. "
        "The branches were roaring, the shutters were banging, and I could hardly hear myself think.",
        "noise",
    ),
    _passage(
        "miller",
        "Sound travels further over cold water than over warm ground. "
        "That is why, on an autumn night, you can follow a conversation from the other side of the lake.",
    ),
    _passage(
        "narrator",
        "Once a year there is a dance in the barn, and everybody brings a chair. "
        "An old man plays the same four chords until the lamps burn low, and nobody ever asks him for another tune.",
        "music",
    ),
    _passage("narrator", "And in the morning, all the chairs are gone."),
    _passage(
        "guest",
        "The empty grain store is the largest room in the valley. "
        "Clap your hands in the middle of the floor, and the sound runs up the walls and takes its time coming back.",
        "reverb",
    ),
    _passage(
        "narrator",
        "Snow is the quietest weather of all. "
        "It fills the ditches and the furrows, it softens every edge, and even the dogs seem to bark under a blanket.",
    ),
    _passage(
        "narrator",
        "Down in the cellar the walls are bare stone, and a whisper is never alone there. "
        "We spoke a few words for the microphone, and then stood still until the room had finished with them.",
        "reverb",
    ),
    _passage(
        "narrator",
        "Most of what we hear, we never notice. "
        "Only when the wheel stands still, and the wind lies down, do we learn how much there was to listen to.",
    ),
    _passage(
        "guest",
        "And that is the end of our story about the mill, the miller and the weather. "
        "We shall leave you with a little music, and with the promise of warm bread.",
        "music",
    ),
)

EPISODES = (
    Episode(
        number=1,
        title="The Mill by the River",
        description="How grain becomes flour, and what that sounds like. Mostly clean speech by one narrator.",
        passages=THE_MILL,
    ),
    Episode(
        number=2,
        title="A Talk with the Miller",
        description="An interview in two voices, at times on the telephone and at times both at once.",
        passages=THE_MILLER,
    ),
    Episode(
        number=3,
        title="Wind and Weather",
        description="Stories told in a storm, over music and in rooms with an echo.",
        passages=THE_WEATHER,
    ),
)
