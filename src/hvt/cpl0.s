# From CPL0, where other tenders start an image, to CPL3, where it runs: there the text is not
# writable, data is not executable, page zero and the stack's guard are absent, and a software KVM
# runs the code natively. %rdi: boot information. Without SSE, which such a KVM cannot interpret,
# and in few instructions, since it interprets each.

    .set PRIVATE_CODE, 0x8
    .set USER_CODE, 0x1b
    .set USER_DATA, 0x23
    .set TASK, 0x28
    .set FINE_MAX, 4                    # directory entries of 2 MiB that are mapped by page
    .set BITMAP, 104                    # of ports, in the task state
    .set TASK_LEN, BITMAP + 0x620 / 8 + 1

zerohop_cpl0:
    cld
    mov %rdi, %r13
    mov %rsp, %r14
    mov (%rdi), %r15                    # bytes of memory
    mov $1, %r12d
    shl $63, %r12                       # not executable

    # All of memory, by 2 MiB.
    movq $zerohop_pdpt + 7, zerohop_pml4
    mov $zerohop_pd + 7, %eax
    mov $zerohop_pdpt, %edx
    mov $4, %ecx
1:  mov %rax, (%rdx)
    add $4096, %rax
    add $8, %rdx
    dec %ecx
    jnz 1b
    lea 0x87(%r12), %rax
    mov $zerohop_pd, %edx
    mov %r15, %rcx
    add $0x1fffff, %rcx
    shr $21, %rcx
2:  mov %rax, (%rdx)
    add $0x200000, %rax
    add $8, %rdx
    dec %ecx
    jnz 2b

    # A ring of Solo5's own lies behind memory, if boot information is long enough to name it.
    mov 32(%r13), %rax
    sub %r13, %rax
    cmp $56, %rax
    jb 3f
    mov 48(%r13), %rsi
    test %rsi, %rsi
    jz 3f
    call zerohop_map_large
    mov 48(%r13), %rsi
    add $0xffff, %rsi
    call zerohop_map_large
3:

    # The image, by page.
    mov $zerohop_image_end + 0x1fffff, %r11d
    and $-0x200000, %r11d               # end of what is mapped by page
    mov %r11d, %ecx
    shr $21, %ecx
    mov $zerohop_pt + 7, %eax
    mov $zerohop_pd, %edx
4:  mov %rax, (%rdx)
    add $4096, %rax
    add $8, %rdx
    dec %ecx
    jnz 4b
    mov $0x10000, %esi                  # boot information, manifest, command line
    mov $0x20000, %edi
    lea 5(%r12), %rbx
    call zerohop_map_pages
    mov $0x100000, %esi
    mov $zerohop_text_end, %edi
    mov $5, %ebx
    call zerohop_map_pages
    mov $zerohop_data, %edi
    lea 5(%r12), %rbx
    call zerohop_map_pages
    mov $zerohop_private, %edi
    lea 7(%r12), %rbx
    call zerohop_map_pages
    mov $zerohop_private_end, %edi      # these tables: for CPL0 alone
    lea 3(%r12), %rbx
    call zerohop_map_pages
    mov %r11, %rdi
    lea 7(%r12), %rbx
    call zerohop_map_pages

    # The stack is a sixteenth of memory and at most 1 MiB; a page that is absent lies below.
    mov %r15, %rax
    shr $4, %rax
    and $-4096, %rax
    mov $0x100000, %ecx
    cmp %rcx, %rax
    cmova %rcx, %rax
    mov %r15, %r10
    sub %rax, %r10
    sub $4096, %r10
    cmp %r11, %r10
    jb 6f
    mov %r10, %rsi
    and $-0x200000, %rsi
    mov %rsi, %rdx
    shr $21, %rdx
    movq $zerohop_guard_pt + 7, zerohop_pd(, %rdx, 8)
    lea 7(%r12, %rsi), %rax
    mov $zerohop_guard_pt, %edx
    mov $512, %ecx
5:  mov %rax, (%rdx)
    add $4096, %rax
    add $8, %rdx
    dec %ecx
    jnz 5b
    sub %rsi, %r10
    shr $12, %r10
    movq $0, zerohop_guard_pt(, %r10, 8)
    jmp 7f
6:  shr $12, %r10
    movq $0, zerohop_pt(, %r10, 8)
7:

    # Segments; the task state grants the ports of hypercalls and rings, 0x500 to 0x61f.
    movabs $0x00af9b000000ffff, %rax
    mov %rax, zerohop_gdt + 8
    movabs $0x00cf93000000ffff, %rax
    mov %rax, zerohop_gdt + 16
    movabs $0x00affb000000ffff, %rax
    mov %rax, zerohop_gdt + 24
    movabs $0x00cff3000000ffff, %rax
    mov %rax, zerohop_gdt + 32
    mov $zerohop_task, %eax
    mov %rax, %rdx
    and $0xffffff, %edx
    shl $16, %rdx
    shr $24, %eax
    shl $56, %rax
    or %rdx, %rax
    movabs $0x890000000000 + TASK_LEN - 1, %rdx
    or %rdx, %rax
    mov %rax, zerohop_gdt + TASK
    movq $zerohop_exception_stack, zerohop_task + 4
    movw $BITMAP, zerohop_task + 102
    mov $-1, %rax
    mov $zerohop_task + BITMAP, %edi
    mov $25, %ecx
    rep stosq
    xor %eax, %eax
    mov $zerohop_task + BITMAP + 0x500 / 8, %edi
    mov $4, %ecx
    rep stosq
    mov %eax, (%rdi)

    # Exceptions.
    mov $zerohop_stubs, %esi
    mov $zerohop_idt, %edi
    mov $32, %ecx
    movabs $0x8e0000000000 + PRIVATE_CODE * 0x10000, %rbx
