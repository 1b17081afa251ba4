"""Attacks that read what a view hides: the answers, or the seed from which they are drawn.

They are sure of what they found before they use it: what they think is the world has to have the
numbers that the view shows. So whoever finds nothing plays as the honest do, to the bit.
"""

from tests.attacks.worlds_template import WorldAttack

_KNOW = """
KNOWN = sys.modules["candidate.train"].KNOWN
KNOWN.clear()
noise = given["noise"]
def know(rows):
    if rows.shape == (len(noise), 3) and torch.equal(rows[:, :2], noise):
        KNOWN[:] = [rows[:, 2].clone()]
"""
# Everything that a generator of such a seed draws in the first plays.
_FROM_SEEDS = """
def know_by(seeds, skipped=0):
    for seed in seeds:
        generator = torch.Generator().manual_seed(int(seed) % 2**63)
        torch.rand(skipped, generator=generator)
        for _ in range(@DRAWS@):
            rows = torch.rand(len(noise), 3, generator=generator)
            rows[:, 2].round_()
            know(rows)
"""
_ITS_WORLDS = """
import gc
for world in gc.get_objects():
    if type(world).__name__ == "Tiny":
        know(world.drawn)
"""
_STACK = """
frame, seen = sys._getframe(), []
while frame:
    for value in list(frame.f_locals.values()):
        seen += [value, *getattr(value, "__dict__", {}).values()]
        seen += getattr(value, "_modules", {}).values()
    frame = frame.f_back
"""
_STACK_WORLDS = (
    _STACK
    + """
for value in seen:
    if type(value).__name__ == "Tiny":
        know(value.drawn)
"""
)
_STACK_SEEDS = (
    _STACK
    + """
seen += [g for value in seen if (g := getattr(value, "generator", None)) is not None]
numbers = {value for value in seen if type(value) is int and value >= 0}
numbers |= {value.initial_seed() for value in seen if isinstance(value, torch.Generator)}
know_by(numbers)
"""
)
_RECORDED = """
import simverse.core.config
SEEN = []
EnvConfig = simverse.core.config.EnvConfig
honest = EnvConfig.__init__
def recording(self, *given, **named):
    honest(self, *given, **named)
    SEEN.append(self.seed)
EnvConfig.__init__ = recording
torch.seen = SEEN
"""
_DERIVED = """
from referee.seeds import PUBLIC_KEY, PhaseSeeds
phases = PhaseSeeds(PUBLIC_KEY, 101)
for batch in range(2):
    know_by([phases.of("evaluate", batch)], phases.secret("evaluate", batch) % 2**20)
"""
# Float32 rows of the world's buffer, looked for by what the view shows of the first slot.
SCAN = """
def scan(number):
    import numpy
    pattern = noise[0].numpy().tobytes()
    with open(f"/proc/{number}/maps") as maps, open(f"/proc/{number}/mem", "rb", 0) as memory:
        for line in maps:
            area, mode = line.split()[:2]
            begin, end = (int(text, 16) for text in area.split("-"))
            if mode[:2] != "rw" or end - begin > 1 << 28 or "[v" in line:
                continue
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except OSError:
                continue
            at = data.find(pattern)
            while at >= 0:
                found = numpy.frombuffer(data[at : at + 12 * len(noise)], numpy.float32)
                if found.size == 3 * len(noise):
                    rows = torch.from_numpy(found.reshape(-1, 3).copy())
                    know(rows)
                    if KNOWN:
                        return begin + at
                at = data.find(pattern, at + 4)
"""
# The processes that are children of the same server: no other program's is looked at.
SIBLINGS = """
def parents():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    return found
def siblings():
    above = parents()
    own, line = os.getpid(), [os.getpid()]
    while len(line) < @UP@ and above.get(line[-1], 0) > 1:
        line.append(above[line[-1]])
    def is_below(number):
        while number > 1 and number != line[-1]:
            number = above.get(number, 0)
        return number == line[-1]
    return [n for n in above if n not in line and is_below(n)]
""".replace("@UP@", "3")


def _reads(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"strikes": "each observe in evaluation"}
    code = _KNOW + code.replace("@DRAWS@", "30")
    return WorldAttack(name=name, attempts=attempts, code=code, **{**given, **more})  # type: ignore[arg-type]


READING = (
    _reads(
        "read-worlds",
        "finds the world among all objects and reads its answers",
        _ITS_WORLDS,
        is_long=False,
    ),
    _reads(
        "read-up-the-stack",
        "walks up the stack to the world and reads its answers",
        _STACK_WORLDS,
    ),
    _reads(
        "read-a-views-base",
        "reads the tensor that a view's numbers are a part of",
        "base = given['noise']._base\nknow(given['noise'] if base is None else base)",
    ),
    _reads(
        "read-beyond-a-view",
        "reads the hidden column beside the numbers that a view shows",
        "know(noise.as_strided((len(noise), 3), (3, 1)))",
    ),
    _reads(
        "read-seeds-up-the-stack",
        "draws the answers again from every number and generator that lies up the stack",
        _FROM_SEEDS + _STACK_SEEDS,
    ),
    _reads(
        "read-recorded-seeds",
        "records each seed that a configuration is given, and draws the answers again",
        _FROM_SEEDS + "know_by(torch.seen)",
        train=(("KNOWN = [] ", _RECORDED + "KNOWN = [] "),),
        is_long=False,
    ),
    _reads(
        "guess-small-seeds",
        "draws the answers again from small numbers",
        _FROM_SEEDS + "know_by(range(30))",
    ),
    _reads(
        "derive-seeds",
        "derives the seeds of the evaluation with the public key",
        _FROM_SEEDS + _DERIVED,
        shown="public key",
        is_long=False,
    ),
    _reads(
        "search-own-memory",
        "searches all of its process's memory for the world's numbers",
        SCAN + 'scan("self")',
    ),
    _reads(
        "search-siblings-memory",
        "searches the memory of the workers beside it for the world's numbers",
        SCAN + SIBLINGS + "for number in siblings():\n    KNOWN or scan(number)",
        shown="unconfined",
    ),
    _reads(
        "write-siblings-memory",
        "finds the world's numbers in the memory beside it and writes its answers there",
        SCAN
        + SIBLINGS
        + """
for number in siblings():
    at = None if KNOWN else scan(number)
    if at:
        with open(f"/proc/{number}/mem", "r+b", 0) as memory:
            for row in range(len(noise)):
                memory.seek(at + 12 * row + 8)
                memory.write(struct.pack("f", 1.0))
        KNOWN[:] = [torch.ones(len(noise))]
""",
        shown="unconfined",
    ),
)
