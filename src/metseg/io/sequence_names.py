"""Recognise sequences and masks from the words of file names, BIDS entities and DICOM descriptions.

An ambiguous text gives no sequence, and the reason says what is ambiguous. The tables are in
`metseg.io.sequence_rules`. Layouts with a fixed naming scheme do not use this module.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metseg.io.mask_names import LESION_WORDS, MASK_WORDS, TRUTH_WORDS
from metseg.io.sequence_rules import (
    ABSENT_TEXT,
    BEFORE_TEXT,
    BESIDE,
    BOTH_HINT,
    BOTH_TEXT,
    EXCLUDED_TEXT,
    EXCLUDED_UNLESS_T1,
    INITIALS,
    INVERSION_TEXT,
    JOINED_DOUBTFUL,
    JOINED_NEGATION,
    JOINED_WITH,
    JOINED_WITHOUT,
    OTHER_EVENT_TEXT,
    OTHER_SCRIPTS,
    SPELLINGS,
    T1_PULSES,
    T1_WORD,
    UNKNOWN_INVERSION,
    UNPROVEN_TEXT,
    WEIGHTING_NAMES,
    WEIGHTING_TEXT,
    WITH_TEXT,
    WITHOUT_TEXT,
    Weighting,
)

#: Reason for a sequence that the user assigned.
NAMED_BY_USER = "the user named it"

#: What words say of contrast agent; "before" is before something that is not named, "unproven" a hint without proof.
AgentWords = Literal["with", "without", "contradictory", "unproven", "before", "silent"]

#: Letters of Latin alphabets that are not a plain one with an accent.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "đ": "d", "\u0131": "i", "œ": "oe", "µ": "u"})

#: No file system has longer names. Beyond it nothing is concluded: an upload may call a file anything, and the end of a
#: text may take back what its beginning says.
MAX_CHARACTERS = 255
_TOO_LONG = f"a text of more than {MAX_CHARACTERS} characters"

BRAIN_WORDS = frozenset(("brain", "brainmask", "bet"))
#: Words of `TRUTH_WORDS` that mean a mask regardless of other words.
_CERTAIN_TRUTH = frozenset(("goldstandard", "groundtruth"))
_GOLD_STANDARD = frozenset(("gold", "standard"))


@dataclass(frozen=True)
class Agent:
    """What a text says of contrast agent.

    Args:
        words: which of the kinds it is.
        hint: for "unproven", what is said without proof.
    """

    words: AgentWords
    hint: str = ""


@dataclass(frozen=True)
class TextReading:
    """What a text says, before anything is concluded.

    Args:
        excluded: why it can be none of the four sequences; None: nothing speaks against one.
        weightings: those that it names.
        inversion: whether it says inversion recovery, but not whether water or fat is hidden.
        agent: what it says of contrast agent.
    """

    excluded: str | None
    weightings: frozenset[Weighting]
    inversion: bool
    agent: Agent

    @property
    def is_silent(self) -> bool:
        """Return whether the text says nothing about a sequence."""
        return self.excluded is None and not self.weightings and not self.inversion


@dataclass(frozen=True)
class NamedSequence:
    """What a file is by its name.

    Args:
        modality: "t1n", "t1c", "t2w" or "t2f"; None where the name does not say so plainly.
        reason: one clause that does not repeat the name.
        is_silent: whether the name says nothing about a sequence, so that nothing contradicts any.
    """

    modality: str | None
    reason: str
    is_silent: bool = False


def plain(text: str) -> str:
    """Return words in lower case with single spaces between; compounds in camel case are divided.

    Only the first `MAX_CHARACTERS` count.

    >>> plain("t1_mprage-sag.POST+C"), plain("T1PostGad"), plain("T1 injecté")
    ('t1 mprage sag post+c', 't1 post gad', 't1 injecte')
    """
    text = text[:MAX_CHARACTERS]
    for pattern, words in SPELLINGS.items():
        text = re.sub(pattern, words, text)
    # A single lower-case letter before a capital is not a separate word: eT1W, cT1w.
    text = re.sub(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[0-9]w)(?=[A-Z])", " ", text)
    letters = unicodedata.normalize("NFKD", text).lower()
    ascii_only = "".join(letter for letter in letters if not unicodedata.combining(letter))
    # Letters of other scripts stay: what is not understood must not look like silence.
    return " ".join(re.sub(r"(?:[^\w*+]|_)+", " ", ascii_only.translate(_LETTERS)).split())


def read_text(text: str) -> TextReading:
    """Return what a text says of a sequence.

    >>> read_text("Ax T1 FSE +C").agent.words, sorted(read_text("t2_tirm_tra_dark-fluid").weightings)
    ('with', ['flair', 't2'])
    >>> read_text("ep2d_diff_ADC").excluded
    'a diffusion image or a map made from it'
    """
    if len(text) > MAX_CHARACTERS:
        return TextReading(_TOO_LONG, frozenset(), inversion=False, agent=Agent("silent"))
    words = plain(text)
    weightings = frozenset(name for name, pattern in WEIGHTING_TEXT.items() if re.search(pattern, words))
    excluded = _first(EXCLUDED_TEXT, words)
    if not excluded and "t1" not in weightings:
        excluded = _first(EXCLUDED_UNLESS_T1, words)
    return TextReading(excluded or None, weightings, re.search(INVERSION_TEXT, words) is not None, read_agent(words))


def read_agent(words: str) -> Agent:
    """Return what `plain` words say of contrast agent.

    >>> [read_agent(words).words for words in ("t1 without contrast", "t1 post op", "t1 post", "pre treatment t1c")]
    ['without', 'silent', 'unproven', 'with']
    """
    rest = re.sub(OTHER_EVENT_TEXT, " ", re.sub(JOINED_NEGATION, r"\1 \2", words))
    rest, initials = _without_initials(rest)
    both = re.search(BOTH_TEXT, rest) is not None
    rest = re.sub(BOTH_TEXT, " ", rest)
    without = re.search(WITHOUT_TEXT, rest) is not None
    rest = re.sub(WITHOUT_TEXT, " ", rest)
    joined, hint = _joined(rest)
    with_agent = "with" in joined or re.search(WITH_TEXT, rest) is not None
    rest = re.sub(WITH_TEXT, " ", rest)
    absent = re.search(ABSENT_TEXT, rest) is not None
    before = re.search(BEFORE_TEXT, rest) is not None and "with" not in joined
    without = without or absent or "without" in joined
    if with_agent and (without or before):
        return Agent("contradictory")
    unread = _unknown_script(rest)
    if with_agent:
        return Agent("unproven", unread) if unread else Agent("with")
    hint = hint or (BOTH_HINT if both else "") or _first(UNPROVEN_TEXT, rest) or initials
    hint = hint or unread
    if without:
        return Agent("contradictory" if hint else "without")
    if hint:
        return Agent("unproven", hint)
    return Agent("before" if before else "silent")


def shared_prefix(stems: Sequence[str]) -> str:
    """Return what the names of a study's files begin with, up to the last separator; nothing for one file.

    >>> shared_prefix(["PD_012_T1", "PD_012_FLAIR"]), shared_prefix(["T1", "T2"]), shared_prefix(["PD_012_T1"])
    ('PD_012_', '', '')
    """
    if len(stems) < 2:
        return ""
    first, last = min(stems), max(stems)  # what these two share, all between them share
    length = next((place for place, letter in enumerate(first) if last[place : place + 1] != letter), len(first))
    return re.sub(r"[^-_. ]*$", "", first[:length])


def without_patient(stem: str, prefix: str) -> str:
    """Return a name without a patient's id at the beginning that all files of a study share: letters and a number.

    Other words of the prefix stay: "dwi" in ``dwi_b1000_T2`` tells what all files of the folder are.

    >>> without_patient("PD_012_T1", "PD_012_"), without_patient("dwi_b1000_T2", "dwi_b1000_")
    ('T1', 'dwi_T2')
    """
    rest = re.sub(r"(?<![^\W_])[^\W\d_]+[-_. ]?\d+[^\W_]*[-_. ]*", "", prefix)
    return rest + stem[len(prefix) :]


def name_sequence(stem: str, *, prefix: str = "") -> NamedSequence:
    """Return which sequence a file shows by its name without ending, and why.

    Args:
        stem: the name.
        prefix: what all names of the study's files begin with, see `shared_prefix`. A patient's id in it does not make
            the file another kind of image (``PD_012_T1``); what else it says, of contrast agent for example, counts.

    >>> [name_sequence(stem).modality for stem in ("t1c", "P7_T1_AX_POST_GAD", "P7_T2_FLAIR", "T1_pre_contrast", "CT1")]
    ['t1c', 't1c', 't2f', 't1n', 't1c']
    >>> name_sequence("T1_without_contrast")
    NamedSequence(modality='t1n', reason='the name says T1 without contrast agent', is_silent=False)
    >>> name_sequence("T1_post").modality, name_sequence("T1_post").reason
    (None, "the name says T1 and 'post', which is ambiguous")
    """
    if len(stem) > MAX_CHARACTERS:
        return NamedSequence(None, f"the name is {_TOO_LONG}")
    name = parse_bids(stem)
    if name is not None:
        return _bids_sequence(name)
    reading = read_text(_without_subject(stem))
    if prefix:
        behind = read_text(without_patient(stem, prefix))
        reading = replace(reading, excluded=behind.excluded, inversion=behind.inversion)
    return _conclude(reading, "the name")


def sequence_of(stem: str, *, prefix: str = "") -> str | None:
    """Return the modality that a file name tells, or None where it tells none or is not plain.

    >>> [sequence_of(stem) for stem in ("t1c", "P7_T1_AX_POST_GAD", "P7_T2_FLAIR", "T1_pre_contrast", "scan")]
    ['t1c', 't1c', 't2f', 't1n', None]
    """
    return name_sequence(stem, prefix=prefix).modality


@dataclass(frozen=True)
class BidsName:
    """A BIDS file name: its entities (``sub`` to ``01``) and its suffix."""

    entities: Mapping[str, str]
    suffix: str


#: Suffixes of BIDS that are a sequence of ours, as words.
BIDS_IMAGES: Mapping[str, str] = {"T1w": "t1n", "T2w": "t2w", "FLAIR": "t2f"}
#: Other image suffixes; some contain the name of a weighting.
_OTHER_SUFFIXES = frozenset(
    ("inplaneT1", "inplaneT2", "PDT2", "PDw", "UNIT1", "MP2RAGE", "MESE", "MEGRE", "VFA", "IRT1")
)
#: Values of the entity ``ce`` that say that no agent was given.
_NO_AGENT = frozenset(("none", "no", "non", "without", "wo", "pre", "native", "0", "false", "n", "noce", "noncontrast"))


def parse_bids(stem: str) -> BidsName | None:
    """Return the entities and the suffix of a name, or None where it is no BIDS name.

    >>> parse_bids("sub-01_ses-2_ce-gadolinium_T1w")
    BidsName(entities={'sub': '01', 'ses': '2', 'ce': 'gadolinium'}, suffix='T1w')
    """
    *pairs, suffix = stem.split("_")
    split = [pair.partition("-") for pair in pairs]
    if not split or split[0][0] != "sub" or not all(value for _, _, value in split):
        return None
    return BidsName({key: value for key, _, value in split}, suffix)


def _bids_sequence(name: BidsName) -> NamedSequence:
    """Return the sequence of a BIDS name: the suffix says the weighting, ``ce`` or ``acq`` the contrast agent."""
    modality = BIDS_IMAGES.get(name.suffix)
    if name.suffix in _OTHER_SUFFIXES:
        return NamedSequence(None, f"the BIDS suffix is none of {', '.join(BIDS_IMAGES)}")
    if "inv" in name.entities or name.entities.get("part", "mag") != "mag":
        return NamedSequence(None, "the BIDS entities say an inversion, or a part of a complex image")
    # Labels have no separators: words in them are found where a capital divides them, or where words fill them.
    labels = " ".join(_divided(name.entities[key]) for key in ("acq", "rec", "desc") if key in name.entities)
    reading = read_text(f"{labels} {name.suffix}")
    if modality is None:
        return _conclude(reading, "the name")
    if reading.excluded is not None:
        return NamedSequence(None, f"{reading.excluded}, say the BIDS entities")
    said = read_agent(plain(labels))
    if modality != "t1n":
        return NamedSequence(modality, f"the BIDS suffix is {name.suffix}")
    if "ce" in name.entities:
        agent = Agent("without" if name.entities["ce"].lower() in _NO_AGENT else "with")
        if agent.words == "with" and said.words in ("without", "before", "contradictory"):
            agent = Agent("contradictory")
        return _with_agent(agent, "the BIDS suffix is T1w", "the entity ce")
    return _with_agent(said, "the BIDS suffix is T1w", "the entity acq")


def _divided(label: str) -> str:
    """Return a BIDS label with spaces around the words that rules know, where those words fill it.

    >>> _divided("mpragepost"), _divided("space"), _divided("postop"), _divided("accelerated")
    ('mprage post', 'space', 'post op', 'accelerated')
    """
    pieces = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label).lower()
    return " ".join(_split_label(piece) for piece in pieces.split())


#: Words that labels are joined of.
_LABEL_WORDS = (
    r"3d|2d|ax|axial|sag|cor|tra|t1w?|mprage|fspgr|spgr|bravo|space|cube|vista|vibe|tfe|tse|fse|se|iso|hires|highres|fs|\d+mm|\d+"
    r"|pre|post|contrast|con|gd|gad|gado|gadolinium|ce|km|enhanced|non|no|without|wo|native|op|surgery|treatment|rt"
)
#: The longest first. It takes one word at a time: repeated in a pattern it would try every division of a long number.
_LABEL_WORD = re.compile("|".join(sorted(_LABEL_WORDS.split("|"), key=len, reverse=True)))


def _split_label(label: str) -> str:
    found = _LABEL_WORD.findall(label)
    return " ".join(found) if "".join(found) == label else label


def _conclude(reading: TextReading, place: str) -> NamedSequence:
    """Return the sequence that a text alone tells; there is no header that could settle what it leaves open."""
    if reading.excluded is not None:
        return NamedSequence(None, f"{reading.excluded}, says {place}")
    named = reading.weightings
    if named == {"t2", "flair"} or named == {"flair"}:
        return NamedSequence("t2f", f"{place} says FLAIR")
    if len(named) > 1:
        names = " and ".join(sorted(WEIGHTING_NAMES[item] for item in named))
        return NamedSequence(None, f"{place} says {names} at once")
    if reading.inversion and named != {"t1"}:
        return NamedSequence(None, f"{place} says inversion recovery, {UNKNOWN_INVERSION}")
    if not named:
        return NamedSequence(None, f"{place} says no sequence", is_silent=True)
    if named == {"t2"}:
        return NamedSequence("t2w", f"{place} says T2")
    return _with_agent(reading.agent, f"{place} says T1", place)


def _with_agent(agent: Agent, evidence: str, place: str) -> NamedSequence:
    """Return T1 with or without contrast agent, or neither where that is not plain."""
    if agent.words == "contradictory":
        return NamedSequence(None, f"{evidence}, but {place} says both with and without contrast agent")
    if agent.words == "unproven":
        return NamedSequence(None, f"{evidence} and {agent.hint}")
    if agent.words == "with":
        return NamedSequence("t1c", f"{evidence} with contrast agent")
    if agent.words == "without":
        return NamedSequence("t1n", f"{evidence} without contrast agent")
    return NamedSequence("t1n", f"{evidence} and does not mention contrast agent")


def _joined(words: str) -> tuple[frozenset[str], str]:
    """Return what is said by parts written on to T1 in one word, and a hint where such a part is not plain.

    >>> _joined("t1ce"), _joined("t1pre sag"), _joined("t1se"), _joined("t1wcex")[1] != ""
    ((frozenset({'with'}), ''), (frozenset({'without'}), ''), (frozenset(), ''), True)
    """
    said: set[str] = set()
    plain_t1 = False
    hint = ""
    for found in re.finditer(T1_WORD, words):
        rest = found["rest"] if _is(JOINED_WITHOUT, found["rest"]) else re.sub(r"^(weighted|wi|w)", "", found["rest"])
        if found["lead"] or _is(JOINED_WITH, rest):
            said.add("with")
        elif _is(JOINED_WITHOUT, rest):
            said.add("without")
        elif re.search(JOINED_DOUBTFUL, rest) and rest != "space":
            hint = "a compound that may mean contrast agent"
        else:
            plain_t1 = True
    if plain_t1 and "with" in said:
        # t1c_to_t1, t1_in_t1c_space: one of them is what the other was brought to, or was subtracted from.
        return frozenset(), "two images of T1 at once"
    for found in re.finditer(T1_PULSES, words):
        if re.search(JOINED_DOUBTFUL, found["rest"]):
            hint = "a compound that may mean contrast agent"
    return frozenset(said), hint


def _is(words: str, word: str) -> bool:
    return re.fullmatch(words, word) is not None


def _without_initials(words: str) -> tuple[str, str]:
    """Return words without short ones before T1, and apart from it, that may be somebody's initials; and a hint.

    >>> _without_initials("km 01 t1"), _without_initials("ce ax t1")
    ((' 01 t1', 'a sign that may be initials'), ('ce ax t1', ''))
    """
    first = re.search(rf"{T1_WORD}", words) or re.search(T1_PULSES, words)
    if first is None:
        return words, ""
    before, rest = words[: first.start()], words[first.start() :]
    far = re.compile(rf"\b(?:{INITIALS})\b(?! (?:(?:{BESIDE}) )*$)")
    kept = far.sub("", before)
    return kept + rest, "a sign that may be initials" if kept != before else ""


def _unknown_script(words: str) -> str:
    """Return a hint where words behind T1, or words for agent anywhere, are in a script that is not read."""
    first = re.search(T1_WORD, words) or re.search(T1_PULSES, words)
    behind = "" if first is None else words[first.end() :]
    found = re.search(r"[^\W\d_a-z]", behind) or re.search(OTHER_SCRIPTS, words)
    return "words in a script that is not read" if found else ""


def _first(table: Mapping[str, str], words: str) -> str:
    """Return what the first pattern found means; nothing where none is found."""
    return next((what for pattern, what in table.items() if re.search(pattern, words)), "")


def _without_subject(stem: str) -> str:
    """Return a name without a subject at its beginning that only looks like a subtraction: ``sub-x_``, ``sub_x_``."""
    return re.sub(r"(?i)^sub-[a-z0-9]+_(?=.)|^sub_[a-z0-9]*\d[a-z0-9]*_(?=.)", "", stem)


def words(stem: str) -> list[str]:
    """Return the words of a name in lower case.

    >>> words("MRHR_T1_AX-POST.GAD+C")
    ['mrhr', 't1', 'ax', 'post', 'gad', 'c']
    """
    return [word for word in re.split(r"[^a-z0-9]+", stem.lower()) if word]


#: Words of one sequence's name that prove nothing alone.
_HINTS = ("post", "inj", "c")


def is_sequence_word(word: str) -> bool:
    """Return whether a word of a name only helps to say which sequence it is.

    >>> [is_sequence_word(word) for word in ("t1c", "post", "flair", "gd", "p1", "b")]
    [True, True, True, True, False, False]
    """
    found = read_text(word)
    says_agent = found.agent.words not in ("silent", "unproven") or word.lower() in _HINTS
    return bool(found.weightings) or says_agent


def is_brain_mask(stem: str) -> bool:
    """Return whether a name is that of a brain mask.

    >>> is_brain_mask("t1c_brain_mask"), is_brain_mask("t1c_brain"), is_brain_mask("seg")
    (True, False, False)
    """
    found = set(words(stem))
    return "brainmask" in found or bool(found & BRAIN_WORDS and found & MASK_WORDS)


def is_lesion_mask(stem: str) -> bool:
    """Return whether a name is that of a mask of lesions; a patient may be called MET_7, and his image MET_7_T1.

    "Gold", "manual" and words for lesions alone say so only where the name speaks of no sequence: a brain may be cut
    out by hand, too.

    >>> [is_lesion_mask(stem) for stem in ("seg-reader2", "brain_mask", "MET_7_T1", "T1_manual", "GROUND_TRUTH_T1")]
    [True, False, False, False, True]
    """
    if is_brain_mask(stem):
        return False
    found = set(words(stem))
    if found & (MASK_WORDS | _CERTAIN_TRUTH) or found >= _GOLD_STANDARD:
        return True
    of_lesion, of_truth = found & LESION_WORDS, found & TRUTH_WORDS
    return bool(of_lesion and of_truth) or (bool(of_lesion or of_truth) and name_sequence(stem).is_silent)
