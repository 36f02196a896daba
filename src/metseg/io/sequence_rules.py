"""Rule tables for recognising a sequence from words in file names, BIDS entities and DICOM descriptions.

`metseg.io.sequence_names` applies them. They are conservative: a text that is not clearly T1, T1 with contrast agent,
T2 or FLAIR of a brain is none of them. Patterns are searched in texts that `metseg.io.sequence_names.plain` has
prepared: lower case, without accents, everything but letters, digits, "*" and "+" turned into single spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Weighting = Literal["t1", "t2", "flair"]

WEIGHTING_NAMES: Mapping[Weighting, str] = {"t1": "T1", "t2": "T2", "flair": "FLAIR"}

#: Signs that mean something before punctuation is removed, and words in other scripts.
SPELLINGS: Mapping[str, str] = {
    r"(?i)\bs/c\b": " sin contraste ",
    r"(?i)\bc/c\b": " con contraste ",
    r"(?i)\bw[/\\]o\b": " without ",
    r"(?i)\bw/(?!\s*(o|wo|w)\b)": " with ",
    r"(?i)\bm\.d\.c\b\.?": " mdc ",
    r"(?i)\bc\.i\.v\b\.?": " civ ",
    r"(?i)\bi\.v\b\.?": " iv ",
    r"(?i)\bk\.m\b\.?": " km ",
    r"без[\s_-]+(контраст[^\W_]*|ку)": " without contrast ",
    r"(?<![^\W_])([\u0441c]|после)[\s_-]+(контраст[^\W_]*|ку)": " with contrast ",
    r"(非造影|造影なし|造影無し|単純|平扫|平掃|조영전|비조영)": " native ",
    r"([无無未不非][增増][强強]|([增増][强強]|造影)前)": " native ",
    r"(造影後|造影あり|[增増][强強]|조영후)": " with contrast ",
}

#: What speaks of agent in scripts that are not read further.
OTHER_SCRIPTS = r"造影|[增増][强強]|контраст|조영"

#: What the words say against a plain T1, T2 or FLAIR of a whole brain, and how the reason calls it.
_DIFFUSION, _MAP, _PHASE = "a diffusion image or a map made from it", "a computed map", "a phase image"
_PERFUSION, _DIXON = "a perfusion image or a map made from it", "one of several Dixon images"
_SUBTRACTION = "a subtraction"
_PART = "a picture of a part of the head or of another part of the body"
_SCREEN = "a picture of a screen or a result"
EXCLUDED_TEXT: Mapping[str, str] = {
    r"\b(loc|locali[sz]\w*|scouts?|survey|aa ?(head|scout)\w*|smart ?brain|(3|three) ?planes?|3pl|planning)\b": (
        "a localiser"
    ),
    r"\b(iso)?(dwi|dw|dwibs|diff\w*|dti|[ed]?adc|tracew?|tensor|ivim|hardi|noddi|resolve|b ?(0|50|[1-9]\d{2,3}))\b": (
        _DIFFUSION
    ),
    r"\bep2d\w*|\bepi\b": "an echo-planar image",
    r"\b(swi\w*|swan|swip|venobold|suscept\w*|qsm|ha?em(o\w*)?)\b": "a susceptibility-weighted image",
    r"\b(phase|pha)\b(?! ?enc)": _PHASE,
    r"\bt2w? ?(\*|stern|star\w*)|\bt2s(?![a-z])|\br2 ?(\*|star)|flair ?(\*|star)": "a T2* image",
    r"\bt2w? ?(fl2d|fl3d|gre|ffe|ha?em|me[23]d)|\bgre t2\b|\b(merge|medic|me[23]d\w*)\b": "a T2* image",
    r"\b(perf\w*|pwi|dsc|dce|asl|p?casl|pasl|r?el?cb[fv]|r?cbf|r?cbv|mtt|ttp|tmax|ktrans)\b": _PERFUSION,
    r"\b(twist|tricks|dyn\w*|permeab\w*)\b|\bt[12]w?(perf|pwi|dsc|dce|asl|dyn)": _PERFUSION,
    r"\b(bold|fmri|rs ?fmri|resting)\b": "a functional series",
    r"\b(tof|mra|mrv|angio\w*|venog\w*|pca|pc ?3d|2d ?pc|3d ?pc|time of flight|inhance)\b": "an angiography",
    r"\b(mrs|spectro\w*|svs|csi|press|steam)\b": "a spectroscopy",
    # A name that begins with "sub" may go on with a subject; T2 and FLAIR are not subtracted.
    r"(?<!^)\bsubs?\b(?! ?\d)|^subs? (?!\d)(?=.*t1)|t1\w*sub\b": _SUBTRACTION,
    r"\bsubtr(?! ?mean)\w*|\bsostrazione\b|\bsustraccion\b": _SUBTRACTION,
    r"\bdelta ?t1|\bd ?t1\b|\b(minus|difference)\b": _SUBTRACTION,
    r"\b(mip|minip|mnip)s?\b": "a projection",
    r"\b([tr][12]w? ?)?(maps?|mapping|mapit|molli)\b|\b[tr][12]w?maps?\b|\bq[tr][12]\b|\bt1 ?rho|\brelaxom\w*": _MAP,
    r"\b(synth\w*|sy ?mri\w*|mdme|qalas|magic|quant\w*|prob(abilit\w*)?|atlas|template|jacobian)\b": _MAP,
    r"\b(deformation|displacement|(warp|bias) ?field|warp|xfm)\b|^i?y t[12]": _MAP,
    r"\bmp2 ?rage|\b(uni|uniden|inv ?[12])\b": "an inversion, a combination or a map of MP2RAGE",
    r"\basset (cal|ref)|\basset$|\b(calib\w*|ref ?scan|pre ?scan|shim\w*|field ?map\w*|sensitivity)\b": "a calibration",
    r"\b(ciss|fiesta|drive|true ?fisp|trufi|b ?ssfp|b ?ffe|cistern\w*)\b": "a steady-state image of the cisterns",
    r"\b(pd|pdw|proton|dual echo|double echo|t2 pd|pd t2)\b": "weighted by proton density, or of two echoes",
    r"\b(stir\w*|dir|double inversion|psir|wmn|fgatir)\b|\bt[12]w?stir": "an inversion recovery of another kind",
    r"\b(mt|mtc|mtr|magneti[sz]ation transfer)\b": "weighted by magnetisation transfer",
    r"\b(in ?phase|out ?phase|opp\w*|fat only|fat image)\b|\bdixon\b.*\b(in|f|fat)$": _DIXON,
    r"\b(spine|cervical|thoracic|lumbar|[ctl] ?spine|neck|wirbels\w*|hals|hws|bws|lws)\b": _PART,
    r"\b(orbits?|pituitary|sella\w*|iac)\b": _PART,
    r"\b(screen\w*|capture|report|fusion|fused|overlay|segment\w*|colou?r|rgb|key ?images?)\b": _SCREEN,
    r"\b(ct|cta|pet|spect|suv|rtdose|dose)\b": "an image of another modality, or registered to one",
}

#: Excludes a text that does not say T1: gradient echoes without a weighting, and T2*.
EXCLUDED_UNLESS_T1: Mapping[str, str] = {r"\b(gre|ge|grase|ffe|fl[23]d|flash)\b": "a gradient echo"}

#: One letter or plane that scanners and programs write before T1 and T2 without a space: sT1W, eT2W, rT1, 3DT1, AXT1.
_BEFORE = r"(?:ax|axi|sag|cor|tra|[23]d|[es](?=t[12]w)|[rwm])?"

#: A word that begins with T1, in three parts: what stands before, "t1", and what is written on to it.
T1_WORD = rf"\b{_BEFORE}(?P<lead>ce|c|gd|gad|km)?t1(?!\d)(?P<rest>[a-z]*)"
#: Names of T1 pulse sequences without "T1"; the group is the text appended to the name.
T1_PULSES = r"\b(?:[23]d ?)?(?:mp ?rage|f?spgr|bravo|tfl ?3d|vibe|tfe)(?P<rest>[a-z]*)"

#: What the words say for a weighting.
WEIGHTING_TEXT: Mapping[Weighting, str] = {
    "flair": (
        r"flair|\bfla\b|\bflr\b|\bt2f\b|fluid ?att\w*"
        # Siemens: dark-fluid, dark-fld, dark-fl, darkfl, da-fl, df.
        r"|\b(dark|drk|dk|da|d) ?fl(ui?|u?i?ds?)?\b|\bdf\b"
    ),
    "t1": rf"{T1_WORD.replace('?P<lead>', '').replace('?P<rest>', '')}|{T1_PULSES.replace('?P<rest>', '')}",
    "t2": rf"\b{_BEFORE}t2(?!\d)",
}

#: Inversion recovery; the words leave open whether it hides water (FLAIR) or fat (STIR).
INVERSION_TEXT = r"\b(tirm|tir2d\w*|tir|ir|spc ?ir|irtse|ir ?fse|tse ?ir)\b"

#: How a reason goes on then.
UNKNOWN_INVERSION = "but not whether it suppresses water (FLAIR) or fat (STIR)"

#: Agents and what people call them; only words that mean nothing else in the name of a series.
_AGENTS = (
    r"(?:contr(?:ast\w*)?|kontr(?:a\w*)?|km|gado\w*|gadd?|gd(?: ?dtpa| ?dota)?|ce|mdc|mdk|m d c|civ|c i v|pdc"
    r"|dotarem|prohance|magnevist|multihance|gadavist|gadovist|omniscan|clariscan|elucirem|vueway|primovist)"
)
#: Words that mean the agent only beside "with", "without", "before" or "after".
_AGENT_WORDS = rf"(?:{_AGENTS}|inj\w*|iniez\w*|inyec\w*|iv|i v|ev|con|c|kl|ks|kl latk\w*|enh\w*|agent\w*|dye|bolus)"
_LITTLE = r"(?:(?: ?\b(?:iv|i v|ev|the|any|de|di|del|d|du|el|la|l|il|le|mezzo|medio|produit|injection)\b)* ?)"

#: Leaves open whether agent was given before the picture or after; taken out first.
BOTH_TEXT = (
    rf"\b(w ?wo|w (?:and )?(?:w ?o|without)|with (?:and|or|with) without|with without|pre (?:and )?post|pre post|wo w"
    rf"|w ?o w|without (?:and )?with|mit (?:und )?ohne|vor (?:und )?nach|con y sin|sin y con|avant (?:et )?apres"
    rf"|senza e con|senza con)\b(?: ?{_AGENT_WORDS})?"
)

_NEGATED = (
    r"(?:without|with ?out|w ?o|wo|no|non|not|nil|kein\w*|ohne|o(?= ?km)|sans|senza|sin"
    r"|s(?= (?:contraste|gado\w*|civ|mdc))|sem|zonder|uden|utan|uten|bez|fara|ilman)"
)
_BEFORE_AGENT = r"(?:pre|before|avant|vor|v(?= ?km)|prima|antes|voor|przed|inainte|for(?= kontrast)|fore|pred)"
_AFTER_AGENT = (
    r"(?:post|after|apres|nach|n(?= ?km)|dopo|despues|tras|pos|apos|po|efter|etter|na(?= ?contrast)|inj(?= ?gado))"
)
_PROCEDURES = (
    r"(?:op|ops|operat\w*|opr|surg\w*|chir\w*|treat\w*|tx|trt|rt|xrt|ct|crt|rct|radi\w*|chemo\w*|immuno\w*|therap\w*"
    r"|srs|srt|sbrt|gk|gks|gamma\w*|cyberknife|wbrt|resect\w*|resektion|biops\w*|bx|laser|litt|proc\w*|intervention\w*"
    r"|implant\w*|dbs|shunt|base\w*|follow\w*|fu|icu|ictal|mortem|natal|trauma\w*|stroke|fossa|reg\w*|stealth|brainlab|ok)"
)

#: Before or after something that is no agent: an operation, a treatment; taken out next.
OTHER_EVENT_TEXT = (
    rf"\b(?:pre|post|before|after|vor|nach|apres|avant|dopo|antes|despues) ?{_PROCEDURES}\b"
    r"|\b(?:pre|post)(?:erior\w*|proc\w*|op\w*|treat\w*|surg\w*|rt|srs|radi\w*|chemo\w*|therap\w*|resect\w*|biops\w*"
    r"|natal\w*|mortem|ictal|sent\w*|scan\w*|frontal\w*|central\w*|limin\w*)\b"
    # "Without" something else that was left away: fat suppression, motion correction.
    rf"|\b{_NEGATED} ?(?:fs|fat\w*|sat\w*|supp\w*|spair|spir|mocor|motion\w*|nav\w*|norm\w*|filter\w*|skull|bias\w*"
    r"|moco|correct\w*|contrast (?:enhancement filter|norm\w*))\b"
)

#: Without agent; taken out before words for it are looked for.
WITHOUT_TEXT = (
    rf"\b{_NEGATED} ?{_LITTLE}{_AGENT_WORDS}(?: (?:agent\w*|mittel|media|medium))?\b"
    rf"|\b{_BEFORE_AGENT} ?{_LITTLE}{_AGENT_WORDS}\b"
    rf"|\b{_AGENTS} ?(?:none|no(?! ?\d)|nein|non|free|frei|neg\w*)\b"
    r"|\b(?:nativ\w*|plain|unenhanced|unkontrast\w*|nonenhanced|nonenh|nce|woc|wocon\w*|non ?con|nongad\w*"
    r"|nongd|nonce|nocon\w*|nogad\w*|nogd|noncontr\w*|precontr\w*|pregad\w*|pregd|prekm|precon|prec|prece)\b"
)

#: Nothing is said of what is absent; without a word for an agent it means the agent.
ABSENT_TEXT = r"\b(?:without|with ?out|w ?o|wo|ohne|sans|senza|zonder)\b"

#: With agent.
WITH_TEXT = (
    rf"\b{_AFTER_AGENT} ?{_LITTLE}{_AGENT_WORDS}\b"
    rf"|\b(?:with|w|mit|m(?= ?km)|avec|con|com|met|s(?= kontr)|z|med|cu) ?{_LITTLE}{_AGENT_WORDS}\b"
    rf"|\b{_AGENTS}\b|\benh(?:anced)?\b|\bpost(?:contr\w*|gad\w*|gd|km|inj\w*|con|ce)\b"
    r"|\+ ?(?:c|gd|gad\w*|km|contrast|ce|inj\w*|iv)\b|\bc ?\+|\binj\w* ?(?:gado\w*|gd|de gado\w*)\b"
)

#: What the hint of `BOTH_TEXT` is called.
BOTH_HINT = "'with and without'"
#: Hints that are settled by any word of the examination that agent was given in it.
AFTER_HINTS = ("'post', which is ambiguous", "'after', which is ambiguous", "an injection, which is ambiguous")

#: Speaks of agent but proves nothing alone: post and after what? injected, or an injury? "c" may be coronal.
UNPROVEN_TEXT: Mapping[str, str] = {
    r"\bpost\b": AFTER_HINTS[0],
    # Portuguese for after; also short for a position.
    r"\bpos\b": "'pos', which is ambiguous",
    r"\b(after|apres|nach|dopo|despues|apos|efter|etter)\b": AFTER_HINTS[1],
    r"\b(inj\w*|iniez\w*|inyec\w*)\b": AFTER_HINTS[2],
    r"\b(with|avec|mit|con|com)\b(?! ?(fs|fat\w*|sat\w*|mocor|motion\w*|nav\w*))": "'with', which is ambiguous",
    r"\b(c|wc|iv|kl|ks|bolus|enhanc\w*)\b": "a sign that may mean contrast agent",
    r"\b(arterial|venous|portal|delayed|late)\b": "a phase after an unnamed injection",
    r"\bgd\w+\b": "a sign that may mean contrast agent",
    r"\+": "a plus sign, which is ambiguous",
    r"[a-z](?:contrast|kontrast|gado|postg|postc)": "a compound that may mean contrast agent",
    r"(?:mprage|bravo|spgr|vibe|tfe|space|cube|vista)(?:post|gd|ce|gad|km|c|con|inj)": (
        "a compound that may mean contrast agent"
    ),
}

#: A picture before something; before what is not said. Agrees with T1 without agent, contradicts one with it.
BEFORE_TEXT = r"\b(?:pre|before|avant|vor|prima)\b"

#: Short words for agent that may be a patient's initials where they do not stand beside T1, and words between.
INITIALS = r"ce|gd|km"
BESIDE = r"ax|axi|axial|sag|sagittal|cor|coronal|tra|trans\w*|[23]d|fs|se|tse|fse|ir|mr|mri|wip|iv|\d+mm"

#: Negations written on to T1.
JOINED_NEGATION = r"(?<![a-z])(\w*t1w?)(non?|wo|without|sans|ohne|sin|senza|pre|post)(?= )"

#: What is written on to T1 in one word, behind an optional "w" for weighted.
JOINED_WITH = (
    r"c|ce|cep|gd|gad|gado|gadolinium|km|mdc|con|enh|enhanced|contrast|kontrast|post|postcontrast|postgd|postgad|postcon"
    r"|postkm|gdpost|cpost|cepost"
)
JOINED_WITHOUT = (
    r"n|pre|nat|nativ|native|plain|precontrast|pregd|pregad|precon|noncontrast|nocontrast|withoutcontrast|wocontrast|nc"
    r"|noc|wo|noncon|unenhanced|nongd|nongad|nonce|nogd|nogad|nokm|noce|withoutgd|sansgado|ohnekm"
)
#: Parts of a joined word that could mean agent; a word with one that is in neither table is not plain.
JOINED_DOUBTFUL = r"gd|gad|pos|nach|apres|dopo|despues|efter|ce|con(?!e)|km|inj|enh|pre"
