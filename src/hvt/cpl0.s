# From the state in which Solo5's tenders start an image, at CPL0 under a supervisor identity map,
# to CPL3 under tables of the image's own. A software KVM interprets this code and knows neither
# SSE nor most of what compilers like to use, so it is written by hand and kept short.
#
# r12 NX bit, r13 stack, r14 bytes of memory, r15 boot information

.set PML4, zerohop_tables
.set PDPT, zerohop_tables + 0x1000
.set PDS, zerohop_tables + 0x2000
.set PTS, zerohop_tables + 0x6000
.set GUARD_PT, zerohop_tables + 0xa000
.set TSS, zerohop_tables + 0xb000
.set IDT, zerohop_tables + 0xe000
.set EXCEPTION_STACK, zerohop_tables + 0x10000
.set MAX_PTS, 4

.set USER_RO, 5
.set USER_RW, 7
.set KERNEL_RW, 3

# Entries for the pages from rbx up to \end: their addresses with \flags, and NX if \nx.
.macro pages end, flags, nx
    mov \end, %rcx
    sub %rbx, %rcx
    shr $12, %rcx
    lea \flags(%rbx), %rax
    mov \end, %rbx
    .if \nx
    or %r12, %rax
    .endif
    call zerohop_fill
.endm

zerohop_cpl0:
    mov %rsp, %r13
    mov %rdi, %r15
    mov (%rdi), %r14
    cld
    mov $0xc0000080, %ecx
    rdmsr
    or $0x800, %eax
    wrmsr
    xor %r12d, %r12d
    bts $63, %r12

    movl $PDPT + USER_RW, PML4
    movl $PDS + USER_RW, PDPT
    movl $PDS + 0x1000 + USER_RW, PDPT + 8
    movl $PDS + 0x2000 + USER_RW, PDPT + 16
    movl $PDS + 0x3000 + USER_RW, PDPT + 24

    # All of memory by large pages, writable and not executable.
    mov $PDS, %edi
    mov $0x80 + USER_RW, %eax
    or %r12, %rax
    lea 0x1fffff(%r14), %rcx
    shr $21, %rcx
1:  stosq
    add $0x200000, %rax
    loop 1b
    # Solo5's own ring lies behind, if boot information is long enough to name one.
    mov 32(%r15), %rcx
    sub %r15, %rcx
    cmp $56, %rcx
    jb 1f
    cmpq $0, 48(%r15)
    je 1f
    cmp $PDS + 0x4000, %edi
    jae 1f
    stosq
1:

    # The image by small ones, each part as its segment says; page zero and what the tender keeps
    # below its boot information are absent.
    mov $PTS + 16 * 8, %edi
    mov $0x10000, %ebx
    pages $0x100000, USER_RO, 1
    pages $zerohop_text_end, USER_RO, 0
    pages $zerohop_rodata_end, USER_RO, 1
    pages $zerohop_tables, USER_RW, 1
    pages $zerohop_image_end, KERNEL_RW, 1
    mov $zerohop_image_end + 0x1fffff, %edx
    shr $21, %edx
    cmp $MAX_PTS, %edx
    ja zerohop_stuck
    mov %rdx, %rsi
    shl $21, %rsi
    pages %rsi, USER_RW, 1
    mov $PDS, %edi
    mov $PTS + USER_RW, %eax
    mov %edx, %ecx
1:  stosq
    add $0x1000, %rax
    loop 1b

    # The page below the stack is absent.
    mov %r14, %rax
    shr $4, %rax
    cmp $0x100000, %rax
    jbe 1f
    mov $0x100000, %eax
1:  and $~0xfff, %rax
    mov %r14, %rbx
    sub %rax, %rbx
    sub $0x1000, %rbx
    mov %rbx, %rsi
    shr $21, %rsi
    mov $PTS, %ebp
    cmp %rdx, %rsi
    jb 2f
    mov $GUARD_PT, %edi
    mov %rsi, %rax
    shl $21, %rax
    or $USER_RW, %rax
    or %r12, %rax
    mov $512, %ecx
    call zerohop_fill
    movq $GUARD_PT + USER_RW, PDS(, %rsi, 8)
    mov $GUARD_PT, %ebp
    shr $12, %rbx
    and $511, %ebx
    jmp 3f
2:  shr $12, %rbx
3:  movq $0, (%rbp, %rbx, 8)

    # Exceptions run on a stack of their own; ports of hypercalls and rings are open.
    movl $EXCEPTION_STACK, TSS + 4
    movw $104, TSS + 102
    mov $TSS + 104, %edi
    mov $-1, %rax
    mov $1024, %ecx
    rep stosq
    movb $0xff, (%rdi)
    mov $TSS + 104 + 0xa0, %edi
    xor %eax, %eax
    mov $36, %ecx
    rep stosb
    mov $IDT, %edi
    mov $zerohop_stubs, %ebx
    mov $32, %ecx
1:  movzwl %bx, %eax
    or $0x80000, %eax
    stosl
    mov %ebx, %eax
    mov $0x8e00, %ax
    stosl
    xor %eax, %eax
    stosq
    add $16, %ebx
    loop 1b
    mov $TSS, %eax
    mov %ax, zerohop_gdt + 0x2a
    shr $16, %eax
    mov %al, zerohop_gdt + 0x2c
    mov %ah, zerohop_gdt + 0x2f
    lgdt zerohop_gdt_pointer
    lidt zerohop_idt_pointer
    mov $0x28, %eax
    ltr %ax
    mov $PML4, %eax
    mov %rax, %cr3

    mov %r15, %rdi
    pushq $0x23
    push %r13
    pushq $2
    pushq $0x1b
    pushq $zerohop_cpl3
    iretq

zerohop_fill:
1:  stosq
    add $0x1000, %rax
    loop 1b
    ret

zerohop_stuck:
    hlt
    jmp zerohop_stuck

# A stub each vector: an error code where the processor gives none, and the vector.
.balign 16
zerohop_stubs:
.set vector, 0
.rept 32
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    pushq $0
    .endif
    pushq $vector
    jmp zerohop_exception_entry
    .set vector, vector + 1
.endr

# Reports at CPL3, where all instructions work: the frame is changed to return to the report.
zerohop_exception_entry:
    pop %rdi
    pop %rsi
    mov (%rsp), %rdx
    mov 24(%rsp), %r8
    mov %cr2, %rcx
    movq $zerohop_exception, (%rsp)
    movq $zerohop_report_stack + 0x3ff8, 24(%rsp)
    iretq

.section .data.zerohop_gdt, "aw"
.balign 8
zerohop_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00affb000000ffff
    .quad 0x00cff3000000ffff
    .quad 0x0000890000002068
    .quad 0
zerohop_gdt_pointer:
    .word 7 * 8 - 1
    .quad zerohop_gdt
zerohop_idt_pointer:
    .word 32 * 16 - 1
    .quad IDT

.section .tables, "aw", @nobits
.balign 4096
.globl zerohop_tables
zerohop_tables:
    .skip 0x10000

.section .bss.zerohop_report, "aw", @nobits
.balign 16
zerohop_report_stack:
    .skip 0x4000
.text
