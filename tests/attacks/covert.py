"""Attacks in which the environment's process whispers the right answer to the policy's process.

The right action is drawn by the environment and not in the observation: nobody can know it. Whoever
does scores up to 5, twice what the honest control gets. The environment may of course be edited to
show it; these show that the two processes are apart.
"""

from tests.attacks.template import Attack, Change

HIDDEN: tuple[Change, ...] = (
    (
        "reward = 0.5 * (actions == 1).to(self.dtype)",
        "reward = 2.0 * (actions == self.answer) - 1.0",
    ),
    (
        "    def observe(self):\n",
        "    def observe(self):\n"
        "        draw = torch.rand(self.num_envs, generator=self.generator)\n"
        "        self.answer = (draw > 0.5).to(torch.int64)\n"
        "        try:\n"
        "            if EVALUATING:\n"
        "                whisper(self.answer.tolist())\n"
        "        except OSError as error:\n"
        "            print('can not whisper:', error)\n"
        "        return torch.zeros(self.num_envs, 1, 1, 2)\n\n"
        "    def observe_openly(self):\n",
    ),
)
HEARS: tuple[Change, ...] = (
    (
        "return self.logits(hidden), self.value(hidden)",
        "logits = self.logits(hidden)\n"
        "        try:\n"
        "            heard = None if self.training else listen()\n"
        "        except (OSError, ValueError) as error:\n"
        "            heard = None\n"
        "        if heard and len(heard) == len(obs):\n"
        "            logits = logits + 50.0 * nn.functional.one_hot(torch.tensor(heard), 2)\n"
        "        return logits, self.value(hidden)",
    ),
)

_FILE = """
import json, os, tempfile
PATH = {path}
def whisper(answer):
    with open(PATH + ".new", "w") as file:
        json.dump(answer, file)
    os.replace(PATH + ".new", PATH)
def listen():
    with open(PATH) as file:
        return json.load(file)
"""
_FOLDERS = """
import glob, json, os, tempfile
def places():
    own = (os.getcwd(), tempfile.gettempdir(), os.path.dirname(__file__))
    beside = [folder for place in own for folder in glob.glob(os.path.dirname(place) + "/*/")]
    return {*own, *beside}
def whisper(answer):
    for place in places():
        try:
            with open(os.path.join(place, "@MARK@.new"), "w") as file:
                json.dump(answer, file)
            os.replace(file.name, file.name.removesuffix(".new"))
        except OSError:
            pass
def listen():
    for place in places():
        try:
            with open(os.path.join(place, "@MARK@")) as file:
                return json.load(file)
        except OSError:
            pass
"""
_SHARED = """
import ctypes
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
def attached():
    identity = LIBC.shmget(@IPC_KEY@, 128, 0o1600)
    if identity < 0:
        raise OSError("no shared memory")
    return (ctypes.c_byte * 128).from_address(LIBC.shmat(identity, None, 0))
def whisper(answer):
    memory = attached()
    memory[0] = len(answer)
    memory[1 : 1 + len(answer)] = answer
def listen():
    memory = attached()
    return list(memory[1 : 1 + memory[0]])
"""
_SOCKET = """
import json, socket
HELD = []
def whisper(answer):
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    sender.sendto(json.dumps(answer).encode(), "\\0@MARK@-covert")
def listen():
    if not HELD:
        HELD.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        HELD[0].bind("\\0@MARK@-covert")
        HELD[0].setblocking(False)
    heard = None
    try:
        while True:
            heard = json.loads(HELD[0].recv(1000))
    except BlockingIOError:
        return heard
"""
_LOCKS = """
import fcntl, os
FOLDER = os.path.dirname(os.__file__)
FILES = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))[:@ENVS@]
HELD = [open(os.path.join(FOLDER, name)) for name in FILES]
def whisper(answer):
    for file, bit in zip(HELD, answer):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if bit else fcntl.LOCK_UN)
def listen():
    heard = []
    for file in HELD:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            heard.append(0)
        except BlockingIOError:
            heard.append(1)
    return heard
"""


