"""What the pages say: every string in one file, sentences with numbers as functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from neuro.client import Map
from neuro.sample import Metric

NOTICE = "Research use only. Not a medical device: no answer may guide the care of a person."
ROOM = "Reading room"

# -- signing in

SIGN_IN_TITLE = "neuro: reading room"
SIGN_IN = "Sign in"
SIGN_OUT = "Sign out"
SIGN_IN_NAME = "Name"
SIGN_IN_PASSWORD = "Password"  # noqa: S105 - a label
SIGN_IN_HOW = (
    "neuro users add NAME --password makes an account; neuro status has that of who started this."
)
SIGN_IN_WRONG = "Name or password is wrong."
SIGN_IN_TOO_LONG = "That is too long for a name and a password."
SIGN_IN_NO_PEOPLE = "The file of people cannot be used; `neuro users list` says why."
SIGN_IN_PROVIDER = "Sign in with your institution's account"
SIGN_IN_OR = "or with a name and password of this room:"
SIGN_IN_PROVIDER_AWAY = "Your institution's sign-in is not reached. Try again, or use a password."
SIGN_IN_PROVIDER_FAILED = (
    "Your institution's sign-in did not say who you are, or took too long. Try again; the log of "
    "the reading room says what it answered."
)
SIGNED_IN_GO_ON = "You are signed in. Go on."


def sign_in_unknown(name: str) -> str:
    """The provider knows the person; the file of people does not."""
    return (
        f"You are {name[:100]} there, and nobody here has that name. Whoever runs this room adds "
        "you with: neuro users add NAME --role reader"
    )


def sign_in_later(after_s: int | None) -> str:
    """Too many tries."""
    when = f"in {after_s} seconds" if after_s else "in a moment"
    return f"Too many tries. Try again {when}."


def signed_in(name: str, role: str) -> str:
    """Who."""
    return f"{name} ({role})"


# -- what every page has

PROBLEM = "Problem"
NO_PROBLEM = (
    "No image is in the lake yet. `neuro ingest DIR` brings some, `neuro train` makes a model of "
    "them."
)
SERVICE_AWAY = "The service that answers images is away; try again in a moment."
LAKE_AWAY = (
    "The lake does not answer. What you said is kept on this machine; try again in a moment."
)
SIGNED_OUT = "You are signed out; open the page again."
REPORT_UNREAD = (
    "This report shows images that wait for your own read. The Work list has them; read them first."
)


def not_done(why: str) -> str:
    """A click that the lake did not take."""
    return f"{LAKE_AWAY} ({why})"


WORDS_OF_DECISION = {
    "answer": "Answered",
    "abstain": "Not decided",
    "out_of_scope": "Out of scope",
    "refused": "Refused",
}

PICTURE = {
    "stage": "Picture. Plus and minus zoom, arrows move, F fits, O shows or hides the overlay, "
    "S shows it beside, P shows plain grey levels.",
    "in": "Zoom in",
    "in_sign": "+",
    "out": "Zoom out",
    "out_sign": "\N{MINUS SIGN}",
    "fit": "Fit the picture",
    "fit_sign": "Fit",
    "plain": "Grey levels as they are",
    "plain_sign": "Plain",
    "beside": "Show picture and overlay side by side",
    "beside_sign": "Side by side",
    "level": "Level",
    "window": "Window",
    "which": "Overlay",
    "heat": "Strength",
    "off": "off",
}
PICTURE_DAMAGED = "This picture is damaged in the lake"


def picture_of(what: str) -> str:
    """For a screen reader; of a picture that a reader is to judge, nothing that tells."""
    return f"Picture: {what}"


def overlay(shown: Map) -> str:
    """In the list of overlays, with whether to believe it."""
    doubt = "" if shown.is_believed else ": do not believe it"
    return speaks_for(shown.shows, shown.against) + doubt


def speaks_for(shows: str, against: str) -> str:
    """What a map shows."""
    return f"for {shows}, not for {against}" if against else f"for {shows}"


# -- asking

ASK = "Ask"
ASK_UPLOAD = "Drop images here: JPEG, PNG, TIFF or DICOM"
ASK_CASE = "These images are of one patient: give one answer, too"
ASK_KEEP = "Keep this question in the log"
ASK_KEPT_NOT = "Nothing of it is kept unless you tick the box, report a problem or give a label."
ASK_WHICH = "Picture"
ASK_NO_MODEL = (
    "No model serves this problem. `neuro train` makes one, and `neuro promote` lets it serve."
)
ASK_LOOKING = "Looking where the network looked ..."
ASK_CASE_TITLE = "All images together"
ASK_MANY = "An answer is asked for at most 64 images at once; the first 64 are."


def of_hundred(probability: float) -> str:
    """What a calibrated probability means."""
    return f"Of 100 such answers about {round(100 * probability)} are right."


def said(decision: str, predicted: str, conformal_set: Sequence[str], reason: str) -> str:
    """The answer in words, the doubt first."""
    if decision == "out_of_scope":
        return (
            "This picture is out of scope: it is unlike those the model learnt from. Do not use "
            "an answer."
        )
    if decision == "abstain" and len(conformal_set) > 1:
        several = f"{', '.join(conformal_set[:-1])} and {conformal_set[-1]}"
        return f"Not decided: {several} cannot be told apart here."
    if decision == "abstain":
        return "Not decided: the model is not sure enough to answer."
    if decision == "refused":
        return f"This file cannot be read as an image: {reason}"
    return f"{predicted[:1].upper()}{predicted[1:]}"


BARS = "How probable each class is"
BARS_CLASS, BARS_PROBABILITY = "Class", "Probability"
SET_TITLE = "What cannot be excluded"


def conformal(classes: Sequence[str]) -> str:
    """The conformal set."""
    return ", ".join(classes) if classes else "nothing: no class fits well"


def scope(score: float) -> str:
    """How unlike the training images."""
    word = "outside" if score > 1 else "within"
    return f"Unlikeness {score:.2f}, {word} the limit of 1"


MODEL = "The model"
MODEL_LINE = "Version {version} ({architecture}) answers since {since}."
MAPS = "Where it looked"
MAPS_NONE = "There is no map for this network."
SIMILAR = "The nearest known cases"
COPY = (
    "A copy of this picture, perhaps mirrored or turned, is in the release (split {split}): what "
    "is said here says nothing about new pictures."
)
UNUSED = "What the model would say, not to be used"
SIMILAR_LINE = "cosine {cosine:.3f}"
SIMILAR_NONE = "No nearest cases: {why}"
CARD = "The model card"
CARD_FACTS = ("intended use", "engine", "classes")
CARD_LINK = "Its card: data, figures, limits, cost"
CODE = "The same question from a program"
SAVE = "Save this answer as a page"
PAGE_PICTURE = "The picture"
PAGE_VERSION, PAGE_PREPROCESS, PAGE_TIME = "Version", "Preprocess", "Time"
PAGE_DIGEST = "SHA-256 of the file"
RAW = "The service's own words"
REPORT = "Report a problem"
REPORT_TEXT = "What is wrong with this answer?"
REPORT_SEND = "Report"
REPORT_EMPTY = "Write what is wrong first."
REPORT_AGAIN = "You have reported the same before, and it is still open."
REPORT_DONE = "Reported. It stands in the journal with the answer, and waits for an owner."
GIVE_LABEL = "I know what it is"
GIVE_LABEL_WHICH = "It is"
GIVE_LABEL_SEND = "Say so"
GIVE_LABEL_DONE = "Kept. Readers look at it before any release has it."
GIVE_LABEL_AGAIN = "You have said so before."


def quality(width: int, height: int, side_px: int) -> list[str]:
    """What is worth a look before the answer is."""
    told = [f"{width} x {height} pixels; the network sees {side_px} x {side_px}."]
    if min(width, height) < side_px:
        told.append("It is smaller than what the network expects, so it was enlarged.")
    if max(width, height) > 2 * min(width, height):
        told.append("It is more than twice as long as wide, so that shapes may be lost.")
    return told


def dark_or_bright(mean: float, spread: float) -> list[str]:
    """Of grey levels 0 to 255."""
    told = []
    if spread < 8:
        told.append("It has hardly any contrast.")
    if mean < 10:
        told.append("It is almost black.")
    if mean > 245:
        told.append("It is almost white.")
    return told


def curl(address: str, problem: str) -> str:
    """How a program asks."""
    return (
        f'curl -H "Authorization: Bearer $TOKEN" -F files=@scan.png -F problem={problem} '
        f"{address}/v1/predictions"
    )


def python(address: str, problem: str) -> str:
    """How Python asks."""
    return (
        "from neuro.client import Client\n\n"
        f'client = Client("{address}", token)  # `neuro users token NAME` prints one\n'
        f'(answer,) = client.predict("scan.png", problem="{problem}")'
    )


# -- the work list

WORK = "Work list"
WORK_EMPTY = "Nothing waits for you."
WORK_FILL = (
    "`neuro worklist fill` puts images here: labels in doubt, and what the model does not answer."
)
WORK_READ = "What does it show?"
WORK_AGAIN = "Does it change your read?"
WORK_BLIND = "The answer and the label are hidden until you have said what you see."
WORK_CANNOT_TELL = "Cannot tell"
WORK_KEEP = "Keep my read"
WORK_NEXT, WORK_BACK = "Next", "Back"
WORK_NOTE = "Note (optional)"
WORK_YOURS = "You said"
WORK_LABEL = "Its label"
WORK_NO_LABEL = "none"
WORK_MODEL = "The model"
WORK_NO_ANSWER = "has not answered this image yet."
WORK_WHY = "Why it is here"
WORK_DISPUTED = "Two readers disagree. Which is it?"
WORK_READER = "One reader", "Another reader"
WORK_DECIDED = "{who} decided this one meanwhile. Your read is kept, and counts for the agreement."
WORK_STORED = "{n} reads that waited on this machine are in the lake now."
WORK_AGREEMENT = "How far readers agree (Cohen's kappa, first reads, 95 % interval)"
WORK_AGREEMENT_COLUMNS = ("one reader", "the other", "kappa")
WORK_KEYS = (
    "Keys: the number of an answer, K keeps your read, N next, B back. In the picture: + - arrows, "
    "F fit, P plain, O overlay."
)
WORK_DONE = "Stored: {what}, image {image}."
WORK_AGREEMENT_SHOW = "Show how far readers agree"


def progress(done: int, waiting: int) -> str:
    """Of one reader."""
    return f"{done} read, {waiting} to read"


def kappa(value: Metric) -> str:
    """With its interval, or why there is none to be believed."""
    return f"{value}, {_many(value.n, 'image')}"


def reader_said(label: str, note: str) -> str:
    """A read in words."""
    said_what = label or WORK_CANNOT_TELL.lower()
    return f"{said_what}: {note}" if note else said_what


# -- the first page

HOME = "Today"
HOME_SERVES = "What serves"
HOME_NOTHING_SERVES = "Nothing serves yet."
HOME_VERDICT = "Last verdict on drift"
HOME_NO_VERDICT = "None yet; `neuro drift` gives one, and each Monday a schedule."
HOME_WAITS = "What waits"
HOME_RUNS = "What runs"
HOME_NO_RUNS = "Nothing runs now."
HOME_LINKS = "Elsewhere"
HOME_WELL, HOME_LOOK = "\N{CHECK MARK} All is well", "\N{BLACK UP-POINTING TRIANGLE} Look at this"
HOME_RUN_COLUMNS = ("run", "since")
HOME_PREFECT_AWAY = "Prefect does not answer."


def serves(problem: str, version: str, since: str, trouble: str) -> str:
    """A line for a problem."""
    line = f"{problem}: version {version}, since {since}"
    return f"{line}. {trouble}" if trouble else line


def waits(work: int | None, approvals: int, incidents: int) -> list[str]:
    """What waits for whom."""
    told = [] if work is None else [f"{_many(work, 'image')} for you to read"]
    return [
        *told,
        f"{_many(approvals, 'candidate')} for an approver",
        f"{_many(incidents, 'incident')} without an end",
    ]


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


# -- incidents

INCIDENTS = "Incidents"
INCIDENTS_NONE = "None."
INCIDENT_OPEN_ONLY = "Only those without an end"
INCIDENT_NO_OWNER = "nobody yet"
INCIDENT_TAKE = "I look after it"
INCIDENT_OUTCOME = "What was found, and what was done"
INCIDENT_END = "End it"
INCIDENT_NEEDS_OUTCOME = "Say what was found first."
INCIDENT_FACTS = (
    "reported by",
    "what",
    "image",
    "version",
    "answered",
    "owner",
    "ended by",
    "outcome",
)


def answered(prediction: Mapping[str, Any]) -> str:
    """What an incident is about, "" where nothing was answered."""
    if not prediction:
        return ""
    decision = WORDS_OF_DECISION.get(prediction["decision"], prediction["decision"])
    most = max(prediction["probabilities"], default=0.0)
    return f"{decision}: {prediction['predicted']}, {most:.4f}. {prediction['reason']}"


# -- judging

JUDGE = "Judge"
JUDGE_WAITING = "Candidates that wait for approval"
JUDGE_NONE_WAIT = "None waits."
JUDGE_APPROVE = "Let it serve"
JUDGE_REASON = "Reason (kept in the journal by your name)"
JUDGE_NEEDS_REASON = "Write a reason first."
JUDGE_REPORT = "Its report"
JUDGE_NO_REPORT = "no page"
JUDGE_ROLLBACK = "Roll back"
JUDGE_ROLLBACK_TO = "Version that serves again"
JUDGE_ROLLBACK_DO = "Let it serve again"
JUDGE_NEVER = "No earlier version has served."
JUDGE_REPORTS = "Reports"
JUDGE_NO_REPORTS = "No report was written yet."
JUDGE_JOURNAL = "Journal"
JUDGE_SEARCH = "Search"
JUDGE_KIND = "Kind"
JUDGE_STARTED = "Started in Prefect; this takes some seconds ..."
JUDGE_DONE = "Done: version {version} of {problem} serves."
JUDGE_WRITTEN = "Your approval is written down; another person's is asked for."
JUDGE_CANDIDATE = "{problem}: version {version}"
JUDGE_ONLY = "Only an approver decides."
JOURNAL_COLUMNS = ("number", "when", "kind", "what", "who", "reason")
REPORT_KINDS: Mapping[str, str] = {
    "evaluation": "Evaluations, also of two models side by side",
    "passport": "Passports",
    "explore": "Explorations",
    "acceptance": "Acceptances",
    "labels-in-doubt": "Labels in doubt",
    "drift": "Drift",
}

# -- drift

DRIFT = "Drift"
DRIFT_LAST = "{window}: {outcome}"
DRIFT_HISTORY = "Over time"
DRIFT_LETTERS = (
    "One cell for each verdict, the last on the right: s steady, l look, L label, R retrain, "
    "? inconclusive. A point marks what a person has said. Below, each signal as a share of its "
    "threshold by dealing groups, which is the dashed line."
)
DRIFT_TABLE = "Verdicts, the newest first"
DRIFT_COLUMNS = ("when", "window", "model", "found", "holds", "said by persons")
DRIFT_SAY = "Say something of a verdict"
DRIFT_WINDOW = "Window"
DRIFT_WHAT = "What you say"
DRIFT_SAID: Mapping[str, str] = {
    "acknowledge": "I have seen it",
    "snooze": "No training of this problem starts by itself for some days",
    "overrule": "Another verdict holds in its place",
}
DRIFT_OUTCOME = "The verdict that holds, if another one does"
DRIFT_DAYS = "Days, if nothing is to start"
DRIFT_DO = "Write it down"
DRIFT_WRITTEN = "Written into the journal by your name."
SIGNALS: Mapping[str, str] = {
    "descriptors": "How the images look",
    "formats": "Sizes and pixel modes of the images",
    "features": "What the model makes of the images",
    "softmax": "Probabilities of the classes",
    "classes": "How often each class is the likeliest",
    "confidence": "Estimated loss of accuracy (for reading)",
    "intake": "How many images came, and how many files were refused",
    "labelled_accuracy": "Measured loss of accuracy, where labels are known",
    "audited_accuracy": "Evidence of harm from the audit samples",
}

# -- browsing

BROWSE = "Browse"
BROWSE_RELEASE = "Release"
BROWSE_CLASS, BROWSE_SPLIT, BROWSE_ONLY, BROWSE_GROUP = (
    "Class",
    "Split",
    "Only",
    "Group or image (beginning of its digest)",
)
BROWSE_ALL = "all"
BROWSE_PAGE = "Page"
BROWSE_NO_LABEL = "no label"
BROWSE_UNREAD = "waits for your read"
BROWSE_ONLY_WHAT = {
    "": "everything",
    "suspects": "label suspects",
    "wrong": "wrong answers",
    "twins": "with twins or of a group",
}


def browse_count(n: int, of: int) -> str:
    """Over a grid."""
    return f"{n:,} of {of:,} images"


def answered_for(who: str, *, is_shadow: bool) -> str:
    """For whom a service answered."""
    return f"shadow, {who}" if is_shadow else who


IMAGE = "Image"
IMAGE_NONE = "Choose an image under Browse."
IMAGE_FACTS = "Facts"
FACT = {
    "label": "label",
    "class": "class",
    "split": "split",
    "given": "source's split",
    "group": "group",
    "name": "name",
    "delivery": "delivered by",
    "release": "release",
    "picture": "picture",
    "synthetic": "synthetic",
}
FACT_DIGEST = "SHA-256"
FACT_NONE = "none"
FACT_DRAWN = "drawn by a program"
FACT_DELIVERY = "{source}, run {run}"
FACT_UNKNOWN = "unknown"
FACT_YES = "yes"
ANSWER_BY_BATCH = "batch"
IMAGE_LABELS = "Labels"
IMAGE_READS = "Reads"
IMAGE_ANSWERS = "Every answer it ever got"
IMAGE_GROUP = "Its group"
IMAGE_ERASE = "Erasure"
IMAGE_ERASE_HOW = (
    "neuro erase --sample {sample} --problem {problem} --reason '...' --yes  # an admin; proves it"
)
IMAGE_LABEL_COLUMNS = ("label", "who", "when", "reviewed")
IMAGE_READ_COLUMNS = ("who", "step", "label", "note", "when")
IMAGE_ANSWER_COLUMNS = ("version", "when", "decision", "predicted", "most probable", "by")
IMAGE_NOTHING = "none"


def version(name: str) -> str:
    """A number of the registry, or the beginning of a package's digest."""
    return name if name.isdigit() else name[:12]
