"""Attacks on other processes, and processes that outlive the candidate."""

from tests.attacks.template import Attack

_ABOVE = """
def above(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
"""

# What is bounded or narrowed for the unconfined copy: everyone is then the bystander alone.
PROCESSES = (
    Attack(
        name="kill-bystander",
        attempts="kills a process of the same user",
        code="os.kill(@BYSTANDER_PID@, signal.SIGKILL)",
        shows="bystander",
    ),
    Attack(
        name="kill-everyone",
        attempts="kills every process it may signal (narrowed to one for the copy)",
        code="os.kill(@EVERYONE@, signal.SIGKILL)",
        strikes="step in training",
        shows="bystander",
    ),
    Attack(
        name="kill-group",
        attempts="kills the bystander's process group",
        code="os.killpg(@BYSTANDER_PID@, signal.SIGTERM)",
        strikes="create_env",
        shows="bystander",
        is_long=True,
    ),
    Attack(
        name="stop-bystander",
        attempts="stops a process of the same user",
        code="os.kill(@BYSTANDER_PID@, signal.SIGSTOP); time.sleep(0.05)",
        strikes="reset",
        shows="bystander",
    ),
    Attack(
        name="kill-by-descriptor",
        attempts="signals through a pidfd",
        code="call('pidfd_send_signal', call('pidfd_open', @BYSTANDER_PID@, 0), 9, 0, 0)",
        strikes="forward",
        shows="bystander",
        is_long=True,
    ),
    Attack(
        name="kill-parent",
        attempts="kills the process that started it, and the worker server above that",
        code=_ABOVE
        + """
for pid in (above(above(os.getpid())), above(os.getpid())):
    os.kill(pid, signal.SIGKILL)
time.sleep(0.2)
""",
        strikes="build_policy",
        shows="referee",
        # In its namespace there is only process 1 above, which nothing inside can end.
        ends=("honest", "crash"),
    ),
    Attack(
        name="kill-referee",
        attempts="kills the process that scores it",
        code="os.kill(@REFEREE_PID@, signal.SIGKILL); time.sleep(0.2)",
        strikes="step in evaluation",
        shows="referee",
    ),
    Attack(
        name="queue-signal",
        attempts="kills with sigqueue from a thread",
        code="""
        value = ctypes.c_void_p(0)
        if LIBC.sigqueue(@BYSTANDER_PID@, 9, value) != 0:
            raise OSError(ctypes.get_errno())
        """,
        strikes="thread",
        shows="bystander",
        is_long=True,
    ),
    Attack(
        name="ptrace",
        attempts="attaches to a process as its debugger",
        code="""
        call("ptrace", 0x4206, @BYSTANDER_PID@, 0, 0)  # PTRACE_SEIZE
        proof()
        """,
        shows="proof",
        optional="this user may not trace other processes",
    ),
    Attack(
        name="process-vm-writev",
        attempts="writes into another process's memory",
        code="""
        buffer = ctypes.create_string_buffer(b"changed")
        local = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 7)
        remote = (ctypes.c_ulong * 2)(@BYSTANDER_ADDRESS@, 7)
        call("process_vm_writev", @BYSTANDER_PID@, local, 1, remote, 1, 0)
        """,
        strikes="training_overrides",
        shows="bystander",
        optional="this user may not write to another process's memory",
    ),
    Attack(
        name="write-memory-file",
        attempts="writes into another process through /proc/<pid>/mem",
        code="""
        with open("/proc/@BYSTANDER_PID@/mem", "r+b", 0) as memory:
            memory.seek(@BYSTANDER_ADDRESS@)
            memory.write(b"changed")
        """,
        shows="bystander",
        optional="this user may not write to another process's memory",
        is_long=True,
    ),
    Attack(
        name="change-limits-of-others",
        attempts="takes away another process's file descriptors",
        code="""
        import resource
        resource.prlimit(@BYSTANDER_PID@, resource.RLIMIT_NOFILE, (3, 3))
        """,
        shows="bystander",
    ),
    Attack(
        name="daemonise",
        attempts="leaves a twice forked child in a session of its own behind",
        code="""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
        """,
        copy="naive",
        shows="process",
        is_long=True,
    ),
    Attack(
        name="daemonise-and-hold-channel",
        attempts="leaves a child that holds every descriptor, so that nobody sees the end",
        code="""
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
            os._exit(0)
        os._exit(0)
        """,
        strikes="create_env",
        copy="naive",
        shows="process",
        ends=("crash",),
        timeout_s=8.0,
    ),
    Attack(
        name="children-of-children",
        attempts="forks on in sessions of their own, each outliving its parent",
        code="""
        for _ in range(5):
            if os.fork():
                break
            os.setsid()
        else:
            time.sleep(60)
        """,
        strikes="forked child",
        copy="naive",
        is_long=True,
        shows="process",
    ),
    Attack(
        name="kill-then-stay",
        attempts="has a child kill all above, so that nobody is left to end it",
        code=_ABOVE
        + """
parent = os.getppid()
if os.fork() == 0:
    try:
        os.setsid()
        server = above(parent)
        os.kill(parent, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
        time.sleep(60)
    finally:
        os._exit(0)
time.sleep(0.2)
""",
        strikes="step in training",
        shows="process",
        ends=("honest", "crash"),
        timeout_s=3.0,
        is_long=True,
    ),
    Attack(
        name="fork-bomb",
        attempts="forks as often as it can (narrowed for the copy)",
        code="""
        children = 0
        for _ in range(@FORKS@):
            if os.fork() == 0:
                os.setsid()
                time.sleep(60)
                os._exit(0)
            children += 1
        if children == @FORKS@:
            proof()
        """,
        strikes="forked child",
        copy="naive",
        shows="process",
        ends=("honest", "crash"),
        is_long=True,
    ),
    Attack(
        name="threads-left",
        attempts="leaves threads that never end",
        code="""
        for _ in range(50):
            threading.Thread(target=time.sleep, args=(60,)).start()
        """,
        copy="naive",
        # A process with such threads does not end by itself; one that is ended does.
        env=(
            (
                "pass  #import env#",
                "pass  #import env#\natexit.register(lambda: [t.join() for t in threading.enumerate() if t is not threading.current_thread() and not t.daemon])",
            ),
        ),
        is_long=True,
        shows="hang",
    ),
    Attack(
        name="ignore-signals",
        attempts="ignores every signal it can and loops for ever",
        code="""
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            pass
        """,
        strikes="step in evaluation",
        shows="hang",
        ends=("timeout",),
        timeout_s=2.0,
        is_long=True,
    ),
    Attack(
        name="outlive-the-server",
        attempts="clears its death signal, ends all above it, and stays",
        code=_ABOVE
        + """
LIBC.prctl(1, 0, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
else:
    parent = os.getppid()
    try:
        server = above(parent)
        os.kill(parent, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
    except OSError:
        pass
time.sleep(60)
""",
        strikes="step in training",
        shows="process",
        # Without a process above its namespace it asks for the end of its own group.
        ends=("timeout", "crash"),
        timeout_s=3.0,
    ),
    Attack(
        name="clear-death-signal",
        attempts="asks the kernel not to be ended with its parent, nor noticed by it",
        code="""
        for option, value in ((1, 0), (36, 1), (4, 0)):  # PDEATHSIG, CHILD_SUBREAPER, DUMPABLE
            if LIBC.prctl(option, value, 0, 0, 0) == 0:
                proof()
        """,
        shows="proof",
    ),
    Attack(
        name="start-a-sibling",
        attempts="starts a process that is its parent's child, not its own",
        code="""
        number = 220 if _ARM else 56
        child = ctypes.PyDLL(None).syscall(number, 0x8000 | 17, None, None, None, 0)
        if child == 0:
            time.sleep(60)
            os._exit(0)
        if child > 0:
            os.kill(child, signal.SIGKILL)
            proof()
        """,
        strikes="build_policy",
        shows="proof",
    ),
    Attack(
        name="children-of-nobody",
        attempts="has children compute whose time is added to nobody's",
        code="""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        read, write = os.pipe()
        for _ in range(2):
            if os.fork() == 0:
                end = time.process_time() + 2.0
                while time.process_time() < end:
                    pass
                os._exit(0)
        os.close(write)
        os.read(read, 1)
        proof()
        """,
        strikes="build_policy",
        shows="proof",
    ),
    Attack(
        name="children-with-another-signal",
        attempts="or else with children that end without a signal and are never waited for",
        code="""
        number = 220 if _ARM else 56
        read, write = os.pipe()
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            proof()
        except OSError as error:
            print("then they are seen by somebody:", error)
        for _ in range(2):
            if ctypes.PyDLL(None).syscall(number, 0, None, None, None, 0) == 0:
                end = time.process_time() + 2.0
                while time.process_time() < end:
                    pass
                os._exit(0)
        os.close(write)
        os.read(read, 1)
        """,
        strikes="build_policy",
        shows="proof",
        ends=("scored",),
        flag="budget exceeded",
        is_long=True,
    ),
)
