"""The fence: a sandbox around the process that runs a submission. It does not need root.

    limits      on processor time, memory and file size                       not on Windows; memory only on Linux
    Landlock    only listed paths can be read, only the run's folder written  Linux; also hides /proc and programs
    seccomp     no processes, network, signals or changes of permissions      Linux; refuses system calls by number

The process cannot remove these restrictions again. This file imports nothing of the library, because runner.py loads it
by its path.
"""
import ctypes
import math
import os
import platform
import signal
import struct
import sys
import time

READ_FILE, READ_FOLDER, WRITE_FILE, REMOVE_FILE, MAKE_FILE, TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 5, 1 << 8, 1 << 14
RIGHTS_OF = {1: 13, 2: 14, 3: 15, 4: 15}    # number of rights in each version of Landlock; 16 since version 5
CREATE_RULES, ADD_RULE, RESTRICT = 444, 445, 446
NO_NEW_RIGHTS, SECCOMP, DIE_WITH_PARENT = 38, 22, 1

# System calls that are refused: their numbers on x86_64 and on arm64, or None where the call does not exist.
DENIED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "setsid": (112, 157), "setpgid": (109, 154),
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "truncate": (76, 45),
    "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
}
CLONE, CLONE3, LIMIT, FILE_CONTROL = (56, 220), (435, 435), (302, 261), (72, 25)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}     # column above, the kernel's number for it
NOT_PERMITTED, NOT_THERE = 1, 38                                        # errno
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06   # instructions of a BPF filter
ALLOW, REFUSE, END = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, MACHINE, FIRST, SECOND = 0, 4, 16, 24                           # offsets in struct seccomp_data
A_THREAD, OWN = 0x10000, 0      # clone may only make threads; prlimit may only concern the own process
OWNER, OWNER_TOO = 8, 15        # F_SETOWN, F_SETOWN_EX: they choose a process that gets a signal


def close(folder: str, readable: list[tuple[str, bool]], limits: dict[str, int]) -> list[str]:
    """Put this process inside the fence, until it ends. Returns the parts that are missing here, such as ["Landlock"].

    folder: the only one that it may write to. readable: [(path, whole)]; everything inside a whole path may be read,
    of other folders only the list of names. limits: the arguments of `limit`.
    """
    limit(**limits)
    if sys.platform != "linux":
        return ["Landlock", "seccomp"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(DIE_WITH_PARENT, 9, 0, 0, 0)
    libc.prctl(NO_NEW_RIGHTS, 1, 0, 0, 0)
    no_root(libc)
    walls = {"Landlock": _wall_around_files(libc, folder, readable), "seccomp": _wall_around_calls(libc)}
    return [name for name, stands in walls.items() if not stands]


def limit(seconds: int, memory: int, file_size: int) -> None:
    """Limit processor seconds, bytes of memory (on Linux only) and bytes of each file.

    Seconds and memory come on top of what the process has used already.
    """
    try:
        import resource
    except ImportError:         # Windows
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)       # Python ignores it, and then a submission could go on
    seconds += math.ceil(time.process_time())
    most = {resource.RLIMIT_CPU: seconds + 1, resource.RLIMIT_FSIZE: file_size, resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: 128}
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            most[resource.RLIMIT_AS] = int(file.read().split()[0]) * resource.getpagesize() + memory
    for what, value in most.items():
        resource.setrlimit(what, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))     # first SIGXCPU, a second later SIGKILL


def no_root(libc: ctypes.CDLL) -> None:
    """Give up the capabilities of root. They would let it raise limits and open files without permission."""
    libc.capset(struct.pack("=II", 0x20080522, 0), bytes(24))


def _wall_around_files(libc, folder, readable):
    version = libc.syscall(CREATE_RULES, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    known = (1 << RIGHTS_OF.get(version, 16)) - 1
    rules = libc.syscall(CREATE_RULES, struct.pack("=Q", known), ctypes.c_size_t(8), 0)
    own = READ_FILE | READ_FOLDER | WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE
    allowed = [(folder, own), (os.devnull, READ_FILE | WRITE_FILE), ("/dev/urandom", READ_FILE)]
    allowed += [(path, READ_FILE | READ_FOLDER if whole else READ_FOLDER) for path, whole in readable]
    for path, rights in allowed:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            rights &= ~READ_FOLDER
        libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", rights & known, opened), 0)
        os.close(opened)
    done = libc.syscall(RESTRICT, rules, 0) == 0
    os.close(rules)
    return done


def _wall_around_calls(libc):
    if platform.machine() not in MACHINES or sys.maxsize < 2**32:
        return False
    column, machine = MACHINES[platform.machine()]
    refused = _return(REFUSE | NOT_PERMITTED)
    program = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), _return(END),
               (LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, 1 << 30), _return(END)]       # x32 calls have other numbers
    for numbers in DENIED.values():
        if numbers[column] is not None:
            program += [(EQUAL, 0, 1, numbers[column]), refused]
    program += [(EQUAL, 0, 1, CLONE3[column]), _return(REFUSE | NOT_THERE)]         # libc then calls clone
    for call, fits in ((CLONE, (ANY_BIT, 1, 0, A_THREAD)), (LIMIT, (EQUAL, 1, 0, OWN))):
        program += [(EQUAL, 0, 4, call[column]), (LOAD, 0, 0, FIRST), fits, refused, _return(ALLOW)]
    program += [(EQUAL, 0, 5, FILE_CONTROL[column]), (LOAD, 0, 0, SECOND), (EQUAL, 1, 0, OWNER),
                (EQUAL, 0, 1, OWNER_TOO), refused, _return(ALLOW)]
    program += [_return(ALLOW)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    return libc.prctl(SECCOMP, 2, struct.pack("@HP", len(program), ctypes.addressof(steps)), 0, 0) == 0


def _return(what):
    return (RETURN, 0, 0, what)
