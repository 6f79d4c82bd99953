/* The other end of the admin socket: says one command and passes the answer on. */
#ifndef TPLB_CTL_CLIENT_H
#define TPLB_CTL_CLIENT_H

#include <stdbool.h>
#include <stdio.h>

enum { CLIENT_WHY_BYTES = 1024 };

/*
 * Says the command, one word each, to the tplb that listens at the path, and writes the lines of the answer to out, the last one excepted. Waits
 * for a minute without a byte at most. False: why, one line without a newline, says what is wrong, be it the command, the socket or the answer.
 */
bool client_ask(const char *path, char *const *words, FILE *out, char why[CLIENT_WHY_BYTES]);

/*
 * The same, with JSON in place of the lines: one line, and that is whole or not written. Where there is no answer it is made here: {"error": why}.
 */
bool client_ask_json(const char *path, char *const *words, FILE *out, char why[CLIENT_WHY_BYTES]);

/* Connects to the tplb that listens at the path. A descriptor, the caller's; or -1, and why tells as above. */
int client_dial(const char *path, char why[CLIENT_WHY_BYTES]);

#endif
