"""Attacks that talk: every kind of socket, to everyone who listens."""

from tests.attacks.template import Attack

NETWORK = (
    Attack(
        name="tcp",
        attempts="sends the loot over TCP on loopback",
        code="socket.create_connection(('127.0.0.1', @TCP_PORT@), 2).sendall(b'loot')",
        shows="contact",
    ),
    Attack(
        name="tcp6",
        attempts="the same over IPv6",
        code="socket.create_connection(('::1', @TCP6_PORT@), 2).sendall(b'loot')",
        strikes="step in training",
        shows="contact",
        optional="a machine without IPv6",
        is_long=True,
    ),
    Attack(
        name="udp",
        attempts="sends a datagram",
        code="""
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b"loot", ("127.0.0.1", @UDP_PORT@))
        """,
        strikes="step in evaluation",
        shows="contact",
    ),
    Attack(
        name="dns",
        attempts="hides the loot in a DNS question",
        code="""
        name = b"".join(bytes([len(part)]) + part for part in (b"loot", b"example")) + bytes(1)
        question = struct.pack(">HHHHHH", 1, 256, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(("127.0.0.1", @UDP_PORT@))
        sender.send(question)
        """,
        strikes="build_policy",
        shows="contact",
        is_long=True,
    ),
    Attack(
        name="unix-socket",
        attempts="talks to an agent that listens at a path",
        code="socket.socket(socket.AF_UNIX).connect('@UNIX_PATH@')",
        strikes="create_env",
        shows="contact",
    ),
    Attack(
        name="unix-datagram",
        attempts="writes to a log socket at a path",
        code="socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'loot', '@UNIX_DATAGRAM_PATH@')",
        strikes="forward",
        shows="contact",
        is_long=True,
    ),
    Attack(
        name="abstract-socket",
        attempts="talks to an abstract socket, which no file system hides",
        code="socket.socket(socket.AF_UNIX).connect('\\0@ABSTRACT@')",
        strikes="import of train",
        shows="contact",
    ),
    Attack(
        name="abstract-through-channel",
        attempts="reconnects a socket it already has instead of making one",
        code="""
        for descriptor in range(3, 64):
            try:
                held = socket.socket(fileno=os.dup(descriptor))
            except OSError:
                continue
            for address in ("\\0@ABSTRACT@", "@UNIX_PATH@"):
                try:
                    held.connect(address)
                except OSError as error:
                    print(error)
        for held in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
            held.connect("@UNIX_DATAGRAM_PATH@")
            held.send(b"loot")
        """,
        shows="contact",
    ),
    Attack(
        name="socket-from-accomplice",
        attempts="is handed a connected socket by a process outside",
        code="""
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(2)
        door.connect("@ACCOMPLICE_PATH@")
        _, gifts, _, _ = socket.recv_fds(door, 10, 1)
        socket.socket(fileno=gifts[0]).sendall(b"loot")
        """,
        strikes="reset",
        shows="contact",
    ),
    Attack(
        name="raw-socket",
        attempts="opens raw and packet sockets",
        code="""
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        proof()
        """,
        shows="proof",
        optional="only root opens raw sockets",
    ),
    Attack(
        name="netlink",
        attempts="asks the kernel for the machine's network interfaces",
        code="""
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        link.send(struct.pack("=IHHIIBBHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0, 0))
        link.settimeout(2)
        if link.recv(65536):
            proof()
        """,
        strikes="training_overrides",
        shows="proof",
    ),
    Attack(
        name="listen",
        attempts="opens a port and waits to be called",
        code="""
        socket.create_server(("127.0.0.1", 0))
        proof()
        """,
        strikes="create_env",
        shows="proof",
    ),
    Attack(
        name="other-families",
        attempts="opens sockets of families that few remember",
        code="""
        for family in (38, 40, 31, 16, 44, 17, 15, 21):  # alg, vsock, bluetooth, netlink, xdp …
            for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                try:
                    socket.socket(family, kind)
                except OSError:
                    continue
                proof()
        """,
        shows="proof",
        is_long=True,
    ),
    Attack(
        name="socket-by-old-call",
        attempts="opens a socket by the 32-bit system call, past a filter that only knows 64-bit",
        code="""
        assert os.uname().machine == "x86_64"
        # push rbx; mov eax,359; mov ebx,2; mov ecx,1; xor edx,edx; int 0x80; pop rbx; ret
        body = bytes.fromhex("53b867010000bb02000000b90100000031d2cd805bc3")
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(body)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        if ctypes.CFUNCTYPE(ctypes.c_int)(address)() >= 0:
            proof()
        """,
        strikes="step in training",
        shows="proof",
        # A filter may answer a foreign call by ending the process.
        ends=("honest", "crash"),
        optional="a kernel without 32-bit calls",
    ),
    Attack(
        name="io-uring",
        attempts="has the kernel open sockets for it, past a filter on system calls",
        code="""
        ring = ctypes.create_string_buffer(256)
        call("io_uring_setup", 8, ring)
        proof()
        """,
        shows="proof",
        optional="a kernel without io_uring",
    ),
)
