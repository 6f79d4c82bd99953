/*
 * Commands as text: one line in; lines of an answer; then a last line, "ok" or "error: what is wrong; what would be right". Knows no sockets.
 *
 * A line is words with blanks between them; a backslash takes the meaning off the byte behind it, so that a name may hold blanks.
 */
#ifndef TPLB_CTL_ANSWER_H
#define TPLB_CTL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { ANSWER_LINE_MAX = 4096 /* bytes, the newline among them */, ANSWER_WHY_BYTES = 512 };

/*
 * What a command does. words: those behind its name, as many as its row says. Its lines go to out: none of them is "ok" or begins with "error:".
 * False: it could not be done, and why, one line without a newline, says what is wrong and what would be right.
 */
typedef bool answer_run(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES]);

struct answer_command {
	const char *name; /* one or more words: "set pool workers" */
	const char *
	        arguments; /* what stands behind it, a word for each: "UPSTREAM/SERVER drain|ready"; "": nothing */
	const char *help; /* one line */
	answer_run *run;
};

/*
 * Answers one line (its newline is off, and it is taken apart in place) by the table, which ends with a row whose name is NULL. "help" is known
 * beside it. False: the line holds what no command has, such as control characters; whoever sends that should be left.
 */
bool answer(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out);

/* Writes a word as a line takes it: with backslashes where they are needed. */
void answer_print_word(const char *word, FILE *out);

/* For a word that is nowhere to be found: writes what was meant, "; did you mean \"X\"?", or else the remedy. names: NULL at the end. */
void answer_suggest(const char *word, const char *const *names, const char *remedy, char *why, size_t size);

#endif
