/*
 * What a process that serves the network needs of the kernel, and nothing else, by the kernel's own means:
 * - Landlock (linux/landlock.h): it reads what naming hosts takes (/etc, /usr, /run's resolver files) and itself in /proc, and makes, writes and runs no file at all; it binds no
 *   TCP port; it signals nobody outside.
 * - seccomp (libseccomp): the calls in the table of sandbox.c, no others. Starting programs or processes, tracing, mounting, loading code into the kernel and changing the user
 *   end the process by SIGSYS; what is merely not in the table fails with ENOSYS.
 * Descriptors that are open stay as they are. io_uring's requests pass seccomp by; Landlock holds for them.
 */
#ifndef TPLB_CTL_SANDBOX_H
#define TPLB_CTL_SANDBOX_H

enum { SANDBOX_TEXT_BYTES = 128 };

/*
 * Puts the calling thread and all that it starts from now on into the sandbox, as far as this kernel and this build have one, for good. no_new_privs must be set, or
 * the process be root. Returns how many of the two hold, 0 to 2, or -errno, when what did not fail holds all the same; text: which, or what failed.
 */
int sandbox_enter(char text[SANDBOX_TEXT_BYTES]);

#endif