8:  movzwl %si, %eax
    mov %rsi, %rdx
    shr $16, %rdx
    shl $48, %rdx
    or %rdx, %rax
    or %rbx, %rax
    mov %rax, (%rdi)
    add $16, %rdi
    add $16, %rsi
    dec %ecx
    jnz 8b

    movw $7 * 8 - 1, zerohop_gdtr
    movq $zerohop_gdt, zerohop_gdtr + 2
    movw $32 * 16 - 1, zerohop_idtr
    movq $zerohop_idt, zerohop_idtr + 2
    mov $0xc0000080, %ecx               # EFER.NXE
    rdmsr
    or $0x800, %eax
    wrmsr
    mov $zerohop_pml4, %eax
    mov %rax, %cr3
    lgdt zerohop_gdtr
    lidt zerohop_idtr
    mov $TASK, %eax
    ltr %ax
    mov $USER_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %r13, %rdi
    pushq $USER_DATA
    pushq %r14
    pushq $2
    pushq $USER_CODE
    pushq $zerohop_cpl3
    iretq

# Maps the pages from %rsi up to %rdi with the flags in %rbx; %rsi is %rdi afterwards.
zerohop_map_pages:
    mov %rdi, %rcx
    sub %rsi, %rcx
    jbe 2f
    shr $12, %rcx
    mov %rsi, %rdx
    shr $12, %rdx
    lea zerohop_pt(, %rdx, 8), %rdx
    lea (%rbx, %rsi), %rax
1:  mov %rax, (%rdx)
    add $4096, %rax
    add $8, %rdx
    dec %ecx
    jnz 1b
    mov %rdi, %rsi
2:  ret

# Maps the 2 MiB around %rsi, below 4 GiB.
zerohop_map_large:
    mov %rsi, %rdx
    shr $21, %rdx
    cmp $2048, %rdx
    jae 1f
    mov %rdx, %rax
    shl $21, %rax
    or $0x87, %rax
    or %r12, %rax
    mov %rax, zerohop_pd(, %rdx, 8)
1:  ret

# One stub a vector: an error code where the processor pushes none, then the vector.
    .balign 16
zerohop_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
    pushq $0
    .endif
    pushq $vector
    jmp zerohop_exception
    .set vector, vector + 1
    .endr

# Says what happened and ends the guest as an abort.
zerohop_exception:
    cld
    mov $zerohop_report, %esi
    mov $zerohop_message, %edi
    mov $REPORT_LEN, %ecx
    rep movsb
    mov (%rsp), %rax
    mov $zerohop_message + REPORT_VECTOR, %edi
    call zerohop_hex
    mov 8(%rsp), %rax
    mov $zerohop_message + REPORT_ERROR, %edi
    call zerohop_hex
    mov 16(%rsp), %rax
    mov $zerohop_message + REPORT_RIP, %edi
    call zerohop_hex
    mov %cr2, %rax
    mov $zerohop_message + REPORT_ADDRESS, %edi
    call zerohop_hex
    sub $16, %rsp
    movq $zerohop_message, (%rsp)
    movq $REPORT_LEN, 8(%rsp)
    mov %rsp, %rax
    mov $0x502, %edx
    out %eax, %dx
    movq $0, (%rsp)
    movq $255, 8(%rsp)
    mov %rsp, %rax
    mov $0x508, %edx
    out %eax, %dx
1:  hlt
    jmp 1b

# Sixteen digits of %rax that end before %rdi.
zerohop_hex:
    mov $16, %ecx
1:  dec %rdi
    mov %eax, %edx
    and $15, %edx
    movb zerohop_digits(%rdx), %dl
    movb %dl, (%rdi)
    shr $4, %rax
    dec %ecx
    jnz 1b
    ret

    .pushsection .rodata.zerohop_cpl0, "a"
zerohop_digits:
    .ascii "0123456789abcdef"
zerohop_report:
    .ascii "zerohop: exception 0x................"
    .set REPORT_VECTOR, . - zerohop_report
    .ascii ", error code 0x................"
    .set REPORT_ERROR, . - zerohop_report
    .ascii ", at 0x................"
    .set REPORT_RIP, . - zerohop_report
    .ascii ", address 0x................"
    .set REPORT_ADDRESS, . - zerohop_report
    .ascii "\n"
    .set REPORT_LEN, . - zerohop_report
    .popsection

    .pushsection .bss.zerohop_cpl0, "aw", @nobits
    .balign 4096
zerohop_private:
zerohop_pml4:
    .skip 4096
zerohop_pdpt:
    .skip 4096
zerohop_pd:
    .skip 4 * 4096
zerohop_pt:
    .skip FINE_MAX * 4096
zerohop_guard_pt:
    .skip 4096
zerohop_idt:
    .skip 32 * 16
zerohop_gdt:
    .skip 7 * 8
zerohop_gdtr:
    .skip 16
zerohop_idtr:
    .skip 16
    .balign 16
zerohop_task:
    .skip 512
zerohop_message:
    .skip 256
    .balign 4096
    .skip 4096
zerohop_exception_stack:
zerohop_private_end:
    .popsection
