"""Attacks that steal: files, environments, memory, descriptors."""

from tests.attacks.template import Attack

_SCAN = """
def scan(pid, needle, size):
    \"\"\"Search another process's writable private memory.\"\"\"
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            first, last = (int(word, 16) for word in span.split("-"))
            if not mode.startswith("rw") or last - first > 1 << 28:
                continue
            try:
                memory.seek(first)
                held = memory.read(last - first)
            except OSError:
                continue
            at = held.find(needle)
            while at >= 0:
                found = held[at + len(needle) : at + len(needle) + size]
                if all(48 <= c < 58 or 97 <= c < 103 for c in found):
                    return found
                at = held.find(needle, at + 1)
    return b""
"""

READS = (
    Attack(
        name="read-secret-file",
        attempts="reads a file of the user's by its path",
        code="leak(open('@SECRET_FILE@').read())",
        shows="secret",
    ),
    Attack(
        name="read-ssh-key",
        attempts="reads the ssh key through HOME and through the path",
        code="""
        for home in (os.path.expanduser("~"), "@HOME@"):
            if os.path.exists(home + "/.ssh/id_ed25519"):
                leak(open(home + "/.ssh/id_ed25519").read())
        """,
        strikes="create_env",
        shows="secret",
    ),
    Attack(
        name="read-ledger",
        attempts="opens the ledger and reads the workspace's secret",
        code="""
        import sqlite3
        ledger = sqlite3.connect("file:@LEDGER@?mode=ro", uri=True)
        leak(str(ledger.execute("select * from facts").fetchall()))
        """,
        strikes="import of train",
        shows="secret",
    ),
    Attack(
        name="read-own-environment",
        attempts="looks for a key in its own environment and in its first parent's",
        code="""
        found = [f"{name}={value}" for name, value in os.environ.items()]
        for pid in ("self", os.getppid()):
            try:
                found += open(f"/proc/{pid}/environ").read().split("\\0")
            except OSError as error:
                print(error)
        for entry in found:
            if "SECRET" in entry:
                leak(entry)
        """,
        copy="naive",
        shows="secret",
    ),
    Attack(
        name="read-referee-environment",
        attempts="reads /proc/<referee>/environ",
        code="leak(open('/proc/@REFEREE_PID@/environ').read())",
        strikes="step in evaluation",
        shows="secret",
    ),
    Attack(
        name="read-environments-upwards",
        attempts="walks up its ancestors and reads every environ",
        code="""
        pid = os.getppid()
        while pid > 0:
            loot = open(f"/proc/{pid}/environ").read()
            if "AUTORL_TEST_SECRET" in loot:
                leak(loot)
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        """,
        strikes="build_policy",
        shows="secret",
        optional="this user may not read its ancestors' environments",
        is_long=True,
    ),
    Attack(
        name="read-every-process",
        attempts="reads environ and command line of every process it can see",
        code="""
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    loot = open(f"/proc/{name}/environ").read()
                except OSError:
                    continue
                if "AUTORL_TEST_SECRET" in loot:
                    leak(loot)
        """,
        strikes="training_overrides",
        shows="secret",
        is_long=True,
    ),
    Attack(
        name="read-referee-memory",
        attempts="searches the referee's memory for the workspace's key",
        code=_SCAN + "leak(scan(@REFEREE_PID@, b'WORKSPACE' + b'KEY:', 24))",
        strikes="create_env",
        shows="secret",
        # An ordinary user is often kept from this by Yama.
        optional="this user may not read another process's memory",
        # With nothing found there is an empty loot.
        ends=("honest", "crash"),
    ),
    Attack(
        name="read-bystander-memory",
        attempts="reads a known address through /proc/<pid>/mem",
        code="""
        with open("/proc/@BYSTANDER_PID@/mem", "rb", 0) as memory:
            memory.seek(@BYSTANDER_ADDRESS@)
            leak(memory.read(32))
        """,
        strikes="forward",
        shows="secret",
        optional="this user may not read another process's memory",
    ),
    Attack(
        name="process-vm-readv",
        attempts="reads a known address of the bystander with process_vm_readv",
        code="""
        buffer = ctypes.create_string_buffer(32)
        local = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 32)
        remote = (ctypes.c_ulong * 2)(@BYSTANDER_ADDRESS@, 32)
        call("process_vm_readv", @BYSTANDER_PID@, local, 1, remote, 1, 0)
        leak(buffer.raw)
        """,
        shows="secret",
        optional="this user may not read another process's memory",
    ),
    Attack(
        name="read-sibling-memory",
        attempts="the environment's worker searches the trainer's memory for the policy's secret",
        code=_SCAN
        + """
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (os.getpid(), @REFEREE_PID@):
        try:
            stat = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
            if int(stat[1]) == os.getppid():
                loot = scan(name, b"POLICY" + b"CANARY:", 32)
                if loot:
                    leak(loot)
        except OSError:
            pass
""",
        strikes="step in evaluation",
        train=(
            (
                "class Policy",
                "CANARY = bytearray(''.join(['POLICY', 'CANARY:', '@CANARY@', '.' * 9]).encode())"
                "\n\n\nclass Policy",
            ),
        ),
        shows="secret",
        optional="this user may not read another process's memory",
    ),
    Attack(
        name="read-other-candidates",
        attempts="looks for other seeds' and other experiments' candidates on the disk",
        code="""
        for folder, _, files in os.walk("@CANDIDATES@"):
            for name in files:
                text = open(os.path.join(folder, name)).read()
                if "IN_ANOTHERS_" + "SOURCE" in text:
                    leak(text.split("IN_ANOTHERS_" + "SOURCE = ")[1].split()[0])
        """,
        strikes="create_env",
        train=(("class Policy", "# IN_ANOTHERS_SOURCE = @CANARY@\n\n\nclass Policy"),),
        shows="secret",
        is_long=True,
    ),
    Attack(
        name="inherited-descriptors",
        attempts="reads whatever was left open for it",
        code="""
        for descriptor in range(3, 256):
            try:
                target = os.readlink(f"/proc/self/fd/{descriptor}")
                if target.startswith("@LIVE@"):
                    leak(os.pread(descriptor, 1000, 0))
            except OSError:
                pass
        """,
        copy="naive",
        shows="secret",
    ),
    Attack(
        name="steal-descriptor-of-referee",
        attempts="takes the referee's open files with pidfd_getfd",
        code="""
        handle = call("pidfd_open", @REFEREE_PID@, 0)
        for number in range(3, 64):
            try:
                stolen = call("pidfd_getfd", handle, number, 0)
            except OSError:
                continue
            proof()
            os.close(stolen)
        """,
        strikes="reset",
        shows="proof",
        optional="this user may not reach into another process",
    ),
    Attack(
        name="open-through-parents-root",
        attempts="goes through /proc/<pid>/root and /proc/<pid>/cwd to the real files",
        code="""
        for pid in (1, os.getppid(), @REFEREE_PID@, @BYSTANDER_PID@):
            for door in ("root@SECRET_FILE@", "cwd/../secret.txt"):
                try:
                    leak(open(f"/proc/{pid}/{door}").read())
                except OSError:
                    pass
        """,
        strikes="thread",
        shows="secret",
    ),
    Attack(
        name="open-by-handle",
        attempts="opens a file by the kernel's handle, past every mount namespace",
        code="""
        handle = ctypes.create_string_buffer(bytes.fromhex("@HANDLE@"))
        for place in ("/", "/tmp", "/usr", "/proc/self/exe", HERE, os.__file__, "@LIVE@"):
            try:
                mount = os.open(place, os.O_RDONLY)
                found = call("open_by_handle_at", mount, handle, os.O_RDONLY)
            except OSError:
                continue
            leak(os.read(found, 100))
        """,
        shows="secret",
        optional="only root opens files by handle",
    ),
    Attack(
        name="read-with-a-shell",
        attempts="starts a program that reads the file",
        code="leak(subprocess.check_output(['cat', '@SECRET_FILE@']))",
        strikes="training_overrides",
        shows="secret",
    ),
    Attack(
        name="read-through-a-link",
        attempts="plants a symbolic link beside itself and reads through it",
        code="""
        for place in (os.path.dirname(HERE), os.getcwd(), tempfile.gettempdir()):
            link = os.path.join(place, "@MARK@")
            try:
                os.symlink("@SECRET_FILE@", link)
                leak(open(link).read())
            except OSError:
                pass
        """,
        shows="secret",
        is_long=True,
    ),
)
