"""Attacks that ask the kernel for more: namespaces, mounts, devices, rarely guarded system calls."""

from tests.attacks.template import Attack

_NEW_USER = 0x10000000
_PRIVILEGED = "only root may do this even unconfined"

NAMESPACES = (
    Attack(
        name="new-user-namespace",
        attempts="makes a user namespace, in which it would be root again",
        code=f"""
        if os.fork() == 0:
            try:
                call("unshare", {_NEW_USER})
                os._exit(7)
            except OSError as error:
                print(error)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.wait()[1]) == 7:
            proof()
        """,
        shows="proof",
        optional="a kernel without user namespaces for everyone",
    ),
    Attack(
        name="new-namespaces-by-clone",
        attempts="the same with clone3, whose arguments a filter can't read",
        code=f"""
        arguments = (ctypes.c_uint64 * 8)({_NEW_USER}, 0, 0, 0, 17, 0, 0, 0)
        pid = call("clone3", arguments, 64)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        proof()
        """,
        strikes="step in training",
        shows="proof",
        optional="a kernel without user namespaces for everyone",
    ),
    Attack(
        name="enter-namespace",
        attempts="enters the namespaces of another process",
        code="""
        for pid in (1, os.getppid(), @REFEREE_PID@, @BYSTANDER_PID@):
            for kind in ("net", "ipc", "uts", "mnt", "pid", "user"):
                try:
                    call("setns", os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY), 0)
                except OSError as error:
                    print(error)
                    continue
                proof()
        """,
        shows="proof",
        # In a namespace of its own it may enter what it is in already.
        ends=("honest", "crash"),
        optional=_PRIVILEGED,
    ),
    Attack(
        name="mount",
        attempts="mounts a file system, then looks below it",
        code="""
        place = tempfile.mkdtemp(prefix="@MARK@")
        call("mount", b"none", place.encode(), b"tmpfs", 0, 0)
        LIBC.umount2(place.encode(), 2)
        proof()
        """,
        strikes="create_env",
        shows="proof",
        optional=_PRIVILEGED,
    ),
    Attack(
        name="remount-writable",
        attempts="makes a read-only mount writable again",
        code="""
        place = tempfile.mkdtemp(prefix="@MARK@").encode()
        call("mount", place, place, 0, 4096, 0)  # MS_BIND
        LIBC.umount2(place, 2)
        proof()
        """,
        shows="proof",
        optional=_PRIVILEGED,
        is_long=True,
    ),
    Attack(
        name="mount-by-new-calls",
        attempts="uses the newer mount calls",
        code="""
        call("fsopen", b"tmpfs", 0)
        proof()
        """,
        strikes="build_policy",
        shows="proof",
        optional=_PRIVILEGED,
        is_long=True,
    ),
    Attack(
        name="open-tree",
        attempts="clones a mount tree to walk out of it",
        code="""
        call("open_tree", -100, b"/", 1)
        proof()
        """,
        strikes="reset",
        shows="proof",
        optional=_PRIVILEGED,
        is_long=True,
    ),
    Attack(
        name="chroot",
        attempts="changes its root, the old way out of a cage",
        code="""
        if os.fork() == 0:
            try:
                call("chroot", b"/tmp")
                os._exit(7)
            except OSError as error:
                print(error)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.wait()[1]) == 7:
            proof()
        """,
        shows="proof",
        optional=_PRIVILEGED,
    ),
    Attack(
        name="make-device",
        attempts="makes a device file to read the disk through",
        code="""
        path = os.path.join(tempfile.gettempdir(), "@MARK@")
        os.mknod(path, 0o60600, os.makedev(8, 0))
        """,
        strikes="forward",
        copy="naive",
        shows="files",
        optional=_PRIVILEGED,
    ),
    Attack(
        name="kernel-settings",
        attempts="opens the kernel's settings for writing",
        code="""
        for name in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
            try:
                os.close(os.open(name, os.O_WRONLY))
            except OSError as error:
                print(error)
                continue
            proof()
        """,
        shows="proof",
        optional=_PRIVILEGED,
        is_long=True,
    ),
    Attack(
        name="own-cgroup",
        attempts="makes a control group, or moves out of its own",
        code="""
        for folder, _, files in os.walk("/sys/fs/cgroup"):
            if "cgroup.procs" in files:
                os.close(os.open(folder + "/cgroup.procs", os.O_WRONLY))
                proof()
                break
        """,
        shows="proof",
        optional="a machine without writable control groups",
        is_long=True,
    ),
    Attack(
        name="bpf",
        attempts="makes a map in the kernel",
        code="""
        settings = (ctypes.c_uint32 * 18)(2, 4, 4, 1)
        call("bpf", 0, settings, 72)
        proof()
        """,
        strikes="training_overrides",
        shows="proof",
        optional="a kernel that keeps bpf to root",
    ),
    Attack(
        name="perf",
        attempts="watches the processor's counters",
        code="""
        settings = ctypes.create_string_buffer(struct.pack("<IIQ", 1, 120, 0), 120)
        call("perf_event_open", settings, 0, -1, -1, 0)
        proof()
        """,
        shows="proof",
        optional="a machine without performance counters",
        is_long=True,
    ),
    Attack(
        name="userfaultfd",
        attempts="takes over the handling of page faults, a tool of kernel exploits",
        code="""
        call("userfaultfd", 0)
        proof()
        """,
        strikes="step in evaluation",
        shows="proof",
        optional="a kernel that keeps userfaultfd to root",
    ),
)
