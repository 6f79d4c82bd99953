/* A terminal as a program's own screen: its alternate screen, keys as they are pressed, and everything as it was before on every way out. */
#ifndef TPLB_CTL_TERMINAL_H
#define TPLB_CTL_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Takes INT, TERM, HUP, QUIT, TSTP, CONT and WINCH by a descriptor from now on, and ignores PIPE. Returns it, or -errno. In a program with one thread.
 */
int terminal_signals(void);
/* The next of them; 0: none has come. Never waits. */
int terminal_signal(int fd);
/* Ends the program by that signal, as if it had not been taken. */
void terminal_die(int signal);
/* Stops the program, as Ctrl-Z does, until somebody lets it go on. */
void terminal_stop(void);

/* Enters: the alternate screen, no cursor, keys unechoed and at once. False: standard input or output is no terminal, errno tells. */
bool terminal_enter(void);
/* All as it was. Does nothing when it was not entered. */
void terminal_leave(void);

/*
 * Writes to the terminal that was entered. One that takes nothing just now is waited for, until a signal is there at that descriptor: then the rest is left. False: the terminal is gone.
 */
bool terminal_write(int signals, const char *text, size_t len);

/* How many columns and lines there are now. */
void terminal_size(unsigned *width, unsigned *height);

enum { KEY_NONE, KEY_END = 256, KEY_LEFT, KEY_RIGHT, KEY_OTHER };
/* The next key that was pressed: a byte, or one of these. KEY_NONE: there is none; KEY_END: there will be none. Never waits, if it is asked once poll(2) says so. */
int terminal_key(void);

#endif
