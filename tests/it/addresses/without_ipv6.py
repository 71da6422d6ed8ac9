"""Runs a program that may not use IPv6: its sockets fail as on a machine without it.

    without_ipv6.py PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import struct
import sys

NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
SYSTEM_CALL, FIRST_ARGUMENT = 0, 16
# The number of socket(2).
SOCKET = {"x86_64": 41, "aarch64": 198}
AF_INET6, NOT_SUPPORTED = 10, 97


def step(code, value, then=0, otherwise=0):
    """An instruction of a filter; a jump passes over so many of those that follow it."""
    return struct.pack("HBBI", code, then, otherwise, value)


def main():
    program = b"".join(
        [
            step(LOAD, SYSTEM_CALL),
            step(JUMP_IF_EQUAL, SOCKET[os.uname().machine], otherwise=3),
            step(LOAD, FIRST_ARGUMENT),
            step(JUMP_IF_EQUAL, AF_INET6, otherwise=1),
            step(RETURN, FAIL | NOT_SUPPORTED),
            step(RETURN, ALLOW),
        ]
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // len(step(0, 0)), ctypes.addressof(instructions))
    header = ctypes.create_string_buffer(header, len(header))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or prctl(SECCOMP, FILTER, ctypes.addressof(header), 0, 0):
        sys.exit(os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