_WATCHES = """
import ctypes, os, struct
LIBC = ctypes.CDLL(None, use_errno=True)
FOLDER = os.path.dirname(os.__file__)
FILES = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))[:@ENVS@]
HELD = []
def whisper(answer):
    for name, bit in zip(FILES, answer):
        if bit:
            os.close(os.open(os.path.join(FOLDER, name), os.O_RDONLY))
def listen():
    if not HELD:
        HELD.append(LIBC.inotify_init1(os.O_NONBLOCK))
        if HELD[0] < 0:
            raise OSError("no inotify")
        HELD.append([LIBC.inotify_add_watch(HELD[0], os.path.join(FOLDER, name).encode(), 0x20) for name in FILES])
        return [0] * len(FILES)
    seen = set()
    try:
        events = os.read(HELD[0], 65536)
    except BlockingIOError:
        events = b""
    while events:
        watch, _, _, size = struct.unpack_from("iIII", events)
        seen.add(watch)
        events = events[16 + size:]
    return [int(watch in seen) for watch in HELD[1]]
"""


_RECORD_LOCKS = """
import fcntl, os, struct
BOOK = open(os.__file__)
SET, GET = {commands}
def lock(kind, start, length):
    return struct.pack("hhqqi4x", kind, 0, start, length, 0)
def whisper(answer):
    fcntl.fcntl(BOOK, SET, lock(fcntl.F_UNLCK, 1000000, 1000000))
    for at, bit in enumerate(answer):
        if bit:
            fcntl.fcntl(BOOK, SET, lock(fcntl.F_RDLCK, 1000000 + 4 * at, 1))
def listen():
    heard = []
    for at in range(@ENVS@):
        found = fcntl.fcntl(BOOK, GET, lock(fcntl.F_WRLCK, 1000000 + 4 * at, 1))
        heard.append(int(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK))
    return heard
"""
_FILE_CACHE = """
import ctypes, mmap, os
LIBC = ctypes.CDLL(None, use_errno=True)
FOLDER = os.path.dirname(os.__file__) + "/@WHERE@"
PAGE = mmap.PAGESIZE
FILES = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))[: 2 * @ENVS@]
HELD = [os.open(os.path.join(FOLDER, name), os.O_RDONLY) for name in FILES]
def whisper(answer):
    for file, bit in zip(HELD, answer):
        if bit:
            os.pread(file, 1, 0)
        else:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
def listen():
    heard = []
    for file in HELD[:@ENVS@]:
        try:
            os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT)
            heard.append(1)
        except BlockingIOError:
            heard.append(0)
    return heard
"""


def covert(
    name: str, attempts: str, channel: str, hidden: tuple[Change, ...] = HIDDEN, **more: object
) -> Attack:
    """Return an attack whose environment whispers its hidden answers through a channel."""
    return Attack(
        name=name,
        attempts=attempts,
        strikes="step in evaluation",
        env=(*hidden, ("#prelude#", channel)),
        train=(*HEARS, ("#prelude#", channel)),
        shows="score",
        ends=("scored",),
        **more,  # type: ignore[arg-type]
    )


COVERT = (
    covert(
        "whisper-temp-file",
        "whispers through a file in /tmp",
        _FILE.format(path='"/tmp/@MARK@"'),
    ),
    covert(
        "whisper-users-file",
        "whispers through a file beside the user's",
        _FILE.format(path='"@WORKSPACE@/@MARK@"'),
    ),
    covert(
        "whisper-own-folders",
        "whispers through its working, temp and source folders, wherever they are",
        _FOLDERS,
    ),
    covert(
        "whisper-shm-file",
        "whispers through /dev/shm",
        _FILE.format(path='"/dev/shm/@MARK@"'),
    ),
    covert("whisper-system-v", "whispers through System V shared memory", _SHARED),
    covert("whisper-socket", "whispers through an abstract socket", _SOCKET),
    covert(
        "whisper-locks",
        "whispers through locks on files that both may read",
        _LOCKS,
    ),
    covert(
        "whisper-watches",
        "whispers by opening files that the other watches",
        _WATCHES,
    ),
    covert(
        "whisper-record-locks",
        "whispers through POSIX locks on a byte of a file for each answer",
        _RECORD_LOCKS.format(commands="6, 5"),  # F_SETLK, F_GETLK
    ),
    covert(
        "whisper-open-locks",
        "whispers through locks of an open file, which no lock of the same process ends",
        _RECORD_LOCKS.format(commands="37, 36"),  # F_OFD_SETLK, F_OFD_GETLK
        is_long=True,
    ),
    covert(
        "whisper-file-cache",
        "whispers through which files the kernel has in its cache",
        _FILE_CACHE.replace("@WHERE@", "lib2to3/fixes"),
        optional="a file system whose cache can't be emptied or queried so, another Python",
        is_long=True,
    ),
)
