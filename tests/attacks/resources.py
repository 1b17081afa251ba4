"""Attacks that use up the machine: memory of every kind, disk, descriptors, output, time."""

from tests.attacks.template import Attack

LIMIT_MB = 900
_OVER_MB = LIMIT_MB + 300

_TOUCH = """
def touch(memory, size):
    for at in range(0, size, 4096):
        memory[at] = 1
"""

_FILL = """
def fill(descriptor):
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, bytes(65536))
    except BlockingIOError:
        pass
read, write = os.pipe()
for _ in range({count}):
    if os.fork() == 0:
        held = []
        try:
            while len(held) < 480:
                {make}
                held.append(ends)
                {fill}
        except OSError:
            pass
        os.write(write, b"x")
        time.sleep(20)
        os._exit(0)
os.close(write)
full = 0
while full < {count} and os.read(read, 1):
    full += 1
time.sleep(0.5)
if full == {count}:
    proof()
"""

RESOURCES = (
    Attack(
        name="memory-private",
        attempts="takes more private memory than allowed",
        code=f"""
        held = bytearray({_OVER_MB} << 20)
        time.sleep(0.5)
        proof()
        """,
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        # Python gets an honest MemoryError and may go on without.
        ends=("honest", "crash"),
        is_long=True,
    ),
    Attack(
        name="memory-shared",
        attempts="takes shared memory, which RLIMIT_DATA does not count",
        code=_TOUCH
        + f"""
size = {_OVER_MB} << 20
held = mmap.mmap(-1, size)
touch(held, size)
time.sleep(0.5)
proof()
""",
        strikes="create_env",
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        ends=("honest", "crash"),
    ),
    Attack(
        name="memory-file",
        attempts="fills a memfd, which belongs to no process's private memory",
        code=f"""
        descriptor = call("memfd_create", b"x", 0)
        chunk = b"x" * (1 << 20)
        for _ in range({_OVER_MB}):
            os.write(descriptor, chunk)
        time.sleep(0.5)
        proof()
        """,
        strikes="import of train",
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        ends=("honest", "crash"),
    ),
    Attack(
        name="memory-children",
        attempts="spreads it over many children",
        code=f"""
        read, write = os.pipe()
        for _ in range(6):
            if os.fork() == 0:
                held = bytearray({_OVER_MB // 6} << 20)
                os.write(write, b"x")
                time.sleep(20)
                os._exit(0)
        os.close(write)
        taken = 0
        while taken < 6 and os.read(read, 1):
            taken += 1
        time.sleep(0.5)
        if taken == 6:
            proof()
        """,
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        ends=("honest", "crash"),
    ),
    Attack(
        name="memory-page-tables",
        attempts="maps one page of zeros so often that its page tables fill the memory",
        code=f"""
        LIBC.mmap.restype = ctypes.c_void_p
        step, size = 2 << 20, {_OVER_MB} * 256 * (2 << 20)
        start = LIBC.mmap(None, ctypes.c_size_t(size), 1, 0x4022, -1, ctypes.c_long(0))
        LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), 15)
        for at in range(start, start + size, step):
            ctypes.c_ubyte.from_address(at).value
        time.sleep(0.5)
        proof()
        """,
        strikes="create_env",
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        ends=("crash",),
    ),
    Attack(
        name="memory-sockets",
        attempts="has the kernel keep it in the queues of socket pairs, over many children",
        code=_FILL.format(
            count=6,
            make="ends = socket.socketpair()",
            fill="[fill(end.fileno()) for end in ends]",
        ),
        strikes="build_policy",
        copy="naive",
        shows="proof",
        memory_mb=LIMIT_MB,
        ends=("crash",),
    ),
    Attack(
        name="memory-shm",
        attempts="fills /dev/shm and System V shared memory",
        code="""
        identity = call("shmget", @IPC_KEY@, 64 << 20, 0o1600)
        file = open("/dev/shm/@MARK@", "wb")
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        """,
        shows="planted",
        ends=("honest", "crash"),
        is_long=True,
    ),
    Attack(
        name="system-v-memory",
        attempts="leaves System V shared memory behind",
        code="call('shmget', @IPC_KEY@, 4096, 0o1600)",
        strikes="forward",
        shows="kernel",
        is_long=True,
    ),
    Attack(
        name="keyring",
        attempts="leaves a key in the user's keyring, for the next experiment to find",
        code="call('add_key', b'user', b'@MARK@', b'loot', 4, -4)",
        strikes="reset",
        shows="kernel",
        optional="a kernel without keyrings",
    ),
    Attack(
        name="fill-disk",
        attempts="fills the temp folder (narrowed for the copy)",
        code="""
        with open(os.path.join(tempfile.gettempdir(), "@MARK@"), "wb") as file:
            for _ in range(@DISK_MB@):
                file.write(b"x" * (1 << 20))
        proof()
        """,
        strikes="step in training",
        copy="naive",
        shows="files",
        memory_mb=LIMIT_MB,
        ends=("honest", "crash"),
        is_long=True,
    ),
    Attack(
        name="fill-with-names",
        attempts="makes as many empty files as it can (narrowed for the copy)",
        code="""
        folder = tempfile.mkdtemp(prefix="@MARK@")
        for number in range(@DISK_MB@ * 200):
            open(f"{folder}/{number}", "w").close()
        proof()
        """,
        strikes="build_policy",
        copy="naive",
        shows="files",
        memory_mb=LIMIT_MB,
        # It may take so long that it is flagged for that.
        ends=("honest", "crash", "scored"),
        timeout_s=120.0,
        is_long=True,
    ),
    Attack(
        name="sparse-file",
        attempts="makes a file of a terabyte that takes no space yet",
        code="os.truncate(os.open(os.path.join(tempfile.gettempdir(), '@MARK@'), os.O_CREAT | os.O_RDWR), 1 << 40)",
        copy="naive",
        shows="files",
        ends=("honest", "crash"),
    ),
    Attack(
        name="descriptors",
        attempts="opens as many files as it can",
        code="""
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(min(hard, 60_000) - 100)]
        if len(held) > 4096:
            proof()
        """,
        shows="proof",
        ends=("honest", "crash"),
        optional="a user with few file descriptors",
    ),
    Attack(
        name="output-flood",
        attempts="prints without end (bounded)",
        code="""
        for _ in range(400):
            os.write(1, b"x" * (1 << 17))
        """,
        strikes="step in training",
        copy="naive",
        shows="flood",
    ),
    Attack(
        name="error-flood",
        attempts="raises an error whose text is huge",
        strikes="create_env",
        env=(("pass  #create_env#", "raise RuntimeError('x' * 50_000_000)"),),
        copy="naive",
        shows="flood",
        ends=("crash",),
    ),
    Attack(
        name="description-flood",
        attempts="describes itself in fifty million characters",
        env=(
            (
                "    def reset(self):",
                "    def describe(self):\n        text = 'x' * 50_000_000\n"
                "        os_write(1, text.encode())\n        return text\n\n    def reset(self):",
            ),
            ("import sys", "import sys\nfrom os import write as os_write"),
            ("pass  #create_env#", "Tiny.describe(None) if not EVALUATING else None"),
        ),
        strikes="describe",
        copy="naive",
        shows="flood",
        # Described like that it is another environment, with the same score.
        ends=("scored",),
        is_long=True,
    ),
    Attack(
        name="spin",
        attempts="never returns from a step",
        code="while True: pass",
        strikes="step in training",
        copy="naive",
        shows="hang",
        ends=("timeout", "crash"),
        timeout_s=2.0,
    ),
    Attack(
        name="sleep-at-import",
        attempts="never returns from its import",
        code="time.sleep(3600)",
        copy="naive",
        shows="hang",
        ends=("timeout", "crash"),
        timeout_s=2.0,
        is_long=True,
    ),
    Attack(
        name="spin-in-destructor",
        attempts="never lets go at its end",
        env=(
            (
                "    def observe(self):",
                "    def __del__(self):\n        while True:\n            pass\n\n    def observe(self):",
            ),
        ),
        strikes="destructor",
        copy="naive",
        shows="hang",
        ends=("honest", "timeout", "crash"),
        timeout_s=3.0,
        is_long=True,
    ),
    Attack(
        name="native-crash",
        attempts="takes its process down with a null pointer",
        code="ctypes.string_at(0)",
        strikes="forward",
        copy="naive",
        shows="next",
        ends=("crash",),
    ),
)
