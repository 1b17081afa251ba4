"""What a confined candidate could still do to the machine."""

from tests.cases.case import Case

_SECCOMP = "tests/sandbox/test_seccomp.py::test_what_is_denied_and_what_is_not"
_PROBE = (
    "tests/sandbox/test_probe.py::test_nothing_is_reached_from_a_confined_worker",
    "tests/sandbox/test_probe.py::test_everything_is_reached_from_an_unconfined_worker",
)
_MEMORY = "tests/sandbox/test_server.py::test_memory_is_added_up_over_all_processes"

CASES: tuple[Case, ...] = (
    Case(
        name="B03 whispering by POSIX locks",
        before="Locks on a byte of a library file carried the hidden answer to the policy.",
        after="No lock of any kind can be set or asked for; nor can the cache of files be queried.",
        tests=(_SECCOMP, *_PROBE),
    ),
    Case(
        name="B20 outliving the server",
        before="A worker that cleared its death signal outlived a killed server and the daemon.",
        after="A trusted init, which a worker can't reach, ends everything at the server's end.",
        tests=(
            "tests/sandbox/test_init.py::"
            "test_who_clears_its_death_signal_ends_with_a_killed_server",
            "tests/sandbox/test_init.py::test_a_worker_that_attacks_its_init_is_ended_all_the_same",
            "tests/sandbox/test_server.py::test_strays_end_with_a_killed_server",
            *_PROBE,
        ),
    ),
    Case(
        name="B21 page tables beside the memory",
        before="1.4 GB of page tables under a limit of 900 MiB were not noticed.",
        after="Page tables count: the worker is ended, and the reason names the limit.",
        tests=(_MEMORY, *_PROBE),
    ),
    Case(
        name="B22 socket buffers beside the memory",
        before="950 MB in the queues of socket pairs were not noticed.",
        after="What open sockets and pipes can hold counts; none can be enlarged or sent away.",
        tests=(_MEMORY, _SECCOMP, *_PROBE),
    ),
    Case(
        name="C03 children whose time is nobody's",
        before="With SIGCHLD ignored, four processor seconds of children showed in no figure.",
        after="A child's end can't be ignored; the init reaps what nobody waits for: all is summed.",
        tests=("tests/sandbox/test_init.py::test_the_time_of_every_child_counts",),
    ),
    Case(
        name="processes without number, where the kernel doesn't count them",
        before="In the reduced tier a candidate could start as many as the user's limit allows.",
        after="More than 256 end the worker.",
        tests=("tests/sandbox/test_server.py::test_processes_are_limited",),
    ),
    Case(
        name="memory files, siblings, pairs of other families, calls of tomorrow",
        before="Whatever the list of denied calls did not name was open.",
        after="An allow list: what isn't on it fails, what isn't known yet fails as on an old kernel.",
        tests=(_SECCOMP, *_PROBE),
    ),
    Case(
        name="a worker's line of JSON",
        before="Integers of any size and half surrogate pairs came through to the referee.",
        after="A head of more than 32 levels or 64 bits is a fault of the worker; strings are text.",
        tests=(
            "tests/sandbox/test_channel.py::test_what_is_no_message_is_an_error",
            "tests/sandbox/test_channel.py::test_what_is_within_the_bounds_comes_through",
            "tests/sandbox/test_channel.py::test_no_bytes_end_the_receiver",
            "tests/sandbox/test_channel.py::test_no_value_ends_the_receiver",
        ),
    ),
)
