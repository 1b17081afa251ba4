"""Attacks on other processes, and processes that outlive the candidate."""

from tests.attacks.template import Attack

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
        attempts="kills the worker server",
        code="os.kill(os.getppid(), signal.SIGKILL); time.sleep(0.2)",
        strikes="build_policy",
        shows="referee",
        # Alone in its namespace, its parent's number is 0, its own group.
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
        attempts="kills its parent first, so that nobody is left to end its child",
        code="""
        parent = os.getppid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
            os._exit(0)
        os.kill(parent, signal.SIGKILL)
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
)
