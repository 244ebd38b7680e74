from __future__ import annotations

import errno

import pytest

from fannet.errors import KernelError
from fannet.libbpf import check, find_reason

# As they say it: 0.5 of Ubuntu 22.04, 1.1 of Debian 12, 1.3 of Ubuntu 24.04.
SECTION_0_5 = """\
libbpf: prog 'fan_tx': missing BPF prog type, check ELF section name 'tc'
libbpf: failed to load program 'fan_tx'
libbpf: failed to load object '555582ad4b60-1eb50'"""
SECTION_1_3 = """\
libbpf: prog 'fan_tx': missing BPF prog type, check ELF section name 'tc'
libbpf: prog 'fan_tx': failed to load: -22
libbpf: failed to load object '393c6460-1eb58'"""
VERIFIER_0_5 = """\
libbpf: load bpf program failed: Permission denied
libbpf: -- BEGIN DUMP LOG ---
libbpf:\x20
0: R1=ctx() R10=fp0
1: (61) r0 = *(u32 *)(r1 +0)
R1 invalid mem access 'scalar'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0

libbpf: -- END LOG --
libbpf: failed to load program 'fan_tx'
libbpf: failed to load object '5584fa10aaa0-1ff8'"""
VERIFIER_1_3 = """\
libbpf: prog 'fan_tx': BPF program load failed: Permission denied
libbpf: prog 'fan_tx': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
1: (61) r0 = *(u32 *)(r1 +0)
R1 invalid mem access 'scalar'
verification time 24 usec
stack depth 0
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'fan_tx': failed to load: -13
libbpf: failed to load object '13f88320-1ff8'"""
ELF_0_5 = "libbpf: elf: failed to get ELF header from 7fc664f724e0-c8: invalid `Elf' handle"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (SECTION_0_5, "prog 'fan_tx': missing BPF prog type, check ELF section name 'tc'"),
        (SECTION_1_3, "prog 'fan_tx': missing BPF prog type, check ELF section name 'tc'"),
        (VERIFIER_0_5, "R1 invalid mem access 'scalar'"),
        (VERIFIER_1_3, "R1 invalid mem access 'scalar'"),
        (ELF_0_5, ELF_0_5.removeprefix("libbpf: ")),
        ("", ""),
    ],
)
def test_the_reason_is_the_last_line_that_says_one(said: str, reason: str) -> None:
    assert find_reason(said.splitlines()) == reason


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EPERM, "Operation not permitted"), (4007, "verifier")]
)
def test_errors_of_the_kernels_and_of_libbpfs_own_have_words(number: int, text: str) -> None:
    with pytest.raises(KernelError, match=f"loading: .*{text}"):
        check(-number, "loading")
