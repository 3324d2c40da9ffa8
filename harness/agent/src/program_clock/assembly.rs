//! The machine code itself.
//!
//! Clocks by their numbers: 0, 5 and 11 show the time of day; 1, 4, 6 and 7 the time since the boot; all others count processor time or belong to
//! devices, and are left alone. A record is {base, offset, slope}; what is shown is t + offset + (t - base) * slope / 2^32.

use std::arch::global_asm;

global_asm!(
    ".pushsection .rodata.keelhaul_clock, \"a\", @progbits",
    ".balign 16",
    ".globl keelhaul_clock_start, keelhaul_clock_gettime, keelhaul_clock_gettimeofday",
    ".globl keelhaul_clock_time, keelhaul_clock_ask, keelhaul_clock_end",
    ".hidden keelhaul_clock_start, keelhaul_clock_gettime, keelhaul_clock_gettimeofday",
    ".hidden keelhaul_clock_time, keelhaul_clock_ask, keelhaul_clock_end",
    "keelhaul_clock_start:",
    "    .quad 0, 0",    // magic, and how far ahead it was told to be
    "10: .quad 0, 0, 0", // the time of day
    "    .quad 0, 0, 0", // the time since the boot
    // int clock_gettime(clockid_t edi, struct timespec *rsi)
    "keelhaul_clock_gettime:",
    "    mov eax, 228",
    "    syscall",
    "    test eax, eax",
    "    jnz 3f",
    "    lea r8, [rip + 10b]",
    "    cmp edi, 11",
    "    ja 3f",
    "    mov ecx, 0x821",
    "    bt ecx, edi",
    "    jc 2f",
    "    mov ecx, 0xd2",
    "    bt ecx, edi",
    "    jnc 3f",
    "    add r8, 24",
    "2:  imul r9, qword ptr [rsi], 1000000000",
    "    add r9, qword ptr [rsi + 8]",
    "    mov rax, r9",
    "    sub rax, qword ptr [r8]",
    "    imul qword ptr [r8 + 16]",
    "    shrd rax, rdx, 32",
    "    add rax, r9",
    "    add rax, qword ptr [r8 + 8]",
    "    xor edx, edx",
    "    mov ecx, 1000000000",
    "    div rcx",
    "    mov qword ptr [rsi], rax",
    "    mov qword ptr [rsi + 8], rdx",
    "    xor eax, eax",
    "3:  ret",
    // int gettimeofday(struct timeval *rdi, struct timezone *rsi): the kernel fills in both, then the first is bent.
    "keelhaul_clock_gettimeofday:",
    "    mov eax, 96",
    "    syscall",
    "    test eax, eax",
    "    jnz 4f",
    "    test rdi, rdi",
    "    jz 4f",
    "    push rdi",
    "    sub rsp, 16",
    "    mov rsi, rsp",
    "    xor edi, edi",
    "    call keelhaul_clock_gettime",
    "    mov r8, qword ptr [rsp]",
    "    mov rax, qword ptr [rsp + 8]",
    "    add rsp, 16",
    "    pop rdi",
    "    xor edx, edx",
    "    mov ecx, 1000",
    "    div rcx",
    "    mov qword ptr [rdi], r8",
    "    mov qword ptr [rdi + 8], rax",
    "    xor eax, eax",
    "4:  ret",
    // time_t time(time_t *rdi)
    "keelhaul_clock_time:",
    "    push rdi",
    "    sub rsp, 16",
    "    mov rsi, rsp",
    "    xor edi, edi",
    "    call keelhaul_clock_gettime",
    "    mov rax, qword ptr [rsp]",
    "    add rsp, 16",
    "    pop rdi",
    "    test rdi, rdi",
    "    jz 5f",
    "    mov qword ptr [rdi], rax",
    "5:  ret",
    // Calls what rax points to, and stops.
    "keelhaul_clock_ask:",
    "    call rax",
    "    int3",
    "keelhaul_clock_end:",
    ".popsection",
);

// Each is a place, not a byte.
unsafe extern "C" {
    pub(super) safe static keelhaul_clock_start: u8;
    pub(super) safe static keelhaul_clock_gettime: u8;
    pub(super) safe static keelhaul_clock_gettimeofday: u8;
    pub(super) safe static keelhaul_clock_time: u8;
    pub(super) safe static keelhaul_clock_ask: u8;
    pub(super) safe static keelhaul_clock_end: u8;
}
